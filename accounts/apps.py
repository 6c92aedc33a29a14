"""App configuration."""

from allauth.account.apps import AccountConfig
from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class EmailAddressesConfig(AccountConfig):
    """allauth's addresses, under a name of their own: the admin lists them beside our accounts."""

    verbose_name = _("E-mail addresses")


class AccountsConfig(AppConfig):
    """Users, roles, who may see whom, and the record of who looked."""

    name = "accounts"

    def ready(self) -> None:
        from allauth.account.signals import password_changed, password_reset, password_set
        from allauth.mfa.signals import authentication_failed, authenticator_added
        from django.db.models.signals import post_delete, post_save

        from accounts import export, kept, second_factor, sign_in
        from accounts.job_models import DataExport
        from accounts.models import User

        kept.declare()
        authenticator_added.connect(second_factor.on_added)
        authentication_failed.connect(second_factor.on_failed)
        post_save.connect(sign_in.on_saved_password, sender=User, dispatch_uid="accounts.new_password")
        post_delete.connect(export.on_deleted, sender=DataExport, dispatch_uid="accounts.export_deleted")
        for new_password in (password_changed, password_reset, password_set):
            new_password.connect(sign_in.on_new_password)
