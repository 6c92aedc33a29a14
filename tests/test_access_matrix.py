"""Every route and every method against every kind of person: who is let in is what the table says.

The routes come from the URL configuration: a new one without a rule fails here. `tests/access_rules.py` has
the table and how to add to it. Every request is rolled back, so that each meets the same world.
"""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.core.files.base import ContentFile
from django.db import transaction
from django.test import Client
from django.urls import NoReverseMatch, URLPattern, reverse

from accounts import access_log, care, services
from accounts.models import AccessLog, CareRelationship, DataExport, Notice
from cases import second_reader, sharing
from cases.models import FollowUp, Review, WorklistView
from inference.models import ReferenceImage, SimilarSearch
from tests import factories
from tests.access_rules import ROLES, RULES, rule_for
from tests.inference import reading_rows
from tests.inference.reviewed import correct, sign
from tests.test_architecture import COUNTED, SAMPLE_ARGUMENTS, routes

# Letters that stand for several answers.
ALSO = {"a": {"o", "n"}, "k": {"o", "l"}, "d": {"o", "f", "n"}}
METHODS = ("get", "post", "put", "patch", "delete")
# Logging out ends the session that the other requests need; the administration is walked by its own tests.
NOT_WALKED = {"account_logout", "admin:logout", "account_confirm_login_code"}


class World:
    """One patient with everything, and people around them."""

    def __init__(self, settings: Any) -> None:
        settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
        patient = factories.UserFactory.create()
        self.people: dict[str, Any] = {
            "owner": patient,
            "granted_doctor": factories.DoctorFactory.create(),
            "case_doctor": factories.DoctorFactory.create(),
            "revoked_doctor": factories.DoctorFactory.create(),
            "other_doctor": factories.DoctorFactory.create(),
            "unverified_doctor": factories.UnverifiedDoctorFactory.create(),
            "other_patient": factories.UserFactory.create(),
            "admin": factories.AdminFactory.create(),
            "anonymous": None,
        }
        assert tuple(self.people) == ROLES
        scan = factories.ScanFactory.create(case__patient=patient)
        self.case = scan.case
        other = factories.ScanFactory.create(case=self.case)
        analysis = reading_rows.reading(scan, heat=True)
        about_other = reading_rows.reading(other)
        finding = analysis.findings.get(rank=0)
        grant = factories.CareRelationshipFactory.create(
            patient=patient, doctor=self.people["granted_doctor"]
        )
        self._grant_one_case(patient)
        revoked = factories.CareRelationshipFactory.create(
            patient=patient, doctor=self.people["revoked_doctor"]
        )
        care.revoke_access(patient, revoked.pk)
        self.link = sharing.make_link(self.case, patient)
        token, _key = services.create_token(patient, "x")
        other_doctor = self.people["other_doctor"]
        invited = care.invite_by_email(patient, other_doctor.email)
        asked = care.request_access(other_doctor, patient.email)
        export = DataExport.objects.create(user=patient, state="done")
        export.archive.save("exports/x/pmi.zip", ContentFile(b"x"))
        reference = ReferenceImage(
            kind="chest_xray", source="atlas", condition="pneumonia", key="k", showable=True
        )
        reference.picture.save("picture.png", ContentFile(b"x"))
        due = FollowUp.objects.create(
            case=self.case, created_by=patient, due_on="2099-01-01", text="Look again"
        )
        self.ids: dict[str, Any] = {
            "case_id": self.case.pk,
            "scan_id": scan.pk,
            "other_id": other.pk,
            "analysis_id": analysis.pk,
            "finding_id": finding.pk,
            "patient_id": patient.pk,
            "reference_id": reference.pk,
            "grant_id": grant.pk,
            "held_id": grant.pk,
            "invitation_id": invited.pk,
            "received_id": invited.pk,
            "request_id": asked.pk,
            "sent_id": asked.pk,
            "link_id": self.link.link.pk,
            "follow_up_id": due.pk,
            "token_id": token.pk,
            "notice_id": Notice.objects.create(user=patient, kind="care_requested").pk,
            "export_id": export.pk,
            "token": self.link.token,
            "view_id": WorklistView.objects.create(owner=self.people["granted_doctor"], name="x").pk,
            "session_id": UserSession.objects.create(user=patient, ip="192.0.2.1", session_key="x").pk,
            "search_id": SimilarSearch.objects.create(owner=patient).pk,
        }
        self.pks = {"v1:case-": self.case.pk, "v1:scan-": scan.pk, "v1:analysis-": analysis.pk}
        self.pks["v1:model-version-"] = analysis.model_version_id
        self.pks |= {"v1:care-grant-": grant.pk, "v1:care-invitation-": invited.pk}
        self.pks["v1:similar-"] = self.ids["search_id"]
        self.pks["v1:review-"] = sign(about_other, self.people["granted_doctor"]).pk

    def _grant_one_case(self, patient: Any) -> None:
        values: dict[str, Any] = {"patient": patient, "doctor": self.people["case_doctor"]}
        if any(field.name == "case" for field in CareRelationship._meta.get_fields()):
            values["case"] = self.case
        factories.CareRelationshipFactory.create(**values)

    def arguments(self, name: str, entry: URLPattern) -> dict[str, Any]:
        """The ids of this world for a route."""
        # Changing a passkey asks first who one is, whoever it belongs to.
        found: dict[str, Any] = {"pk": 1} if name in COUNTED else {}
        for key in entry.pattern.regex.groupindex:
            if key == "pk":
                own = [pk for start, pk in self.pks.items() if name.startswith(start)]
                found[key] = own[0] if own else SAMPLE_ARGUMENTS["pk"]
            elif key == "object_id":
                found[key] = str(self.people["owner"].pk)
            elif key in self.ids:
                found[key] = self.ids[key]
            else:
                found[key] = SAMPLE_ARGUMENTS.get(key, uuid.uuid4())
        return found

    def client(self, role: str) -> Client:
        """A browser of this person."""
        client = Client(raise_request_exception=False)
        if self.people[role] is not None:
            client.force_login(self.people[role], backend="django.contrib.auth.backends.ModelBackend")
        return client


