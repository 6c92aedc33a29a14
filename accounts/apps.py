"""App configuration."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Users, roles, who may see whom, and the record of who looked."""

    name = "accounts"

    def ready(self) -> None:
        from allauth.mfa.signals import authentication_failed, authenticator_added

        from accounts import kept, second_factor

        kept.declare()
        authenticator_added.connect(second_factor.on_added)
        authentication_failed.connect(second_factor.on_failed)
