"""Every write of cases and scans.

Slow work (decoding, compressing, writing files) runs outside transactions; each scan is then stored in a
short one of its own, so that one bad file, or a crash half-way, never loses the others.
"""

import dataclasses
import functools
import logging
import tempfile
import threading
import uuid
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.core.files import File
from django.core.files.base import ContentFile
from django.db import IntegrityError, transaction
from django.db.models.fields.files import FieldFile
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts.consents import care_is_withdrawn, care_withdrawn_text, require_care
from cases import intake
from cases import symptoms as symptoms_of_cases
from cases.imaging.preview import preview_png
from cases.imaging.volume import CanonicalVolume
from cases.intake import IncomingFile, PreparedScan, Refused
from cases.models import Case, Scan
from cases.selectors import may_open_case, may_write
from cases.signals import case_changed, scan_stored
from cases.storage import new_directory, private_storage, remove_files, work_root
from pmi_site.errors import UserError
from pmi_site.saying import say
from pmi_site.words import Words

if TYPE_CHECKING:
    from accounts.models import User

logger = logging.getLogger(__name__)

# A scan that is decoded may take gigabytes: a web process has two uploads in hand, and the others wait.
_in_hand = threading.BoundedSemaphore(2)
# The same for scans that are looked at, apart from uploads so that these do not hold up a viewer.
_unpacking = threading.BoundedSemaphore(4)


@dataclasses.dataclass(frozen=True)
class Duplicate:
    """A picture that the case already holds: the stored scan, and the names it was sent under (never
    stored)."""

    scan: Scan
    names: list[str]


@dataclasses.dataclass
class AddResult:
    """What became of an upload: new scans, pictures the case already held, files that could not be taken.

    ``names`` are those that each new scan was sent under, by its id (never stored).
    """

    scans: list[Scan] = dataclasses.field(default_factory=list)
    names: dict[uuid.UUID, list[str]] = dataclasses.field(default_factory=dict)
    duplicates: list[Duplicate] = dataclasses.field(default_factory=list)
    refused: list[Refused] = dataclasses.field(default_factory=list)

    @property
    def nothing_went_in(self) -> bool:
        """Whether the case gained nothing and holds none of what was sent."""
        return not self.scans and not self.duplicates


class _CareWithdrawn(Exception):
    """The patient took back that PMI keeps their scans, while these were being prepared."""


class _CaseGone(Exception):
    """The case was deleted while its scans were being prepared."""


def open_case(
    patient: "User",
    *,
    kind: str = Case.Kind.UNSURE,
    age_group: str = Case.AgeGroup.UNKNOWN,
    title: str = "",
    question: str = "",
    symptoms: dict[str, Any] | None = None,
) -> Case:
    """Open a case for a patient; without a title it is named after its kind and today's date.

    Raises PermissionDenied when the user is not a patient, UserError ``bad_symptoms``.
    """
    _check_symptoms(symptoms)
    if not may_open_case(patient):
        raise PermissionDenied(
            _("Only patients open cases. Doctors see the cases of patients who shared them.")
        )
    if not title.strip():
        kind_name = _("Scan") if kind == Case.Kind.UNSURE else str(Case.Kind(kind).label)
        title = _("%(kind)s, %(date)s") % {"kind": kind_name, "date": date_format(timezone.localdate())}
    return Case.objects.create(
        patient=patient,
        kind=kind,
        age_group=age_group,
        title=title.strip(),
        question=question.strip(),
        symptoms=symptoms or {},
    )


def update_case(case: Case, user: "User", **changes: Any) -> Case:
    """Change title, question, kind, age group or symptoms of a case.

    ``symptoms`` replaces all answers. Readings are judged anew when symptoms or age group change. Raises
    PermissionDenied for anybody but its patient, UserError ``bad_symptoms``.
    """
    _require_write(case, user)
    _check_symptoms(changes.get("symptoms"))
    allowed = {"title", "question", "kind", "age_group", "symptoms"}
    for name in changes.keys() & allowed:
        value = changes[name]
        setattr(case, name, value.strip() if isinstance(value, str) else value)
    with transaction.atomic():
        case.save(update_fields=[*sorted(changes.keys() & allowed), "updated_at"])
        if changes.keys() & {"age_group", "symptoms"}:
            transaction.on_commit(functools.partial(_announce_change, case.pk))
    return case