@pytest.fixture
def world(db: None, settings: Any) -> World:
    """Everything that a route may ask for."""
    return World(settings)


def walked_routes() -> Iterator[tuple[str, URLPattern]]:
    """Every route once. The API's addresses with a format at the end are the same views."""
    for name, (_prefix, entry) in routes():
        if "format" not in entry.pattern.regex.groupindex and name not in NOT_WALKED:
            yield name, entry


def address_in(world: World, name: str, entry: URLPattern) -> str | None:
    """The address of a route in this world; None where nothing fits its arguments."""
    try:
        return reverse(name, kwargs=world.arguments(name, entry))
    except NoReverseMatch:
        return None


def outcome(answer: Any) -> str:
    """The letter of what came back."""
    if answer.status_code >= 500:
        return f"error {answer.status_code}"
    if answer.status_code == 405:
        return "405"
    location = answer.headers.get("Location", "")
    if answer.status_code == 302 and "/shared/" in location:
        return "p"
    if answer.status_code == 401 or (answer.status_code == 302 and "/login/" in location):
        return "l"
    return {403: "f", 404: "n"}.get(answer.status_code, "o")


def test_every_route_has_a_rule() -> None:
    without = sorted({name for name, _entry in walked_routes() if rule_for(name) is None})
    assert not without, f"Add these to RULES in tests/access_rules.py: {', '.join(without)}"


def test_every_rule_names_a_route_that_exists() -> None:
    names = {name for name, _entry in walked_routes()} | {"inference:shared_*"}
    for rule, patterns in RULES.items():
        assert len(rule.read) == len(rule.write) == len(ROLES), rule.why
        for pattern in patterns:
            assert any(name.startswith(pattern.rstrip("*")) for name in names), pattern


@pytest.mark.parametrize("role", ROLES)
def test_who_is_let_in(world: World, role: str) -> None:
    """One kind of person at every door."""
    client, wrong, asked = world.client(role), [], 0
    cookies = {name: morsel.value for name, morsel in client.cookies.items()}
    for name, entry in walked_routes():
        rule, address = rule_for(name), address_in(world, name, entry)
        if rule is None or address is None:
            continue
        for method in METHODS:
            with transaction.atomic():
                # Some answers end the session; the next request starts from the same one.
                client.cookies.load(cookies)
                met = outcome(getattr(client, method)(address))
                transaction.set_rollback(True)
            asked += 1
            wanted = rule.expected(role, method)
            if met not in ALSO.get(wanted, {wanted}) | {"405"}:
                wrong.append(f"{method.upper()} {name}: {met}, not {wanted} ({rule.why})")
    assert asked > 300
    assert not wrong, f"{role}:\n" + "\n".join(wrong)


