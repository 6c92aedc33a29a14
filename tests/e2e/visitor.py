"""One person in front of a browser window."""

import base64
import io
import os
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from playwright.sync_api import APIResponse, Browser, ConsoleMessage, Locator, Page

from tests.e2e.running_site import REPOSITORY, Site

PASSWORD = "violet-harbour-lantern-42"
# A busy machine with two cores reads a whole volume in this time.
READ_SECONDS = 240
AXE = REPOSITORY / "node_modules" / "axe-core" / "axe.min.js"

# Notes what progress bars and status lines show while a test only waits for the end.
_WATCH = """
window.pmiSeen = {bars: [], words: []};
const note = (list, value) => { if (value && list[list.length - 1] !== value) list.push(value); };
new MutationObserver(() => {
  for (const bar of document.querySelectorAll("#upload-queue progress[value]")) note(pmiSeen.bars, bar.value);
  for (const line of document.querySelectorAll(".upload-row-state, .reading-card, #reading-stage"))
    note(pmiSeen.words, line.innerText.trim());
}).observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
"""

_DROP = """([zone, files]) => {
  const transfer = new DataTransfer();
  for (const [name, content] of files) {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    transfer.items.add(new File([bytes], name));
  }
  for (const type of ["dragenter", "dragover", "drop"])
    zone.dispatchEvent(new DragEvent(type, {bubbles: true, cancelable: true, dataTransfer: transfer}));
}"""

_numbers = iter(range(1, 10_000))


