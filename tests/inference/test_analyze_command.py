"""`manage.py analyze`: files, folders, zips and manifests, without a database."""

import csv
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from tests.inference.pictures import picture

KEYS = {
    "file", "status", "reason", "kind", "model", "version", "danger", "findings", "probabilities",
    "timings_ms",
}  # fmt: skip


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    for name, kind, label in (
        ("chest.png", "chest_xray", "pneumonia|bacterial"),
        ("sub/knee.png", "knee_xray", "4"),
        ("brain.png", "brain_mri", "glioma"),
    ):
        Image.fromarray(picture(kind, label, 42).astype("uint8")).save(folder / name)
    (folder / "letter.pdf").write_bytes(b"%PDF-1.4 no scan here")
    (folder / "empty.png").write_bytes(b"")
    return folder


def analyze(*args, **options):
    out, err = io.StringIO(), io.StringIO()
    call_command("analyze", *[str(arg) for arg in args], stdout=out, stderr=err, **options)
    lines = out.getvalue().splitlines()
    return [json.loads(line) for line in lines] if options.get("json") else lines


def test_a_folder(bundle_dir, pictures):
    answers = analyze(pictures, json=True)
    assert all(set(answer) == KEYS for answer in answers)
    by_name = {Path(answer["file"]).name: answer for answer in answers}
    assert set(by_name) == {"chest.png", "knee.png", "brain.png", "letter.pdf", "empty.png"}
    chest = by_name["chest.png"]
    assert (chest["status"], chest["kind"], chest["danger"]) == ("succeeded", "chest_xray", "urgent")
    assert chest["findings"][0]["condition"] == "pneumonia"
    assert set(chest["findings"][0]) == {"label", "condition", "probability", "call"}
    assert list(chest["probabilities"]) == ["no_finding", "pneumonia", "bacterial", "viral", "covid19"]
    assert chest["timings_ms"]["forward"] > 0
    assert (chest["model"], chest["version"]) == ("PMI chest_xray", "0.1.0")
    for name in ("letter.pdf", "empty.png"):
        assert by_name[name]["status"] == "rejected"
        assert by_name[name]["reason"]
        assert by_name[name]["danger"] == "inconclusive"


def test_a_manifest_keeps_its_names_order_and_age(bundle_dir, pictures):
    manifest = pictures / "manifest.csv"
    rows = [("sub/knee.png", "adult"), ("gone.png", "adult"), ("chest.png", "child"), ("brain.png", "")] * 5
    with manifest.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["file", "age_group"])
        writer.writerows(rows)
    answers = analyze(manifest=manifest, json=True)
    assert [answer["file"] for answer in answers] == [name for name, _ in rows]
    assert [answer["status"] for answer in answers[:4]] == ["succeeded", "failed", "succeeded", "succeeded"]
    assert "not found" in answers[1]["reason"]


def test_a_kind_that_does_not_fit(bundle_dir, pictures):
    (answer,) = analyze(pictures / "sub" / "knee.png", kind="chest_xray", json=True)
    assert (answer["status"], answer["kind"]) == ("rejected", "knee_xray")
    assert "knee" in answer["reason"]


def test_a_zip_is_opened(bundle_dir, pictures, tmp_path):
    archive = tmp_path / "scans.zip"
    with zipfile.ZipFile(archive, "w") as handle:
        handle.write(pictures / "chest.png", "one.png")
        handle.write(pictures / "brain.png", "two.png")
    answers = analyze(archive, json=True)
    assert [answer["file"] for answer in answers] == [str(archive)] * 2
    assert {answer["kind"] for answer in answers} == {"chest_xray", "brain_mri"}


def test_films_of_one_series_answer_under_their_own_names(bundle_dir, samples_dir):
    """Both files carry the same series number, but they are two films."""
    films = [samples_dir / name for name in ("cxr_rsna_jpeg.dcm", "cxr_rsna_tag_says_monochrome1.dcm")]
    answers = analyze(*films, samples_dir / "ct_abdomen_big_endian.dcm", json=True)
    assert {answer["file"] for answer in answers} == {
        *(str(film) for film in films),
        str(samples_dir / "ct_abdomen_big_endian.dcm"),
    }
    (ct,) = (answer for answer in answers if "ct_abdomen" in answer["file"])
    assert ct["status"] == "rejected"
    assert "CT scan" in ct["reason"]


def test_the_table_is_for_people(bundle_dir, pictures):
    lines = analyze(pictures / "chest.png")
    assert lines[0].startswith("file")
    assert "pneumonia likely" in lines[1]


@pytest.mark.parametrize("text", ["path\na.png\n", "file\n\n,\n", None])
def test_a_manifest_that_cannot_be_used_is_an_error(bundle_dir, tmp_path, text):
    manifest = tmp_path / "m.csv"
    if text is not None:
        manifest.write_text(text)
    with pytest.raises(CommandError):
        analyze(manifest=manifest, json=True)


def test_nothing_to_do_is_an_error(bundle_dir, tmp_path):
    with pytest.raises(CommandError, match="Nothing to read"):
        analyze(tmp_path / "pictures-that-are-not") if (tmp_path / "x").exists() else analyze()


def test_a_path_that_is_not_there_is_an_answer(bundle_dir, tmp_path):
    (answer,) = analyze(tmp_path / "no.png", json=True)
    assert answer["status"] == "failed"


def test_without_bundles_everything_is_refused(settings, tmp_path, pictures):
    settings.PMI_BUNDLE_DIR = tmp_path / "none"
    (answer,) = analyze(pictures / "chest.png", json=True)
    assert (answer["status"], answer["model"]) == ("rejected", None)
    assert "No model" in answer["reason"]


def test_a_damaged_bundle_is_the_programs_failure(bundle_dir, pictures):
    (bundle_dir / "gate" / "models" / "model.safetensors").write_bytes(b"x")
    with pytest.raises(CommandError, match="gate"):
        analyze(pictures / "chest.png", json=True)


@pytest.mark.slow
def test_it_needs_no_database_and_keeps_stdout_clean(tiny_bundles, onnx_cache, pictures):
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "pmi_site.settings.test",
        "DATABASE_URL": "postgres://nobody:nothing@127.0.0.1:9/none",
        "PMI_BUNDLE_DIR": str(tiny_bundles),
        "PMI_ONNX_CACHE": str(onnx_cache),
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "analyze", str(pictures), "--json"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 5
    assert "Reading" in done.stderr
