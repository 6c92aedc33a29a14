"""Loading the seed: any number of times, all or nothing, never over a curator's edit."""

import datetime as dt
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from resources.models import Advice, Condition, Resource, Source, Treatment
from resources.seed_reader import SeedInvalid, read_seed
from resources.seeding import content_hash
from tests.resources.conftest import make_condition

pytestmark = pytest.mark.django_db


def run(folder: Path | None = None, **options: object) -> str:
    out = StringIO()
    if folder is not None:
        options["seed"] = folder
    call_command("load_knowledge_base", stdout=out, **options)
    return out.getvalue()


def change(folder: Path, old: str, new: str) -> None:
    path = folder / "all.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_loads_everything_and_a_second_time_changes_nothing() -> None:
    first = run()
    assert "conditions: 15 created, 0 updated, 0 unchanged" in first
    before = {
        model: list(model.objects.values_list("pk", "updated_at")) for model in (Condition, Treatment, Advice)
    }
    second = run()
    assert "conditions: 0 created, 0 updated, 15 unchanged" in second
    assert "kept" not in second
    after = {
        model: list(model.objects.values_list("pk", "updated_at")) for model in (Condition, Treatment, Advice)
    }
    assert before == after


def test_a_new_seed_replaces_untouched_rows(small_seed: Path) -> None:
    run(small_seed)
    change(small_seed, "A small illness.", "A very small illness.")
    assert "conditions: 0 created, 1 updated, 0 unchanged" in run(small_seed)
    assert Condition.objects.get().what_it_is == "A very small illness."


def test_a_curators_edit_is_never_overwritten(small_seed: Path) -> None:
    run(small_seed)
    Condition.objects.update(what_it_is="Written by a curator.")
    change(small_seed, "A small illness.", "A very small illness.")
    for _time in range(2):
        assert "1 kept as edited here" in run(small_seed)
        assert Condition.objects.get().what_it_is == "Written by a curator."


@pytest.mark.parametrize(
    "edit",
    [{"status": "retired"}, {"reviewed_by": "Dr A, radiologist", "reviewed_on": dt.date(2026, 1, 2)}],
)
def test_status_and_review_count_as_edits(small_seed: Path, edit: dict[str, object]) -> None:
    run(small_seed)
    Treatment.objects.update(**edit)
    change(small_seed, "what_it_involves: Rest.", "what_it_involves: Rest well.")
    assert "treatments: 0 created, 0 updated, 0 unchanged, 1 kept" in run(small_seed)
    treatment = Treatment.objects.get()
    assert treatment.what_it_involves == "Rest."
    assert all(getattr(treatment, name) == value for name, value in edit.items())


def test_changed_links_count_as_edits(small_seed: Path) -> None:
    run(small_seed)
    Resource.objects.get().conditions.clear()
    change(small_seed, "title: A page", "title: Another page")
    run(small_seed)
    assert Resource.objects.get().title == "A page"


def test_an_edit_that_matches_the_new_seed_is_untouched_again(small_seed: Path) -> None:
    run(small_seed)
    Condition.objects.update(summary="Better.")
    change(small_seed, "summary: Small.", "summary: Better.")
    assert "conditions: 0 created, 0 updated, 1 unchanged" in run(small_seed)
    change(small_seed, "summary: Better.", "summary: Best.")
    run(small_seed)
    assert Condition.objects.get().summary == "Best."


def test_line_ends_of_a_form_are_not_an_edit(small_seed: Path) -> None:
    change(small_seed, "what_it_is: A small illness.", 'what_it_is: "One.\\n\\nTwo."')
    run(small_seed)
    Condition.objects.update(what_it_is="One.\r\n\r\nTwo.")
    condition = Condition.objects.get()
    assert content_hash(condition) == condition.seed_hash


def test_a_curators_own_row_wins_over_the_seed(small_seed: Path) -> None:
    make_condition("small", name="Mine")
    out = run(small_seed)
    assert "conditions: 0 created, 0 updated, 0 unchanged, 1 kept" in out
    assert Condition.objects.get().name == "Mine"


