"""The whole of PMI as `manage.py run` starts it, on a folder and a port of its own: nothing is replaced.

Test processes of one run (pytest-xdist) share one site: the first that needs it starts it, the last stops it.
"""

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value

from pmi_site.supervisor import _end_with_parent

REPOSITORY = Path(__file__).resolve().parent.parent.parent
KINDS = ("gate", "brain_mri", "chest_xray", "knee_xray")
_started: list[subprocess.Popen[bytes]] = []
START_SECONDS = 180.0
STOP_SECONDS = 45.0
# Short, so that a killed worker's scan is not waited for long; long enough to load a model on a busy machine.
LEASE_SECONDS = 30


@dataclass(frozen=True)
class Site:
    """A running PMI: its address, its folder, the process at its head, and the models it reads with."""

    url: str
    var: Path
    pid: int
    real_models: bool
    doctor_password: str

    def newest_mail_to(self, address: str, *, seconds: float = 10) -> str:
        """The text of the last mail to an address; waits a moment. Raises AssertionError without one."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            # Names begin with the time: the last one is the newest.
            for path in sorted((self.var / "mail").glob("*.txt"), reverse=True):
                text = path.read_text(encoding="utf-8")
                if text.startswith(f"To: {address}\n"):
                    return text
            time.sleep(0.1)
        raise AssertionError(f"no mail to {address}")

    def totp_secret(self, address: str) -> str | None:
        """The secret of the app for codes that somebody set up for an address; None before that."""
        with _locked(self.var.parent):
            return _state(self.var.parent).get("totp", {}).get(address, {}).get("secret")

    def keep_totp_secret(self, address: str, secret: str) -> None:
        """What an app on a telephone keeps; for everybody who signs in with this address."""
        with _locked(self.var.parent):
            state = _state(self.var.parent)
            state.setdefault("totp", {})[address] = {"secret": secret, "used": 0}
            _write(self.var.parent, state)

    def next_code(self, address: str) -> str:
        """A code that was not used yet. Waits for the app's next one where all that count now are used."""
        while True:
            with _locked(self.var.parent):
                state = _state(self.var.parent)
                kept = state["totp"][address]
                now = int(time.time()) // 30
                # One step early and one late count, too.
                counter = max(now - 1, kept["used"] + 1)
                if counter <= now + 1:
                    kept["used"] = counter
                    _write(self.var.parent, state)
                    return format_hotp_value(hotp_value(kept["secret"], counter))
            time.sleep(1)

    def reading_worker(self) -> psutil.Process:
        """The head of the worker that reads scans; its pool processes are its children."""
        for process in psutil.Process(self.pid).children():
            if "inference@%h" in process.cmdline():
                return process
        raise AssertionError("the inference worker is not running")

    def log(self) -> str:
        """Everything the site has printed."""
        return (self.var / "site.log").read_text(encoding="utf-8", errors="replace")


@contextmanager
def shared_site(folder: Path, bundles: Path, onnx: Path, *, real_models: bool) -> Iterator[Site]:
    """The site of this test run; `folder` is the same for all processes that share it."""
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        state = _state(folder)
        if not state or not psutil.pid_exists(state["site"]["pid"]):
            state = {
                "users": [],
                "site": _plain(
                    _start(folder, environment(folder / "var", bundles, onnx), real_models=real_models)
                ),
            }
        state["users"].append(os.getpid())
        _write(folder, state)
    try:
        yield Site(**{**state["site"], "var": Path(state["site"]["var"])})
    finally:
        with _locked(folder):
            state = _state(folder)
            state["users"] = [pid for pid in state["users"] if pid != os.getpid() and psutil.pid_exists(pid)]
            if not state["users"]:
                _stop(state["site"]["pid"])
                state = {}
            _write(folder, state)


def environment(var: Path, bundles: Path, onnx: Path) -> dict[str, str]:
    """What the site is started with; the variables of the test run itself stay out."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PMI_", "DJANGO_"))}
    for name in ("DATABASE_URL", "BROKER_URL"):
        kept.pop(name, None)
    return {
        **kept,
        "DJANGO_SETTINGS_MODULE": "pmi_site.settings.dev",
        "PMI_VAR_DIR": str(var),
        "PMI_BUNDLE_DIR": str(bundles),
        "PMI_ONNX_CACHE": str(onnx),
        "PMI_STATIC_ROOT": str(REPOSITORY / "var" / "e2e-staticfiles"),
        "PMI_ANALYSIS_LEASE_SECONDS": str(LEASE_SECONDS),
        "PYTHONUNBUFFERED": "1",
    }


def _start(folder: Path, environ: dict[str, str], *, real_models: bool) -> Site:
    var = folder / "var"
    shutil.rmtree(var, ignore_errors=True)
    var.mkdir(parents=True)
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with (var / "site.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "run", "--port", str(port)],
            cwd=REPOSITORY,
            env=environ,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            # A run that is killed takes its site along; parallel runs may not, the starter ends first.
            preexec_fn=None if os.environ.get("PYTEST_XDIST_WORKER") else _end_with_parent,
        )
    _started.append(process)
    deadline = time.monotonic() + START_SECONDS
    while not _answers(url) or "PMI is ready" not in (var / "site.log").read_text():
        text = (var / "site.log").read_text()
        if process.poll() is not None:
            raise RuntimeError(f"PMI did not start (exit {process.returncode}):\n{text[-4000:]}")
        if time.monotonic() > deadline:
            _stop(process.pid)
            raise RuntimeError(f"PMI was not ready after {START_SECONDS:.0f} s:\n{text[-4000:]}")
        time.sleep(0.2)
    shown = re.search(r"doctor@example\.org\s+(\S+)", (var / "site.log").read_text())
    assert shown, "the demo accounts were not printed"
    return Site(url, var, process.pid, real_models, shown.group(1))


def _stop(pid: int) -> None:
    with suppress(psutil.NoSuchProcess):
        head = psutil.Process(pid)
        family = [head, *head.children(recursive=True)]
        head.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs([head], timeout=STOP_SECONDS)
        if alive:
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
    for process in _started:
        if process.pid == pid:
            process.wait(STOP_SECONDS)


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/healthz", timeout=5).close()  # noqa: S310  (our own site)
    except (OSError, urllib.error.URLError):
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _state(folder: Path) -> dict:
    try:
        return json.loads((folder / "state.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}


def _write(folder: Path, state: dict) -> None:
    (folder / "state.json").write_text(json.dumps(state))


def _plain(site: Site) -> dict:
    return {**asdict(site), "var": str(site.var)}
