"""Taking everything away: one zip with the records as JSON, the scans as stored, and reports as PDF.

The records are read in one snapshot of the database, so that they fit together whatever arrives meanwhile;
files follow for what the snapshot shows. The work starts anew when its worker dies and ends in one file.
"""

import hashlib
import json
import logging
import secrets
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.files import File
from django.core.mail import send_mail
from django.core.serializers.json import DjangoJSONEncoder
from django.db import IntegrityError, connection, models, transaction
from django.db.models import F, QuerySet
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from accounts import portable
from accounts.access_log_models import AccessLog
from accounts.job_models import DataExport
from accounts.models import User
from accounts.ownership import owned_models, rows_of, storage
from accounts.services import log_access

logger = logging.getLogger(__name__)
KEPT_FOR = timedelta(days=7)
MOST_ATTEMPTS = 3
# Secrets, and numbers that only the program reads, are no use to the person and a risk on their disk.
_NOT_EXPORTED = {
    "password", "digest", "token_digest", "pin_hash", "code_digest", "data", "vector", "session_key",
    "log_key", "archive", "lease_expires_at", "key", "group_key", "secret", "token",
}  # fmt: skip
_NO_TABLES = {"accounts.DataExport", "account.EmailConfirmation"}


class LeaseLost(Exception):
    """Another worker took the export over; what this one made does not count."""


# --- asking -------------------------------------------------------------------------------------------------


def request_export(user: User) -> DataExport:
    """Have a person's data packed in the background. One at a time: an unfinished export is returned."""
    unfinished = DataExport.objects.filter(user=user, state__in=["waiting", "running"])
    if (existing := unfinished.first()) is not None:
        return existing
    try:
        with transaction.atomic():
            export = DataExport.objects.create(user=user)
            log_access(user, "request_export", export, patient_id=user.pk)
            transaction.on_commit(lambda: send(export.pk), robust=True)
    except IntegrityError:
        # Two clicks at the same moment: the constraint let one through.
        return unfinished.get()
    return export


def send(export_id: UUID) -> None:
    """Tell a worker; when no broker answers, the minute's sweep tells one later."""
    from accounts.job_tasks import prepare_export

    try:
        prepare_export.delay(str(export_id))
    except Exception as error:
        logger.error("Export %s could not be sent to a worker: %s", export_id, type(error).__name__)


def exports_of(user: User) -> QuerySet[DataExport]:
    """A person's exports, newest first."""
    return DataExport.objects.filter(user=user)


# --- making -------------------------------------------------------------------------------------------------


def prepare(export_id: UUID | str) -> bool:
    """Make the zip, if nobody else does or did. False when it did not come to be."""
    export = DataExport.claim(export_id)
    if export is None:
        return False
    user = export.user
    _remove(export.archive.name or "")  # of a worker that died while it wrote
    work_root = Path(settings.PMI_VAR_DIR) / "work"
    work_root.mkdir(parents=True, exist_ok=True, mode=0o700)
    # On the row before there is a file: whatever happens, somebody knows of it.
    name = f"exports/{secrets.token_hex(16)}/pmi.zip"
    try:
        if not export.renew(archive=name):
            raise LeaseLost
        with tempfile.TemporaryDirectory(prefix="export-", dir=work_root) as work:
            folder = Path(work) / "pmi"
            folder.mkdir()
            with translation.override(user.language):
                moment = _write_all(export, user, folder)
            packed = Path(work) / "pmi.zip"
            _pack(folder, packed, export)
            digest = hashlib.sha256()
            with packed.open("rb") as handle:
                while chunk := handle.read(1 << 20):
                    digest.update(chunk)
                handle.seek(0)
                storage().save(name, File(handle))
            size = packed.stat().st_size
        with transaction.atomic():
            fields = {"byte_size": size, "sha256": digest.hexdigest(), "as_of": moment}
            week = timezone.now() + KEPT_FOR
            if not export.finish("done", done=F("total"), expires_at=week, **fields):
                raise LeaseLost
            transaction.on_commit(lambda: _tell(user), robust=True)
    except LeaseLost:
        _remove(name)
        return False
    except Exception as error:
        _remove(name)
        logger.error("Export %s broke off: %s", export.pk, type(error).__name__)
        # Free for the sweep, which tries again; or over, and the page says so.
        if export.attempt >= MOST_ATTEMPTS:
            export.finish("failed", archive="")
        else:
            export.mine().update(state="waiting", lease_expires_at=None, archive="")
        return False
    for older in DataExport.objects.filter(user=user, state="done").exclude(pk=export.pk):
        expire(older)
    return True


def _write_all(export: DataExport, user: User, folder: Path) -> Any:
    steps = len(portable.exporters) + 2

    def tick(step: int) -> Callable[[int, int], None]:
        def report(done: int, total: int) -> None:
            share = done / total if total else 0
            if not export.renew(done=int(100 * (step + share)), total=100 * steps):
                raise LeaseLost

        return report

    tick(0)(0, 1)
    with snapshot():
        moment = timezone.now()
        _write_records(user, folder)
    for number, (name, function) in enumerate(portable.exporters.items(), 1):
        place = folder / name
        place.mkdir()
        with portable.exporting(moment, tick(number)):
            function(user, place)
        if not any(place.iterdir()):
            place.rmdir()
    (folder / "README.txt").write_text(_readme(moment), encoding="utf-8")
    tick(steps - 1)(0, 1)
    return moment


