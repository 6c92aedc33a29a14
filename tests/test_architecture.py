"""The rules of the house, checked by reading the code: import arrows, file lengths, tasks and routes."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

ROOT = Path(settings.BASE_DIR)
MAX_LINES = 500
PACKAGES = {"pmi_site", "accounts", "cases", "resources", "inference", "ml_training"}

# What each package may import of the others.
ARROWS: dict[str, set[str]] = {
    "pmi_site": set(),
    "accounts": {"pmi_site"},
    "cases": {"accounts", "pmi_site"},
    "resources": {"accounts", "pmi_site"},
    "inference": {"accounts", "cases", "ml_training", "pmi_site", "resources"},
    "ml_training": set(),
}
# The two address books know every app.
MAY_IMPORT_ALL = {"pmi_site/urls.py", "pmi_site/api.py"}

# Routes that anybody may open. Everything else must send a stranger away.
PUBLIC = {
    "home",
    "healthz",
    "set_language",
    "v1:token",
    "v1:schema",
    "v1:docs",
    "v1:api-root",
    "account_login",
    "mfa_authenticate",
    "mfa_login_webauthn",
    "admin_login",
    "account_logout",
    "account_signup",
    "account_inactive",
    "account_email_verification_sent",
    "account_confirm_email",
    "account_reset_password",
    "account_reset_password_done",
    "account_reset_password_from_key",
    "account_reset_password_from_key_done",
    "accounts:erased",
    "resources:condition_list",
    "resources:condition_detail",
    # For people without an account: a secret link and a PIN open them, and nothing else does.
    "inference:shared",
    "inference:shared_scan",
    "inference:shared_picture",
    "inference:shared_heatmap",
    "inference:shared_report",
    "v1:condition-list",
    "v1:condition-detail",
    "v1:resource-list",
    "v1:resource-detail",
    "v1:treatment-list",
    "v1:treatment-detail",
    "v1:symptom-list",
    "v1:no-such-address",
    "admin:login",
    "admin:logout",
    "admin:jsi18n",
}
SAMPLE_ARGUMENTS = {
    "slug": "some-word",
    "pk": "7d7d8f1c-3f6e-4a52-9df4-3f5b2f5f8a10",
    "key": "some-key",
    "uidb36": "1",
    "object_id": "1",
    "app_label": "accounts",
    "content_type_id": "1",
    "index": "0",
    "format": "json",
    "version": "v1",
    "url": "nowhere",
    "session_id": "1",
}
# Routes of allauth whose number stands in the part above them.
COUNTED = {"mfa_remove_webauthn", "mfa_edit_webauthn"}


def source_files() -> list[Path]:
    """Files under version control or about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """(line, top-level package) of every import, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module.split(".")[0]


def forbidden_imports(path: Path, name: str) -> list[str]:
    """What the file imports against the arrows; `name` is its path from the repository's root."""
    package = name.split("/")[0]
    if package not in PACKAGES or name in MAY_IMPORT_ALL:
        return []
    wrong = PACKAGES - ARROWS[package] - {package}
    if package == "ml_training":
        wrong = wrong | {"django", "rest_framework", "celery"}
    return [f"{name}:{line} imports {target}" for line, target in imports_of(path) if target in wrong]


def test_imports_follow_the_arrows() -> None:
    files = [path for path in source_files() if path.suffix == ".py"]
    assert len(files) > 50
    found = [bad for path in files for bad in forbidden_imports(path, path.relative_to(ROOT).as_posix())]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("name", "code", "wrong"),
    [
        ("accounts/x.py", "from cases.models import Case", True),
        ("accounts/x.py", "from pmi_site.models import BaseModel", False),
        ("ml_training/x.py", "def f():\n    from django.conf import settings", True),
        ("ml_training/x.py", "import numpy", False),
        ("pmi_site/x.py", "import accounts.models", True),
        ("pmi_site/api.py", "import accounts.models", False),
        ("resources/x.py", "from inference import danger", True),
        ("cases/x.py", "from ml_training.bundle import Bundle", True),
        ("inference/x.py", "from cases.models import Scan", False),
    ],
)
def test_the_arrow_rule_itself(tmp_path: Path, name: str, code: str, wrong: bool) -> None:
    path = tmp_path / "x.py"
    path.write_text(code)
    assert bool(forbidden_imports(path, name)) is wrong


