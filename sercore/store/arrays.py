"""Arrays of clips on disk: computed once, on all cores, and kept (chapter 4).

A store is a folder with a file for each kind, `<kind>.bin`, in which the rows stand one behind the
other, and `index.json`, which names the clip of each row by its SHA-256. Rows are written a batch
at a time: first the arrays and then, when they are on disk, the index, whole and with a checksum.
So a process may be killed at any moment: the next one cuts off what the index does not name, goes
on, and ends with the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from joblib import Parallel, delayed

from sercore.config import SercoreError, cache_dir, digest
from sercore.store.fast_mel import filled
from sercore.store.files import sha256, write_whole

_FORMAT = 5  # raised whenever the same settings would give other bytes
_REPORT_EVERY = 2_000  # clips
_COMMIT_EVERY = 80  # clips
_TASK = 8  # clips that a worker takes at a time
_AHEAD = 2**27  # bytes: however many workers there are, about so much waits to be written
_PROCESSES_FROM = 1_000  # clips; to start processes takes about as long as to compute so many

Shape = tuple[int | None, ...]
Arrays = np.ndarray | list[np.ndarray]
Row = dict[str, tuple[np.ndarray, int]]  # of one clip, by kind: an array and its length
Index = dict[str, dict[str, int]]  # by the SHA-256 of a clip: the length of each kind
Report = Callable[[str], object] | None


class FeatureError(SercoreError, ValueError):
    """A clip or a store from which features cannot be had."""


@dataclass(frozen=True, kw_only=True)
class ArrayStore:
    """The arrays of all kinds that are computed in one pass over a clip."""

    settings: dict[str, Any]
    """Whatever decides the numbers; other settings have another folder."""
    shapes: dict[str, Shape]
    """The shape of one clip's array of each kind; None for a last axis as long as the clip."""
    dtype: str
    read_clip: Callable[[Path], tuple[Any, int]]
    """Gives what all kinds are computed from, and how many frames the clip has without padding."""
    compute: dict[str, Callable[[Any], np.ndarray]]
    """Gives the array of each kind; last frames that repeat may be left out."""

    def read(
        self, kind: str, keys: Sequence[str], paths: Sequence[str], root: Path, report: Report
    ) -> tuple[Arrays, np.ndarray, np.ndarray]:
        """Return all arrays of a kind, and the row and the length of each clip.

        Clips have a SHA-256, their key, and a path from `root`. Missing ones are computed first, in
        order; another process waits until this is done. The arrays are mapped into memory: as one
        of shape (n_rows, ...), or as a list if they are of unequal length.
        """
        root = root.absolute()  # workers may stand in another folder
        with self._writing():
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(f"{self._folder}.lock").acquire()
        with lock:
            index = self._index()
            missing = {key: path for key, path in zip(keys, paths, strict=True) if key not in index}
            if missing:
                self._append(index, missing, root, report)
        row_of = {key: row for row, key in enumerate(index)}
        rows = np.array([row_of[key] for key in keys], dtype=int)
        lengths = np.array([index[key][kind] for key in keys], dtype=int)
        return self._mapped(kind, index), rows, lengths

    @property
    def _folder(self) -> Path:
        settings = {"format": _FORMAT, "dtype": self.dtype, "shapes": self.shapes, **self.settings}
        return cache_dir() / "features" / f"{'-'.join(self.shapes)}-{digest(settings)}"

    def _file(self, kind: str) -> Path:
        return self._folder / f"{kind}.bin"

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Say what to do when the disk is full."""
        try:
            yield
        except OSError as error:
            raise FeatureError(
                f"features could not be written to {self._folder} ({error.strerror}); what was "
                "there before is kept: make room, or point SER_CACHE elsewhere, and start again"
            ) from error

    def _starts(self, kind: str, index: Index) -> list[int]:
        """Return at which byte of its file each row starts, and where the last one ends."""
        *frame, last = self.shapes[kind]
        frames = np.cumsum([0, *(last or row[kind] for row in index.values())])
        return (frames * math.prod(n or 1 for n in frame) * np.dtype(self.dtype).itemsize).tolist()

    def _index(self) -> Index:
        """Return the rows that are there: none, if anything is damaged or not of this store."""
        file = self._folder / "index.json"
        seal, _, text = file.read_bytes().partition(b"\n") if file.exists() else (b"", b"", b"")
        index = json.loads(text) if self._seal(text) == seal else {}
        ends = {self._file(kind): self._starts(kind, index)[-1] for kind in self.shapes}
        whole = all(file.exists() and file.stat().st_size >= end for file, end in ends.items())
        return index if whole else {}

    def _seal(self, text: bytes) -> bytes:
        return hashlib.sha256(self._folder.name.encode() + text).hexdigest().encode()

    def _append(self, index: Index, missing: dict[str, str], root: Path, report: Report) -> None:
        """Compute the missing rows and write them in order, a batch at a time."""
        started, done = time.perf_counter(), 0
        with self._writing():
            for kind in self.shapes:
                with self._file(kind).open("ab") as file:
                    if file.tell() > (end := self._starts(kind, index)[-1]):
                        file.truncate(end)  # what a killed process wrote and did not enter
        rows = self._computed(missing, root)
        while batch := list(islice(rows, _COMMIT_EVERY)):
            with self._writing():
                self._commit(index, batch)
            done += len(batch)
            if report and (done % _REPORT_EVERY == 0 or done == len(missing)):
                names, seconds = " and ".join(self.shapes), time.perf_counter() - started
                report(f"{names}: {done} of {len(missing)} clips, {seconds:.0f} s")

    def _commit(self, index: Index, batch: list[tuple[str, Row]]) -> None:
        """Write rows, then enter them in the index: a process that is killed leaves no gap."""
        for kind, shape in self.shapes.items():
            with self._file(kind).open("ab") as file:
                for _, row in batch:
                    file.write(filled(row[kind][0], shape[-1]).data)
                file.flush()
                os.fsync(file.fileno())
        index.update((key, {kind: row[kind][1] for kind in row}) for key, row in batch)
        text = json.dumps(index, separators=(",", ":")).encode()
        write_whole(self._folder / "index.json", self._seal(text) + b"\n" + text)

    def _computed(self, missing: dict[str, str], root: Path) -> Iterator[tuple[str, Row]]:
        """Yield the SHA-256 and the row of each clip, in their order."""
        first, *rest = missing.items()
        # librosa compiles some functions when they are first used; threads would all do so at once.
        yield first[0], (row := self._row(*first, root))
        # The first clip may be a short one, so a row counts as if it were full.
        full = [filled(array, self.shapes[kind][-1]).nbytes for kind, (array, _) in row.items()]
        ahead = max(_TASK, _AHEAD // sum(full))
        # Threads start at once; processes do not wait for each other between a clip's short steps.
        prefer = "processes" if len(missing) >= _PROCESSES_FROM else "threads"
        # joblib would keep one task a worker under way, and the worker wait for the next one.
        with Parallel(
            n_jobs=-1, prefer=prefer, batch_size=_TASK, pre_dispatch="all", return_as="generator"
        ) as parallel:
            for start in range(0, len(rest), ahead):
                part = rest[start : start + ahead]
                rows = parallel(delayed(self._row)(*clip, root) for clip in part)
                yield from zip((key for key, _ in part), rows, strict=True)

    def _mapped(self, kind: str, index: Index) -> Arrays:
        shape: tuple[Any, ...] = self.shapes[kind]
        starts = self._starts(kind, index)
        if not index:  # an empty file cannot be mapped
            return np.empty((0, *(n or 0 for n in shape)), self.dtype)
        flat = np.memmap(self._file(kind), np.uint8, "r", shape=(starts[-1],))
        if shape[-1]:
            return flat.view(self.dtype).reshape(-1, *shape)
        rows = (np.asarray(flat[a:b]).view(self.dtype) for a, b in pairwise(starts))
        return [row.reshape(*shape[:-1], -1) for row in rows]

    def _row(self, key: str, path: str, root: Path) -> Row:
        """Compute the row of a clip, if it is still the one in the manifest."""
        try:
            same = sha256(root / path) == key
            problem = "" if same else "has changed since the manifest was built"
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
        if problem:
            raise FeatureError(f"{path} {problem}; build the manifest again")
        clip, own = self.read_clip(root / path)
        row = {}
        for kind, shape in self.shapes.items():
            array = np.asarray(self.compute[kind](clip), self.dtype)
            last = shape[-1] or array.shape[-1]
            if array.shape[:-1] != shape[:-1] or not 0 < array.shape[-1] <= last:
                raise FeatureError(f"{kind} of {path} is of shape {array.shape}, but not {shape}")
            # Vectors have no frames, and arrays of unequal length no padding.
            row[kind] = array, min(own, last) if shape[-1] and len(shape) > 1 else last
        return row
