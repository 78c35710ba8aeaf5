"""From a clip to an array, computed once and kept on disk (chapters 3 and 4).

librosa does the signal processing, but for the mel bands, which are most of the work: `mel_power`
takes about a third of librosa's time and agrees with it to 1e-3 dB. What else this module adds is
the store: per audio configuration one memory-mapped array per feature kind, whose rows are keyed by
the SHA-256 of their clip.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO

import librosa
import numpy as np
import pandas as pd
import soundfile
import soxr
from filelock import FileLock
from joblib import Parallel, delayed
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import rfft
from scipy.signal import get_window
from scipy.sparse import csr_array

from sercore.config import AudioConfig, cache_dir, digest

PROSODY = ("pitch", "pitch_range", "level", "tempo")
"""Columns of the `prosody` features: median pitch in Hz, its 10-90 % range in semitones, level in
dB of full scale, and onsets per second of speech."""

_STORE_FORMAT = 4  # raised whenever the same configuration would give other numbers
_REPORT_EVERY = 2_000  # clips
_COMMIT_EVERY = 64  # clips
_BLOCK = 2**19  # bytes of one block of frames; larger ones fall out of the processor's cache
_WEAK = 3e-7  # of the power a band would have, were each of its bins as loud as the loudest
_TASK = 8  # clips that a worker takes at a time
_AHEAD = 2**28  # bytes: however many workers there are, rows that wait to be written are no more
_PROCESSES_FROM = 1_000  # clips; starting processes takes about as long as computing so many
_SHA256 = re.compile(rb"[0-9a-f]{64}")


class FeatureError(ValueError):
    """A clip or a store from which features cannot be had."""


# --- one clip -------------------------------------------------------------------------------------


def load_clip(
    path: str | Path | BinaryIO | soundfile.SoundFile, *, config: AudioConfig
) -> np.ndarray:
    """Load a clip as the models see it: mono, resampled, cut or zero-padded at the end.

    Parameters
    ----------
    path : path, binary file or soundfile.SoundFile
        A clip of any sample rate and number of channels.
    config : AudioConfig

    Returns
    -------
    numpy.ndarray, shape (n_samples,), float32
        Samples between -1 and 1.
    """
    clip, rate = librosa.load(path, sr=None, mono=True, duration=config.seconds)
    if rate != config.sample_rate:
        # What `librosa.load` does with a rate, without two of its copies.
        clip = soxr.resample(clip, rate, config.sample_rate, quality="HQ")
    # `librosa.util.fix_length` would do, in three times the time.
    fixed = np.zeros(config.n_samples, dtype=np.float32)
    fixed[: len(clip)] = clip[: config.n_samples]
    return fixed


def mel_power(clip: np.ndarray, *, config: AudioConfig) -> np.ndarray:
    """Return the power in each mel band and frame (chapter 3).

    Parameters
    ----------
    clip : numpy.ndarray, shape (n_samples,)
    config : AudioConfig

    Returns
    -------
    numpy.ndarray, shape (n_mels, n_frames), float32
        Power, not decibels.

    Raises
    ------
    FeatureError
        If the clip has more than one channel.
    librosa.ParameterError
        If a sample is not a finite number.

    Notes
    -----
    The same as `librosa.feature.melspectrogram`, within 1e-3 dB wherever a cell is no more than
    80 dB below the loudest, in about a third of its time: the filters are made once and kept
    sparse, frames of padding are left out, and the rest goes through the transform in blocks that
    fit the processor's cache, in single precision but for the frames that need more.
    """
    librosa.util.valid_audio(clip)
    if clip.ndim != 1:
        raise FeatureError(
            f"a clip of shape {clip.shape} has more than one channel; librosa.to_mono makes it one"
        )
    clip = clip.astype(np.float32, copy=False)
    hop = config.hop_length
    padded = np.pad(clip, config.n_fft // 2)  # the middle of the first frame is the first sample
    frames = sliding_window_view(padded, config.n_fft)[::hop].T  # (n_fft, n_frames), no copy
    power = np.zeros((config.n_mels, frames.shape[1]), dtype=np.float32)
    # Most clips end in padding, and a frame of zeros has no power.
    loud = np.flatnonzero(np.logical_or.reduceat(padded != 0, np.arange(0, len(padded), hop)))
    n_frames = min(loud[-1] + 1, frames.shape[1]) if len(loud) else 0
    frames, heard = frames[:, :n_frames], power[:, :n_frames]
    if n_frames == power.shape[1]:
        # No cell is zero for certain, and the article's reference is the quietest of them all.
        heard[:], _ = _band_power(frames, config, np.float64)
        return power
    heard[:], unheard = _band_power(frames, config, np.float32)
    # Rounding errs in proportion to the loudest bin of the frame, which is too much for its weakest
    # cells. What lies under librosa's floor of 80 dB is lifted to it in any case.
    peaks = _band_peaks(config)
    # At least half of that bin: some band hears it at half of its peak, or it counts as unheard.
    loudest = np.maximum((heard / peaks).max(axis=0), unheard)
    weak = (heard < _WEAK * peaks * loudest) & (heard > 1e-8 * heard.max(initial=0))
    again = np.flatnonzero(weak.any(axis=0))
    heard[:, again], _ = _band_power(frames.T[again].T, config, np.float64)
    return power


def _band_power(
    frames: np.ndarray, config: AudioConfig, dtype: type
) -> tuple[np.ndarray, np.ndarray]:
    """Return the power in each mel band, of shape (n_mels, n_frames), computed with `dtype`.

    Beside it, of shape (n_frames,), the power in the bins that no band hears well.
    """
    window, bands = _window_and_bands(config, dtype)
    power = np.empty((config.n_mels + 1, frames.shape[1]), dtype=np.float32)
    step = max(1, _BLOCK // (config.n_fft * np.dtype(dtype).itemsize))
    for start in range(0, frames.shape[1], step):
        block = slice(start, start + step)
        spectrum = rfft(frames[:, block] * window, axis=0, overwrite_x=True)
        # A complex number is two reals side by side, whose squares may be added after the bands
        # have been summed: there are fewer of them by then.
        parts = spectrum.view(dtype)
        energy = bands @ np.square(parts, out=parts)
        np.add(energy[:, ::2], energy[:, 1::2], out=power[:, block], casting="same_kind")
    return power[:-1], power[-1]


@cache
def _window_and_bands(config: AudioConfig, dtype: type) -> tuple[np.ndarray, csr_array]:
    """Return the window and librosa's mel filters, which are zero but for 1 or 2 in each bin.

    Below the filters stands one more row, for the bins that each of them hears at less than half of
    its peak, if at all.
    """
    bands = librosa.filters.mel(sr=config.sample_rate, n_fft=config.n_fft, n_mels=config.n_mels)
    well_heard = (bands > _peaks(bands) / 2).any(axis=0)
    window = get_window("hann", config.n_fft)
    rows = csr_array(np.vstack([bands, ~well_heard]), dtype=dtype)
    return window[:, np.newaxis].astype(dtype), rows


@cache
def _band_peaks(config: AudioConfig) -> np.ndarray:
    """Return the largest weight of each mel filter, of shape (n_mels, 1), above zero."""
    _, bands = _window_and_bands(config, np.float32)
    return _peaks(bands[:-1].toarray())


def _peaks(bands: np.ndarray) -> np.ndarray:
    # A filter that is narrower than a bin may be all zeros.
    return np.maximum(bands.max(axis=1, keepdims=True), np.finfo(np.float32).tiny)


def mel_spectrogram(clip: np.ndarray, *, config: AudioConfig) -> np.ndarray:
    """Return the mel spectrogram in decibels (chapter 4).

    Parameters
    ----------
    clip : numpy.ndarray, shape (n_samples,)
    config : AudioConfig
        Its `mel_ref` says which power is 0 dB.

    Returns
    -------
    numpy.ndarray, shape (n_mels, n_frames), float32
        Decibels; at most 80 dB below the clip's loudest cell.
    """
    return _mel_decibels(mel_power(clip, config=config), config)


def mfcc(clip: np.ndarray, *, config: AudioConfig) -> np.ndarray:
    """Return the mel-frequency cepstral coefficients: a DCT of the log-mel bands (chapter 4).

    Parameters
    ----------
    clip : numpy.ndarray, shape (n_samples,)
    config : AudioConfig

    Returns
    -------
    numpy.ndarray, shape (n_mfcc, n_frames), float32
        Orthonormal type-II DCT along the bands of the mel spectrogram in dB against power 1.0,
        whatever `mel_ref` says: librosa's own MFCC, which the article uses, fixes it so.
    """
    return _mfcc(mel_power(clip, config=config), config)


def _mel_decibels(power: np.ndarray, config: AudioConfig) -> np.ndarray:
    return librosa.power_to_db(power, ref=np.min if config.mel_ref == "min" else config.mel_ref)


def _mfcc(power: np.ndarray, config: AudioConfig) -> np.ndarray:
    return librosa.feature.mfcc(S=librosa.power_to_db(power), n_mfcc=config.n_mfcc)


def prosody(clip: np.ndarray, *, config: AudioConfig) -> np.ndarray:
    """Measure pitch, level and tempo: what one would listen for without a model (chapter 3).

    Parameters
    ----------
    clip : numpy.ndarray, shape (n_samples,)
    config : AudioConfig

    Returns
    -------
    numpy.ndarray, shape (4,), float32
        As `PROSODY` names them; not a number where the clip is silent.

    Notes
    -----
    Pitch is that of `librosa.yin` (de Cheveigne and Kawahara 2002) in frames within 25 dB of the
    loudest. Tempo counts `librosa.onset.onset_detect`'s onsets, a stand-in for syllables.
    """
    frame_length = 4 * config.hop_length
    rms = librosa.feature.rms(y=clip, frame_length=frame_length, hop_length=config.hop_length)[0]
    if rms.max() == 0:
        return np.full(len(PROSODY), np.nan, dtype=np.float32)
    speaking = rms > rms.max() * 10 ** (-25 / 20)
    pitch = librosa.yin(
        clip,
        fmin=65,
        fmax=500,
        sr=config.sample_rate,
        frame_length=frame_length,
        hop_length=config.hop_length,
    )[speaking]
    low, high = np.percentile(pitch, [10, 90])
    onsets = librosa.onset.onset_detect(
        y=clip, sr=config.sample_rate, hop_length=config.hop_length, units="frames"
    )
    seconds = speaking.sum() * config.hop_length / config.sample_rate
    level = 20 * np.log10(np.sqrt(np.mean(rms[speaking] ** 2)))
    measures = [np.median(pitch), 12 * np.log2(high / low), level, len(onsets) / seconds]
    return np.array(measures, dtype=np.float32)


# --- many clips -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Group:
    """Feature kinds that come from one pass over a clip, and so share a store.

    Where the last frames of an array are all alike, `compute` may leave out all but the first.
    """

    shapes: Callable[[AudioConfig], dict[str, tuple[int, ...]]]
    compute: Callable[[np.ndarray, AudioConfig], dict[str, np.ndarray]]


def _spectral(clip: np.ndarray, config: AudioConfig) -> dict[str, np.ndarray]:
    power = mel_power(clip, config=config)
    heard = np.flatnonzero(power.any(axis=0))
    power = power[:, : heard[-1] + 2 if len(heard) else 1]  # with one frame of the padding
    return {"mel": _mel_decibels(power, config), "mfcc": _mfcc(power, config)}


_GROUPS = {
    "spectral": _Group(
        shapes=lambda c: {"mel": (c.n_mels, c.n_frames), "mfcc": (c.n_mfcc, c.n_frames)},
        compute=_spectral,
    ),
    "prosody": _Group(
        shapes=lambda c: {"prosody": (len(PROSODY),)},
        compute=lambda clip, c: {"prosody": prosody(clip, config=c)},
    ),
}
_GROUP_OF_KIND = {"mel": "spectral", "mfcc": "spectral", "prosody": "prosody"}


def _row(key: str, path: Path, name: str, group: str, config: AudioConfig) -> dict[str, np.ndarray]:
    """Compute the features of the clip called `name`, which is to have the SHA-256 `key`."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FeatureError(
            f"{name} cannot be read ({error.strerror}); build the manifest again"
        ) from error
    if found != key:
        raise FeatureError(
            f"{name} has changed since the manifest was built; build the manifest again"
        )
    arrays = _GROUPS[group].compute(load_clip(path, config=config), config)
    return {kind: np.ascontiguousarray(array, config.dtype) for kind, array in arrays.items()}