def test_cases_imaging_and_intake_hold_no_models() -> None:
    looked_at = 0
    for path in source_files():
        name = path.relative_to(ROOT).as_posix()
        if path.suffix == ".py" and (name.startswith("cases/imaging/") or name == "cases/intake.py"):
            assert "django" not in {target for _line, target in imports_of(path)}, name
            looked_at += 1
    assert looked_at > 5


def test_no_source_file_is_longer_than_500_lines() -> None:
    long = []
    for path in source_files():
        # Migrations are generated, and squashing them is another matter.
        if path.suffix in {".py", ".js", ".css", ".html"} and path.parent.name != "migrations":
            lines = len(path.read_text(encoding="utf-8").splitlines())
            if lines > MAX_LINES:
                long.append(f"{path.relative_to(ROOT)}: {lines}")
    assert not long, "\n".join(long)


def test_no_style_or_script_inside_templates() -> None:
    """The Content-Security-Policy would block them; a page would be broken without any error."""
    import re

    inline = re.compile(r"<style\b|\sstyle=|\son[a-z]+=|<script(?![^>]*\bsrc=)(?![^>]*application/json)")
    found = []
    for path in source_files():
        name = path.relative_to(ROOT).as_posix()
        if path.suffix == ".html" and "templates/" in name:
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if inline.search(line):
                    found.append(f"{name}:{number} {line.strip()[:80]}")
    assert not found, "\n".join(found)


def test_every_celery_task_was_declared_with_pmi_task() -> None:
    from pmi_site.celery import app
    from pmi_site.tasks import QUEUES

    app.loader.import_default_modules()
    ours = {name for name in app.tasks if name.split(".")[0] in PACKAGES}
    assert ours
    assert ours == set(QUEUES)
    for name in ours:
        task = app.tasks[name]
        assert task.acks_late and task.reject_on_worker_lost, name
        queue = app.amqp.router.route({}, name)["queue"]
        assert queue.name == QUEUES[name] and queue.name in {"default", "inference", "long"}, name
        assert task.time_limit, name


def test_every_scheduled_task_exists() -> None:
    from pmi_site.celery import app

    app.loader.import_default_modules()
    for entry in settings.CELERY_BEAT_SCHEDULE.values():
        assert entry["task"] in app.tasks


def routes(patterns: list[Any] | None = None, prefix: str = "", space: str = "") -> Iterator[tuple[str, Any]]:
    """(full name, pattern) of every route."""
    for entry in get_resolver().url_patterns if patterns is None else patterns:
        if isinstance(entry, URLResolver):
            inner = f"{space}{entry.namespace}:" if entry.namespace else space
            yield from routes(entry.url_patterns, prefix + str(entry.pattern), inner)
        elif isinstance(entry, URLPattern):
            yield f"{space}{entry.name or ''}", (prefix, entry)


def address_of(name: str, entry: URLPattern) -> str | None:
    """An address of this route, with made-up arguments; None where nothing can be made up."""
    from django.urls import NoReverseMatch, reverse

    arguments = {
        key: SAMPLE_ARGUMENTS.get(
            key, SAMPLE_ARGUMENTS["pk"] if key.endswith("id") else SAMPLE_ARGUMENTS["slug"]
        )
        for key in entry.pattern.regex.groupindex
    }
    if name in COUNTED:
        arguments["pk"] = "1"
    try:
        return reverse(name, kwargs=arguments)
    except NoReverseMatch:
        return None


@pytest.mark.django_db
def test_every_route_that_is_not_listed_as_public_sends_strangers_away() -> None:
    client, checked, open_doors = Client(), 0, []
    for name, (_prefix, entry) in routes():
        if name in PUBLIC or name == "admin:":
            continue
        address = address_of(name, entry)
        if address is None:
            if not name.startswith("admin:"):
                open_doors.append(f"{name}: cannot be checked; give its arguments in SAMPLE_ARGUMENTS")
            continue
        answers = {method: getattr(client, method)(address) for method in ("get", "post")}
        checked += 1
        codes = {
            method: "login"
            if answer.status_code == 302 and "login" in answer["Location"]
            else answer.status_code
            for method, answer in answers.items()
        }
        # 405 is fine for one of the two. 404 is not: it would mean that the object was looked for first.
        if not set(codes.values()) <= {"login", 401, 403, 405} or set(codes.values()) == {405}:
            open_doors.append(f"{name} ({address}): {codes}")
    assert checked > 30
    assert not open_doors, "\n".join(open_doors)


@pytest.mark.django_db
def test_public_list_names_only_routes_that_exist() -> None:
    names = {name for name, _entry in routes()}
    assert PUBLIC - names == set()
