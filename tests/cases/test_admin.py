"""The admin sees that cases exist, not what is in them."""

import pytest

pytestmark = pytest.mark.django_db


def test_lists_and_pages_show_no_medical_content(as_user, admin_user, case, scan):
    client = as_user(admin_user)
    for path in ("case/", f"case/{case.pk}/change/", "scan/", f"scan/{scan.pk}/change/"):
        response = client.get(f"/admin/cases/{path}")
        assert response.status_code == 200
        assert "My sore knee" not in response.text
        assert "Is it worn out" not in response.text
        assert scan.preview.name not in response.text
        assert case.patient.full_name not in response.text


@pytest.mark.parametrize("path", ["case/add/", "scan/add/"])
def test_nothing_is_added(path, as_user, admin_user):
    assert as_user(admin_user).get(f"/admin/cases/{path}").status_code == 403


def test_nothing_is_deleted(as_user, admin_user, case, scan):
    assert as_user(admin_user).post(f"/admin/cases/case/{case.pk}/delete/").status_code == 403
    assert as_user(admin_user).post(f"/admin/cases/scan/{scan.pk}/delete/").status_code == 403