def _check_symptoms(answers: dict[str, Any] | None) -> None:
    if answers is not None and (problem := symptoms_of_cases.problem_with(answers)):
        raise UserError("bad_symptoms", problem)


def _announce_change(case_id: uuid.UUID) -> None:
    case_changed.send_robust(sender=Case, case_id=case_id)


def delete_case(case: Case, user: "User") -> None:
    """Delete a case with its scans and all that hangs on them; the files go when the deletion is
    committed."""
    _require_write(case, user)
    with transaction.atomic():
        _hold(case.pk)
        case.delete()


def delete_scan(scan: Scan, user: "User") -> None:
    """Delete a scan and all that hangs on it; its files go when the deletion is committed."""
    _require_write(scan.case, user)
    with transaction.atomic():
        _hold(scan.case_id)
        scan.delete()


def _hold(case_id: uuid.UUID) -> None:
    """Hold the case first, as whoever finishes a reading of it does; the other way round both could wait."""
    list(Case.objects.select_for_update(no_key=True).filter(pk=case_id).values_list("pk"))


def add_scans(case: Case, user: "User", incoming: Sequence[IncomingFile]) -> AddResult:
    """Take uploaded files into a case: check, de-identify, convert and store them.

    ``incoming`` are files on disk with the names the user knows them by (used in messages, never stored).
    Must not be called inside a transaction: it is slow, and files would outlive a rollback.
    Raises PermissionDenied for anybody but the patient, UserError ``case_deleted`` when the case goes away
    meanwhile, ``care_withdrawn`` when the patient took back that PMI keeps their scans.
    """
    _require_write(case, user)
    require_care(case.patient_id)
    result = AddResult()
    limits = intake.Limits(
        max_bytes=settings.PMI_MAX_UPLOAD_BYTES,
        max_pixels=settings.PMI_MAX_IMAGE_PIXELS,
        max_files=settings.PMI_MAX_FILES,
        max_unpacked_bytes=settings.PMI_MAX_UNPACKED_BYTES,
    )
    with _in_hand, tempfile.TemporaryDirectory(prefix="intake-", dir=work_root()) as name:
        workdir = Path(name)
        prepared_scans, refused = intake.prepare(incoming, workdir, limits)
        result.refused.extend(dataclasses.replace(one, message=say(one.message)) for one in refused)
        for prepared in prepared_scans:
            try:
                _add_prepared(case, user, prepared, workdir, result)
            except _CaseGone:
                raise UserError(
                    "case_deleted", _("This case was deleted while your files were on the way.")
                ) from None
            except _CareWithdrawn:
                raise UserError("care_withdrawn", care_withdrawn_text()) from None
            except Exception as error:  # one picture that cannot be stored must not lose the others
                # Messages of these errors can carry paths or header values: only the type is safe to log.
                logger.error("A prepared scan could not be stored: %s", type(error).__name__)
                result.refused.append(
                    Refused(
                        name=", ".join(prepared.source_names[:3]),
                        code="not_stored",
                        message=_(
                            "We could not store this picture. Nothing was kept of it. Please try again later."
                        ),
                    )
                )
    return result


def load_volume(scan: Scan) -> CanonicalVolume:
    """Read the canonical volume of a scan from private storage. Raises OSError when the file is missing."""
    with _unpacking, local_copy(scan.canonical) as path:
        return CanonicalVolume.from_nifti(path)


@contextmanager
def local_copy(field: FieldFile) -> Iterator[Path]:
    """Yield a path to read a private file from; storages without local paths get a temporary copy."""
    try:
        path = Path(field.path)
    except NotImplementedError:
        suffix = "".join(Path(field.name or "").suffixes)
        with tempfile.NamedTemporaryFile(suffix=suffix, dir=work_root()) as copy, field.open("rb") as source:
            for chunk in source.chunks():
                copy.write(chunk)
            copy.flush()
            yield Path(copy.name)
    else:
        yield path


def _require_write(case: Case, user: "User") -> None:
    if not may_write(user, case):
        raise PermissionDenied(_("Only the patient can change this case."))


