"""Files in and out: all rows or none, problems by row, and what comes in waits for review."""

import csv
import io
import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from resources import services
from resources.desk import transfer
from resources.models import Condition, Resource, Revision, Translation, Treatment
from tests.resources.conftest import make_condition, make_source, make_treatment
from tests.resources.test_desk import browser
from tests.resources.test_services import NEXT_YEAR, member

pytestmark = pytest.mark.django_db


@pytest.fixture
def writer() -> Any:
    return member("Curator")


def as_csv(rows: list[dict[str, str]]) -> bytes:
    out = io.StringIO()
    sheet = csv.DictWriter(out, list(rows[0]))
    sheet.writeheader()
    sheet.writerows(rows)
    return out.getvalue().encode()


def gel(**values: str) -> dict[str, str]:
    row = {
        "condition": "made-up",
        "name": "Gel",
        "kind": "medicine",
        "what_it_involves": "Rub it on.",
        "sources": "A book.",
        "review_by": NEXT_YEAR,
    }
    return {**row, **values}


@pytest.mark.usefixtures("knowledge_base")
@pytest.mark.parametrize("format", ["csv", "json"])
@pytest.mark.parametrize("name", list(transfer.COLUMNS))
def test_what_goes_out_comes_in_again_unchanged(name: str, format: str, writer: Any) -> None:
    text = transfer.export(name, format)
    report = transfer.read(name, f"x.{format}", text.encode(), writer)
    assert report.problems == []
    assert (report.created, report.changed) == (0, 0)
    assert report.unchanged > 10
    assert not Revision.objects.exists()


@pytest.mark.usefixtures("knowledge_base")
def test_an_edited_export_becomes_drafts(writer: Any) -> None:
    rows = json.loads(transfer.export("condition", "json"))
    glioma = next(row for row in rows if row["slug"] == "glioma")
    glioma["summary"] = "New <b>words</b>."
    report = transfer.read("condition", "x.json", json.dumps(rows).encode(), writer)
    assert (report.problems, report.changed) == ([], 1)
    condition = Condition.objects.get(slug="glioma")
    assert condition.summary != "New words."
    revision = services.open_revision(condition)
    assert revision is not None and revision.content["summary"] == "New words."


def test_new_rows_are_drafts(writer: Any) -> None:
    condition = make_condition()
    make_source("A book.")
    report = transfer.read("treatment", "x.csv", as_csv([gel()]), writer)
    assert (report.problems, report.created) == ([], 1)
    treatment = condition.treatments.get()
    assert treatment.status == "draft" and treatment.sources.get().citation == "A book."


@pytest.mark.parametrize(
    ("bad", "column", "message"),
    [
        ({"condition": "nowhere"}, "condition", "There is no condition “nowhere”."),
        ({"sources": ""}, "sources", "Every text needs at least one source."),
        ({"sources": "A film."}, "sources", "There is no source “A film.”"),
        ({"kind": "magic"}, "kind", "not a valid choice"),
        ({"name": ""}, "name", "needed to tell"),
        ({"name": "Gel"}, "name", "already in row 1"),
        ({"review_by": "soon"}, "review_by", "date"),
        ({"position": "first"}, "position", "whole number"),
        ({"colour": "red"}, "colour", "no such column"),
    ],
)
def test_one_bad_row_stops_all_and_is_named(
    writer: Any, bad: dict[str, str], column: str, message: str
) -> None:
    make_condition()
    make_source("A book.")
    second = gel(name="Cream", **{k: v for k, v in bad.items() if k != "name"}) | bad
    first = gel(**{key: "" for key in second if key not in gel()})
    report = transfer.read("treatment", "x.csv", as_csv([first, second]), writer)
    assert not Treatment.objects.exists() and not Revision.objects.exists()
    found = [problem for problem in report.problems if problem.column == column]
    assert found and message in found[-1].message, report.problems
    assert found[-1].row == 2


def test_bad_codes_and_duplicate_slugs_of_conditions(writer: Any) -> None:
    make_source("A book.")
    row = {
        "slug": "new",
        "name": "New",
        "kind": "chest_xray",
        "summary": "S",
        "what_it_is": "W",
        "how_confirmed": "H",
        "red_flags": ["R"],
        "outlook_treated": "O",
        "sources_what_it_is": ["A book."],
    }
    rows = [{**row, "icd10": "J999999"}, row, {**row, "slug": "other", "snomed": "123"}]
    rows.append({**row, "slug": "third", "icd10": "J18.7"})  # the right shape, and no code
    report = transfer.read("condition", "x.json", json.dumps(rows).encode(), writer)
    named = {(problem.row, problem.column) for problem in report.problems}
    assert {(1, "icd10"), (2, "slug"), (3, "snomed"), (4, "icd10")} <= named
    assert not Condition.objects.exists()


