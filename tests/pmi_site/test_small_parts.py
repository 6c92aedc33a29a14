"""Secret key, mail folder, logs, checks, tasks, storage of static files."""

import logging
import stat
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.core.management import CommandError, call_command

from pmi_site import checks, vendor
from pmi_site.logs import WithoutIdentifiers
from pmi_site.mail import FolderEmailBackend
from pmi_site.secret_key import load_or_create
from pmi_site.tasks import QUEUES, pmi_task, route


def test_the_secret_key_is_made_once_and_private(tmp_path):
    path = tmp_path / "var" / "key"
    first = load_or_create(path)
    assert len(first) >= 50
    assert load_or_create(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in path.parent.iterdir()] == ["key"]


def test_mail_becomes_a_private_file(settings, tmp_path):
    settings.PMI_MAIL_DIR = tmp_path / "mail"
    message = EmailMessage("Subject line", "The link", "from@example.org", ["to@example.org"])
    assert FolderEmailBackend().send_messages([message]) == 1
    (path,) = (tmp_path / "mail").iterdir()
    assert "to@example.org" in path.read_text()
    assert "The link" in path.read_text()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_mail_without_a_folder_is_a_clear_error(settings):
    settings.PMI_MAIL_DIR = None
    with pytest.raises(ImproperlyConfigured):
        FolderEmailBackend().send_messages([])


@pytest.mark.parametrize(
    ("message", "args", "expected"),
    [
        ("Login of %s failed", ("a.b+c@example.org",), "Login of [address] failed"),
        ("Not Found: /x/?token=secret", (), "Not Found: /x/?[...]"),
        ("plain %d", (1,), "plain 1"),
    ],
)
def test_logs_lose_identifiers(message, args, expected):
    record = logging.LogRecord("x", logging.INFO, "f", 1, message, args, None)
    assert WithoutIdentifiers().filter(record)
    assert record.getMessage() == expected


def test_checks_find_scans_in_the_public_folder(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    settings.PMI_PRIVATE_ROOT = tmp_path / "private"
    assert [found.id for found in checks.check_private_root(None)] == ["pmi.E002"]
    settings.PMI_PRIVATE_ROOT = tmp_path.parent / "elsewhere"
    assert checks.check_private_root(None) == []


@pytest.fixture
def public(settings):
    """Settings that a public site may run with."""
    settings.PMI_EMBEDDED_DATABASE = settings.PMI_EMBEDDED_BROKER = False
    settings.PMI_MAIL_DIR = None
    settings.PMI_CONTACT = "help@example.org"
    settings.DEFAULT_FROM_EMAIL = "PMI <no-reply@example.org>"
    return settings


def test_checks_warn_of_embedded_engines_and_folder_mail_in_production(public, tmp_path):
    assert checks.check_production(None) == []
    public.PMI_EMBEDDED_DATABASE = public.PMI_EMBEDDED_BROKER = True
    public.PMI_MAIL_DIR = tmp_path
    public.PMI_CONTACT = ""
    ids = {found.id for found in checks.check_production(None)}
    assert ids == {"pmi.W001", "pmi.W002", "pmi.W005", "pmi.E001"}


@pytest.mark.parametrize(
    "address", ["", "https://", "https://*", "https://.example.org", "pmi.example.org", "ftp://x"]
)
def test_checks_find_an_address_that_leads_nowhere(public, address):
    public.PMI_PUBLIC_URL = address
    assert [found.id for found in checks.check_production(None)] == ["pmi.E003"]


@pytest.mark.parametrize("contact", ["call us", "javascript://x", "help@", "ftp://example.org", "a@b@c"])
def test_checks_find_a_contact_that_leads_nowhere(public, contact):
    public.PMI_CONTACT = contact
    assert [found.id for found in checks.check_production(None)] == ["pmi.E004"]


def test_checks_take_the_address_of_a_page_to_write_to(public):
    public.PMI_CONTACT = "https://example.org/contact?about=pmi"
    assert checks.check_production(None) == []


@pytest.mark.parametrize("sender", ["PMI <no-reply@localhost>", "no-reply@localhost"])
def test_checks_find_a_sender_that_nobody_knows(public, sender):
    public.DEFAULT_FROM_EMAIL = sender
    assert [found.id for found in checks.check_production(None)] == ["pmi.E005"]


def test_checks_find_a_site_whose_pages_lead_to_themselves(public):
    public.SECURE_SSL_REDIRECT = True
    assert [found.id for found in checks.check_production(None)] == ["pmi.W004"]
    public.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert checks.check_production(None) == []


def test_tasks_take_ids_only_and_know_their_queue():
    @pmi_task(queue="inference", time_limit=20)
    def example(number: int) -> int:
        return number

    name = example.name
    try:
        assert example(3) == 3
        with pytest.raises(TypeError, match="ids"):
            example([1])
        assert route(name, (), {}, {}) == {"queue": "inference"}
        assert route("unknown", (), {}, {}) == {"queue": "default"}
        assert (example.time_limit, example.soft_time_limit) == (20, 5)
    finally:
        del QUEUES[name]
        example.app.tasks.unregister(name)


def test_only_listed_vendor_files_are_served():
    finder = vendor.VendorFinder()
    found = finder.find("vendor/htmx/htmx.min.js")
    assert Path(found).is_file()
    assert finder.find("vendor/htmx/htmx.min.js", find_all=True) == [found]
    for name in ("vendor/htmx/htmx.js", "vendor/htmx/../../package.json", "vendor/other/x.js", "vendor"):
        assert finder.find(name) == []
    listed = {f"{getattr(storage, 'prefix', None)}/{name}" for name, storage in finder.list(None)}
    assert {"vendor/niivue/niivue.umd.js", "vendor/bootstrap/css/bootstrap.min.css"} <= listed
    maps = {name for name in listed if name.endswith(".map")}
    rest = {f"{getattr(storage, 'prefix', None)}/{name}" for name, storage in finder.list(["*.map"])}
    assert maps and rest == listed - maps


def test_pmi_does_not_start_without_its_front_end(settings, tmp_path):
    settings.BASE_DIR = tmp_path
    with pytest.raises(CommandError, match=r"vendor/bootstrap/css/bootstrap.min.css .*make frontend"):
        call_command("run", port=0)
