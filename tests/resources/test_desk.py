"""The pages of the desk: what waits, a revision, preview, coverage, files."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from resources import coverage, services
from resources.models import Advice, Condition, LinkCheck, Resource, Revision, Translation, Treatment
from tests.factories import UserFactory
from tests.resources.conftest import make_condition, make_source, make_treatment
from tests.resources.test_services import NEXT_YEAR, member

pytestmark = pytest.mark.django_db


def browser(user: Any) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def writer() -> Any:
    return member("Curator")


@pytest.fixture
def publisher() -> Any:
    return member("Publisher")


@pytest.fixture
def revision(writer: Any) -> Revision:
    treatment = make_treatment(make_condition())
    treatment.sources.add(make_source())
    return services.save_draft(treatment, {"risks": "It may itch.", "review_by": NEXT_YEAR}, writer)


def page_of(revision: Revision) -> str:
    return reverse("admin:resources_revision_change", args=[revision.pk])


def form_data(form: Any) -> dict[str, Any]:
    data = {name: form[name].value() for name in form.fields}
    data = {name: "\n".join(v) if name in ("red_flags", "aliases") else v for name, v in data.items()}
    return {name: "" if value is None else value for name, value in data.items()}


@pytest.mark.usefixtures("knowledge_base")
@pytest.mark.parametrize("name", ["condition", "treatment", "advice", "resource", "translation", "source"])
@pytest.mark.parametrize("group", ["Curator", "Publisher"])
def test_members_open_every_list_and_entry(group: str, name: str, django_assert_max_num_queries: Any) -> None:
    client = browser(member(group))
    with django_assert_max_num_queries(22):
        listed = client.get(reverse(f"admin:resources_{name}_changelist"), {"q": "pneumonia"})
    assert listed.status_code == 200
    row = listed.context["cl"].queryset.first()
    if row is not None:
        assert client.get(reverse(f"admin:resources_{name}_change", args=[row.pk])).status_code == 200
    added = client.get(reverse(f"admin:resources_{name}_add"))
    assert added.status_code == (200 if group == "Curator" else 403)


@pytest.mark.usefixtures("knowledge_base")
def test_saving_the_form_makes_a_draft_and_leaves_the_published_text(writer: Any) -> None:
    client = browser(writer)
    condition = Condition.objects.get(slug="glioma")
    url = reverse("admin:resources_condition_change", args=[condition.pk])
    data = form_data(client.get(url).context["adminform"].form)
    cited = condition.citations.count()
    data["red_flags"] = "First sign\r\n\r\n  Second sign  \r\n"
    response = client.post(url, data)
    assert response.status_code == 302, response.context["errors"]
    revision = services.open_revision(condition)
    assert revision is not None
    assert response["Location"] == page_of(revision)
    condition.refresh_from_db()
    assert condition.red_flags != ["First sign", "Second sign"]
    assert revision.content["red_flags"] == ["First sign", "Second sign"]
    assert revision.content["slug"] == "glioma" and len(revision.content["citations"]) == cited
    # The next writer goes on from the draft; somebody with the old page open is told.
    form = client.get(url).context["adminform"].form
    assert "First sign" in str(form["red_flags"])
    stale = client.post(url, data)
    assert stale.status_code == 200 and b"since you opened it" in stale.content


def test_a_new_treatment_from_the_form(writer: Any) -> None:
    condition, source = make_condition(), make_source()
    client = browser(writer)
    url = reverse("admin:resources_treatment_add")
    data = form_data(client.get(url).context["adminform"].form)
    data |= {"condition": condition.pk, "kind": "medicine", "name": "Gel", "what_it_involves": "Rub it on."}
    data |= {"sources": [source.pk], "review_by": NEXT_YEAR}
    response = client.post(url, data)
    assert response.status_code == 302, response.context["errors"]
    treatment = Treatment.objects.get(name="Gel")
    assert treatment.status == "draft" and treatment.sources.get() == source


def test_a_translation_is_written_field_by_field(writer: Any) -> None:
    condition = make_condition()
    client = browser(writer)
    url = reverse("admin:resources_translation_add")
    data = form_data(client.get(url).context["adminform"].form)
    response = client.post(url, {**data, "language": "es"})
    assert b"Choose one condition" in response.content
    response = client.post(url, {**data, "language": "es", "condition": condition.pk})
    assert response.status_code == 302, response.context["errors"]
    row = condition.translations.get()
    url = reverse("admin:resources_translation_change", args=[row.pk])
    form = client.get(url).context["adminform"].form
    assert "English: Made-up illness" in str(form["text_name"].help_text)
    data = {**form_data(form), "text_name": "Enfermedad", "text_red_flags": "Una\nDos", "text_aliases": ""}
    assert client.post(url, data).status_code == 302
    row.refresh_from_db()
    assert row.texts == {"name": "Enfermedad", "red_flags": ["Una", "Dos"]}


def test_review_send_back_and_publish(revision: Revision, writer: Any, publisher: Any) -> None:
    write, read = browser(writer), browser(publisher)
    shown = write.get(page_of(revision)).content.decode()
    assert "It may itch." in shown and "Publish" not in shown
    write.post(page_of(revision), {"act": "submit"})
    assert "somebody else has to publish" in write.get(page_of(revision)).content.decode()
    assert read.post(page_of(revision), {"act": "send_back", "note": ""}, follow=True).status_code == 200
    read.post(page_of(revision), {"act": "send_back", "note": "Where?"})
    assert "Where?" in write.get(page_of(revision)).content.decode()
    write.post(page_of(revision), {"act": "submit"})
    assert write.post(page_of(revision), {"act": "publish", "version": 1}).status_code == 403
    assert Treatment.objects.get().risks == ""
    read.post(page_of(revision), {"act": "publish", "version": "x"})
    assert Treatment.objects.get().risks == ""
    read.post(page_of(revision), {"act": "publish", "version": 1})
    assert Treatment.objects.get().risks == "It may itch."
    history = reverse("admin:resources_treatment_history", args=[revision.object_id])
    assert "It may itch." in read.get(history).content.decode()


def test_discard(revision: Revision, writer: Any) -> None:
    browser(writer).post(page_of(revision), {"act": "discard"})
    revision.refresh_from_db()
    assert revision.state == "discarded"


def test_preview_shows_the_draft_on_the_public_page(revision: Revision, publisher: Any) -> None:
    preview = reverse("admin:resources_revision_preview", args=[revision.pk])
    shown = browser(publisher).get(preview).content.decode()
    assert "It may itch." in shown and "Preview." in shown
    public = Client().get("/conditions/made-up/").content.decode()
    assert "It may itch." not in public


@pytest.mark.usefixtures("knowledge_base")
@pytest.mark.parametrize(
    ("model", "change"),
    [
        ("condition", {"summary": "Quite new words."}),
        ("advice", {"headline": "Quite new words."}),
        ("resource", {"title": "Quite new words."}),
    ],
)
def test_preview_of_every_kind(writer: Any, model: str, change: dict[str, str]) -> None:
    condition = Condition.objects.get(slug="glioma")
    row = {
        "condition": condition,
        "advice": condition.advice.filter(audience="patient").first(),
        "resource": condition.resources.first(),
    }[model]
    revision = services.save_draft(row, change, writer)
    preview = reverse("admin:resources_revision_preview", args=[revision.pk])
    assert "Quite new words." in browser(writer).get(preview).content.decode()


def test_the_desk_lists_what_waits(revision: Revision, publisher: Any) -> None:
    make_condition("old", review_by="2020-01-01", name="Old text")
    LinkCheck.objects.create(
        url="https://gone.example/",
        checked_at="2026-01-01T00:00Z",
        is_ok=False,
        problem="the site answers 404",
    )
    shown = browser(publisher).get(reverse("admin:resources_desk")).content.decode()
    for words in ("Rest", "Old text", "was due on", "https://gone.example/", "read by no clinician"):
        assert words in shown


@pytest.mark.usefixtures("knowledge_base")
def test_coverage_names_holes_in_words(publisher: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = [
        coverage.Label("brain_mri 1", "glioma", "glioma"),
        coverage.Label("brain_mri 1", "odd", "nothing-such"),
    ]
    monkeypatch.setattr(coverage, "_providers", [lambda: labels])
    shown = browser(publisher).get(reverse("admin:resources_coverage")).content.decode()
    table = shown[shown.index("<tbody>") :]
    assert table.count("missing") == len(coverage.headings())
    assert [line.split(" ")[0] for line in coverage.uncovered(labels)] == ["odd"]
    Resource.objects.all().delete()
    assert "glioma (glioma): Help in" in coverage.uncovered(labels)[0]


@pytest.mark.usefixtures("knowledge_base")
def test_the_seed_leaves_no_hole_for_any_label() -> None:
    from ml_training.labels import TASKS

    labels = [
        coverage.Label(kind, label.name, label.condition)
        for kind, task in TASKS.items()
        if kind != "gate"
        for label in task.labels
    ]
    assert {row.label.condition: row.holes for row in coverage.coverage(labels) if row.holes} == {}


@pytest.mark.usefixtures("knowledge_base")
@pytest.mark.parametrize(
    ("rows", "hole", "note", "holds_back"),
    [
        ({"condition__slug": "glioma", "language": "es"}, "Texts in “es”", "names, warning signs", False),
        ({"advice__condition__slug": "glioma", "language": "hi"}, "Texts in “hi”", "pieces of advice", False),
        ({"audience": "doctor", "danger_level": "urgent"}, "Urgent", "Doctor", False),
        ({"audience": "patient", "danger_level": "soon"}, "Soon", "", True),
    ],
)
def test_holes_for_other_readers_do_not_hold_a_model_back(
    rows: dict[str, str], hole: str, note: str, holds_back: bool
) -> None:
    label = coverage.Label("brain_mri 1", "glioma", "glioma")
    (Translation if "language" in rows else Advice).objects.filter(**rows).delete()
    (row,) = coverage.coverage([label])
    assert row.holes == [hole]
    (cell,) = [cell for cell in row.cells if not cell.is_there]
    assert note in cell.note
    assert bool(coverage.uncovered([label])) is holds_back


@pytest.mark.parametrize("name", ["desk", "coverage", "import"])
def test_outsiders_see_no_page(name: str, revision: Revision) -> None:
    url = reverse(f"admin:resources_{name}")
    assert Client().get(url).status_code == 302
    assert browser(UserFactory.create()).get(url).status_code == 302
    assert browser(member()).get(url).status_code == 403
    assert browser(member()).get(page_of(revision)).status_code == 403
    assert browser(member()).post(page_of(revision), {"act": "discard"}).status_code == 403
    preview = reverse("admin:resources_revision_preview", args=[revision.pk])
    assert browser(member()).get(preview).status_code == 403


def test_bad_ids(publisher: Any) -> None:
    client = browser(publisher)
    for key in ("nonsense", "7d7d8f1c-3f6e-4a52-9df4-3f5b2f5f8a10"):
        assert client.get(f"/admin/resources/revision/{key}/change/").status_code == 404
    assert client.get("/admin/resources/revision/export/users.csv").status_code == 404
    assert client.get("/admin/resources/revision/export/condition.exe").status_code == 404


def test_nobody_deletes(revision: Revision) -> None:
    root = UserFactory.create(is_staff=True, is_superuser=True)
    url = reverse("admin:resources_treatment_delete", args=[revision.object_id])
    assert browser(root).post(url).status_code == 403


def test_lists_send_to_review_and_retire(revision: Revision, writer: Any, publisher: Any) -> None:
    url = reverse("admin:resources_treatment_changelist")
    chosen = {"_selected_action": [revision.object_id]}
    browser(writer).post(url, {"action": "send_to_review", **chosen})
    revision.refresh_from_db()
    assert revision.state == "in_review"
    browser(writer).post(url, {"action": "retire", **chosen})
    assert Treatment.objects.get().status == "published"
    browser(publisher).post(url, {"action": "retire", **chosen})
    assert Treatment.objects.get().status == "retired"
