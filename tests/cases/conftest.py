"""People around one case: its patient, a doctor who may read it, and everybody who may not."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from PIL import Image

from accounts.models import AccessLog, User
from cases.models import Case, Scan
from tests import factories


@pytest.fixture(autouse=True)
def _work_dir(settings: Any, tmp_path: Any) -> None:
    """Working files of a test stay in its folder."""
    settings.PMI_VAR_DIR = tmp_path / "var"


@pytest.fixture
def case(patient: User) -> Case:
    """The patient's case."""
    return factories.CaseFactory.create(patient=patient, title="My sore knee", question="Is it worn out?")


@pytest.fixture
def scan(case: Case) -> Scan:
    """A small film in the case."""
    return factories.ScanFactory.create(case=case)


@pytest.fixture
def reader(case: Case, doctor: User) -> User:
    """A verified doctor whom the patient lets read."""
    factories.CareRelationshipFactory.create(patient=case.patient, doctor=doctor)
    return doctor


@pytest.fixture
def outsiders(case: Case, other_patient: User, unverified_doctor: User, admin_user: User) -> list[User]:
    """Everybody to whom the case does not exist."""
    stranger = factories.DoctorFactory.create()
    factories.CareRelationshipFactory.create(patient=other_patient, doctor=stranger)
    revoked = factories.DoctorFactory.create()
    factories.CareRelationshipFactory.create(
        patient=case.patient, doctor=revoked, revoked_at="2026-01-01T00:00:00Z"
    )
    expired = factories.DoctorFactory.create()
    factories.CareRelationshipFactory.create(
        patient=case.patient, doctor=expired, expires_at="2026-01-01T00:00:00Z"
    )
    factories.CareRelationshipFactory.create(patient=case.patient, doctor=unverified_doctor)
    return [other_patient, unverified_doctor, admin_user, stranger, revoked, expired]


@pytest.fixture
def hidden_from_outsiders(as_user: Callable[[Any], Client], outsiders: list[User]) -> Callable[..., None]:
    """Assert that an address is 404 to every outsider and asks strangers to sign in."""

    def check(url: str, method: str = "get") -> None:
        for outsider in outsiders:
            assert getattr(as_user(outsider), method)(url).status_code == 404, outsider.role
        anonymous = getattr(as_user(None), method)(url)
        assert anonymous.status_code == 302
        assert anonymous["Location"].startswith("/accounts/login/")

    return check


@pytest.fixture
def api_hidden_from_outsiders(api_as: Callable[[Any], Any], outsiders: list[User]) -> Callable[..., None]:
    """Assert that an API address is 404 to every outsider and 401 to anonymous clients."""

    def check(url: str, method: str = "get") -> None:
        for outsider in outsiders:
            assert getattr(api_as(outsider), method)(url).status_code == 404, outsider.role
        assert getattr(api_as(None), method)(url).status_code == 401

    return check


def png(
    shade: int = 90, name: str = "Jane Doe 1970.png", size: tuple[int, int] = (96, 80)
) -> SimpleUploadedFile:
    """An uploaded grey picture with a gradient; different shades are different bytes."""
    image = Image.linear_gradient("L").resize(size).point(lambda value: (value + shade) % 256)
    out = io.BytesIO()
    image.save(out, "PNG")
    return SimpleUploadedFile(name, out.getvalue(), "image/png")


def garbage(name: str = "notes.dcm") -> SimpleUploadedFile:
    """Text that calls itself DICOM."""
    return SimpleUploadedFile(name, f"{name} is not a picture at all\n".encode() * 30, "application/dicom")


def actions(obj: Case | Scan) -> list[str]:
    """What the access log says was done to an object, oldest first."""
    return list(
        AccessLog.objects.filter(object_id=obj.pk).order_by("at", "pk").values_list("action", flat=True)
    )


def stored_files(root: Any) -> list[str]:
    """Names of all files below a folder."""
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
