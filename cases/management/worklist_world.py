"""Made-up doctors, patients and cases for `manage.py bench_worklist`, in bulk."""

from __future__ import annotations

import random
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection
from django.utils import timezone

from accounts.models import DoctorProfile, Role

CASES_A_PATIENT = 5
# Lives once in every world, so that the same search finds as much.
KNOWN_NAME = "Wilhelmina Quartermain"
_FIRST = (
    "Ada Ben Cleo Dan Eva Finn Gül Hana Igor Jo Kofi Lea Mo Nina Omar Pia Quinn Rosa Sam Tia Uma Vik".split()
)
_PARTS = (
    "ander berg castel dorn elm fern garg hall ito jans kumar lund mora nak oliv petro ross silva".split()
)

# Patients with grants of all their cases: the first half to the doctor that is measured, the other half to
# ten others. Levels and states spread as they may over a year of work: most is reviewed and has been seen.
_CASES = """
INSERT INTO cases_case (
    id, created_at, updated_at, patient_id, title, question, kind, age_group, symptoms,
    danger, danger_rank, waiting_since, news_at, review_state
)
SELECT gen_random_uuid(), opened, opened, patient_id,
    kind_words || ', ' || to_char(opened, 'FMMonth DD YYYY'), '', kind, 'adult', '{}',
    level, rank, opened + interval '1 hour', opened + interval '2 hours',
    CASE WHEN level = '' THEN 'not_read' WHEN dice < 0.7 THEN 'reviewed'
        WHEN dice < 0.99 THEN 'waiting' ELSE 'disagreement' END
FROM (
    SELECT u.id AS patient_id, random() AS dice, now() - random() * interval '2 years' AS opened,
        (ARRAY['brain_mri', 'chest_xray', 'knee_xray'])[1 + n %% 3] AS kind,
        (ARRAY['Brain MRI', 'Chest X-ray', 'Knee X-ray'])[1 + n %% 3] AS kind_words,
        floor(random() * 100) AS per_cent
    FROM accounts_user u CROSS JOIN generate_series(1, %s) n WHERE u.role = 'patient'
) made
CROSS JOIN LATERAL (
    SELECT level, rank FROM (VALUES
        ('emergency', 0, 1), ('urgent', 1, 5), ('soon', 2, 20), ('inconclusive', 3, 30), ('routine', 4, 60),
        ('none_found', 5, 95), ('', 9, 100)
    ) AS spread (level, rank, up_to) WHERE per_cent < up_to ORDER BY up_to LIMIT 1
) judged
"""
_SCANS = """
INSERT INTO cases_scan (
    id, created_at, updated_at, case_id, uploaded_by_id, sha256, source_format, modality, body_part, plane,
    description, notes, width, height, slices, is_colour, byte_size, original, canonical, preview
)
SELECT gen_random_uuid(), waiting_since, waiting_since, id, patient_id, md5(id::text) || md5(id::text),
    'raster', 'DX', '', '', '', '[]', 100, 100, 1, false, 1, 'x/o', 'x/c', 'x/p'
FROM cases_case
"""
_SEEN = """
INSERT INTO cases_caseseen (doctor_id, case_id, seen_at)
SELECT doctor_id, case_id, news_at FROM cases_worklistentry WHERE random() < 0.8
"""


def fill(cases: int) -> Any:
    """Fill the connected database with `cases` cases of one doctor and as many of others; the doctor."""
    users = get_user_model()
    rng = random.Random(1)  # noqa: S311  (nothing secret)
    doctors = [
        users(email=f"doctor{number}@bench.example", full_name=f"Dr {number}", role=Role.DOCTOR)
        for number in range(11)
    ]
    users.objects.bulk_create(doctors)
    DoctorProfile.objects.bulk_create(
        DoctorProfile(user=one, licence_number="1", licence_country="x", verified_at=timezone.now())
        for one in doctors
    )
    count = 2 * cases // CASES_A_PATIENT
    users.objects.bulk_create(
        [
            users(
                email=f"patient{number}@bench.example",
                full_name=KNOWN_NAME if number == 7 else _name(rng),
                role=Role.PATIENT,
            )
            for number in range(count)
        ],
        batch_size=5000,
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT setseed(0.5)")
        # Without the triggers, whose work is done at the end in one go.
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(_CASES, [CASES_A_PATIENT])
        cursor.execute(_SCANS)
        cursor.execute(
            """
            INSERT INTO accounts_carerelationship
                (id, created_at, updated_at, patient_id, doctor_id, is_emergency, granted_at)
            SELECT gen_random_uuid(), now(), now(), id,
                (%s::uuid[])[CASE WHEN n <= %s THEN 1 ELSE 2 + n %% 10 END], false, now()
            FROM (SELECT id, row_number() OVER (ORDER BY length(email), email) AS n
                FROM accounts_user WHERE role = 'patient') numbered
            """,
            [[str(one.pk) for one in doctors], count // 2],
        )
        cursor.execute("SET session_replication_role = DEFAULT")
        cursor.execute("ANALYZE")
        cursor.execute(
            "SELECT count(pmi_worklist_put(id, NULL, NULL)) FROM accounts_user WHERE role = 'patient'"
        )
        cursor.execute(_SEEN)
        cursor.execute(
            "UPDATE cases_worklistentry e SET unread = false FROM cases_caseseen s"
            " WHERE s.doctor_id = e.doctor_id AND s.case_id = e.case_id"
        )
        cursor.execute("VACUUM ANALYZE")
    return doctors[0]


def _name(rng: random.Random) -> str:
    last = "".join(rng.sample(_PARTS, 2)).capitalize()
    return f"{rng.choice(_FIRST)} {last}"
