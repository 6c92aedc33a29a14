"""Similar cases with real (tiny) models: import, search only, regions, and a promoted version."""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from inference import services
from inference.atlas import showable
from inference.models import ReferenceImage, ReferenceVector, VectorSpace
from tests.inference import reading_rows as rows
from tests.inference.pictures import picture

pytestmark = pytest.mark.django_db


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Six knees, one of them label only, a missing file, a broken one and an unknown label."""
    folder = tmp_path / "knee_xray"
    folder.mkdir()
    lines = []
    for number in range(6):
        name = f"{number}.png"
        grade = "0" if number < 3 else "4"
        Image.fromarray(picture("knee_xray", grade, number).astype(np.uint8)).save(folder / name)
        lines.append([name, grade, f"p{number}", "mixed" if number == 5 else "CC BY 4.0", "Set"])
    (folder / "broken.png").write_bytes(b"no")
    lines += [
        ["missing.png", "0", "x", "", ""],
        ["broken.png", "0", "x", "", ""],
        ["0.png", "9", "x", "", ""],
    ]
    with (folder / "manifest.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([["file", "label", "patient", "licence", "source"], *lines])
    return folder / "manifest.csv"


def load(manifest: Path) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("import_atlas", str(manifest), stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_import_search_and_promotion(
    models: Any,
    manifest: Path,
    bundle_dir: Path,
    as_user: Any,
    patient: Any,
    run_tasks: Any,
    private_root: Path,
) -> None:
    said, bad = load(manifest)
    assert "6 added (1 by label only)" in said and "3 bad rows" in said
    assert "missing.png" in bad and "broken.png" in bad and "'9'" in bad
    assert "0 added" in load(manifest)[0] and ReferenceImage.objects.count() == 6
    space = VectorSpace.objects.get(model_version=models["knee_xray"])
    assert (space.done, space.total, space.state) == (6, 6, "ready")

    # Promotion: the new version's space is filled in the background, the old one stays as it was.
    from tests.inference.tiny_bundles import make_bundle

    shutil.rmtree(bundle_dir / "knee_xray")
    make_bundle("knee_xray", bundle_dir / "knee_xray", version="0.2.0", seed=8)
    from inference import registry

    version, _new = services.register_bundle(registry.inspect(bundle_dir / "knee_xray"))
    with run_tasks():
        services.activate(version)
    fresh = VectorSpace.objects.get(model_version=version)
    assert (fresh.done, fresh.state) == (6, "ready")
    assert ReferenceVector.objects.filter(model_version=models["knee_xray"]).count() == 6


def test_a_changed_row_is_corrected_and_a_name_is_the_whole_name(models: Any, manifest: Path) -> None:
    load(manifest)
    kept = set(ReferenceImage.objects.values_list("pk", flat=True))
    folder = manifest.parent / "more"
    folder.mkdir()
    Image.fromarray(picture("knee_xray", "4", 9).astype(np.uint8)).save(folder / "0.png")
    text = manifest.read_text().replace("1.png,0,p1,CC BY 4.0", "1.png,0,p1,CC BY-NC 4.0")
    manifest.write_text(text + "more/0.png,4,p9,CC BY 4.0,Set\n")
    said, _bad = load(manifest)
    assert "1 added (0 by label only), 5 known, 1 corrected" in said
    withdrawn = ReferenceImage.objects.get(licence="CC BY-NC 4.0")
    assert withdrawn.pk in kept and not withdrawn.showable
    assert "0 added (0 by label only), 7 known, 0 corrected" in load(manifest)[0]


def test_images_of_an_earlier_version_are_known_by_their_former_key(models: Any, manifest: Path) -> None:
    from inference import atlas

    load(manifest)
    for row in atlas.read(manifest, "knee_xray"):
        if isinstance(row, atlas.AtlasRow):
            ReferenceImage.objects.filter(key=row.key).update(key=row.former_key)
    assert "0 added" in load(manifest)[0] and ReferenceImage.objects.count() == 6


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a\0b.png", None, "NUL"),
        ("x" * 300 + ".png", None, "cannot be looked for"),
        ("deep.png", Image.fromarray(np.full((80, 80), 40_000, np.uint16)), "cannot be opened (ValueError)"),
    ],
)
def test_a_bad_row_is_told_and_the_rest_goes_in(
    models: Any, manifest: Path, name: str, content: Any, said: str
) -> None:
    if content is not None:
        content.save(manifest.parent / name)
    manifest.write_text(manifest.read_text() + f"{name},0,x,,\n")
    out, bad = load(manifest)
    assert "6 added" in out and "4 bad rows" in out and said in bad


def test_the_command_asks_the_gate_and_leaves_the_picture_itself_out(
    models: Any, manifest: Path, settings: Any
) -> None:
    out = io.StringIO()
    asked = {"manifest": manifest, "kind": "knee_xray", "json": True, "stderr": io.StringIO()}
    call_command("similar", str(manifest.parent / "0.png"), stdout=out, **asked)
    assert '"0.png"' not in out.getvalue() and '"1.png"' in out.getvalue()
    with pytest.raises(CommandError, match="damaged|not a|could not|cannot|text"):
        call_command("similar", str(manifest.parent / "broken.png"), stdout=out, **asked)


def test_the_command_evaluates_a_manifest(models: Any, manifest: Path) -> None:
    out = io.StringIO()
    call_command("similar", manifest=manifest, kind="knee_xray", json=True, stdout=out, stderr=io.StringIO())
    assert '"map_at_5"' in out.getvalue() and '"per_class"' in out.getvalue()


@pytest.mark.parametrize(
    ("licence", "may"),
    [
        ("CC BY 4.0", True),
        ("NIH: free use with attribution", True),
        ("mixed, mostly BIMCV-COVID19+", False),
        ("NIH images via RSNA/Kaggle compilation", False),
        ("unclear (web-sourced Kaggle set)", False),
        ("CC0", True),
        ("CC BY-SA 4.0", True),
        ("public domain", True),
        ("CC BY-NC 4.0", False),
        ("CC BY-NonCommercial 4.0", False),
        ("CC BY 4.0, non-commercial use only", False),
        ("CC BY-NC/ND", False),
        ("CC BY (NC)", False),
        ("CC-BY-NC;", False),
        ("CC BY-NoDerivatives 4.0", False),
        ("not public domain", False),
        ("Public domain? unknown", False),
        ("", False),
    ],
)
def test_what_a_licence_allows(licence: str, may: bool) -> None:
    assert showable(licence) is may


def test_another_picture_of_a_known_name_is_not_taken_for_it(models: Any, manifest: Path) -> None:
    load(manifest)
    folder = manifest.parent / "more"
    folder.mkdir()
    Image.fromarray(picture("knee_xray", "4", 9).astype(np.uint8)).save(folder / "0.png")
    text = manifest.read_text()
    header, rest = text.split("\n", 1)
    # Named first, or alone, it has the former key of the picture beside the manifest.
    manifest.write_text(f"{header}\nmore/0.png,4,p9,CC BY 4.0,Set\n{rest}")
    assert "1 added (0 by label only), 6 known, 0 corrected" in load(manifest)[0]
    assert ReferenceImage.objects.get(condition="knee-oa-0", pk__in=_named("0.png")).condition == "knee-oa-0"
    # A second set without a source of its own.
    Image.fromarray(picture("knee_xray", "4", 11).astype(np.uint8)).save(manifest.parent / "1.png")
    manifest.write_text(f"{header}\n1.png,4,p1,CC BY 4.0,Set\n")
    said, bad = load(manifest)
    assert "0 corrected" in said and "a source of its own" in bad


def _named(name: str) -> list[Any]:
    key = hashlib.sha256(f"Set\n{name}".encode()).hexdigest()
    return list(ReferenceImage.objects.filter(key=key).values_list("pk", flat=True))


def test_a_corrected_label_takes_the_heatmap_of_the_old_one_along(
    models: Any, manifest: Path, django_capture_on_commit_callbacks: Any
) -> None:
    load(manifest)
    before = ReferenceImage.objects.get(pk__in=_named("3.png"))
    assert before.heatmap and before.heatmap.storage.exists(str(before.heatmap.name))
    manifest.write_text(manifest.read_text().replace("3.png,4,p3", "3.png,2,p3"))
    with django_capture_on_commit_callbacks(execute=True):
        assert "1 corrected" in load(manifest)[0]
    after = ReferenceImage.objects.get(pk=before.pk)
    assert after.condition == "knee-oa-2" and not after.heatmap
    assert not before.heatmap.storage.exists(str(before.heatmap.name))


def test_an_import_does_not_begin_with_a_model_that_was_just_changed(
    models: Any, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows.model_version(active=False, kind="knee_xray", digit="b")
    monkeypatch.setattr("inference.selectors.active_versions", lambda: {"knee_xray": before})
    with pytest.raises(CommandError, match="was just changed"):
        load(manifest)
    assert not ReferenceImage.objects.exists()
