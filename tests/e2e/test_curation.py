"""A curator writes, a second person publishes, a patient sees it."""

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable

import pytest

from tests.e2e.running_site import REPOSITORY, Site
from tests.e2e.visitor import PASSWORD, Visitor

MAKE = """
from django.contrib.auth.models import Group
from allauth.account.models import EmailAddress
from accounts.models import User
user = User.objects.create_user({email!r}, {password!r}, full_name={name!r}, is_staff=True)
user.groups.add(Group.objects.get(name={group!r}))
EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
"""


def shell(site: Site, code: str) -> None:
    """Runs code inside the running site, as an operator would."""
    environ = {
        **os.environ,
        "PMI_VAR_DIR": str(site.var),
        "DJANGO_SETTINGS_MODULE": "pmi_site.settings.dev",
    }
    for key in ("DATABASE_URL", "PMI_PRIVATE_ROOT"):
        environ.pop(key, None)
    subprocess.run(
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", code],
        cwd=REPOSITORY,
        env=environ,
        check=True,
        timeout=120,
    )


@pytest.fixture
def member(site: Site, visit: Callable[..., Visitor]) -> Callable[..., Visitor]:
    """Opens a window for a new member of a group of the desk."""

    def make(group: str, name: str, width: int = 1280) -> Visitor:
        email = f"{uuid.uuid4().hex[:10]}@example.org"
        code = MAKE.format(email=email, password=PASSWORD, name=name, group=group)
        shell(site, code)
        visitor = visit(width)
        return visitor.log_in(email, PASSWORD)

    return make


def test_write_review_publish_read(member: Callable[..., Visitor], visit: Callable[..., Visitor]) -> None:
    words = f"Ask for a copy of the scan {uuid.uuid4().hex[:6]}."
    writer = member("Curator", "Wren Writer")
    page = writer.goto("/admin/")
    writer.shot("desk-admin-index")
    page.get_by_role("link", name="Open the curation desk").first.click()
    writer.look("desk-empty")
    page.get_by_role("link", name="Conditions", exact=True).first.click()
    writer.shot("desk-conditions")
    page.get_by_role("link", name="Meningioma", exact=True).click()
    page.get_by_text("Readers see this text.").wait_for()
    writer.shot("desk-form")
    page.locator("#id_summary").fill(words)
    page.locator("input[name=_save]").first.click()
    page.get_by_text("Saved as a draft").wait_for()
    revision = page.url
    page.get_by_role("button", name="Send to review").click()
    page.get_by_text("somebody else has to publish it").wait_for()
    assert page.get_by_role("button", name="Publish").count() == 0
    writer.look("desk-revision-writer")
    reader = visit(360)
    reader.goto("/conditions/meningioma/")
    assert words not in reader.page.content()

    publisher = member("Publisher", "Parker Publisher", 360)
    page = publisher.goto("/admin/resources/revision/desk/")
    publisher.look("desk-waiting")
    page.goto(revision)
    assert words.split()[-1] in page.locator(".desk-diff").first.inner_text()
    publisher.look("desk-revision-publisher")
    page.get_by_role("link", name="Preview as a patient sees it").click()
    page.get_by_text(words).first.wait_for()
    publisher.look("desk-preview")
    page.get_by_role("link", name="Back to the draft").click()
    page.get_by_role("button", name="Publish").click()
    page.get_by_text("Readers see it now").wait_for()

    reader.goto("/conditions/meningioma/")
    reader.page.get_by_text(words).first.wait_for()
    page.get_by_role("link", name="Open the entry").click()
    key = re.search(r"condition/([0-9a-f-]+)/", page.url)
    assert key
    page.goto(f"/admin/resources/condition/{key.group(1)}/history/")
    page.get_by_text("Wren Writer").wait_for()
    publisher.look("desk-history")


@pytest.mark.parametrize("width", [1280, 360])
def test_the_pages_of_the_desk(member: Callable[..., Visitor], width: int) -> None:
    curator = member("Curator", "Wren Writer", width)
    for path, name in (
        ("desk", "desk-desk"),
        ("coverage", "desk-coverage"),
        ("import", "desk-import"),
    ):
        curator.goto(f"/admin/resources/revision/{path}/")
        curator.look(name)
    assert curator.page.get_by_role("button", name="Read the file").is_visible()
    curator.goto("/admin/resources/revision/coverage/")
    assert curator.page.get_by_text("No holes.").is_visible()
    curator.goto("/admin/resources/treatment/add/")
    curator.shot("desk-treatment-add")
    curator.goto("/admin/resources/advice/")
    curator.shot("desk-advice-list")
