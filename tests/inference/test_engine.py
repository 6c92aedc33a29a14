"""The engine on real, tiny bundles: gate, reading, calls, maps, volumes."""

import dataclasses
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from cases.imaging.volume import from_affine, from_film
from inference import gate, heat
from inference.calls import CalledLabel
from inference.engine import Engine, ModelBroken, _Run, square_pixels
from ml_training.transforms import serving_transform
from tests.inference.pictures import picture


@pytest.mark.parametrize(
    ("kind", "label", "name"),
    [
        ("chest_xray", "pneumonia|bacterial", "pneumonia"),
        ("chest_xray", "no_finding", "no_finding"),
        ("brain_mri", "glioma", "glioma"),
        ("brain_mri", "none", "none"),
        ("knee_xray", "4", "4"),
        ("knee_xray", "0", "0"),
    ],
)
@pytest.mark.parametrize("say", [True, False])
def test_a_film_is_read(engine, film, kind, label, name, say):
    reading = engine.analyze(film(kind, label), kind if say else None, "adult")
    assert (reading.status, reading.kind) == ("succeeded", kind), reading.reason
    assert reading.top.label == name
    assert reading.top.call in ("likely", "possible")
    assert reading.key_slice is None
    assert reading.slices_read == 1
    assert set(reading.timings_ms) == {"gate", "preprocess", "forward", "calibrate", "cam", "total"}
    assert reading.embedding.ndim == 1
    assert len(reading.model_sha256) == 64


def test_probabilities_have_every_label_under_its_manifest_name(engine, film):
    names = {
        "brain_mri": ["glioma", "meningioma", "pituitary", "none"],
        "chest_xray": ["no_finding", "pneumonia", "bacterial", "viral", "covid19"],
        "knee_xray": ["0", "1", "2", "3", "4"],
    }
    for kind, expected in names.items():
        label = {"brain_mri": "glioma", "chest_xray": "no_finding", "knee_xray": "2"}[kind]
        reading = engine.analyze(film(kind, label), kind)
        assert list(reading.probabilities) == expected
        assert all(0 <= value <= 1 for value in reading.probabilities.values())
        if kind != "chest_xray":
            assert sum(reading.probabilities.values()) == pytest.approx(1, abs=1e-4)


def test_covid_is_reported_but_never_a_finding(engine, film):
    reading = engine.analyze(film("chest_xray", "pneumonia|viral"), "chest_xray")
    assert "covid19" in reading.probabilities
    assert "covid19" not in [finding.label for finding in reading.findings]


def test_the_engine_agrees_with_the_bundle_run_by_torch(engine, film):
    import torch

    reader = engine.reader("brain_mri")
    volume = film("brain_mri", "meningioma")
    batch = reader.prepare([volume.slice_image(0)])
    with torch.no_grad():
        logits = reader.bundle.torch_network()(torch.from_numpy(batch))[0].numpy()
    expected = reader.bundle.predict_probabilities(logits)[0]
    got = list(engine.analyze(volume, "brain_mri").probabilities.values())
    assert got == pytest.approx(expected, abs=1e-3)


# --- refusals ---


def test_a_knee_sent_as_chest_is_refused_and_named(engine, film):
    reading = engine.analyze(film("knee_xray", "1"), "chest_xray")
    assert (reading.status, reading.reason_code, reading.kind) == ("rejected", "wrong_kind", "knee_xray")
    assert "X-ray of the knee" in reading.reason
    assert reading.findings == ()
    assert reading.probabilities == {}


def test_other_pictures_are_refused(engine, film):
    readings = [engine.analyze(film("other", "x", seed=9000 + n), None) for n in range(12)]
    assert sum(reading.status == "rejected" for reading in readings) >= 10


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (np.zeros((128, 128)), "blank"),
        (np.random.default_rng(1).normal(100, 20, (128, 128)), "noise"),
        (picture("chest_xray", "no_finding", 1, side=40), "too_small"),
    ],
)
def test_bad_pictures_are_refused(engine, image, code):
    volume = from_film(image.astype(np.float32), modality="", source_format="raster", window=None)
    assert engine.analyze(volume, "chest_xray").reason_code == code


@pytest.mark.parametrize("modality", ["CT", "US", "MG"])
def test_other_modalities_are_refused_however_they_look(engine, film, modality):
    reading = engine.analyze(film("chest_xray", "no_finding", modality=modality), "chest_xray")
    assert reading.reason_code == "wrong_modality"