@contextmanager
def snapshot() -> Iterator[None]:
    """One unchanging view of the database. A transaction that has begun keeps its own."""
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        if outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _write_records(user: User, folder: Path) -> None:
    place = folder / "records"
    place.mkdir()
    people = {user.pk: "you"}
    _dump(place / "account.json", [_row(user, people)])
    tables = [model for model in owned_models() if model._meta.label not in _NO_TABLES]
    for model in tables:
        rows = rows_of(model, user.pk)
        if limit := portable.limits.get(model._meta.label):
            rows = limit(user, rows)
        found = [_row(row, people) for row in rows.order_by("pk").iterator()]
        if found:
            _dump(place / f"{model._meta.label_lower}.json", found)
    lines = AccessLog.objects.about(user) | AccessLog.objects.by(user)
    names = {key: name for key, name in _names_by_key(lines).items() if key != user.log_key}
    log = [
        {
            "at": line.at,
            "who": "you" if line.actor_key == user.log_key else names.get(line.actor_key, "somebody else"),
            "action": line.action,
            "object_type": line.object_type,
            "in_an_emergency": line.is_emergency,
            # What a doctor did with other people's data is listed without saying whose it was.
            "object": line.object_id if line.patient_key == user.log_key else None,
        }
        for line in lines.order_by("at", "id").iterator()
    ]
    _dump(place / "access-log.json", log)


def _names_by_key(lines: QuerySet[AccessLog]) -> dict[UUID | None, str]:
    keys = lines.order_by().values("actor_key").distinct()
    people = User.objects.filter(log_key__in=keys, role="doctor")
    return dict(people.values_list("log_key", "full_name"))


def _row(row: models.Model, people: dict[Any, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field in row._meta.concrete_fields:
        if field.name in _NOT_EXPORTED or f"{row._meta.label}.{field.name}" in portable.left_out:
            continue
        value = field.value_from_object(row)
        if isinstance(field, models.FileField):
            value = Path(value.name).name if value else None
        elif isinstance(field, models.ForeignKey) and field.related_model is User and value is not None:
            value = _person(value, people)
        values[field.name] = value
    return values


def _person(user_id: Any, people: dict[Any, str]) -> str:
    if user_id not in people:
        other = User.objects.filter(pk=user_id).first()
        # Doctors act under their name. Nobody else's name belongs into this file.
        people[user_id] = other.full_name if other is not None and other.role == "doctor" else "somebody else"
    return people[user_id]


def _dump(path: Path, value: Any) -> None:
    text = json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False, indent=2)
    path.write_text(text + "\n", encoding="utf-8")


def _readme(moment: Any) -> str:
    return "\n".join(
        (
            _("Everything that PMI holds of you."),
            "",
            _("This shows the state of %(moment)s (UTC). What came later is not in it.")
            % {"moment": moment.strftime("%Y-%m-%d %H:%M:%S")},
            "",
            _("records: what you and others wrote, the readings, and who opened what, as JSON"),
            _("scans: your scans as they are stored, without names inside"),
            _("readings: the report of each reading as PDF, and pictures of where the program looked"),
            "",
            _("Keep this file in a safe place. Whoever has it can read your medical data."),
            "",
        )
    )


def _pack(folder: Path, packed: Path, export: DataExport) -> None:
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder.parent).as_posix())
                if not export.renew():
                    raise LeaseLost


def _tell(user: User) -> None:
    with translation.override(user.language):
        text = _("There is something new in PMI. Sign in to see it.")
        text += "\n\n" + settings.PMI_PUBLIC_URL + reverse("accounts:exports")
        send_mail(_("There is something new in PMI"), text, settings.DEFAULT_FROM_EMAIL, [user.email])


# --- afterwards ---------------------------------------------------------------------------------------------


def expire(export: DataExport) -> None:
    """Remove the file of an export; the line stays, to say that there was one."""
    name = export.archive.name
    DataExport.objects.filter(pk=export.pk).update(state="expired", archive="", updated_at=timezone.now())
    _remove(name or "")


def sweep() -> int:
    """Remove files whose week has passed, and send exports again that nobody works on; how many of both."""
    over = list(DataExport.objects.filter(state="done", expires_at__lte=timezone.now()))
    for export in over:
        expire(export)
    for given_up in DataExport.stale().filter(attempt__gte=MOST_ATTEMPTS):
        name = given_up.archive.name or ""
        ended = {"state": "failed", "archive": "", "lease_expires_at": None, "finished_at": timezone.now()}
        if DataExport.stale().filter(pk=given_up.pk).update(**ended):
            _remove(name)
    stale = list(DataExport.stale().values_list("pk", flat=True)[:100])
    for export_id in stale:
        DataExport.objects.filter(pk=export_id, state="waiting").update(updated_at=timezone.now())
        send(export_id)
    return len(over) + len(stale)


def on_deleted(sender: type[DataExport], instance: DataExport, using: str, **rest: Any) -> None:
    """Receiver of `post_delete`: the file goes with its line, once that is committed."""
    name = instance.archive.name or ""
    transaction.on_commit(lambda: _remove(name), using=using, robust=True)


def _remove(name: str) -> None:
    if name:
        storage().delete(name)
        try:
            storage().delete(str(Path(name).parent))
        except (OSError, NotImplementedError):
            logger.info("The folder of an export is left")
