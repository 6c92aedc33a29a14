"""Uploads as strangers make them: archives, rubbish, bombs, and NIfTI."""

import errno
import gzip
import io
import stat
import tracemalloc
import zipfile

import nibabel as nib
import numpy as np
import pytest

from cases.intake import IncomingFile, Limits, prepare
from tests.samples import generate


def png() -> bytes:
    out = io.BytesIO()
    generate.picture().save(out, format="PNG")
    return out.getvalue()


DEFAULT = Limits()


def take(tmp_path, *files, limits=DEFAULT):
    incoming = []
    for number, (name, content) in enumerate(files):
        path = tmp_path / f"upload-{number}"
        path.write_bytes(content)
        incoming.append(IncomingFile(name, path))
    return prepare(incoming, tmp_path / "work", limits)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("empty.dcm", b"", "empty_file"),
        ("notes.dcm", b"patient was fine\n" * 50, "text"),
        ("report.jpg", b"%PDF-1.7\n%binary", "pdf"),
        ("film.png", b"\0\0\0\x18ftypmp42\0\0\0\0", "video"),
        ("photo.jpg", b"\0\0\0\x18ftypheic\0\0\0\0", "heic"),
        ("scan.dcm", b"Rar!\x1a\x07\x00abc", "archive"),
        ("scan.dcm", bytes(range(256)) * 40, "unknown_format"),
        ("scan.dcm", bytes(128) + b"DICM", "dicom_damaged"),
        ("scan.zip", b"PK\x03\x04 not really", "archive_damaged"),
        ("scan.nii.gz", b"\x1f\x8b\x08\0 not really", "truncated"),
    ],
)
def test_rubbish_is_named_and_the_rest_goes_in(tmp_path, name, content, code):
    scans, refused = take(tmp_path, (name, content), ("good.bin", png()))
    assert len(scans) == 1
    assert [(one.name, one.code) for one in refused] == [(name, code)]
    assert len(refused[0].message) > 30


def test_same_bytes_under_two_names(tmp_path):
    scans, refused = take(tmp_path, ("a.png", png()), ("b.jpg", png()))
    assert refused == [] and len(scans) == 1
    assert scans[0].source_names == ["a.png", "b.jpg"]


def test_cd_folder(tmp_path):
    members = {f"DICOM/IM{number:03d}": content for number, content in enumerate(generate.axial_series())}
    members |= {
        "AUTORUN.INF": b"[autorun]\n",
        "VIEWER.EXE": b"MZ\x90\0",
        "__MACOSX/x": b"y",
        "DICOM/.DS_Store": b"z",
    }
    content = generate.zip_of(tmp_path, members).read_bytes()
    scans, refused = take(tmp_path, ("cd.zip", content))
    assert [scan.volume.n_slices() for scan in scans] == [24]
    assert [(one.name, one.code) for one in refused] == [("cd.zip", "left_out")]
    assert "2 files" in refused[0].message


def test_hostile_members(tmp_path):
    path = tmp_path / "hostile.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../outside.png", png())
        archive.writestr("/absolute.png", png())
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("inner.zip", generate.zip_of(tmp_path, {"a.png": png()}, "inner.zip").read_bytes())
        archive.writestr("fine.png", png())
    scans, refused = take(tmp_path, ("hostile.zip", path.read_bytes()))
    assert len(scans) == 1
    assert [one.code for one in refused] == ["unsafe_name", "unsafe_name", "link", "nested_archive"]
    assert not (tmp_path.parent / "outside.png").exists()


