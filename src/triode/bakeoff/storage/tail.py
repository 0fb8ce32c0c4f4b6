"""What trials in training have written since one last looked: each epoch once, whoever wrote it and however often."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice

from triode.bakeoff.records import EpochRecord, TrialResult
from triode.bakeoff.storage.codec import parse_epoch
from triode.bakeoff.storage.store import Store

AT_ONCE = 256
"""Files looked at in one go; with more trials in training they take turns."""


@dataclass
class _Place:
    """How far a file has been read."""

    inode: int = 0
    offset: int = 0
    epoch: int = -1
    """The last one told of."""


class Tail:
    """Reads the growing records of trials in training."""

    def __init__(self, store: Store) -> None:
        """Nothing is watched yet."""
        self._store = store
        self._places: dict[str, _Place] = {}

    def watch(self, key: str) -> None:
        """Watch a trial from now on; one that is watched already keeps its place."""
        self._places.setdefault(key, _Place())

    def epochs(self, key: str) -> int:
        """How many epochs of a watched trial have been told of (epoch 0 is not one); -1 before its first line."""
        place = self._places.get(key)
        return -1 if place is None else place.epoch

    def look(self) -> list[tuple[str, EpochRecord]]:
        """The new epochs of the watched trials."""
        news = []
        for key in list(islice(self._places, AT_ONCE)):
            if len(self._places) > AT_ONCE:
                self._places[key] = self._places.pop(key)  # to the end of the queue
            news += [(key, record) for record in self.look_at(key)]
        return news

    def look_at(self, key: str) -> list[EpochRecord]:
        """The new epochs of one watched trial; a torn last line waits until it is whole."""
        place = self._places[key]
        path = self._store.epochs_file(key)
        try:
            if place.inode and path.stat().st_size == place.offset and path.stat().st_ino == place.inode:
                return []
            with path.open("rb") as file:
                about = os.fstat(file.fileno())
                if about.st_ino != place.inode or about.st_size < place.offset:
                    place.inode, place.offset = about.st_ino, 0  # another attempt's file
                file.seek(place.offset)
                content = file.read()
        except OSError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        place.offset += len(whole)
        news = []
        for line in whole.splitlines():
            try:
                record = parse_epoch(line.decode())
            except (ValueError, TypeError, KeyError):
                continue
            if record.epoch > place.epoch:
                place.epoch = record.epoch
                news.append(record)
        return news

    def end(self, result: TrialResult) -> list[EpochRecord]:
        """The epochs of a finished trial that have not been told of; it is watched no longer."""
        place = self._places.pop(result.key, _Place())
        return [record for record in result.epochs if record.epoch > place.epoch]

    def drop(self, key: str) -> None:
        """Watch a trial no longer."""
        self._places.pop(key, None)
