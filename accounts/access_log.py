"""Writing the access log, chaining it, and checking the chain.

A line is written in the caller's transaction, so that what was rolled back was not logged and what was
committed was. Its place in the chain is given right after the commit, in a short transaction of its own under
an advisory lock: a long transaction never makes other people's log lines wait. A line whose process died in
between is chained by the next line or by the minute's sweep.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from accounts.access_log_models import AccessLog
from accounts.models import CareRelationship, Role, User

# Any number that nothing else in the database uses as an advisory lock.
_LOCK = 0x504D494C4F47
_BATCH = 1000
FIRST_HASH = "0" * 64
# How to get from a thing to the case it belongs to, whatever app declares it.
_WAY_UP = ("case", "scan", "analysis", "finding", "review")


class HasId(Protocol):
    """Anything with a UUID."""

    id: UUID


# --- writing ------------------------------------------------------------------------------------------------


def record(actor: User | None, action: str, obj: HasId, patient_id: UUID | None = None) -> None:
    """Write one line: who did what to which object. `patient_id` says whose data it is where the object (a
    case, or anything that hangs on one) does not.
    """
    (line,) = _lines(actor, action, [obj], patient_id)
    line.save(force_insert=True)
    transaction.on_commit(seal, robust=True)


def record_many(actor: User | None, action: str, objects: Iterable[HasId]) -> None:
    """One line for each object of a list, in one statement."""
    if lines := _lines(actor, action, list(objects)):
        AccessLog.objects.bulk_create(lines)
        transaction.on_commit(seal, robust=True)


def record_list(actor: User, action: str, objects: Iterable[HasId]) -> None:
    """One line for each object of a list that is not the actor's own."""
    record_many(actor, action, [obj for obj in objects if owner_of(obj)[0] != actor.pk])


class _Emergencies:
    """What a doctor can read now only because they said that it was an emergency; one query."""

    def __init__(self, actor: User | None) -> None:
        self._grants: set[tuple[UUID, UUID | None, bool]] = set()
        if actor is not None and actor.role == Role.DOCTOR:
            held = CareRelationship.objects.active().filter(doctor=actor)
            patients = held.filter(is_emergency=True).values("patient")
            rows = held.filter(patient__in=patients).values_list("patient_id", "case_id", "is_emergency")
            self._grants = set(rows)

    def cover(self, patient_id: UUID | None, case_id: UUID | None) -> bool:
        """Whether this case, or without one the whole record, is open to the doctor in no other way."""
        if patient_id is None or (patient_id, None, True) not in self._grants:
            return False
        return not self._grants & {(patient_id, None, False), (patient_id, case_id, False)}


def _lines(
    actor: User | None, action: str, objects: Sequence[HasId], patient_id: UUID | None = None
) -> list[AccessLog]:
    """A line, not yet written, for each object; as many queries for many as for one."""
    if not objects:
        return []
    places = [_whose(obj, patient_id) for obj in objects]
    keys = _keys_of({owner_id for owner_id, _case_id in places if owner_id}, actor)
    emergencies = _Emergencies(actor)
    return [
        AccessLog(
            actor_key=actor.log_key if actor else None,
            patient_key=keys.get(owner_id) if owner_id else None,
            action=action,
            object_type=type(obj).__name__.lower(),
            object_id=obj.log_key if isinstance(obj, User) else obj.id,
            case_id=case_id,
            is_emergency=emergencies.cover(owner_id, case_id),
            at=timezone.now(),
        )
        for obj, (owner_id, case_id) in zip(objects, places, strict=True)
    ]


def _whose(obj: HasId, patient_id: UUID | None) -> tuple[UUID | None, UUID | None]:
    """(id of the patient, id of the case) that a line names."""
    owner_id, case_id = owner_of(obj)
    if owner_id is None and isinstance(obj, User) and obj.role == Role.PATIENT:
        owner_id = obj.pk
    return patient_id or owner_id, case_id


