"""DICOM folders lose their names; downloads go on where they broke off."""

from __future__ import annotations

import csv
import hashlib
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from ml_training.__main__ import main
from ml_training.data.catalogue import DataSet, RemoteFile, catalogue, download, fetch, unpack
from ml_training.data.sources import from_dicom, read_key
from ml_training.errors import TrainingError

CONTENT = np.random.default_rng(0).bytes(300_000)


class Server(BaseHTTPRequestHandler):
    """Serves CONTENT with ranges; `cut` ends the first answers early."""

    cut = 0
    ranges: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:  # noqa: N802
        asked = self.headers.get("Range", "")
        Server.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        end = Server.cut or len(CONTENT)
        Server.cut = 0
        self.wfile.write(CONTENT[start:end])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Server.cut, Server.ranges = 0, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/x.zip"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_broken_download_goes_on(tmp_path: Path, url: str) -> None:
    Server.cut = 100_000
    remote = RemoteFile("x.zip", url, f"sha256:{hashlib.sha256(CONTENT).hexdigest()}")
    with pytest.raises(TrainingError, match="run again to continue"):
        download(remote, tmp_path)
    assert not (tmp_path / "x.zip").exists()
    assert download(remote, tmp_path).read_bytes() == CONTENT
    assert Server.ranges == ["", "bytes=100000-"]
    assert download(remote, tmp_path) and len(Server.ranges) == 2


def test_a_wrong_checksum_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(TrainingError, match="checksum is md5"):
        download(RemoteFile("x.zip", url, "md5:00"), tmp_path)
    assert list(tmp_path.glob("x.*")) == []


def test_an_unpublished_checksum_is_recorded_and_then_held(tmp_path: Path, url: str) -> None:
    remote = RemoteFile("x.zip", url)
    path = download(remote, tmp_path)
    assert (tmp_path / "x.zip.sha256").read_text().strip() == hashlib.sha256(CONTENT).hexdigest()
    path.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(TrainingError, match="expected sha256"):
        download(remote, tmp_path)


def test_a_part_that_is_whole_already_is_taken(tmp_path: Path, url: str) -> None:
    (tmp_path / "x.zip.part").write_bytes(CONTENT)
    assert download(RemoteFile("x.zip", url), tmp_path).read_bytes() == CONTENT


def test_every_set_of_the_catalogue_is_complete(tmp_path: Path) -> None:
    sets = catalogue()
    assert set(sets) >= {"cheng-brain", "kermany-chest", "nih-chestxray14", "covid-radiography", "busi"}
    for entry in sets.values():
        assert entry.page.startswith("https://") and entry.licence and "10." in entry.citation
        assert entry.layout == "tree" and entry.files or entry.then
    with pytest.raises(TrainingError, match="by hand"):
        fetch(sets["nih-chestxray14"], tmp_path)


def test_unpacking_stays_inside_and_is_whole(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as packed:
        packed.writestr("../evil.txt", "x")
    with pytest.raises(TrainingError, match="outside the archive"):
        unpack(tmp_path / "bad.zip", tmp_path / "bad")
    (tmp_path / "cut.zip").write_bytes((tmp_path / "bad.zip").read_bytes()[:20])
    with pytest.raises(TrainingError, match="cannot be unpacked"):
        unpack(tmp_path / "cut.zip", tmp_path / "cut")
    assert not (tmp_path / "bad").exists() and not (tmp_path / "cut").exists()


def test_a_tree_set_is_fetched_and_unpacked(tmp_path: Path) -> None:
    archive = tmp_path / "t.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("root/a/1.png", "x")
    (tmp_path / "t.zip.sha256").write_text(hashlib.sha256(archive.read_bytes()).hexdigest())
    remote = RemoteFile("t.zip", "https://example.invalid/t.zip")
    entry = DataSet("t", "T", "https://example.invalid", (remote,), "CC0", "nobody", "tree", "root")
    assert (fetch(entry, tmp_path) / "a" / "1.png").is_file()


def write_dicom(path: Path, patient: str, seed: int, interpretation: str = "MONOCHROME2") -> None:
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.PatientID, dataset.PatientName, dataset.Modality = patient, "Quetzal^Xiomara", "CT"
    pixels = np.random.default_rng(seed).integers(0, 999, (32, 40)).astype(np.uint16)
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, interpretation
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.PixelData = pixels.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def test_dicom_files_lose_names_and_keep_their_patients(tmp_path: Path) -> None:
    for seed in range(24):
        write_dicom(
            tmp_path / "in" / ("sick" if seed % 2 else "well") / f"{seed}.dcm", f"JaneDoe{seed // 4}", seed
        )
    (tmp_path / "in" / "well" / "notes.txt").write_text("x")
    key, out = tmp_path / "key", tmp_path / "out"
    verb = ["prepare", str(tmp_path / "in"), "--dicom", "--out", str(out), "--folds", "2"]
    assert main(verb) == 2
    assert main([*verb, "--key-file", str(key), "--folders-are-labels"]) == 0
    assert key.stat().st_mode & 0o077 == 0
    with (out / "manifest.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 24 and len({row["group"] for row in rows}) == 6
    assert {row["label"] for row in rows} == {"sick", "well"}
    everything = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    assert b"JaneDoe" not in everything and b"Quetzal" not in everything
    assert "DICOM file 25" in (out / "problems.csv").read_text()
    assert b"notes.txt" not in everything


def test_folders_named_after_people_are_no_labels(tmp_path: Path) -> None:
    for seed in range(4):
        write_dicom(tmp_path / "in" / f"MUELLER_HANS_{seed}" / "a.dcm", f"p{seed}", seed)
        write_dicom(tmp_path / "in" / "3" / f"{seed}.dcm", f"p{seed}", 9 + seed)
    rows = from_dicom(tmp_path / "in", tmp_path / "images", b"k" * 16, names=list("01234")).rows
    assert {row["label"] for row in rows} == {"", "3"}
    assert {
        row["label"] for row in from_dicom(tmp_path / "in", tmp_path / "more", b"k" * 16, names=()).rows
    } == {""}


def test_labels_from_a_table_and_true_monochrome1(tmp_path: Path) -> None:
    write_dicom(tmp_path / "in" / "a.dcm", "p", 1, "MONOCHROME1")
    write_dicom(tmp_path / "in" / "b.dcm", "p", 1)
    (tmp_path / "labels.csv").write_text("file,label\na.dcm,glioma\n")
    rows = from_dicom(tmp_path / "in", tmp_path / "images", b"k" * 16, tmp_path / "labels.csv").rows
    assert [row["label"] for row in rows] == ["glioma", ""]
    from PIL import Image

    one, two = (np.asarray(Image.open(tmp_path / row["file"])).astype(int) for row in rows)
    assert abs(one + two - 255).max() <= 1


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("short")
    with pytest.raises(TrainingError, match="16 bytes"):
        read_key(tmp_path / "key")
