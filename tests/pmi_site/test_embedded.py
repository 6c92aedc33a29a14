"""The private PostgreSQL and Valkey: start, share, survive, stop."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pmi_site import embedded

HOLD = """
import sys, time
from pathlib import Path
from pmi_site import embedded
embedded.hold(sys.argv[1], Path(sys.argv[2]), durable=False)
print("up", flush=True)
sys.stdin.readline()
"""

pytestmark = pytest.mark.slow


_started: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def _end_holders() -> Iterator[None]:
    """No test leaves a process or a pipe behind."""
    yield
    while _started:
        process = _started.pop()
        if process.stdin is not None and not process.stdin.closed:
            if process.poll() is None:
                process.communicate("\n", timeout=60)
            process.stdin.close()
        if process.stdout is not None:
            process.stdout.close()
        process.wait(60)


def holder(name: str, root: Path) -> subprocess.Popen[str]:
    """A process that holds the engine until it reads a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, name, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    _started.append(process)
    return process


def wait_until_up(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"


def let_go(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=60)
    assert process.returncode == 0


@pytest.mark.parametrize("name", ["postgres", "valkey"])
def test_the_last_one_out_stops_it_and_two_may_start_at_once(tmp_path, name):
    first, second = holder(name, tmp_path), holder(name, tmp_path)
    wait_until_up(first)
    wait_until_up(second)
    let_go(first)
    assert embedded.is_running(name, tmp_path)
    let_go(second)
    assert not embedded.is_running(name, tmp_path)


@pytest.mark.parametrize("name", ["postgres", "valkey"])
def test_a_killed_holder_leaves_nothing_that_hinders(tmp_path, name):
    first = holder(name, tmp_path)
    wait_until_up(first)
    first.kill()
    first.wait()
    assert embedded.is_running(name, tmp_path)
    second = holder(name, tmp_path)
    wait_until_up(second)
    let_go(second)
    assert not embedded.is_running(name, tmp_path)


def test_a_killed_postgres_and_a_pid_file_of_somebody_else(tmp_path):
    first = holder("postgres", tmp_path)
    wait_until_up(first)
    data = tmp_path / "postgres" / "data"
    lines = (data / "postmaster.pid").read_text().splitlines()
    os.kill(int(lines[0]), signal.SIGKILL)
    first.kill()
    first.wait()
    deadline = time.monotonic() + 20
    while embedded.is_running("postgres", tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    # After a restart of the machine the number may belong to any program: here, to this one.
    (data / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    second = holder("postgres", tmp_path)
    wait_until_up(second)
    assert embedded.is_running("postgres", tmp_path)
    let_go(second)


def test_a_long_path_gets_a_short_socket(tmp_path):
    assert embedded.socket_dir(tmp_path / "x") == tmp_path / "x" / "run"
    deep = tmp_path / ("d" * 90)
    short = embedded.socket_dir(deep)
    assert len(str(short)) < 60
    assert short == embedded.socket_dir(deep)
    assert short != embedded.socket_dir(tmp_path / ("e" * 90))


def test_settings_and_commands_without_a_database_start_nothing(tmp_path):
    environment = {
        key: value for key, value in os.environ.items() if key not in {"DATABASE_URL", "BROKER_URL"}
    }
    environment |= {"PMI_VAR_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "pmi_site.settings.dev"}
    subprocess.run([sys.executable, "manage.py", "check"], env=environment, check=True, capture_output=True)
    assert not (tmp_path / "postgres").exists()
    assert not (tmp_path / "valkey").exists()


def test_given_urls_nothing_is_embedded(tmp_path):
    code = (
        "from django.conf import settings as s;"
        "print(s.PMI_EMBEDDED_DATABASE, s.PMI_EMBEDDED_BROKER);"
        "print(s.DATABASES['default']['ENGINE'], s.CELERY_BROKER_URL)"
    )
    environment = os.environ | {
        "PMI_VAR_DIR": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "pmi_site.settings.dev",
        "DATABASE_URL": "postgresql://u@db.example/pmi",
        "BROKER_URL": "redis://broker.example/0",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == [
        "False",
        "False",
        "django.db.backends.postgresql",
        "redis://broker.example/0",
    ]
