"""`manage.py create_demo_accounts`: a patient, a verified doctor and an administrator to try PMI with."""

import secrets
from typing import Any

from allauth.account.models import EmailAddress
from django.core.management.base import BaseCommand
from django.db import transaction

from accounts import services
from accounts.models import Role, User

ACCOUNTS = [
    ("admin@example.org", "Alex Admin", Role.ADMIN),
    ("doctor@example.org", "Dr Dana Demo", Role.DOCTOR),
    ("patient@example.org", "Pat Demo", Role.PATIENT),
]


class Command(BaseCommand):
    """Does nothing where any account exists."""

    help = "Make demo accounts with random passwords, printed once. Does nothing when there is any account."

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        """Make them and print the passwords."""
        if User.objects.exists():
            return
        made: dict[str, User] = {}
        self.stdout.write("\nDemo accounts (these passwords are shown only now):")
        for email, name, role in ACCOUNTS:
            password = secrets.token_urlsafe(12)
            create = User.objects.create_superuser if role == Role.ADMIN else User.objects.create_user
            user = create(email, password, full_name=name, role=role)
            EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
            made[role] = user
            self.stdout.write(f"  {role:<8} {email:<20} {password}")
        services.set_up_doctor(made[Role.DOCTOR], licence_number="DEMO-1", licence_country="Demo")
        services.verify_doctor(made[Role.DOCTOR], made[Role.ADMIN])
        self.stdout.write("")
