"""What a review makes certain, and above all what it does not."""

from dataclasses import dataclass

import pytest

from inference.review_truth import disputed, manifest_labels, truth_of
from ml_training.labels import task_of


@dataclass
class Said:
    label: str
    call: str
    verdict: str
    right_condition: str = ""


def known(kind, *said):
    truth = truth_of(kind, said)
    return set(truth.present), set(truth.absent)


def test_agreeing_with_one_of_several_exclusive_labels_settles_all():
    assert known("brain_mri", Said("glioma", "likely", "agree")) == (
        {"glioma"},
        {"meningioma", "pituitary", "none"},
    )


def test_the_right_condition_is_the_label():
    present, absent = known("knee_xray", Said("3", "likely", "disagree", "knee-oa-2"))
    assert present == {"2"} and absent == {"0", "1", "3", "4"}


def test_disagreeing_without_the_right_condition_only_rules_out():
    assert known("brain_mri", Said("glioma", "likely", "disagree")) == (set(), {"glioma"})
    assert known("brain_mri", Said("glioma", "likely", "disagree", "stroke")) == (set(), {"glioma"})


@pytest.mark.parametrize("kind", ["brain_mri", "knee_xray", "chest_xray"])
def test_unsure_says_nothing(kind):
    name = task_of(kind).names[0]
    assert known(kind, Said(name, "likely", "unsure")) == (set(), set())
    assert known(kind, Said(name, "likely", "unsure", "pneumonia")) == (set(), set())


def test_two_exclusive_labels_contradict_each_other():
    both = Said("glioma", "likely", "agree"), Said("meningioma", "possible", "agree")
    assert known("brain_mri", *both) == (set(), set())


def test_chest_labels():
    assert known("chest_xray", Said("no_finding", "likely", "agree")) == (
        {"no_finding"},
        {"pneumonia", "bacterial", "viral", "covid19"},
    )
    assert known("chest_xray", Said("bacterial", "likely", "agree")) == (
        {"bacterial", "pneumonia"},
        {"no_finding"},
    )
    assert known("chest_xray", Said("pneumonia", "likely", "disagree")) == (
        set(),
        {"pneumonia", "bacterial", "viral", "covid19"},
    )
    # The model saw nothing, the doctor did.
    missed = known("chest_xray", Said("no_finding", "likely", "disagree", "pneumonia"))
    assert missed == ({"pneumonia"}, {"no_finding"})


def test_unlikely_findings():
    assert known("chest_xray", Said("pneumonia", "unlikely", "agree"))[1] >= {"pneumonia"}
    assert known("chest_xray", Said("pneumonia", "unlikely", "disagree", "pneumonia"))[0] == {"pneumonia"}
    assert known("chest_xray", Said("pneumonia", "unlikely", "disagree")) == (set(), set())


def test_what_contradicts_itself_is_unknown():
    said = Said("pneumonia", "likely", "agree"), Said("no_finding", "possible", "agree")
    present, absent = known("chest_xray", *said)
    assert not {"pneumonia", "no_finding"} & (present | absent)


def test_labels_of_another_model_are_ignored():
    assert known("knee_xray", Said("glioma", "likely", "agree")) == (set(), set())


def test_a_manifest_leaves_open_what_nobody_said():
    truth = truth_of("chest_xray", [Said("pneumonia", "likely", "agree")])
    there, unknown = manifest_labels("chest_xray", truth)
    assert (there, unknown) == (["pneumonia"], ["bacterial", "viral", "covid19"])
    target = task_of("chest_xray").target({"labels": "pneumonia", "unknown": "|".join(unknown)})
    assert target[:2] == [0.0, 1.0] and all(value != value for value in target[2:])


def test_readers_dispute_only_what_both_are_certain_of():
    yes = truth_of("chest_xray", [Said("pneumonia", "likely", "agree")])
    no = truth_of("chest_xray", [Said("pneumonia", "likely", "disagree")])
    unsure = truth_of("chest_xray", [Said("pneumonia", "likely", "unsure")])
    assert disputed(yes, no) and not disputed(yes, unsure) and not disputed(yes, yes)
