"""Decoded scans for showing one slice after the other.

A canonical file is compressed from end to end, so any slice costs the decoding of the whole file. A process
keeps the few volumes that it decoded last. Access is decided before, by the selectors; an entry answers for
one stored file as it is now: a file that was replaced or deleted is never answered from memory.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace

from django.conf import settings

from cases.imaging.volume import CanonicalVolume
from cases.models import Scan
from cases.services import load_volume

_Key = tuple[str, str, float]


class VolumeCache:
    """Volumes by (storage, name, time of change), the least used dropped first; safe for many threads."""

    def __init__(self) -> None:
        self._volumes: OrderedDict[_Key, CanonicalVolume] = OrderedDict()
        self._bytes = 0
        self._guard = threading.Lock()
        self._decoding: dict[_Key, threading.Lock] = {}

    def get(self, scan: Scan) -> CanonicalVolume:
        """The volume of a scan with its display window filled in; not to be changed.

        Raises OSError when the file is missing and ImagingError when it is broken.
        """
        key = self._key(scan)
        with self._guard:
            if (held := self._found(key)) is not None:
                return held
            turn = self._decoding.setdefault(key, threading.Lock())
        # A viewer asks for several slices at once: one request decodes, the others wait for it.
        with turn:
            with self._guard:
                if (held := self._found(key)) is not None:
                    return held
            try:
                volume = load_volume(scan)
                volume = replace(volume, window=volume.display_window())
                volume.data.setflags(write=False)
            finally:
                with self._guard:
                    self._decoding.pop(key, None)
            self._keep(key, volume)
        return volume

    def clear(self) -> None:
        """Forget everything."""
        with self._guard:
            self._volumes.clear()
            self._bytes = 0

    def __len__(self) -> int:
        return len(self._volumes)

    @property
    def held_bytes(self) -> int:
        """Bytes of pixels in memory."""
        return self._bytes

    def _key(self, scan: Scan) -> _Key:
        name = scan.canonical.name or ""
        place = str(getattr(scan.canonical.storage, "location", ""))
        try:
            changed = scan.canonical.storage.get_modified_time(name).timestamp()
        except OSError:
            self._drop(place, name)
            raise
        return place, name, changed

    def _found(self, key: _Key) -> CanonicalVolume | None:
        if key not in self._volumes:
            return None
        self._volumes.move_to_end(key)
        return self._volumes[key]

    def _keep(self, key: _Key, volume: CanonicalVolume) -> None:
        self._drop(*key[:2])
        limit = int(settings.PMI_VOLUME_CACHE_BYTES)
        if volume.data.nbytes > limit:
            return
        with self._guard:
            self._volumes[key] = volume
            self._bytes += volume.data.nbytes
            while self._bytes > limit:
                _oldest, dropped = self._volumes.popitem(last=False)
                self._bytes -= dropped.data.nbytes

    def _drop(self, place: str, name: str) -> None:
        with self._guard:
            for key in [key for key in self._volumes if key[:2] == (place, name)]:
                self._bytes -= self._volumes.pop(key).data.nbytes


shown = VolumeCache()