def test_no_model_for_the_kind_is_an_answer(tiny_bundles, onnx_cache, tmp_path, film):
    for kind in ("gate", "knee_xray"):
        shutil.copytree(tiny_bundles / kind, tmp_path / "b" / kind)
    engine = Engine.from_dir(tmp_path / "b", onnx_cache)
    for expected in ("chest_xray", None):
        reading = engine.analyze(film("chest_xray", "no_finding"), expected)
        assert (reading.status, reading.reason_code) == ("rejected", "no_model")
    assert engine.analyze(film("knee_xray", "2"), "knee_xray").status == "succeeded"


def test_without_a_gate_nothing_is_read(tiny_bundles, onnx_cache, tmp_path, film):
    shutil.copytree(tiny_bundles / "knee_xray", tmp_path / "b" / "knee_xray")
    reading = Engine.from_dir(tmp_path / "b", onnx_cache).analyze(film("knee_xray", "2"), "knee_xray")
    assert reading.reason_code == "no_model"


def test_an_empty_folder_is_no_model_either(onnx_cache, tmp_path, film):
    reading = Engine.from_dir(tmp_path / "nowhere", onnx_cache).analyze(film("knee_xray", "2"), None)
    assert reading.reason_code == "no_model"


def test_a_stack_of_films_is_not_guessed_at(engine):
    frames = np.stack([picture("chest_xray", "no_finding", n) for n in range(3)])
    from cases.imaging.volume import from_frames

    volume = from_frames(frames, modality="", source_format="dicom", window=None)
    assert engine.analyze(volume, "chest_xray").reason_code == "several_frames"


@pytest.mark.parametrize("damage", ["weights", "metadata"])
def test_a_damaged_bundle_is_never_used(tiny_bundles, onnx_cache, tmp_path, damage):
    shutil.copytree(tiny_bundles, tmp_path / "b")
    engine = Engine.from_dir(tmp_path / "b", onnx_cache)
    if damage == "weights":
        path = tmp_path / "b" / "knee_xray" / "models" / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    else:
        path = tmp_path / "b" / "knee_xray" / "configs" / "metadata.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "version": "9"}))
    with pytest.raises(ModelBroken, match="knee_xray"):
        engine.reader("knee_xray")


def test_the_newest_version_is_chosen(tiny_bundles, onnx_cache, tmp_path):
    for name, version in (("old", "0.9.0"), ("new", "0.10.0")):
        shutil.copytree(tiny_bundles / "knee_xray", tmp_path / "b" / name)
        path = tmp_path / "b" / name / "configs" / "metadata.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "version": version}))
    assert Engine.from_dir(tmp_path / "b", onnx_cache).reader("knee_xray").bundle.version == "0.10.0"


# --- maps ---


@pytest.mark.parametrize("label", ["glioma", "meningioma", "pituitary"])
def test_the_map_lies_on_the_film(engine, film, label):
    volume = film("brain_mri", label)
    reading = engine.analyze(volume, "brain_mri")
    heatmap = reading.top.heatmap
    assert reading.top.label == label
    assert heatmap.shape == volume.data.shape
    assert heatmap.dtype == np.uint8
    assert heatmap.max() > 200


@pytest.fixture
def framing(tiny_bundles, onnx_cache, monkeypatch):
    """An engine whose brain model gets every image in margins of a tenth, and whose gate lets all in."""
    framing = Engine.from_dir(tiny_bundles, onnx_cache)
    reader = framing.reader("brain_mri")
    spec = dataclasses.replace(reader.bundle.preprocessing, margins=(0.1, 0.1))
    monkeypatch.setattr(reader, "_transform", serving_transform(spec))
    monkeypatch.setattr(framing, "_gate", lambda volume, expected: ("brain_mri", 0.0))
    monkeypatch.setattr(framing, "_familiar", lambda images, kind: np.ones(len(images), dtype=bool))
    return framing


def _maps(volume, reading, index=0):
    return [
        heat.slice_of(volume, finding.heatmap, index, "axial").astype(int)
        for finding in reading.findings
        if finding.heatmap is not None
    ]


def test_space_around_a_film_changes_neither_the_reading_nor_the_map(framing, film):
    image = np.pad(film("brain_mri", "meningioma").slice_image(0), 12)
    wide = np.pad(image, ((40, 10), (0, 70)))
    plain, framed = (
        from_film(one, modality="", source_format="raster", window=None) for one in (image, wide)
    )
    before, after = framing.analyze(plain, "brain_mri"), framing.analyze(framed, "brain_mri")
    assert after.probabilities == pytest.approx(before.probabilities, abs=1e-3)
    pairs = list(zip(_maps(plain, before), _maps(framed, after), strict=True))
    assert pairs and max(old.max() for old, _ in pairs) > 200
    for old, new in pairs:
        assert new.shape == wide.shape and new.sum() == new[40:-10, :-70].sum()
        assert np.abs(new[40:-10, :-70] - old).max() <= 2


