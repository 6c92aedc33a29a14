"""What cases give to somebody who takes their data away, and what goes when they erase their account."""

import shutil
from pathlib import Path
from uuid import UUID

from django.db import transaction
from django.db.models.fields.files import FieldFile
from django.utils.translation import gettext as _

from accounts import portable, who_looked
from accounts.models import User
from cases.models import Case, Review, Scan


def register() -> None:
    """Called once, when the apps are ready."""
    who_looked.provide_case_names(names_of_cases)
    portable.register_exporter("scans", export_scans)
    portable.register_eraser("cases", erase_cases)
    # A doctor's unsigned notes are not a finding yet, and not shown to the patient anywhere.
    portable.limit_export("cases.Review", lambda user, rows: rows.exclude(status="draft"))
    # Made from cases, grants and names, and those of a doctor hold their patients' names.
    portable.limit_export("cases.WorklistEntry", lambda user, rows: rows.none())
    # For doctors' worklists, from readings that the patient may not be shown yet.
    portable.leave_out("cases.Case.danger")
    portable.leave_out("cases.Case.danger_rank")
    portable.limit_export("cases.ReviewVerdict", lambda user, rows: rows.exclude(review__status="draft"))
    portable.keep("cases.Review.reader", "emptied; the name stays as signed, in the patient's record")
    for field in ("analysis", "previous"):
        portable.keep(f"cases.Review.{field}", "emptied; the review goes with its scan")
    portable.keep("cases.Scan.uploaded_by", "emptied; the scan goes with its patient's account")
    portable.keep("cases.ShareLink.created_by", "emptied; the link goes with the case")
    portable.keep("cases.FollowUp.created_by", "emptied; the follow-up goes with the case")


def names_of_cases(user: User) -> dict[UUID, str]:
    """The titles of a patient's cases by id."""
    return dict(Case.objects.filter(patient=user).values_list("pk", "title"))


def export_scans(user: User, folder: Path) -> None:
    """The stored files of every scan of the person, one folder for each."""
    scans = Scan.objects.filter(case__patient=user, created_at__lte=portable.as_of()).order_by("pk")
    ids = list(scans.values_list("pk", flat=True))
    gone = []
    for number, scan_id in enumerate(ids):
        portable.progress(number, len(ids))
        scan = scans.filter(pk=scan_id).first()
        if scan is None or not _copy_scan(scan, folder / str(scan.case_id) / str(scan.pk)):
            gone.append(str(scan_id))
    if gone:
        lines = [_("Deleted while this file was made:"), *gone]
        (folder / "deleted.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _copy_scan(scan: Scan, folder: Path) -> bool:
    folder.mkdir(parents=True)
    try:
        for field in (scan.original, scan.canonical, scan.preview):
            copy_file(field, folder / Path(field.name or "").name)
    except FileNotFoundError:
        shutil.rmtree(folder)
        return False
    return True


def copy_file(field: FieldFile, target: Path) -> None:
    """Copy a private file. Raises FileNotFoundError when it is gone."""
    with field.storage.open(field.name or "", "rb") as source, target.open("wb") as copy:
        shutil.copyfileobj(source, copy, 1 << 20)


def erase_cases(user_id: UUID) -> None:
    """Delete the person's cases one by one, each in a short transaction; files go with the commit.

    A doctor's unsigned notes go too; what they signed is part of their patients' records.
    """
    Review.objects.filter(reader_id=user_id, status=Review.Status.DRAFT).delete()
    for case_id in list(Case.objects.filter(patient_id=user_id).values_list("pk", flat=True)):
        with transaction.atomic():
            case = Case.objects.select_for_update().filter(pk=case_id).first()
            if case is not None:
                case.delete()
