"""Words about cases and scans."""

import pytest

from cases.models import Case, Scan


@pytest.mark.parametrize(
    ("modality", "slices", "name"),
    [
        ("CR", 1, "X-ray"),
        ("MR", 192, "MRI with 192 slices"),
        ("", 1, "Picture"),
        ("", 30, "Scan with 30 slices"),
        ("XX", 1, "Picture"),
    ],
)
def test_plain_name(modality, slices, name):
    assert Scan(modality=modality, slices=slices).plain_name == name


def test_text_forms_carry_no_words_of_the_patient():
    assert "Jane" not in str(Case(title="Jane's knee", question="Jane?"))
    assert str(Scan()).startswith("scan ")