@pytest.mark.parametrize(
    ("filename", "data", "message"),
    [
        ("x.csv", b"\xff\xfe\x00", "not UTF-8"),
        ("x.json", b"{", "not valid JSON"),
        ("x.json", b"[1]", "a list of objects"),
        ("x.csv", b"", "no rows"),
        ("x.csv", b'name\n"open', "not valid CSV"),
        ("x.csv", b"a\x00b", "not plain text"),
    ],
)
def test_files_that_are_no_tables(writer: Any, filename: str, data: bytes, message: str) -> None:
    report = transfer.read("resource", filename, data, writer)
    assert [p.row for p in report.problems] == [0] and message in report.problems[0].message


def test_a_spreadsheet_runs_nothing() -> None:
    Resource.objects.create(kind="article", title="=1+1", publisher="P", url="https://a.example/")
    assert ",'=1+1," in transfer.export("resource", "csv")


def test_the_page(writer: Any) -> None:
    make_treatment(make_condition())
    make_source("A book.")
    client, url = browser(writer), reverse("admin:resources_import")
    assert client.get(url).status_code == 200
    assert "Choose what the file holds" in client.post(url, {"name": "treatment"}).content.decode()
    upload = SimpleUploadedFile("x.csv", as_csv([gel(sources="Nothing")]))
    shown = client.post(url, {"name": "treatment", "file": upload}).content.decode()
    assert "1 problem. Nothing was kept." in shown and "There is no source" in shown
    upload = SimpleUploadedFile("x.csv", as_csv([gel()]))
    assert client.post(url, {"name": "treatment", "file": upload}).status_code == 302
    out = client.get(reverse("admin:resources_export", args=["treatment", "csv"]))
    assert out["Content-Disposition"] == 'attachment; filename="pmi-treatment.csv"'
    assert "Gel" in out.content.decode()


def test_publishers_read_files_out_but_not_in() -> None:
    client = browser(member("Publisher"))
    assert client.get(reverse("admin:resources_import")).status_code == 403
    assert client.get(reverse("admin:resources_export", args=["resource", "json"])).status_code == 200


@pytest.mark.usefixtures("knowledge_base")
class TestTranslations:
    def row(self, **values: str) -> dict[str, str]:
        return {
            "of": "treatment:glioma/Operation",
            "language": "fr",
            "name": "Opération",
            "review_by": NEXT_YEAR,
            **values,
        }

    def test_a_new_one_becomes_a_draft(self, writer: Any) -> None:
        report = transfer.read("translation", "x.csv", as_csv([self.row(benefits="")]), writer)
        assert (report.problems, report.created) == ([], 1)
        made = Translation.objects.get(language="fr")
        assert (str(made.original), made.status, made.texts) == ("Operation", "draft", {"name": "Opération"})

    def test_a_changed_one_keeps_the_texts_that_the_file_does_not_have(self, writer: Any) -> None:
        row = {"of": "condition:glioma", "language": "es", "name": "Glioma (tumor)"}
        report = transfer.read("translation", "x.csv", as_csv([row]), writer)
        assert (report.problems, report.changed) == ([], 1)
        revision = Revision.objects.get()
        assert revision.content["texts"]["name"] == "Glioma (tumor)"
        assert len(revision.content["texts"]["red_flags"]) == 6

    @pytest.mark.parametrize(
        ("change", "column", "words"),
        [
            ({"of": "treatment:glioma/Nonsense"}, "of", "no entry"),
            ({"of": ""}, "of", "no entry"),
            ({"language": ""}, "language", "needed"),
            ({"language": "Spanish"}, "language", "language code"),
            ({"headline": "Vaya."}, "headline", "no such text"),
            ({"name": ""}, "name", "translated texts"),
            ({"review_by": "soon"}, "review_by", "date"),
            ({"colour": "red"}, "colour", "no such column"),
        ],
    )
    def test_problems_are_named_and_nothing_is_kept(
        self, writer: Any, change: dict[str, str], column: str, words: str
    ) -> None:
        fine = self.row(of="treatment:meningioma/Operation")
        odd = self.row(**change)
        rows = [{**dict.fromkeys(odd, ""), **fine}, odd]
        if "colour" in change:
            rows = [odd]
        report = transfer.read("translation", "x.csv", as_csv(rows), writer)
        assert [(p.column, words in p.message) for p in report.problems] == [(column, True)]
        assert not Revision.objects.exists()

    def test_the_same_twice(self, writer: Any) -> None:
        report = transfer.read("translation", "x.csv", as_csv([self.row(), self.row()]), writer)
        assert "already in row 1" in report.problems[0].message
