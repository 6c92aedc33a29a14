"""Production's settings: what starts with them, what they refuse to start without, and what ends in time."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings as site
from django.core.exceptions import ImproperlyConfigured

SETTINGS = Path(site.BASE_DIR) / "pmi_site" / "settings"
GIVEN = {
    "SECRET_KEY": "x" * 60,
    "PMI_ALLOWED_HOSTS": "pmi.example",
    "DATABASE_URL": "postgresql://u@db.example/pmi",
    "BROKER_URL": "redis://broker.example/0",
}


@pytest.fixture
def given(monkeypatch):
    """The environment of a production site; call it to change a variable, or to take it away with ""."""
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PMI_EMBEDDED", raising=False)
    return monkeypatch.setenv


def values(name):
    return runpy.run_path(str(SETTINGS / f"{name}.py"))


@pytest.mark.parametrize("module", ["pmi_site.wsgi", "pmi_site.asgi", "pmi_site.celery"])
def test_whatever_serves_is_in_production_unless_it_is_told_otherwise(module, tmp_path):
    code = f"import {module}; from django.conf import settings as s; s.DEBUG; print(s.SETTINGS_MODULE)"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DJANGO_", "PMI_"))}
    environment |= {**GIVEN, "PMI_VAR_DIR": str(tmp_path)}
    for variable, expected in (({}, "prod"), ({"DJANGO_SETTINGS_MODULE": "pmi_site.settings.dev"}, "dev")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment | variable,
            cwd=site.BASE_DIR,
            check=True,
            capture_output=True,
            text=True,
        )
        assert done.stdout.split() == [f"pmi_site.settings.{expected}"]


@pytest.mark.parametrize("name", ["SECRET_KEY", "DATABASE_URL", "BROKER_URL"])
def test_nothing_empty_takes_the_place_of_what_was_forgotten(given, name):
    given(name, "")
    with pytest.raises(ImproperlyConfigured, match=f"{name} must be set"):
        values("prod")


def test_who_wants_the_embedded_engines_says_so(given):
    given("DATABASE_URL", "")
    given("BROKER_URL", "")
    given("PMI_EMBEDDED", "true")
    assert values("prod")["DEBUG"] is False


@pytest.mark.parametrize(
    ("port", "wanted", "ssl", "starttls"),
    [("", "", False, True), ("465", "", True, False), ("25", "false", False, False)],
)
def test_mail_is_sent_encrypted_and_in_time(given, port, wanted, ssl, starttls):
    given("SMTP_PORT", port)
    given("SMTP_TLS", wanted)
    found = values("prod")
    assert (found["EMAIL_USE_SSL"], found["EMAIL_USE_TLS"], found["EMAIL_TIMEOUT"]) == (ssl, starttls, 10)


@pytest.mark.parametrize("url", ["redis://broker.example/0", "rediss://broker.example/0", ""])
def test_a_broker_that_falls_silent_is_given_up(given, url):
    given("BROKER_URL", url)
    options = values("base")["CELERY_BROKER_TRANSPORT_OPTIONS"]
    # Longer than the second for which a worker's wait for messages goes unanswered.
    assert options["socket_connect_timeout"] < 5 < options["socket_timeout"] < 60
    assert options["visibility_timeout"] == 3600


@pytest.mark.parametrize("url", ["amqp://broker.example//", "amqps://broker.example//", "pyamqp://broker//"])
def test_rabbitmq_is_given_no_options_of_redis(given, url):
    given("BROKER_URL", url)
    assert values("base")["CELERY_BROKER_TRANSPORT_OPTIONS"] == {}


def test_a_cache_that_falls_silent_is_given_up(given):
    given("CACHE_URL", "redis://cache.example/0")
    assert set(values("base")["CACHES"]["default"]["OPTIONS"]) == {"socket_connect_timeout", "socket_timeout"}


def test_what_is_due_again_is_not_done_twice():
    for name, entry in site.CELERY_BEAT_SCHEDULE.items():
        assert entry["options"]["expires"] == entry["schedule"], name


def test_every_setting_is_explained_to_whoever_runs_a_site():
    root = Path(site.BASE_DIR)
    sources = [SETTINGS / "base.py", SETTINGS / "prod.py", root / "pmi_site/management/commands/run.py"]
    read = {
        name
        for source in sources
        for name in re.findall(r'env\.\w+\(\s*[\'"]([A-Z_]+)[\'"]', source.read_text(encoding="utf-8"))
    }
    page = (root / "docs" / "production.md").read_text(encoding="utf-8")
    assert "PMI_WEB_THREADS" in read
    assert {name for name in read if f"`{name}" not in page} == set()
