"""The supervisor: restarts, waits, stops whole families."""

import sys
import threading
import time

import psutil
import pytest

from pmi_site import supervisor
from pmi_site.supervisor import Child, Supervisor

SLEEP = "import time; time.sleep(60)"
FAMILY = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); time.sleep(60)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


def child(code: str) -> Child:
    return Child("part", [sys.executable, "-c", code])


@pytest.fixture
def lines():
    return []


@pytest.fixture
def make(lines, monkeypatch):
    made = []
    # Signal handlers of the test runner stay as they are.
    monkeypatch.setattr(supervisor.signal, "signal", lambda *_: None)

    def build(*children: Child) -> Supervisor:
        made.append(Supervisor([*children], lines.append))
        return made[-1]

    yield build
    for one in made:
        one.stop()


def test_it_stops_when_asked_and_takes_grandchildren_along(make):
    boss = make(child(FAMILY), child(SLEEP))
    boss.start()
    parent = psutil.Process(boss.children[0].process.pid)
    deadline = time.monotonic() + 10
    while not parent.children() and time.monotonic() < deadline:
        time.sleep(0.05)
    family = [parent, *parent.children()]
    assert len(family) == 2
    threading.Timer(0.5, boss.request_stop).start()
    boss.watch()
    boss.stop()
    _gone, alive = psutil.wait_procs(family, timeout=5)
    assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]


def test_a_dead_child_is_started_again(make, lines):
    boss = make(child(SLEEP))
    boss.start()
    first = boss.children[0].process
    first.kill()
    threading.Timer(1.5, boss.request_stop).start()
    boss.watch()
    assert boss.children[0].process.pid != first.pid
    assert "starting it again" in lines[0]


def test_a_child_that_keeps_dying_waits_longer_each_time_and_the_others_go_on(make, lines, monkeypatch):
    monkeypatch.setattr(supervisor, "LONGEST_WAIT", 3.0)
    boss = make(child("raise SystemExit(3)"), child(SLEEP))
    boss.start()
    healthy = boss.children[1].process

    def say(text):
        lines.append(text.removeprefix("part ended (exit 3); starting it again "))
        if len(lines) == 3:
            boss.request_stop()

    boss.say = say
    began = time.monotonic()
    boss.watch()
    assert lines == ["now.", "in 2 s.", "in 3 s."]
    assert time.monotonic() - began >= 2
    assert boss.children[1].process is healthy and healthy.poll() is None


def test_one_that_lived_for_long_is_started_again_at_once(make, lines, monkeypatch):
    monkeypatch.setattr(supervisor, "RESTART_WINDOW", 0.0)
    boss = make(child(SLEEP))
    boss.start()
    for _ in range(2):
        boss.children[0].deaths = 4
        boss.children[0].process.kill()
        boss.children[0].process.wait()
        boss._bury(boss.children[0])
        boss._launch(boss.children[0])
    assert all(line.endswith("now.") for line in lines) and len(lines) == 2


def test_a_child_that_does_not_listen_is_killed(make, monkeypatch):
    monkeypatch.setattr(supervisor, "STOP_SECONDS", 1.0)
    boss = make(child(DEAF))
    boss.start()
    time.sleep(0.5)
    boss.stop()
    assert boss.children[0].process.returncode == -9