def test_a_row_that_left_the_seed_is_retired_unless_edited(small_seed: Path) -> None:
    run(small_seed)
    second = "\n      - {key: walk, kind: exercise, name: Walk, what_it_involves: Walk., sources: [book]}"
    rest = "- {key: rest, kind: self_care, name: Rest, what_it_involves: Rest., sources: [book]}"
    change(small_seed, rest, second.strip())
    assert "1 retired" in run(small_seed)
    assert Treatment.objects.get(name="Rest").status == "retired"
    assert "retired" not in run(small_seed)
    change(small_seed, second.strip(), rest)
    Treatment.objects.filter(name="Walk").update(risks="Mine.")
    run(small_seed)
    assert Treatment.objects.get(name="Rest").status == "published"
    assert Treatment.objects.get(name="Walk").status == "published"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: chest_xray", "kind: foot_xray", "kind: Value 'foot_xray' is not a valid choice."),
        ("name: Small illness", "nmae: Small illness", "nmae: unknown field"),
        ("name: Small illness", "clinical_name: Small illness", "name: is required"),
        ("what_it_is: [book]", "what_it_is: [bok]", "names an unknown source: 'bok'"),
        ("      what_it_is: [book]\n", "", "nothing stands behind 'what_it_is'"),
        ("conditions: [small]", "conditions: [tiny]", "names an unknown condition: 'tiny'"),
        ("urgent:", "hurry:", "'hurry' is not a danger level"),
        ("        carer: {headline: Go today., text: Go., sources: [book]}\n", "", "nothing for 'carer'"),
        ("slug: small\n", "slug: small\n    icd10: XX1\n", "icd10: An ICD-10 code looks like J18.9."),
        ("slug: small\n", "slug: small\n    icd10: J18.7\n", "icd10: ICD-10 of the WHO has no code J18.7."),
        ("name: Small illness", "name: Small illness\n    name: Twice", "the key 'name' is given twice"),
        ("resources:", "resourcs:", "is not a known list"),
        ('url: "https://example.org/book"', "url: not an address", "url: Enter a valid URL."),
        ("review_by: 2027-05-31", "", "review_by: is required"),
        ("sources:\n  - {", "sources:\n  - {key: book, citation: Again.}\n  - {", "the key is already used"),
    ],
)
def test_bad_rows_are_reported_by_line_and_nothing_is_loaded(
    small_seed: Path, old: str, new: str, message: str
) -> None:
    change(small_seed, old, new)
    with pytest.raises(SeedInvalid) as caught:
        read_seed(small_seed)
    assert any(message in str(problem) for problem in caught.value.problems), caught.value.problems
    assert all(problem.where.startswith("all.yaml:") for problem in caught.value.problems)
    with pytest.raises(CommandError, match="nothing was written"):
        call_command("load_knowledge_base", seed=small_seed, stdout=StringIO(), stderr=StringIO())
    assert not Source.objects.exists()


def test_all_problems_are_reported_at_once(small_seed: Path) -> None:
    change(small_seed, "kind: chest_xray", "kind: foot_xray")
    change(small_seed, "conditions: [small]", "conditions: [tiny]")
    errors = StringIO()
    with pytest.raises(CommandError):
        call_command("load_knowledge_base", seed=small_seed, stderr=errors)
    assert len(errors.getvalue().splitlines()) == 2


def test_a_failure_halfway_leaves_nothing_behind(small_seed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("disk")

    monkeypatch.setattr(Resource, "save", broken)
    with pytest.raises(RuntimeError):
        run(small_seed)
    assert not Condition.objects.exists()


def test_check_only_reads(small_seed: Path) -> None:
    assert "no problems" in run(small_seed, check=True)
    assert not Condition.objects.exists()


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError):
        call_command("load_knowledge_base", seed=tmp_path, stderr=StringIO())