def _add_prepared(case: Case, user: "User", prepared: PreparedScan, workdir: Path, result: AddResult) -> None:
    """Store one prepared scan and note in ``result`` what became of it."""
    known = Scan.objects.filter(case=case, sha256=prepared.sha256).first()
    if known is None:
        scan = _build_scan(case, user, prepared)
        names = _write_files(scan, prepared, workdir)
        try:
            _save_row(scan)
        except IntegrityError:
            # Somebody stored the same bytes in this case meanwhile; the unique constraint decided who was
            # first.
            remove_files(names)
            known = Scan.objects.filter(case=case, sha256=prepared.sha256).first()
            if known is None:
                raise
        except BaseException:
            remove_files(names)
            raise
        else:
            result.scans.append(scan)
            result.names[scan.pk] = list(prepared.source_names)
    if known is not None and known.pk in result.names:
        result.names[known.pk] += prepared.source_names
    elif known is not None:
        result.duplicates.append(Duplicate(scan=known, names=list(prepared.source_names)))


def _save_row(scan: Scan) -> None:
    # durable: an outer transaction could roll the row back after the files were written, so there must be
    # none.
    with transaction.atomic(durable=True):
        # Holding the case keeps a concurrent deletion from failing this commit half-way through.
        if not Case.objects.select_for_update(no_key=True).filter(pk=scan.case_id).exists():
            raise _CaseGone
        if care_is_withdrawn(scan.case.patient_id):
            raise _CareWithdrawn
        scan.save(force_insert=True)
        transaction.on_commit(functools.partial(_announce, scan.pk))


def _announce(scan_id: uuid.UUID) -> None:
    scan_stored.send_robust(sender=Scan, scan_id=scan_id)


def _build_scan(case: Case, user: "User", prepared: PreparedScan) -> Scan:
    volume = prepared.volume
    columns, rows, slices = volume.data.shape
    return Scan(
        case=case,
        uploaded_by=user,
        sha256=prepared.sha256,
        source_format=volume.source_format,
        modality=volume.modality[:16],
        body_part=volume.body_part[:32],
        plane=volume.plane,
        description=prepared.description[:200],
        notes=[Words.restored(note).stored() for note in prepared.notes],
        width=columns,
        height=rows,
        slices=slices,
        spacing=None if volume.spacing is None else [float(value) for value in volume.spacing],
        oriented=volume.oriented,
        is_colour=volume.is_colour,
    )


def _write_files(scan: Scan, prepared: PreparedScan, workdir: Path) -> list[str]:
    """Write original, canonical volume and preview to private storage; all of them or none."""
    storage = private_storage()
    directory = new_directory()
    written: list[str] = []
    try:
        with tempfile.TemporaryDirectory(prefix="pack-", dir=workdir) as name:
            original, file_name = _pack_original(prepared, Path(name))
            scan.byte_size = original.stat().st_size
            with original.open("rb") as handle:
                scan.original.name = storage.save(f"{directory}/{file_name}", File(handle))
            written.append(scan.original.name)
            canonical = Path(name) / "scan.nii.gz"
            nibabel.save(prepared.volume.to_nifti(), canonical)
            with canonical.open("rb") as handle:
                scan.canonical.name = storage.save(f"{directory}/scan.nii.gz", File(handle))
            written.append(scan.canonical.name)
        preview = ContentFile(preview_png(prepared.volume))
        scan.preview.name = storage.save(f"{directory}/preview.png", preview)
        written.append(scan.preview.name)
    except BaseException:
        remove_files(written)
        raise
    return written


def _pack_original(prepared: PreparedScan, directory: Path) -> tuple[Path, str]:
    """Return the file to keep as original and a name for it: the one file itself, or a zip of a series'
    files."""
    if len(prepared.originals) == 1:
        archive_name, path = prepared.originals[0]
        return path, "original" + "".join(Path(archive_name).suffixes[-2:]).lower()
    packed = directory / "original.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for archive_name, path in prepared.originals:
            # A fixed date: when the user's disk wrote the file is nobody's business.
            entry = zipfile.ZipInfo(archive_name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            with path.open("rb") as source, archive.open(entry, "w") as target:
                while chunk := source.read(1 << 20):
                    target.write(chunk)
    return packed, "original.zip"