def test_space_around_a_head_changes_neither_the_reading_nor_the_map(framing, brain):
    drawn = brain("glioma", slices=12, on=range(4, 9))
    plain = dataclasses.replace(drawn, data=np.pad(drawn.data, ((12, 12), (12, 12), (0, 0))))
    wide = dataclasses.replace(plain, data=np.pad(plain.data, ((30, 30), (50, 20), (0, 0))))
    before, after = framing.analyze(plain, "brain_mri"), framing.analyze(wide, "brain_mri")
    assert after.probabilities == pytest.approx(before.probabilities, abs=1e-3)
    assert after.key_slice == before.key_slice
    shown = [
        (old, new)
        for old, new in zip(before.findings, after.findings, strict=True)
        if old.heatmap is not None
    ]
    assert shown
    for old, new in shown:
        there = new.heatmap[30:-30, 50:-20].astype(int)
        assert np.abs(there - old.heatmap).max() <= 2 and new.heatmap.sum() == there.sum()


def test_the_map_is_what_the_probability_was_made_of(engine, film):
    reader = engine.reader("brain_mri")
    outputs = reader.run(reader.prepare([film("brain_mri", "glioma").slice_image(0)]))
    weights, bias = reader.bundle.weights_matrix, reader.bundle.bias
    maps = np.einsum("nchw,kc->nkhw", outputs.features, weights)
    assert maps.mean(axis=(2, 3)) + bias == pytest.approx(outputs.logits, abs=1e-2)


def test_no_map_for_unlikely_findings_nor_for_nothing_found(engine, film):
    reading = engine.analyze(film("brain_mri", "none"), "brain_mri")
    assert all(f.heatmap is None for f in reading.findings if f.label == "none" or f.call == "unlikely")


def test_maps_can_be_left_out(engine, film):
    reading = engine.analyze(film("brain_mri", "glioma"), "brain_mri", maps=False)
    assert all(finding.heatmap is None for finding in reading.findings)


@pytest.mark.parametrize("shape", [(50, 100), (100, 50), (64, 64)])
def test_the_way_back_undoes_the_padding(shape):
    small = np.zeros((10, 10), dtype=np.float32)
    small[5, 5] = 1
    back = heat.onto_slice(small, *shape)
    assert back.shape == shape
    row, column = np.unravel_index(back.argmax(), shape)
    side = max(shape)
    top, left = (side - shape[0]) / 2, (side - shape[1]) / 2
    assert abs(row + top - 0.55 * side) < 0.06 * side
    assert abs(column + left - 0.55 * side) < 0.06 * side


def test_the_way_back_undoes_stretching():
    small = np.zeros((10, 10), dtype=np.float32)
    small[2, 7] = 1
    back = heat.onto_slice(small, 40, 80, aspect=2.0)
    assert back.shape == (40, 80)
    row, column = np.unravel_index(back.argmax(), back.shape)
    assert abs(row - 10) <= 3
    assert abs(column - 60) <= 3


def test_rows_are_stretched_to_square_pixels():
    assert square_pixels(np.zeros((10, 20), np.float32), 2.5).shape == (25, 20)
    assert square_pixels(np.zeros((10, 20), np.float32), 1.02).shape == (10, 20)


def test_class_maps_sum_to_the_logit_difference():
    rng = np.random.default_rng(0)
    features = rng.random((2, 5, 3, 3)).astype(np.float32)
    weights = rng.normal(size=(4, 5)).astype(np.float32)
    own = weights[1] - weights.mean(0)
    plain = np.einsum("nchw,c->nhw", features, own)
    assert heat.class_maps(features, weights, 1, exclusive=True) == pytest.approx(
        np.maximum(plain, 0), abs=1e-5
    )


# --- volumes ---


def test_a_volume_names_its_most_telling_slice(engine, brain):
    volume = brain("glioma", slices=40, on=range(22, 32))
    reading = engine.analyze(volume, "brain_mri")
    assert reading.status == "succeeded", reading.reason
    assert reading.top.label == "glioma"
    assert 21 <= reading.key_slice <= 32
    assert reading.key_plane == "axial"
    assert 30 <= reading.slices_read <= 48
    weight = reading.top.heatmap.astype(float).sum(axis=(0, 1))
    assert weight[22:32].sum() > 0.6 * weight.sum()


