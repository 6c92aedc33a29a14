"""Signals other apps may listen to.

``scan_stored(sender=Scan, scan_id=UUID)``: sent once per scan, after the transaction that stored it
committed.
``case_changed(sender=Case, case_id=UUID)``: symptoms or age group changed, after the commit.
``review_signed(sender=Review, review_id=UUID)``: a doctor signed or amended a review, after the commit.
"""

from django.dispatch import Signal

scan_stored = Signal()
case_changed = Signal()
review_signed = Signal()
