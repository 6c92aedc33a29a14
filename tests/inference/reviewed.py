"""Signed reviews for tests of pages: a doctor of the patient says something to a reading."""

from __future__ import annotations

from typing import Any

from cases import reviews
from cases.models import Review
from cases.reviews import ReviewInput, VerdictInput
from inference.models import Analysis
from tests.factories import CareRelationshipFactory, DoctorFactory


def doctor_of(patient: Any, name: str = "Dr Ada Reader") -> Any:
    """A verified doctor whom the patient lets read everything."""
    doctor = DoctorFactory.create(full_name=name)
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    return doctor


def filled(of: Analysis, verdict: str = "agree", **fields: Any) -> ReviewInput:
    """A filled-in form about a reading of `reading_rows`: one verdict on pneumonia."""
    right = fields.pop("right", "")
    said = [VerdictInput("pneumonia", "pneumonia", 0.83, "likely", verdict, right)] if verdict else []
    return ReviewInput(analysis_id=of.pk, verdicts=said, **fields)


def sign(of: Analysis, doctor: Any, verdict: str = "agree", **fields: Any) -> Review:
    """A signed review of a reading."""
    return reviews.sign(doctor, of.scan, filled(of, verdict, **fields), level_if_kept=of.danger)


def correct(of: Analysis, doctor: Any, level: str = "routine", **fields: Any) -> Review:
    """A signed review that finds no pneumonia."""
    values: dict[str, Any] = {"right": "no-chest-finding", "comment": "A fold of the skin.", **fields}
    return sign(of, doctor, "disagree", danger_level=level, **values)
