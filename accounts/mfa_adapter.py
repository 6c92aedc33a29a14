"""Where allauth's second step asks PMI."""

import base64
import hashlib
from functools import cache

from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts import second_factor
from accounts.models import User


@cache
def _keys(*secrets: str) -> MultiFernet:
    digests = (hashlib.sha256(b"pmi.second-factor:" + secret.encode()).digest() for secret in secrets)
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])


def _current_keys() -> MultiFernet:
    return _keys(settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)


class MFAAdapter(DefaultMFAAdapter):
    """Secrets lie encrypted in the database; whoever needs a second step keeps at least one."""

    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": _("This code is not right. Please use the newest one; each works once."),
        "cannot_delete_authenticator": _(
            "Your account needs a second step. Add another one first; then you can remove this one."
        ),
        "unverified_email": _("Please confirm your email address first; we sent you a link."),
        "add_email_blocked": _("Turn the second step off before you change your email address."),
    }

    def encrypt(self, text: str) -> str:
        """With a key made from SECRET_KEY: a copy of the database alone gives no codes."""
        return _current_keys().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Raises cryptography's InvalidToken when SECRET_KEY was changed without SECRET_KEY_FALLBACKS."""
        return _current_keys().decrypt(encrypted_text.encode()).decode()

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        """Not the last one of somebody who needs it."""
        user: User = authenticator.user
        if not second_factor.is_required(user):
            return True
        others = Authenticator.objects.filter(user=user, type__in=second_factor.FACTORS)
        return bool(others.exclude(pk=authenticator.pk).exists())

    def generate_authenticator_name(self, user: User, type: Authenticator.Type) -> str:
        """A name to start from; people know their devices better than PMI does."""
        count = Authenticator.objects.filter(user=user, type=type).count()
        return str(_("My passkey")) if not count else f"{_('My passkey')} {count + 1}"
