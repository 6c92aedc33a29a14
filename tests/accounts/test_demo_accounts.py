"""manage.py create_demo_accounts."""

from io import StringIO

import pytest
from django.core.management import call_command

from accounts import selectors
from accounts.models import User

pytestmark = pytest.mark.django_db


def test_three_accounts_once_with_the_printed_passwords():
    out = StringIO()
    call_command("create_demo_accounts", stdout=out)
    rows = [line.split() for line in out.getvalue().splitlines() if "@" in line]
    assert [row[0] for row in rows] == ["admin", "doctor", "patient"]
    for role, email, password in rows:
        user = User.objects.get(email=email)
        assert user.role == role
        assert user.check_password(password)
        assert user.is_staff is (role == "admin")
    assert selectors.is_verified_doctor(User.objects.get(role="doctor"))
    again = StringIO()
    call_command("create_demo_accounts", stdout=again)
    assert again.getvalue() == ""


def test_nothing_is_made_beside_real_accounts(patient):
    call_command("create_demo_accounts", stdout=StringIO())
    assert User.objects.get() == patient
