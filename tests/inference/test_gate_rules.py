"""What is refused before any network runs."""

import numpy as np
import pytest

from cases.imaging.volume import CanonicalVolume, from_film
from inference import gate_rules
from inference.gate import Vote, decide
from tests.inference.pictures import picture


def film(**meta):
    fields = {"modality": "", "source_format": "dicom", "window": None, **meta}
    return from_film(picture("chest_xray", "no_finding", 1), **fields)


@pytest.mark.parametrize("modality", sorted(gate_rules.MODALITY_WORDS))
def test_other_modalities_are_named(modality):
    refusal = gate_rules.header_refusal(film(modality=modality), None)
    assert refusal.code == "wrong_modality"
    assert str(gate_rules.MODALITY_WORDS[modality]) in refusal.reason
    assert "MRI of the brain" in refusal.reason


def test_an_unheard_of_modality_is_refused_in_words():
    assert "unknown kind" not in gate_rules.header_refusal(film(modality="ZZ"), None).reason
    assert gate_rules.header_refusal(film(modality="ZZ"), None).code == "wrong_modality"


@pytest.mark.parametrize(
    ("modality", "part", "expected", "code"),
    [
        ("MR", "", None, None),
        ("MR", "BRAIN", "brain_mri", None),
        ("MR", "KNEE", None, "wrong_body_part"),
        ("MR", "", "chest_xray", "wrong_kind"),
        ("CR", "", None, None),
        ("CR", "CHEST", "chest_xray", None),
        ("DX", "EXTREMITY", "knee_xray", None),
        ("CR", "EXTREMITY", None, None),
        ("CR", "CHEST", "knee_xray", "wrong_kind"),
        ("DX", "KNEE", "chest_xray", "wrong_kind"),
        ("DX", "CHEST", "brain_mri", "wrong_kind"),
        ("DX", "", "brain_mri", "wrong_kind"),
        ("CR", "HAND", None, "wrong_body_part"),
        ("CR", "HAND", "knee_xray", "wrong_body_part"),
        ("SC", "CHEST", "brain_mri", None),
        ("OT", "", "knee_xray", None),
        ("", "", None, None),
    ],
)
def test_header(modality, part, expected, code):
    refusal = gate_rules.header_refusal(film(modality=modality, body_part=part), expected)
    assert (refusal.code if refusal else None) == code


def test_a_ct_volume_without_a_header_is_known_by_its_units():
    data = np.full((80, 80, 20), -1000, dtype=np.int16)
    data[20:60, 20:60] = 40
    volume = CanonicalVolume(data, np.eye(4), None, "", "nifti", None)
    assert "CT" in gate_rules.header_refusal(volume, "brain_mri").reason


@pytest.mark.parametrize(("shape", "refused"), [((64, 64), False), ((63, 500), True), ((500, 10), True)])
def test_size(shape, refused):
    assert (gate_rules.size_refusal(shape) is not None) == refused


RNG = np.random.default_rng(3)


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (np.zeros((100, 100)), "blank"),
        (np.full((100, 100), 7.5), "blank"),
        (np.where(np.arange(10_000).reshape(100, 100) == 5, 255.0, 0.0), "blank"),
        (RNG.normal(0, 1, (300, 300)), "noise"),
        (RNG.integers(0, 255, (1200, 900)).astype(float), "noise"),
        (np.where(RNG.random((200, 200)) > 0.5, 255.0, 0.0), "noise"),
        (picture("chest_xray", "no_finding", 5), None),
        (picture("brain_mri", "glioma", 5), None),
        (picture("knee_xray", "4", 5), None),
        (picture("knee_xray", "4", 5) * 1e-6, None),
    ],
)
def test_content(image, code):
    refusal = gate_rules.content_refusal(np.asarray(image, dtype=np.float32))
    assert (refusal.code if refusal else None) == code


def vote(kind, probability=0.9, distance=0.5):
    return Vote(
        {"brain_mri": 0.0, "chest_xray": 0.0, "knee_xray": 0.0, "other": 0.0, kind: probability},
        distance,
        0.6,
    )


@pytest.mark.parametrize(
    ("opinion", "expected", "options", "answer"),
    [
        (vote("chest_xray"), "chest_xray", {}, "chest_xray"),
        (vote("knee_xray"), None, {}, "knee_xray"),
        (vote("knee_xray"), "chest_xray", {}, "wrong_kind"),
        (vote("other"), None, {}, "not_recognised"),
        (vote("other"), None, {"is_colour": True}, "photo"),
        (vote("chest_xray", 0.55), None, {}, "not_recognised"),
        (vote("chest_xray", distance=1.1), "chest_xray", {}, "not_recognised"),
        (vote("chest_xray", distance=1.1), "chest_xray", {"header_supports": "chest_xray"}, "chest_xray"),
        (vote("chest_xray", distance=1.1), "chest_xray", {"header_supports": "knee_xray"}, "not_recognised"),
        (vote("chest_xray", distance=1.5), "chest_xray", {"header_supports": "chest_xray"}, "not_recognised"),
        (vote("chest_xray", 0.9), "chest_xray", {"is_colour": True}, "photo"),
        (vote("chest_xray", 0.97), "chest_xray", {"is_colour": True}, "chest_xray"),
    ],
)
def test_decision(opinion, expected, options, answer):
    decided = decide(opinion, expected, **options)
    assert (decided if isinstance(decided, str) else decided.code) == answer


def test_a_refusal_says_what_it_looks_like_and_what_to_do():
    refusal = decide(vote("knee_xray"), "chest_xray")
    assert "X-ray of the knee" in refusal.reason
    assert "upload the right one" in refusal.reason
    assert refusal.looks_like == "knee_xray"


@pytest.mark.parametrize(
    ("modality", "kind", "contradicted"),
    [
        ("MR", "knee_xray", True),
        ("MR", "chest_xray", True),
        ("DX", "brain_mri", True),
        ("CR", "brain_mri", True),
        ("MR", "brain_mri", False),
        ("DX", "knee_xray", False),
        ("", "brain_mri", False),
        ("OT", "chest_xray", False),
    ],
)
def test_no_gate_overrules_the_machine_that_made_the_picture(
    modality: str, kind: str, contradicted: bool
) -> None:
    assert gate_rules.is_contradicted(film(modality=modality), kind) is contradicted