def owner_of(obj: Any) -> tuple[UUID | None, UUID | None]:
    """(id of the patient, id of the case) that a thing belongs to, as far as it says so."""
    current, case_id = obj, None
    for _step in _WAY_UP:
        if type(current).__name__ == "Case":
            case_id = current.id
        patient_id = getattr(current, "patient_id", None)
        if isinstance(patient_id, UUID):
            return patient_id, case_id
        way = next((name for name in _WAY_UP if getattr(current, f"{name}_id", None)), None)
        if way is None:
            break
        current = getattr(current, way)
    return None, case_id


def _keys_of(user_ids: set[UUID], actor: User | None) -> dict[UUID, UUID]:
    """The keys that stand for people in the log, by their ids; at most one query."""
    keys = {actor.pk: actor.log_key} if actor else {}
    if wanted := user_ids - keys.keys():
        keys |= dict(User.objects.filter(pk__in=wanted).values_list("pk", "log_key"))
    return keys


# --- chaining -----------------------------------------------------------------------------------------------


def seal() -> int:
    """Give waiting lines their places in the chain; how many. Returns 0 while another process does it."""
    done = 0
    while True:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
                row = cursor.fetchone()
                if not row or not row[0]:
                    return done
            count = _seal_batch()
        done += count
        if count < _BATCH:
            return done


def _seal_batch() -> int:
    waiting = list(AccessLog.objects.unsealed().order_by("id")[:_BATCH])
    if not waiting:
        return 0
    sequence, digest = head()
    for entry in waiting:
        sequence += 1
        entry.sequence, entry.prev_hash = sequence, digest
        digest = entry.entry_hash = hash_of(entry, sequence, digest)
    AccessLog.objects.bulk_update(waiting, ["sequence", "prev_hash", "entry_hash"])
    return len(waiting)


def head() -> tuple[int, str]:
    """Number and hash of the newest chained line; (0, 64 zeros) of an empty log."""
    last = AccessLog.objects.sealed().values_list("sequence", "entry_hash").last()
    return (last[0] or 0, last[1]) if last else (0, FIRST_HASH)


def hash_of(entry: AccessLog, sequence: int, prev_hash: str) -> str:
    """SHA-256 over the line as canonical JSON (sorted keys, no blanks, UTF-8)."""
    payload = entry.payload(sequence, prev_hash)
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


# --- checking -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """What a check of the chain found. `broken_at` is the number of the first line that does not fit."""

    lines: int
    head: tuple[int, str]
    broken_at: int | None = None
    problem: str = ""

    @property
    def holds(self) -> bool:
        """Whether every line is as it was written."""
        return self.broken_at is None


def verify(expected: tuple[int, str] | None = None) -> Verdict:
    """Recompute every hash, from the first line on.

    `expected` is a (number, hash) noted earlier somewhere else: only with one does it show when the newest
    lines were cut off, or when somebody with the rights of the database's owner wrote the whole chain anew.
    """
    lines, digest = 0, FIRST_HASH
    for entry in AccessLog.objects.sealed().iterator(chunk_size=2000):
        number = lines + 1
        if entry.sequence != number:
            return Verdict(lines, (lines, digest), number, "the line is missing")
        if entry.prev_hash != digest:
            return Verdict(lines, (lines, digest), number, "it does not follow the line before it")
        if entry.entry_hash != hash_of(entry, number, digest):
            return Verdict(lines, (lines, digest), number, "it was changed after it was written")
        lines, digest = number, entry.entry_hash
        if expected is not None and expected[0] == number and expected[1] != digest:
            return Verdict(lines, (lines, digest), number, "its hash is not the one that was noted")
    if expected is not None and expected[0] > lines:
        return Verdict(lines, (lines, digest), lines + 1, "the line is missing, the log was cut off")
    return Verdict(lines, (lines, digest))