@dataclass(frozen=True)
class Features:
    """Features of some clips, read from disk when asked for.

    Attributes
    ----------
    array : numpy.ndarray, shape (n_stored, ...)
        The memory-mapped store, in the order in which clips were first seen.
    rows : numpy.ndarray, shape (n_clips,)
        Row of `array` that belongs to each clip.

    Examples
    --------
    >>> features = Features(np.array([[1.0], [2.0], [3.0]]), np.array([2, 0]))
    >>> features[[0, 1]].ravel().tolist()
    [3.0, 1.0]
    """

    array: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, positions) -> np.ndarray:
        return self.array[self.rows[positions]]

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of clips, then the shape of one clip's features."""
        return (len(self.rows), *self.array.shape[1:])


def extract(
    clips: pd.DataFrame,
    root: str | Path,
    *,
    config: AudioConfig,
    kind: str,
    report: Callable[[str], None] | None = print,
) -> Features:
    """Return one kind of features for all clips, computing only what the cache does not hold.

    Rows are appended in the order of `clips` and entered in the index after they are written, so an
    extraction that was killed goes on where it stopped and ends with the same bytes. Another
    process that extracts into the same store waits for its turn.

    All cores compute: of this machine, or of the cluster to which a `dask.distributed.Client` is
    connected, if the call stands in `with joblib.parallel_config(backend="dask")`. A cluster's
    workers read the clips themselves, so each must have `sercore` installed and see the same
    folder `root` under the same name; the caller alone writes, and the bytes are the same.

    Parameters
    ----------
    clips : pandas.DataFrame
        Rows of a manifest, with `path` and `sha256`.
    root : path
        Folder the paths are relative to.
    config : AudioConfig
    kind : {"mel", "mfcc", "prosody"}
    report : callable, optional
        Called with a line of text from time to time; None for silence.

    Returns
    -------
    Features
        A row for each row of `clips`, in its order.

    Raises
    ------
    FeatureError
        If `kind` is unknown, a clip is not what the manifest says it is, or the disk is full.
    """
    if kind not in _GROUP_OF_KIND:
        raise FeatureError(f"unknown kind {kind!r}, expected one of {', '.join(_GROUP_OF_KIND)}")
    store = _Store(_GROUP_OF_KIND[kind], config)
    keys = clips["sha256"].tolist()
    with store.lock():
        with store.writing():
            index = store.open()
        paths = dict(zip(keys, clips["path"], strict=True))
        missing = {key: path for key, path in paths.items() if key not in index}
        if missing:
            store.append(missing, Path(root).absolute(), report)
            index = store.open()
    rows = np.array([index[key] for key in keys], dtype=np.int64)
    return Features(store.array(kind, len(index)), rows)