class Visitor:
    """A window of the given width, logged out at first, that remembers every error its pages met."""

    def __init__(self, browser: Browser, site: Site, width: int, **options: Any) -> None:
        phone = width < 600
        self.site = site
        self.width = width
        self.email = ""
        self.context = browser.new_context(
            base_url=options.pop("base_url", site.url),
            viewport={"width": width, "height": 740 if phone else 900},
            is_mobile=phone,
            has_touch=phone,
            locale="en-GB",
            reduced_motion="reduce",
            **options,
        )
        self.context.set_default_timeout(30_000)
        self.has_script = options.get("java_script_enabled", True)
        self.page: Page = self.context.new_page()
        if self.has_script:
            self.page.add_init_script(_WATCH)
        self.problems: list[str] = []
        self.expected_statuses: set[int] = set()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.problems.append(f"{self.page.url}: {error}"))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type != "error":
            return
        if any(f"status of {status}" in message.text for status in self.expected_statuses):
            return
        self.problems.append(f"{self.page.url}: console: {message.text}")

    def close(self) -> list[str]:
        """Closes the window; returns the errors its pages met."""
        self.context.close()
        return self.problems

    # --- going about ---

    def goto(self, path: str) -> Page:
        """Opens a path of the site."""
        self.page.goto(path)
        return self.page

    def has_no_sideways_scroll(self) -> None:
        """Nothing sticks out of the window to the right."""
        # A page that a click has just asked for has no body yet.
        self.page.wait_for_load_state("domcontentloaded")
        width, inner, widest = self.page.evaluate(
            """() => [document.scrollingElement.scrollWidth, window.innerWidth,
              [...document.querySelectorAll("main *")]
                .filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
                .slice(0, 4).map((e) => e.outerHTML.slice(0, 120))]"""
        )
        assert inner == self.width and width <= inner, f"{self.page.url}: {width} > {inner}: {widest}"

    def shot(self, name: str) -> None:
        """Keeps a picture of the page where PMI_SCREENSHOTS names a folder."""
        folder = os.environ.get("PMI_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=str(Path(folder) / f"{name}-{self.width}.png"), full_page=True)

    def look(self, name: str) -> None:
        """A picture for people, and the checks that hold for every page."""
        self.has_no_sideways_scroll()
        self.shot(name)

    # --- accounts ---

    def fresh_email(self) -> str:
        """An address nobody has used on this site."""
        self.email = f"visitor-{os.getpid()}-{next(_numbers)}@example.org"
        return self.email

    def confirmation_path(self) -> str:
        """The path of the link in the mail that confirms the address."""
        text = self.site.newest_mail_to(self.email)
        link = re.search(r"http\S+/accounts/confirm-email/\S+", text)
        assert link, text
        return urlsplit(link.group()).path

    def become_patient(self, name: str = "Robin Example") -> "Visitor":
        """A new patient, logged in. Sends the same forms as the pages do, without opening them."""
        email = self.fresh_email()
        self._post(
            "/accounts/signup/",
            full_name=name,
            email=email,
            password1=PASSWORD,
            password2=PASSWORD,
            role="patient",
            agree_care="on",
        )
        answer = self._post(self.confirmation_path())
        assert "/accounts/login" not in answer.url, "confirming the address must log in"
        return self

    def become_doctor(self) -> "Visitor":
        """The site's verified doctor, logged in with both steps."""
        return self.log_in("doctor@example.org", self.site.doctor_password)

    def log_in(self, email: str, password: str) -> "Visitor":
        """Somebody with an account; sets the second step up where the account needs one and has none."""
        self.email = email
        answer = self._post("/accounts/login/", login=email, password=password)
        if "/2fa/authenticate/" in answer.url:
            self._post("/accounts/2fa/authenticate/", code=self.site.next_code(email))
        elif answer.url.endswith("/2fa/"):
            self.set_up_second_step()
        return self

    def set_up_second_step(self) -> list[str]:
        """An app for codes, as the page shows it; returns the recovery codes."""
        page = self.context.request.get("/accounts/2fa/totp/activate/").text()
        secret = re.search(r'id="totp-secret">([A-Z2-7]+)<', page)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert secret and token, page[:500]
        self.site.keep_totp_secret(self.email, secret.group(1))
        # Not `_post`: opening the page anew makes a new secret.
        answer = self.context.request.post(
            "/accounts/2fa/totp/activate/",
            form={"csrfmiddlewaretoken": token.group(1), "code": self.site.next_code(self.email)},
        )
        assert answer.url.endswith("/2fa/recovery-codes/"), answer.text()
        return re.findall(r"<code[^>]*>(\d{8})</code>", answer.text())

    def let_read(self, doctor: "Visitor") -> None:
        """This patient makes a code and the doctor enters it, for all cases, without opening the pages."""
        made = self._post("/account/sharing/", to="/account/sharing/code/").text()
        code = re.search(r'id="care-code">([^<]+)<', made)
        assert code, made
        doctor._post("/account/patients/", to="/account/patients/code/", code=code.group(1))

    def _post(self, path: str, *, to: str = "", **fields: str) -> APIResponse:
        """Sends the form of a page, to the page itself or to another path."""
        page = self.context.request.get(path).text()
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert token, page[:500]
        answer = self.context.request.post(to or path, form={"csrfmiddlewaretoken": token.group(1), **fields})
        assert answer.ok, f"{path}: {answer.status}"
        # A form that was not accepted comes back with its errors.
        assert 'class="invalid-feedback' not in answer.text(), answer.text()
        return answer

    def status(self, path: str) -> int:
        """What the site answers to this person for a path, redirects not followed."""
        return self.context.request.get(path, max_redirects=0).status

    def api(self, path: str) -> Any:
        """The JSON answer of the API to this person."""
        answer = self.context.request.get(path, headers={"Accept": "application/json"})
        assert answer.ok, f"{path}: {answer.status}"
        return answer.json()

    # --- cases and scans ---

    def open_case(self, kind: str, age_group: str = "adult") -> str:
        """A new case; returns its path."""
        return urlsplit(self._post("/cases/new/", kind=kind, age_group=age_group).url).path

    def send(self, case_path: str, file: Path) -> str:
        """Sends a file to a case as the page's script would; returns the scan's path."""
        page = self.context.request.get(case_path).text()
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert token
        answer = self.context.request.post(
            f"{case_path}scans/",
            headers={"Accept": "application/json", "X-CSRFToken": token.group(1)},
            multipart={
                "files": {
                    "name": file.name,
                    "mimeType": "application/octet-stream",
                    "buffer": file.read_bytes(),
                }
            },
        )
        assert answer.ok, answer.text()
        created = answer.json()["created"]
        assert len(created) == 1, answer.text()
        return f"{case_path}scans/{created[0]['id']}/"

    def analyses(self, scan_path: str) -> list[dict[str, Any]]:
        """The readings of a scan as the API shows them."""
        return self.api(f"/api/v1/analyses/?scan={scan_path.rstrip('/').split('/')[-1]}")["results"]

    def wait_until_read(self, scan_path: str, *, seconds: float = READ_SECONDS) -> dict[str, Any]:
        """The finished reading of a scan. Raises AssertionError when there is none in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.analyses(scan_path)
            if found and found[0]["status"] not in ("queued", "running"):
                return found[0]
            time.sleep(0.4)
        raise AssertionError(f"not read after {seconds:.0f} s: {self.site.log()[-3000:]}")

    def drop(self, *files: Path) -> None:
        """Drops files on the open case page."""
        content = [[file.name, base64.b64encode(file.read_bytes()).decode()] for file in files]
        zone = self.page.locator("#drop-zone").element_handle()
        self.page.evaluate(_DROP, [zone, content])

    def wait_until_stored(self) -> None:
        """Waits until the page says that what was sent has arrived."""
        stored = self.page.locator(".upload-row.is-done", has_text="being read now")
        stored.first.wait_for(timeout=120_000)

    def slow_upload(self, bytes_per_second: int) -> None:
        """Makes the way up as slow as a mobile network; 0 ends it."""
        session = self.context.new_cdp_session(self.page)
        session.send("Network.enable")
        session.send(
            "Network.emulateNetworkConditions",
            {
                "offline": False,
                "latency": 0,
                "downloadThroughput": -1,
                "uploadThroughput": bytes_per_second or -1,
            },
        )

    def seen(self) -> dict[str, list[Any]]:
        """What progress bars and status lines have shown on this page so far."""
        return self.page.evaluate("() => window.pmiSeen")

    def open_result(self) -> None:
        """Follows the case page to the first result, once it is there."""
        button = self.page.locator(".reading-card .btn").first
        button.wait_for(timeout=READ_SECONDS * 1000)
        card = self.page.locator(".reading-card").first.inner_text()
        assert button.inner_text() == "See the result", card
        button.click()
        self.page.locator(".danger-banner").wait_for()

    # --- the viewer ---

    def viewer(self) -> Locator:
        """The viewer, once it has drawn."""
        viewer = self.page.locator("[data-pmi-viewer]")
        viewer.scroll_into_view_if_needed()
        self.page.locator("[data-pmi-viewer][data-ready=true]").wait_for(timeout=60_000)
        return viewer

    def pixels(self) -> np.ndarray:
        """What the viewer's canvas shows: (rows, columns, 3) as integers, as the screen has it."""
        canvas = self.page.locator("canvas.pmi-viewer-canvas")
        self.page.wait_for_timeout(250)  # the next frame, on a machine without a graphics card
        shown = Image.open(io.BytesIO(canvas.screenshot())).convert("RGB")
        return np.asarray(shown).astype(int)

    def axe(self) -> list[str]:
        """Serious and critical accessibility problems of the open page, one line each."""
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate(
            """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
              .filter((v) => ["serious", "critical"].includes(v.impact))
              .map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 160)).slice(0, 3).join(" | ")}`)"""
        )
        return [f"{urlsplit(self.page.url).path}: {line}" for line in found]


def colourful(pixels: np.ndarray) -> float:
    """Share of pixels that are not grey: the heatmap's."""
    return float((pixels.max(-1) - pixels.min(-1) > 25).mean())
