"""Decoded volumes are kept for the next slice, within bounds, and never outlive their file."""

import os
import threading
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.urls import reverse

from cases import volume_cache
from cases.imaging.volume import ImagingError
from cases.volume_cache import VolumeCache
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The scans that were decoded, in order."""
    seen: list[Any] = []
    load = volume_cache.load_volume

    def note(scan: Any) -> Any:
        seen.append(scan.pk)
        return load(scan)

    monkeypatch.setattr(volume_cache, "load_volume", note)
    volume_cache.shown.clear()
    return seen


def test_leafing_through_decodes_once(as_user, patient, case, decoded):
    scan = factories.ScanFactory.create(case=case, slices=7)
    address = reverse("cases:scan_slice", args=[case.pk, scan.pk])
    answers = [as_user(patient).get(address, {"index": n}) for n in range(7)]
    assert [answer.status_code for answer in answers] == [200] * 7
    assert len({answer.content for answer in answers}) > 1
    assert decoded == [scan.pk]


def test_a_replaced_file_is_decoded_anew(case, decoded):
    scan = factories.ScanFactory.create(case=case, slices=3)
    other = factories.ScanFactory.create(case=case, slices=5)
    cache = VolumeCache()
    assert cache.get(scan).data.shape[2] == 3
    storage = scan.canonical.storage
    with storage.open(other.canonical.name, "rb") as source:
        content = source.read()
    storage.delete(scan.canonical.name)
    storage.save(scan.canonical.name, ContentFile(content))
    os.utime(storage.path(scan.canonical.name), (1, 1))
    assert cache.get(scan).data.shape[2] == 5
    assert len(cache) == 1 and cache.held_bytes == cache.get(scan).data.nbytes


def test_a_deleted_file_is_gone_from_memory_too(case, decoded):
    scan = factories.ScanFactory.create(case=case)
    cache = VolumeCache()
    cache.get(scan)
    scan.canonical.storage.delete(scan.canonical.name)
    with pytest.raises(FileNotFoundError):
        cache.get(scan)
    assert len(cache) == 0 and cache.held_bytes == 0


def test_a_broken_file_says_so_each_time(case):
    scan = factories.ScanFactory.create(case=case)
    storage = scan.canonical.storage
    storage.delete(scan.canonical.name)
    storage.save(scan.canonical.name, ContentFile(b"nothing of the kind"))
    cache = VolumeCache()
    for _ in range(2):
        with pytest.raises(ImagingError):
            cache.get(scan)


def test_the_least_used_goes_first_and_large_ones_are_not_kept(case, settings):
    first, second, third = (factories.ScanFactory.create(case=case, slices=2) for _ in range(3))
    cache = VolumeCache()
    size = cache.get(first).data.nbytes
    settings.PMI_VOLUME_CACHE_BYTES = 2 * size
    cache.get(second)
    cache.get(first)
    cache.get(third)
    assert cache.held_bytes == 2 * size
    assert {key[1] for key in cache._volumes} == {first.canonical.name, third.canonical.name}
    settings.PMI_VOLUME_CACHE_BYTES = size - 1
    cache.clear()
    assert cache.get(first) is not None
    assert len(cache) == 0


def test_requests_at_the_same_time_decode_once(case, decoded):
    scan = factories.ScanFactory.create(case=case, slices=4)
    cache = VolumeCache()
    threads = [threading.Thread(target=cache.get, args=(scan,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert decoded == [scan.pk]
    with pytest.raises(ValueError, match="read-only"):
        cache.get(scan).data[0, 0, 0] = 1