class _Store:
    """A folder with raw arrays, `<kind>.bin`, and `index.txt`, which names the clip of each row."""

    _LINE = 65  # a SHA-256 in hexadecimal and a newline

    def __init__(self, group: str, config: AudioConfig) -> None:
        self.config, self.name = config, group
        self.shapes = _GROUPS[group].shapes(config)
        self.settings = {"format": _STORE_FORMAT, "group": group, "audio": asdict(config)}
        self.folder = cache_dir() / "features" / f"{group}-{digest(self.settings)}"
        self.index_file = self.folder / "index.txt"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes out of the store."""
        lock = FileLock(f"{self.folder}.lock")
        with self.writing():
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _file(self, kind: str) -> Path:
        return self.folder / f"{kind}.bin"

    def _whole(self, kind: str, array: np.ndarray) -> np.ndarray:
        """Repeat an array's last frame, which it may stand for, up to the full number."""
        n_missing = self.shapes[kind][-1] - array.shape[-1]
        return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, n_missing)], mode="edge")

    def _row_bytes(self, kind: str) -> int:
        return int(np.prod(self.shapes[kind])) * np.dtype(self.config.dtype).itemsize

    def open(self) -> dict[str, int]:
        """Return the row of each clip; cut off what was half written, remake what is foreign."""
        settings_file = self.folder / "settings.json"
        expected = json.dumps(self.settings, sort_keys=True).encode()
        if not settings_file.exists() or settings_file.read_bytes() != expected:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            settings_file.write_bytes(expected)
        for file in (self.index_file, *map(self._file, self.shapes)):
            file.touch()  # one that was deleted holds no rows
        lines = self.index_file.read_bytes().split(b"\n")[:-1]
        keys = [line.decode() for line in takewhile(_SHA256.fullmatch, lines)]
        if len(set(keys)) != len(keys):  # nothing of ours writes a key twice
            keys = []
        n_rows = len(keys)
        for kind in self.shapes:
            n_rows = min(n_rows, self._file(kind).stat().st_size // self._row_bytes(kind))
        self._truncate(n_rows)
        return {key: row for row, key in enumerate(keys[:n_rows])}

    def _truncate(self, n_rows: int) -> None:
        sizes = {self._file(kind): n_rows * self._row_bytes(kind) for kind in self.shapes}
        for file, size in {**sizes, self.index_file: n_rows * self._LINE}.items():
            if file.stat().st_size != size:
                with file.open("r+b") as handle:
                    handle.truncate(size)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Say what to do when the disk is full."""
        try:
            yield
        except OSError as error:
            raise FeatureError(
                f"features could not be written to {self.folder} ({error.strerror}); what was "
                "there before is kept: make room, or point SER_CACHE elsewhere, and start again"
            ) from error

    def append(
        self, missing: dict[str, str], root: Path, report: Callable[[str], None] | None
    ) -> None:
        """Compute the missing rows and write them in order; on an error the store stays valid."""
        started = time.perf_counter()
        waiting: list[tuple[str, dict[str, np.ndarray]]] = []
        try:
            for done, row in enumerate(self._compute(missing, root), start=1):
                waiting.append(row)
                if len(waiting) == _COMMIT_EVERY:
                    self._commit(waiting)
                if report and (done % _REPORT_EVERY == 0 or done == len(missing)):
                    seconds = time.perf_counter() - started
                    names = " and ".join(self.shapes)
                    report(f"{names}: {done} of {len(missing)} clips, {seconds:.0f} s")
        finally:
            self._commit(waiting)

    def _commit(self, waiting: list[tuple[str, dict[str, np.ndarray]]]) -> None:
        """Write rows, then enter them in the index: even a power cut leaves no gap."""
        # Taken off the list first: a second try would write them behind the half of the first.
        rows, waiting[:] = waiting[:], []
        with self.writing():
            for kind in self.shapes:
                with self._file(kind).open("ab") as file:
                    for _, arrays in rows:
                        file.write(self._whole(kind, arrays[kind]).data)
                    file.flush()
                    os.fsync(file.fileno())
            with self.index_file.open("a", encoding="ascii", newline="\n") as index:
                index.writelines(f"{key}\n" for key, _ in rows)

    def _compute(
        self, missing: dict[str, str], root: Path
    ) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        def tasks(items: list[tuple[str, str]]) -> Iterator:
            for key, path in items:
                yield delayed(_row)(key, root / path, path, self.name, self.config)

        # librosa compiles some functions when they are first used; threads would all do so at once.
        first, *rest = missing.items()
        yield first[0], _row(first[0], root / first[1], first[1], self.name, self.config)
        # Threads start at once. Processes do not wait for each other between the many short steps
        # that a clip takes, and win where there is enough to do. Both are a preference, which
        # joblib.parallel_config overrides.
        prefer = "processes" if len(missing) >= _PROCESSES_FROM else "threads"
        # joblib would keep one task a worker under way, and the worker wait for the next one.
        with Parallel(
            n_jobs=-1, prefer=prefer, batch_size=_TASK, pre_dispatch="all", return_as="generator"
        ) as parallel:
            ahead = max(1, _AHEAD // sum(map(self._row_bytes, self.shapes)))
            for start in range(0, len(rest), ahead):
                part = rest[start : start + ahead]
                yield from zip((key for key, _ in part), parallel(tasks(part)), strict=True)

    def array(self, kind: str, n_rows: int) -> np.ndarray:
        """Map the first `n_rows` rows of a kind, read-only."""
        shape = (n_rows, *self.shapes[kind])
        if n_rows == 0:  # an empty file cannot be mapped
            return np.empty(shape, dtype=self.config.dtype)
        return np.memmap(self._file(kind), dtype=self.config.dtype, mode="r", shape=shape)
