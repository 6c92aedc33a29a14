"""Which pictures belong to one scan, and how they lie in it."""

import nibabel as nib
import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from cases.intake import IncomingFile, prepare
from tests.samples import generate


def take(tmp_path, *contents):
    files = []
    for number, content in enumerate(contents):
        (tmp_path / f"in-{number}").write_bytes(content)
        files.append(IncomingFile(f"file {number}.dcm", tmp_path / f"in-{number}"))
    scans, refused = prepare(files, tmp_path / "work")
    assert refused == []
    return scans


def slices(places, cosines=(1, 0, 0, 0, 1, 0), **attributes):
    """MR slices of one series: a place (mm along z, or a point) and what else the header says of each."""
    series, files = generate_uid(), []
    for number, place in enumerate(places):
        own = {key: value[number] for key, value in attributes.items() if value[number] is not None}
        one = generate.dataset(
            generate.film_pixels() + number,
            "MR",
            SeriesInstanceUID=series,
            InstanceNumber=number,
            ImageOrientationPatient=list(cosines),
            ImagePositionPatient=list(place) if isinstance(place, tuple) else [0, 0, round(place, 4)],
            PixelSpacing=[1.0, 1.0],
            **own,
        )
        files.append(generate.to_bytes(one))
    return files


@pytest.mark.parametrize("keyword", ["EchoTime", "TemporalPositionIdentifier", "DiffusionBValue"])
@pytest.mark.parametrize("shift", [0.05, 1.1])
def test_echoes_that_lie_a_little_apart_are_not_mixed(tmp_path, keyword, shift):
    places = [3.0 * k for k in range(5)] + [3.0 * k + shift for k in range(5)]
    scans = take(tmp_path, *slices(places, **{keyword: [1] * 5 + [2] * 5}))
    assert [scan.volume.n_slices() for scan in scans] == [5, 5]
    assert all(scan.volume.spacing == pytest.approx((1, 1, 3)) and scan.notes == [] for scan in scans)
    assert [int(scan.volume.data.min()) for scan in scans] == [200, 205]


def test_an_evenly_spaced_series_is_not_split_by_what_its_slices_say(tmp_path):
    places = [3.0 * k for k in range(8)]
    (scan,) = take(tmp_path, *slices(places, EchoTime=[1, 2] * 4, AcquisitionNumber=[1, 2] * 4))
    assert scan.volume.n_slices() == 8 and scan.notes == []


def test_of_many_time_points_that_lie_a_little_apart_the_first_is_read(tmp_path):
    places = [3.0 * k + 0.05 * time for time in range(6) for k in range(4)]
    times = [time for time in range(6) for _ in range(4)]
    (scan,) = take(tmp_path, *slices(places, TemporalPositionIdentifier=times))
    assert scan.volume.spacing == pytest.approx((1, 1, 3)) and int(scan.volume.data.min()) == 200
    assert "20 more pictures" in scan.notes[0]


def test_a_slice_close_to_another_is_a_repeat(tmp_path):
    (scan,) = take(tmp_path, *slices([0.0, 3.0, 6.0, 9.0, 12.0, 6.2]))
    assert scan.volume.n_slices() == 5 and scan.volume.spacing == pytest.approx((1, 1, 3))
    assert len(scan.notes) == 1 and "1 more pictures" in scan.notes[0]


def enhanced(places, names):
    """One enhanced MR file: a place along z and the name of a stack for each frame."""
    data = generate.dataset(generate.film_pixels(), "MR", NumberOfFrames=len(places))
    data.PixelData = data.PixelData * len(places)
    measures, plane, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, plane.ImageOrientationPatient = [1, 1], [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    data.SharedFunctionalGroupsSequence = [shared]
    data.PerFrameFunctionalGroupsSequence = []
    for place, name in zip(places, names, strict=True):
        group, position, content = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient, content.StackID = [0, 0, place], name
        group.PlanePositionSequence, group.FrameContentSequence = [position], [content]
        data.PerFrameFunctionalGroupsSequence.append(group)
    return generate.to_bytes(data)


def test_stacks_that_the_file_names_are_kept_apart(tmp_path):
    places = [0.0, 3.0, 6.0, 9.0, 10.0, 13.0, 16.0]
    scans = take(tmp_path, enhanced(places, ["1"] * 4 + ["2"] * 3))
    assert [scan.volume.n_slices() for scan in scans] == [4, 3]
    assert all(scan.volume.spacing == pytest.approx((1, 1, 3)) and scan.notes == [] for scan in scans)


def test_a_name_for_each_frame_names_no_stack(tmp_path):
    (scan,) = take(tmp_path, enhanced([0.0, 3.0, 6.0], ["1", "2", "3"]))
    assert scan.volume.n_slices() == 3


@pytest.mark.parametrize(
    ("places", "names"),
    [
        ([3.0 * k for k in range(8)], "11112222"),
        ([3.0 * k for k in range(8)], "12121212"),
        ([3.0 * k for k in range(4)] * 6, "".join(f"{time}" * 4 for time in range(6))),
        ([3.0 * (k % 6) for k in range(18)], "012345" * 3),
        ([0.0, 3.0, 6.0, 10.0, 13.0, 20.0, 23.0, 25.0, 28.0, 29.0], "0011223344"),
    ],
    ids=["slabs", "interleaved", "one for each time point", "one for each slice", "too many"],
)
def test_names_of_stacks_do_not_tear_one_scan_apart(tmp_path, places, names):
    (scan,) = take(tmp_path, enhanced(places, list(names)))
    assert scan.volume.n_slices() == len(set(places))


@pytest.mark.parametrize("shift", [0.0, 0.004])
def test_repeats_whose_places_are_rounded_differently_are_repeats(tmp_path, shift):
    places = [3.0 * k + (shift if time == 2 else 0) for time in range(5) for k in range(4)]
    (scan,) = take(tmp_path, *slices(places))
    assert scan.volume.n_slices() == 4 and scan.volume.spacing == pytest.approx((1, 1, 3), abs=0.01)


@pytest.mark.parametrize(
    ("across", "noted"),
    [
        ([0, 0, 0, 0, 0], False),
        ([0, 2, 4, 6, 8], False),
        ([0, 0, 2.5, 0, 0], True),
        ([0, 0.5, 0, 0.5, 0], False),
    ],
    ids=["straight", "leaning", "one beside", "within a pixel"],
)
def test_slices_that_lie_beside_one_another_are_noted(tmp_path, across, noted):
    places = [(0.0, float(y), 3.0 * k) for k, y in enumerate(across)]
    (scan,) = take(tmp_path, *slices(places))
    assert any("straight behind one another" in note for note in scan.notes) == noted


def test_the_plane_of_an_oblique_stack_is_the_one_its_slices_lie_in(tmp_path):
    """Turned about two axes, the normal may point most along an axis that the pictures' rows take up."""
    row, column = np.array([0.7, 0.15, -0.698]), np.array([0.4, 0.75, 0.0])
    row /= np.linalg.norm(row)
    column -= row * (row @ column)
    column /= np.linalg.norm(column)
    normal = np.cross(row, column)
    affine = np.diag([-1.0, -1.0, 1.0]) @ np.stack([row, column, normal], axis=1)
    taken = int(nib.orientations.io_orientation(np.block([[affine, np.zeros((3, 1))], [0, 0, 0, 1]]))[2, 0])
    assert taken != int(np.argmax(np.abs(normal)))
    places = [tuple(normal * 4.0 * k) for k in range(6)]
    (scan,) = take(tmp_path, *slices(places, (*row, *column)))
    assert scan.volume.n_slices(scan.volume.plane) == 6
