"""Keeps a handful of child processes running until asked to stop."""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

log = logging.getLogger(__name__)

STOP_SECONDS = 20.0
# A child that keeps dying waits longer each time, up to this: the others go on meanwhile.
LONGEST_WAIT = 30.0
# One that lived so long died for another reason than the last time.
RESTART_WINDOW = 60.0
_PR_SET_PDEATHSIG = 1


@dataclass
class Child:
    """One program: its name in messages, its command, when it was started, how often it died soon after, and
    when it is due again while it does not run.
    """

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    deaths: int = 0
    due: float = 0.0


def _end_with_parent() -> None:
    """Between fork and exec: ask Linux to stop this child when the supervisor is killed outright."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Supervisor:
    """Starts children in order, restarts one that dies, stops them all in reverse order."""

    def __init__(self, children: list[Child], say: Callable[[str], object]) -> None:
        self.children = children
        self.say = say
        self.stopping = False

    def request_stop(self, *_: object) -> None:
        """A signal handler: the main loop stops at its next turn."""
        self.stopping = True

    def start(self) -> None:
        """Start every child and take over the stop signals."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.request_stop)
        for child in self.children:
            self._launch(child)

    def watch(self) -> None:
        """Stay until asked to stop; start again what ends."""
        while not self.stopping:
            for child in self.children:
                if child.process is not None:
                    self._bury(child)
                elif time.monotonic() >= child.due:
                    self._launch(child)
            time.sleep(0.25)

    def _bury(self, child: Child) -> None:
        """Notice that a child has ended, and say when it starts again: at once, then after 2, 4, 8 ... s."""
        if child.process is None or (code := child.process.poll()) is None:
            return
        self._kill_group(child, signal.SIGKILL)
        child.process = None
        now = time.monotonic()
        child.deaths = child.deaths + 1 if now - child.started < RESTART_WINDOW else 1
        wait = 0.0 if child.deaths == 1 else min(2.0 ** (child.deaths - 1), LONGEST_WAIT)
        child.due = now + wait
        when = f"in {wait:.0f} s" if wait else "now"
        self.say(f"{child.name} ended (exit {code}); starting it again {when}.")

    def stop(self) -> None:
        """Stop the children, last started first; kill what is still there after STOP_SECONDS."""
        for child in reversed(self.children):
            self._kill_group(child, signal.SIGTERM, leader_only=True)
        deadline = time.monotonic() + STOP_SECONDS
        for child in reversed(self.children):
            if child.process is None:
                continue
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.1, deadline - time.monotonic()))
            self._kill_group(child, signal.SIGKILL)
            child.process.wait()

    def _launch(self, child: Child) -> None:
        # A session of its own keeps Ctrl-C away from the child, and makes its whole family one group to end.
        child.process = subprocess.Popen(  # the supervisor has no threads, so preexec_fn is safe
            child.command, start_new_session=True, stdin=subprocess.DEVNULL, preexec_fn=_end_with_parent
        )
        child.started = time.monotonic()

    @staticmethod
    def _kill_group(child: Child, number: signal.Signals, *, leader_only: bool = False) -> None:
        if child.process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            if leader_only:
                if child.process.poll() is None:
                    os.kill(child.process.pid, number)
            else:
                os.killpg(child.process.pid, number)


def python(*arguments: str) -> list[str]:
    """A command of this Python."""
    return [sys.executable, *arguments]
