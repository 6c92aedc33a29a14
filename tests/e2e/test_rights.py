"""A patient's rights in a browser: who looked, consents, everything as a file, and the account erased."""

import io
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from urllib.parse import urlsplit

from playwright.sync_api import expect

from tests.e2e.conftest import Readable
from tests.e2e.running_site import REPOSITORY, Site, environment
from tests.e2e.visitor import PASSWORD, Visitor


def _manage(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A management command on the running site's own database and files."""
    environ = environment(site.var, REPOSITORY / "inference" / "bundles", site.var / "onnx")
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, env=environ, capture_output=True, text=True, timeout=300)


def test_who_looked_and_consents(visit: Callable[..., Visitor], readable: Readable, site: Site) -> None:
    owner, doctor = visit(width=360).become_patient("Ola Owner"), visit().become_doctor()
    case_path = owner.open_case("chest_xray")
    owner.send(case_path, readable.chest)
    owner.goto("/account/who-looked/")
    expect(owner.page.get_by_text("Nobody but you has opened anything of yours.")).to_be_visible()
    owner.let_read(doctor)
    assert doctor.status(case_path) == 200
    owner.goto("/account/who-looked/")
    seen = owner.page.locator("main").get_by_role("listitem").filter(has_text="opened the case")
    expect(seen.filter(has_text="Dr Dana Demo")).to_be_visible()
    owner.look("rights-who-looked")
    wide = visit().become_patient("Wanda Wide")
    wide.goto("/account/consent/")
    wide.look("rights-consent")
    owner.goto("/account/consent/")
    owner.look("rights-consent")
    owner.page.locator("#care").get_by_role("button", name="Take my consent back").click()
    expect(owner.page.get_by_text("Done. PMI takes no new scans from you")).to_be_visible()
    owner.goto(case_path)
    told = owner.page.get_by_text("You took back your consent to keep and read your scans")
    expect(told.first).to_be_visible()
    assert owner.page.locator("#upload-form").count() == 0
    owner.look("rights-case-without-care")
    answer = _manage(site, "verify_access_log")
    assert "each as it was written" in answer.stdout, answer.stdout + answer.stderr


def test_everything_as_a_file_and_the_account_erased(
    visit: Callable[..., Visitor], readable: Readable, site: Site
) -> None:
    owner, phone = visit().become_patient("Eda Erased"), visit(width=360)
    phone.email = owner.email
    phone._post("/accounts/login/", login=owner.email, password=PASSWORD)
    case_path = owner.open_case("chest_xray")
    scan_path = owner.send(case_path, readable.chest)
    owner.wait_until_read(scan_path)
    user_id = owner.api("/api/v1/cases/")["results"][0]["patient"]

    page = owner.goto("/account/export/")
    owner.look("rights-export-before")
    page.get_by_role("button", name="Prepare my file").click()
    expect(page.get_by_text("Your file is ready")).to_be_visible(timeout=120_000)
    owner.look("rights-export-ready")
    phone.goto("/account/export/")
    phone.look("rights-export-ready")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download", exact=False).click()
    archive = zipfile.ZipFile(io.BytesIO(waiting.value.path().read_bytes()))
    assert archive.testzip() is None
    names = archive.namelist()
    for part in ("README.txt", "records/account.json", "/original.", "/scan.nii.gz", "/report.pdf"):
        assert any(part in name for name in names), names
    file_path = urlsplit(page.get_by_role("link", name="Download", exact=False).get_attribute("href")).path
    assert visit().become_patient("Sam Stranger").status(file_path) == 404

    phone.goto("/account/erase/")
    phone.look("rights-erase")
    page = owner.goto("/account/erase/")
    owner.look("rights-erase")
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_label("I understand that nothing can be brought back.").check()
    page.get_by_role("button", name="Erase everything now").click()
    expect(page.get_by_role("heading", name="Your account is being erased")).to_be_visible()
    owner.look("rights-erased")
    assert phone.status(case_path) == 302
    deadline = time.monotonic() + 120
    while True:
        answer = _manage(site, "erasure_leftovers", user_id)
        if answer.returncode == 0 or time.monotonic() > deadline:
            break
        time.sleep(2)
    assert "Nothing is left. Erased on" in answer.stdout, answer.stdout + answer.stderr
    assert "are erased" in site.newest_mail_to(owner.email)
    private = [path for path in (site.var / "private").rglob("*") if path.is_file()]
    assert not [path for path in private if scan_path.split("/")[-2] in str(path)]
