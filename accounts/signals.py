"""What other apps may want to know about people."""

from django.dispatch import Signal

# Sent inside the transaction that records it, with `patient_id` and `purpose`: what a receiver does to take a
# consent into effect, or out of it, happens together with the record or not at all.
consent_given = Signal()
consent_revoked = Signal()