@pytest.mark.parametrize(
    ("calls", "position"),
    [
        ({"none": "possible", "glioma": "possible"}, 4),
        ({"none": "likely", "glioma": "unlikely"}, 3),
        ({}, 3),
    ],
)
def test_the_most_telling_slice_is_one_of_the_suspected_disease(calls, position):
    called = [
        CalledLabel(name, "glioma" if name == "glioma" else "no-brain-tumour", 0.5, call)
        for name, call in calls.items()
    ]
    work = SimpleNamespace(indices=list(range(6)), reader=SimpleNamespace(names=["glioma", "none"]))
    each = np.full((6, 2), 0.2)
    each[4, 0] = 0.4
    each[0, 0] = 0.9  # by itself: the reading does not rest on it
    weights = np.array([0, 0, 0, 0.5, 0.5, 0])
    assert _Run._key_position(work, called, each, weights) == position


def test_a_healthy_volume_is_none(engine, brain):
    reading = engine.analyze(brain("none"), None)
    assert reading.top.label == "none"


def test_slices_like_nothing_that_was_learnt_are_not_read(engine, brain):
    """A volume with ends that the gate does not know: they have no say, whatever the model says to them."""
    volume = brain("none", slices=40)
    strange = np.random.default_rng(3).random(volume.data.shape[:2]) * volume.data.max()
    volume.data[:, :, :8] = strange[:, :, None]
    reading = engine.analyze(volume, "brain_mri")
    assert (reading.status, reading.top.label) == ("succeeded", "none")
    assert reading.slices_read < engine.analyze(brain("none", slices=40), "brain_mri").slices_read - 4


def test_all_slices_are_read_where_too_few_are_familiar(engine):
    bundle = engine.reader("gate").bundle
    far = np.full((6, bundle.ood.offset.shape[0]), 1e3)
    outputs = SimpleNamespace(embedding=far, logits=np.zeros((6, len(bundle.label_names))))
    assert gate.familiar(bundle, outputs, "brain_mri").all()


def test_a_long_volume_is_sampled(engine, brain):
    reading = engine.analyze(brain("glioma", slices=130, on=range(40, 90)), "brain_mri")
    assert reading.slices_read == 48
    assert reading.top.label == "glioma"
    assert 39 <= reading.key_slice <= 90


def test_slices_between_those_that_were_read_are_filled(brain):
    maps = np.stack([np.full((4, 4), value, dtype=np.float32) for value in (1.0, 0.5)])
    volume = brain(slices=9)
    filled = heat.into_volume(volume, maps, [2, 6], "axial")
    assert filled.shape == volume.data.shape
    assert [int(filled[48, 48, z]) for z in range(9)] == [0, 0, 255, 223, 192, 160, 128, 0, 0]


def test_a_single_slice_volume_is_a_film(engine, brain):
    volume = brain("glioma", slices=1, on=range(1))
    assert not volume.is_volume
    reading = engine.analyze(volume, "brain_mri")
    assert (reading.status, reading.top.label, reading.key_slice) == ("succeeded", "glioma", None)


def test_a_coronal_scan_is_read_coronally(engine):
    stack = [picture("brain_mri", "none", 700 + n) for n in range(12)]
    data = np.stack(stack)[:, ::-1, ::-1].transpose(2, 0, 1)
    volume = from_affine(
        data,
        np.diag([1.0, 4.0, 1.0, 1.0]),
        modality="MR",
        source_format="nifti",
        window=None,
        plane="coronal",
    )
    reading = engine.analyze(volume, None)
    assert (reading.status, reading.key_plane) == ("succeeded", "coronal")
    assert reading.slices_read <= 12


def test_progress_is_told_and_can_stop_the_reading(engine, brain):
    stages = []
    engine.analyze(brain(), "brain_mri", progress=stages.append)
    assert stages[0] == "gate"
    assert stages.count("reading") >= 2

    def stop(stage):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        engine.analyze(brain(), "brain_mri", progress=stop)


def test_starting_django_loads_no_learning_library():
    code = (
        "import sys, django; django.setup(); import pmi_site.urls, "
        "pmi_site.celery;pmi_site.celery.app.loader.import_default_modules();bad = {'torch', 'monai', "
        "'onnxruntime', 'sklearn', 'lightning'} & set(sys.modules); print(sorted(bad))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
