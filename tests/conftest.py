"""Fixtures that every test may use."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core.cache import cache
from django.test import Client
from django.utils import translation
from rest_framework.test import APIClient

from accounts.sessions import SEEN_KEY
from tests import factories


def _drop_leftover_databases() -> None:
    """Databases of test runs that were killed; the number in the name is the run's process id."""
    import psycopg2
    from psycopg2 import sql

    from pmi_site import embedded

    embedded.hold("postgres")
    place = settings.DATABASES["default"]
    connection = psycopg2.connect(
        host=place["HOST"], port=place["PORT"], user=place["USER"], dbname="postgres"
    )
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datname ~ '^test_pmi_[0-9]+(_|$)'")
        for (name,) in cursor.fetchall():
            if not psutil.pid_exists(int(name.split("_")[2])):
                cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
    connection.close()


def pytest_sessionstart(session: pytest.Session) -> None:
    """The first process of a run starts PostgreSQL; workers of the same run find it running."""
    is_worker = hasattr(session.config, "workerinput")
    if settings.PMI_EMBEDDED_DATABASE and not is_worker:
        _drop_leftover_databases()


@pytest.fixture(autouse=True)
def private_root(settings: Any, tmp_path: Path) -> Path:
    """A folder for private files that belongs to one test alone."""
    root = tmp_path / "private"
    root.mkdir(mode=0o700)
    settings.PMI_PRIVATE_ROOT = root
    return root


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    """Counters of one test's throttling must not reach the next test."""
    cache.clear()
    yield


@pytest.fixture(autouse=True)
def _language_of_the_site() -> Iterator[None]:
    """A page that was read in Spanish leaves its thread in Spanish, and tests share one."""
    translation.deactivate()
    yield


@pytest.fixture(autouse=True)
def _second_step_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Client.force_login` stands for a whole sign-in: with the second step of whoever has one."""
    plain = Client.force_login

    def force_login(self: Client, user: Any, backend: str | None = None) -> None:
        plain(self, user, backend)
        session = self.session
        session[SEEN_KEY] = time.time()
        factor = Authenticator.objects.filter(user=user).first()
        if factor is not None:
            # Long enough ago that changing how the account is protected asks again.
            record = {"method": "mfa", "at": time.time() - 3600, "id": factor.pk, "type": factor.type}
            session["account_authentication_methods"] = [record]
            session["account_authentication_methods_user"] = str(user.pk)
        session.save()

    monkeypatch.setattr(Client, "force_login", force_login)


@pytest.fixture(scope="session")
def samples_dir() -> Path:
    """The real-world sample scans; tests that need them are skipped where they are absent."""
    folder = Path(os.environ.get("PMI_SAMPLES") or Path(settings.BASE_DIR).parent / "shared" / "samples")
    if not folder.is_dir():
        pytest.skip(f"sample scans not found at {folder}; set PMI_SAMPLES to their folder")
    return folder


@pytest.fixture
def patient(db: None) -> Any:
    """A patient with a verified address."""
    return factories.UserFactory.create()


@pytest.fixture
def other_patient(db: None) -> Any:
    """Somebody else."""
    return factories.UserFactory.create()


@pytest.fixture
def doctor(db: None) -> Any:
    """A doctor whose licence was verified, without any patient yet."""
    return factories.DoctorFactory.create()


@pytest.fixture
def unverified_doctor(db: None) -> Any:
    """A doctor whose licence nobody has checked."""
    return factories.UnverifiedDoctorFactory.create()


@pytest.fixture
def admin_user(db: None) -> Any:
    """An administrator of the site."""
    return factories.AdminFactory.create()


@pytest.fixture
def as_user() -> Callable[[Any], Client]:
    """A browser that is logged in as the given user; None gives an anonymous one."""

    def log_in(user: Any) -> Client:
        client = Client()
        if user is not None:
            client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return log_in


@pytest.fixture
def api_as() -> Callable[[Any], APIClient]:
    """An API client that is logged in as the given user; None gives an anonymous one."""

    def log_in(user: Any) -> APIClient:
        client = APIClient()
        if user is not None:
            client.force_authenticate(user)
        return client

    return log_in


@pytest.fixture
def run_tasks(monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any) -> Any:
    """A context in which commit hooks run and each sent task runs at once, in this process.

    `with run_tasks(): services.request_analysis(scan.id)`
    """
    from celery.app.task import Task

    def run_now(self: Task, args: Any = None, kwargs: Any = None, **options: Any) -> None:
        self.run(*(args or ()), **(kwargs or {}))

    monkeypatch.setattr(Task, "apply_async", run_now)
    return lambda: django_capture_on_commit_callbacks(execute=True)
