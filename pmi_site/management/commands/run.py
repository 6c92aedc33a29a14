"""`manage.py run`: the whole of PMI on one machine, in one terminal."""

import fcntl
import hashlib
import os
import socket
import time
import urllib.request
from argparse import ArgumentParser
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command, get_commands
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from pmi_site import embedded, env
from pmi_site.supervisor import Child, Supervisor, python
from pmi_site.vendor import VendorFinder

READY_SECONDS = 90.0


class Command(BaseCommand):
    """Engines, database, knowledge, models, accounts, static files; then web server, workers and beat."""

    help = "Start everything PMI needs and stay until Ctrl-C."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default=env.text("PMI_HOST", "127.0.0.1"))
        parser.add_argument(
            "--port", type=int, default=env.integer("PMI_PORT", 8000, minimum=1, maximum=65535)
        )

    def handle(self, *args: Any, host: str, port: int, **options: Any) -> None:
        """Runs until stopped; raises CommandError when something cannot start."""
        began = time.monotonic()
        self._front_end_is_there()
        lock = self._only_one()
        self._port_is_free(host, port)
        supervisor = Supervisor(self._children(host, port), self._say)
        try:
            self._prepare()
            supervisor.start()
            address = f"http://{'localhost' if host == '127.0.0.1' else host}:{port}/"
            if self._wait_until_ready(supervisor, port):
                self._say(
                    f"PMI is ready at {address} after {time.monotonic() - began:.0f} s. Ctrl-C stops it."
                )
            supervisor.watch()
        except embedded.EngineError as error:
            raise CommandError(str(error)) from error
        finally:
            self._say("Stopping ...")
            supervisor.stop()
            connection.close()
            for name in ("valkey", "postgres"):
                embedded.release(name, settings.PMI_ENGINES_DIR)
            lock.close()
        self._say("Stopped.")

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _only_one(self) -> IO[str]:
        settings.PMI_VAR_DIR.mkdir(parents=True, exist_ok=True)
        lock = (settings.PMI_VAR_DIR / "run.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(f"PMI is running already (it holds {lock.name}).") from None
        return lock

    def _front_end_is_there(self) -> None:
        missing = VendorFinder().missing()
        if missing:
            raise CommandError(
                f"The front-end packages are missing ({missing[0]} and {len(missing) - 1} more). Fetch them: "
                "make frontend"
            )

    def _port_is_free(self, host: str, port: int) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise CommandError(
                    f"Port {port} cannot be used ({error.strerror}). Choose another: PMI_PORT=8001 make run"
                ) from None

    def _prepare(self) -> None:
        if settings.PMI_EMBEDDED_DATABASE:
            self._say("Starting PostgreSQL ...")
            embedded.hold("postgres")
        if settings.PMI_EMBEDDED_BROKER:
            self._say("Starting Valkey ...")
            embedded.hold("valkey")
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            self._say("Updating the database ...")
            call_command("migrate", interactive=False, verbosity=0)
        call_command("createcachetable", verbosity=0)
        # These commands belong to apps above this one; each changes nothing when all is in place.
        # An update may have put a newer model in the place of the one that reads.
        for name, options in (("load_knowledge_base", {}), ("register_models", {"replace_missing": True})):
            if name in get_commands():
                self._say(f"Running {name} ...")
                self._run(name, **options)
        if settings.PMI_DEMO_ACCOUNTS:
            call_command("create_demo_accounts", stdout=self.stdout)
        self._collect_static()

    def _run(self, name: str, **options: Any) -> None:
        """What is wrong with one model, or with a folder beside the models, is no reason to have no site."""
        try:
            call_command(name, stdout=self.stdout, **options)
        except CommandError as error:
            if name != "register_models":
                raise
            self._say(f"{error} PMI starts all the same.")

    def _collect_static(self) -> None:
        """Collect only when a file's name, size or time has changed: compressing takes seconds."""
        digest = hashlib.sha256()
        for finder in get_finders():
            for name, storage in sorted(finder.list(None), key=lambda found: found[0]):
                facts = Path(storage.path(name)).stat()
                digest.update(f"{name} {facts.st_size} {facts.st_mtime_ns}\n".encode())
        stamp = settings.STATIC_ROOT / ".stamp"
        if stamp.exists() and stamp.read_text() == digest.hexdigest():
            return
        self._say("Collecting static files ...")
        call_command("collectstatic", interactive=False, clear=True, verbosity=0)
        stamp.write_text(digest.hexdigest())

    def _children(self, host: str, port: int) -> list[Child]:
        # Makes SIGTERM a soft stop: a task gets a moment to finish, then its message goes back to the queue.
        os.environ["REMAP_SIGTERM"] = "SIGQUIT"
        # Root is tolerated (a container has no other user); the warning about it would be the loudest line.
        quiet = ("-W", "ignore:You're running the worker with superuser")
        celery = python(*quiet, "-m", "celery", "-A", "pmi_site.celery", "-q")
        worker = [
            *celery,
            "worker",
            "--pool=prefork",
            "--without-gossip",
            "--without-mingle",
            "--loglevel=INFO",
        ]
        readers = str(env.integer("PMI_INFERENCE_WORKERS", 1, minimum=1))
        schedule = str(settings.PMI_VAR_DIR / "beat-schedule")
        return [
            # Reading scans is slow; a worker of its own keeps the small tasks moving.
            Child("inference worker", [*worker, "-Q", "inference", "-n", "inference@%h", "-c", readers]),
            Child("background worker", [*worker, "-Q", "default", "-n", "default@%h", "-c", "1"]),
            # An export may take an hour, and reminders and mails are not to wait for it.
            Child("worker for long tasks", [*worker, "-Q", "long", "-n", "long@%h", "-c", "1"]),
            Child("beat", [*celery, "beat", "--schedule", schedule, "--pidfile=", "--loglevel=WARNING"]),
            Child(
                "web server",
                python("-m", "granian", "--interface", "wsgi", "--host", host, "--port", str(port))
                + ["--workers", str(env.integer("PMI_WEB_WORKERS", 1, minimum=1))]
                # Most of them wait for slow lines, whatever granian's warning says of so many.
                + ["--blocking-threads", str(env.integer("PMI_WEB_THREADS", 32, minimum=1))]
                + ["--respawn-failed-workers", "--no-access-log", "--log-level", "error"]
                + ["pmi_site.wsgi:application"],
            ),
        ]

    def _wait_until_ready(self, supervisor: Supervisor, port: int) -> bool:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and not supervisor.stopping:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).close()
                return True
            except OSError:
                pass
            if any(child.process and child.process.poll() is not None for child in supervisor.children):
                return False
            time.sleep(0.25)
        return False