def test_password(tmp_path):
    content = bytearray(generate.zip_of(tmp_path, {"a.png": png()}).read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert take(tmp_path, ("locked.zip", bytes(content)))[1][0].code == "archive_encrypted"


@pytest.mark.parametrize("lie", [False, True])
def test_zip_bomb_stays_small_in_memory(tmp_path, lie):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.dcm", "w") as out:
        for _ in range(100):
            out.write(bytes(1 << 20))
    content = bytearray(path.read_bytes())
    if lie:  # declare one kilobyte
        entry = content.index(b"PK\x01\x02")
        content[entry + 24 : entry + 28] = (1024).to_bytes(4, "little")
    tracemalloc.start()
    scans, refused = take(tmp_path, ("bomb.zip", bytes(content)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert scans == []
    assert refused[0].code in (
        ("zip_bomb", "archive_damaged", "dicom_damaged", "unknown_format") if lie else ("zip_bomb",)
    )
    assert peak < 20_000_000
    assert sum(item.stat().st_size for item in (tmp_path / "work").rglob("*") if item.is_file()) < 80_000_000


def test_gzip_bomb(tmp_path):
    content = gzip.compress(bytes(100 << 20))
    assert take(tmp_path, ("bomb.nii.gz", content))[1][0].code == "zip_bomb"


def test_bounds_of_an_upload(tmp_path):
    many = generate.zip_of(tmp_path, {f"{number}.png": png() for number in range(5)}).read_bytes()
    assert take(tmp_path, ("many.zip", many), limits=Limits(max_files=4))[1][0].code == "too_many_files"
    scans, refused = take(tmp_path, ("a", png()), ("b", bytes(5000)), limits=Limits(max_bytes=4000))
    assert len(scans) == 1 and refused[0].code == "too_many_bytes"
    assert take(tmp_path, ("z.zip", many), limits=Limits(max_unpacked_bytes=300))[1][0].code == "zip_bomb"


def test_link_is_not_followed(tmp_path):
    (tmp_path / "real.png").write_bytes(png())
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    scans, refused = prepare([IncomingFile("link.png", tmp_path / "link.png")], tmp_path / "work")
    assert scans == [] and refused[0].code == "link"


def nifti(data, affine=None, *, second=False, pack=True, **header) -> bytes:
    kind = nib.Nifti2Image if second else nib.Nifti1Image
    image = kind(data, np.diag([-0.9, -1.1, 2.5, 1.0]) if affine is None else affine)
    image.header.set_xyzt_units("mm")
    image.header["descrip"], image.header["aux_file"] = b"Quentin Zyxwvut 77123", b"/home/quentin"
    image.header.extensions.append(nib.nifti1.Nifti1Extension(6, b"Quentin's extension"))
    for key, value in header.items():
        image.header[key] = value
    raw = image.to_bytes()
    return gzip.compress(raw) if pack else raw


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("pack", [False, True])
def test_nifti_is_turned_to_ras_and_cleaned(tmp_path, second, pack):
    data = generate.head().astype(np.int16)[::-1, ::-1]
    unused = {"unused_str": b"Quentin 77123"} if second else {}
    scans, refused = take(tmp_path, ("head.txt", nifti(data, second=second, pack=pack, **unused)))
    assert refused == []
    volume = scans[0].volume
    assert np.array_equal(volume.data, generate.head())
    assert volume.spacing == pytest.approx((0.9, 1.1, 2.5)) and volume.plane == "axial" and volume.oriented
    kept = gzip.decompress(scans[0].originals[0][1].read_bytes())
    assert b"uentin" not in kept and b"77123" not in kept
    again = (nib.Nifti2Image if second else nib.Nifti1Image).from_bytes(kept)
    assert np.array_equal(np.asarray(again.dataobj), data)


def test_nifti_of_four_dimensions_and_with_nan(tmp_path):
    data = np.stack([generate.head(), generate.head() // 2], axis=-1).astype(np.float32)
    data[0, 0, 0, 0] = np.nan
    scans, _ = take(tmp_path, ("time.nii", nifti(data, np.eye(4))))
    assert "2 volumes" in scans[0].notes[0]
    assert np.isfinite(scans[0].volume.data).all() and scans[0].volume.data.max() == 2000


def test_nifti_without_orientation_or_units(tmp_path):
    raw = bytearray(nifti(generate.head().astype(np.int16), np.eye(4), pack=False))
    raw[252:256] = bytes(4)  # qform_code, sform_code
    raw[123] = 0  # units
    scans, _ = take(tmp_path, ("bare.nii", bytes(raw)))
    assert scans[0].volume.spacing is None and len(scans[0].notes) == 2
    assert not scans[0].volume.oriented
    raw[123] = 2  # millimetres: known, and still no word of how the patient lay
    scans, _ = take(tmp_path, ("bare.nii", bytes(raw)))
    assert scans[0].volume.spacing == (1, 1, 1) and not scans[0].volume.oriented


def test_nifti_bounds(tmp_path):
    raw = bytearray(nifti(generate.head().astype(np.int16), pack=False))
    assert take(tmp_path, ("cut.nii", bytes(raw[:-10])))[1][0].code == "truncated"
    raw[42:48] = (20000).to_bytes(2, "little") * 3
    assert take(tmp_path, ("huge.nii", bytes(raw)))[1][0].code == "too_many_pixels"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("name", ["series.zip", "head.nii.gz", "film.png"])
def test_a_full_disk_of_ours_is_not_called_a_damaged_file(tmp_path, monkeypatch, name, number):
    def full(*_args, **_fields):
        raise OSError(number, "no space")

    content = {
        "series.zip": lambda: generate.zip_of(tmp_path, {"a.png": png(), "b.png": png()}).read_bytes(),
        "head.nii.gz": lambda: gzip.compress(bytes(1000)),
        "film.png": png,
    }[name]()
    monkeypatch.setattr("cases.imaging.archive._copy", full)
    monkeypatch.setattr("cases.imaging.raster._store", full)
    with pytest.raises(OSError, match="no space"):
        take(tmp_path, (name, content))
