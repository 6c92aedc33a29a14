"""App configuration."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Users, roles, who may see whom, and the record of who looked."""

    name = "accounts"

    def ready(self) -> None:
        from accounts import kept

        kept.declare()
