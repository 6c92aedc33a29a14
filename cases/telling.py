"""Saying that there is something new for a patient; whoever delivers notices listens to the signal.

``something_new(user_id=UUID, kind=str, link=str)``: `kind` names what is new, `link` is a path of this site.
"""

from uuid import UUID

from django.dispatch import Signal

something_new = Signal()


def tell(user_id: UUID, kind: str, link: str = "") -> None:
    """Say that there is something new."""
    something_new.send(sender=tell, user_id=user_id, kind=kind, link=link)
