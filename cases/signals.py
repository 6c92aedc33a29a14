"""Signals other apps may listen to.

``scan_stored(sender=Scan, scan_id=UUID)``: sent once per scan, after the transaction that stored it
committed.
"""

from django.dispatch import Signal

scan_stored = Signal()