@pytest.mark.parametrize("role", ["owner", "granted_doctor", "case_doctor"])
def test_every_read_of_a_patients_things_is_logged(world: World, role: str) -> None:
    """Pages, fragments, files, reports and the API: whoever reads leaves a line that the patient sees."""
    client, silent, others = world.client(role), [], {}
    patient = world.people["owner"]
    for name, entry in walked_routes():
        address = address_in(world, name, entry)
        personal = {"case_id", "scan_id", "analysis_id", "finding_id", "patient_id"}
        named = set(entry.pattern.regex.groupindex) & personal
        if not (named or name.startswith(PERSONAL)) or address is None:
            continue
        if name in SHOWS_NOTHING or name in LISTED:
            continue
        for query in ("", *ALSO_ASKED.get(name, ())):
            with transaction.atomic():
                before = AccessLog.objects.about(patient).count()
                answer = client.get(address + query)
                if answer.status_code != 200:
                    others[name + query] = answer.status_code
                elif AccessLog.objects.about(patient).count() == before:
                    silent.append(name + query)
                transaction.set_rollback(True)
    assert not silent, f"Read by {role} without a line in the log: {', '.join(silent)}"
    assert others == NO_PAGE | (NO_PAGE_FOR_OWNERS if role == "owner" else {})


# What answers a reader with something else than 200, and so need not leave a line: forms that are only sent,
# ways to another address (that of a shared page to its PIN), what is for doctors alone.
NO_PAGE = {
    "admin:inference_try_again": 302,
    "cases:revoke_share": 405,
    "cases:upload": 405,
    "inference:analysis_fragment": 302,
    "inference:ask_second_reader": 405,
    "inference:read_again": 405,
    "inference:shared_heatmap": 302,
    "inference:shared_picture": 302,
    "inference:shared_report": 302,
    "inference:shared_scan": 302,
    "v1:analysis-reread": 405,
    "v1:review-amend": 405,
    "v1:review-sign": 405,
    "v1:worklist-seen": 405,
}
NO_PAGE_FOR_OWNERS = {"inference:patient_record": 302, "inference:review": 403}
# Of one person, though named by a plain key.
PERSONAL = ("v1:case-", "v1:scan-", "v1:analysis-", "v1:review-")
# What shows something else when it is asked so.
ALSO_ASKED = {"inference:analysis_fragment": ("?as=card",), "inference:heatmap_volume": ("?display=1",)}
# Forms of the patient about their own things: they show the reader nothing that is not theirs.
SHOWS_NOTHING = {
    "cases:edit",
    "cases:delete",
    "cases:scan_delete",
    "cases:share",
    "inference:case_symptoms",
}


LISTED = {
    "v1:case-list": "list_cases",
    "v1:scan-list": "list_scans",
    "v1:analysis-list": "list_analyses",
    "v1:review-list": "list_reviews",
    "v1:review-disagreements": "list_disagreements",
}


@pytest.mark.parametrize("name", LISTED)
def test_lists_over_the_api_are_logged_for_others(world: World, name: str) -> None:
    patient = world.people["owner"]
    review = Review.objects.get(pk=world.pks["v1:review-"])
    second_reader.ask(world.people["granted_doctor"], review.scan, world.people["case_doctor"].pk)
    correct(review.scan.analyses.get(), world.people["case_doctor"], seat="second")
    before = AccessLog.objects.about(patient).count()
    # What doctors differ on is theirs alone to look through.
    wanted = 403 if name == "v1:review-disagreements" else 200
    assert world.client("owner").get(reverse(name)).status_code == wanted
    assert AccessLog.objects.about(patient).count() == before
    assert world.client("granted_doctor").get(reverse(name)).status_code == 200
    assert AccessLog.objects.about(patient).filter(action=LISTED[name]).exists()
    access_log.seal()
    assert access_log.verify().holds
