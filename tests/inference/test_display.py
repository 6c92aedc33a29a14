"""Smaller copies for browsers: sizes, values and places."""

import gzip
from typing import Any

import nibabel
import numpy as np
import pytest
from django.urls import reverse

from cases.imaging.volume import CanonicalVolume, from_film
from inference.display import for_display, needs_reduction, reduced_affine, reduced_array, reduction
from tests.factories import ScanFactory
from tests.inference import reading_rows as rows


@pytest.mark.parametrize(
    ("shape", "factors"),
    [
        ((2048, 2048, 1), (1, 1, 1)),
        ((2049, 100, 1), (2, 2, 1)),
        ((100, 4097, 1), (3, 3, 1)),
        ((512, 512, 300), (1, 1, 1)),
        ((512, 512, 4000), (1, 1, 2)),
    ],
)
def test_factors(shape: tuple[int, int, int], factors: tuple[int, int, int]) -> None:
    assert reduction(shape) == factors
    assert needs_reduction(*shape) == (factors != (1, 1, 1))


def test_block_means_with_a_short_last_block() -> None:
    data = np.arange(5, dtype=np.int16).reshape(5, 1, 1)
    assert reduced_array(data, (2, 1, 1)).ravel().tolist() == [0.5, 2.5, 4.0]


def test_a_point_stays_where_it_was() -> None:
    affine = np.diag([0.5, 0.5, 1.0, 1.0])
    affine[:3, 3] = [10, 20, 30]
    reduced = reduced_affine(affine, (2, 2, 1))
    # The middle of the first block of two points.
    assert np.allclose(reduced @ [0, 0, 0, 1], affine @ [0.5, 0.5, 0, 1])
    assert np.allclose(reduced @ [3, 3, 0, 1], affine @ [6.5, 6.5, 0, 1])


def test_a_film_keeps_type_window_and_true_size() -> None:
    film = from_film(
        np.full((30, 50), 7, dtype=np.int16),
        spacing=(0.2, 0.2),
        modality="DX",
        source_format="dicom",
        window=(0, 9),
    )
    small = for_display(film, limit=25)
    assert small.data.shape == (25, 15, 1)
    assert small.data.dtype == np.int16 and int(small.data.min()) == int(small.data.max()) == 7
    assert small.spacing is not None and small.spacing[:2] == (0.4, 0.4)
    assert small.window == (0, 9)
    assert for_display(film) is film


@pytest.fixture
def large(db: None, patient: Any) -> Any:
    film = CanonicalVolume(
        data=np.arange(2100 * 40, dtype=np.int16).reshape(2100, 40, 1),
        affine=np.eye(4),
        spacing=None,
        modality="DX",
        source_format="dicom",
        window=None,
    )
    return ScanFactory.create(case__patient=patient, volume=film)


def test_viewer_gets_scan_and_heatmap_of_one_size(as_user: Any, patient: Any, large: Any) -> None:
    finding = rows.finding(rows.analysis(large, "succeeded"), heat=True)
    client = as_user(patient)
    heat = reverse("inference:heatmap_volume", args=[finding.analysis_id, finding.pk])
    images = []
    for url in (reverse("inference:display_volume", args=[large.case_id, large.pk]), heat + "?display=1"):
        response = client.get(url)
        assert (
            response["Cache-Control"] == "private, no-store"
            and response["X-Content-Type-Options"] == "nosniff"
        )
        images.append(nibabel.Nifti1Image.from_bytes(gzip.decompress(response.content)))
    assert [image.shape for image in images] == [(1050, 20, 1)] * 2
    assert np.allclose(images[0].affine, images[1].affine)
    assert 0.4 < float(np.asanyarray(images[1].dataobj).mean()) < 0.6
    whole = b"".join(client.get(heat).streaming_content)
    assert nibabel.Nifti1Image.from_bytes(gzip.decompress(whole)).shape == (2100, 40, 1)


def test_the_page_says_that_it_is_a_smaller_copy(as_user: Any, patient: Any, large: Any) -> None:
    rows.reading(large)
    text = (
        as_user(patient)
        .get(reverse("inference:scan_result", args=[large.case_id, large.pk]))
        .content.decode()
    )
    assert "smaller copy" in text and 'data-side="1050"' in text


def patient_gets(client: Any, url: str) -> bool:
    response = client.get(url)
    assert b"".join(response)  # reading to the end closes the file
    return bool(response.status_code == 200)


@pytest.mark.parametrize("who", ["other_patient", "doctor", "unverified_doctor", "admin_user"])
@pytest.mark.parametrize("size", ["small", "large"])
def test_outsiders_get_404(as_user: Any, request: Any, patient: Any, large: Any, who: str, size: str) -> None:
    scan = large if size == "large" else ScanFactory.create(case__patient=patient)
    url = reverse("inference:display_volume", args=[scan.case_id, scan.pk])
    assert as_user(request.getfixturevalue(who)).get(url).status_code == 404
    assert patient_gets(as_user(patient), url)
    assert as_user(patient).post(url).status_code == 405
    assert as_user(None).get(url).status_code == 302
