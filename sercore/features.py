"""From a clip to an array: mel bands, MFCCs, prosody and more (chapters 3, 4, 9 and 11).

`KINDS` names the kinds of features; `extract` computes one for many clips and keeps it on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import librosa
import numpy as np
import pandas as pd
from joblib import parallel_config

from sercore.config import AudioConfig
from sercore.encoder import N_STATISTICS, layer_statistics
from sercore.functionals import N_FUNCTIONALS, functionals
from sercore.store.arrays import Arrays, ArrayStore, FeatureError, Report, Shape, filled
from sercore.store.fast_mel import heard_power

PROSODY = ("pitch", "pitch_range", "level", "tempo")
"""Median in Hz, its 10-90 % range in semitones, dB of full scale, onsets per second of speech."""


def load_clip(
    path: str | Path | BinaryIO, *, config: AudioConfig, whole: bool = False
) -> np.ndarray:
    """Load a clip as models see it: float32, mono, resampled.

    It is cut, or zero-padded at its end, to `config.seconds`, or read `whole`.
    """
    seconds = None if whole else config.seconds
    clip, _ = librosa.load(path, sr=config.sample_rate, duration=seconds)
    return clip if whole else librosa.util.fix_length(clip, size=config.n_samples)


def mel_power(clip: np.ndarray, *, config: AudioConfig) -> np.ndarray:
    """Return the power in each mel band and frame, of shape (n_mels, n_frames) (chapter 3)."""
    n_fft, hop = config.n_fft, config.hop_length
    return librosa.feature.melspectrogram(
        y=clip, sr=config.sample_rate, n_fft=n_fft, hop_length=hop, n_mels=config.n_mels
    )


def mel_spectrogram(clip: np.ndarray, *, config: AudioConfig) -> np.ndarray:
    """Return the mel spectrogram in dB against `mel_ref`, shape (n_mels, n_frames) (chapter 4)."""
    return _decibels(mel_power(clip, config=config), config=config)


def _decibels(power: np.ndarray, *, config: AudioConfig) -> np.ndarray:
    ref: Any = np.min if config.mel_ref == "min" else config.mel_ref
    return librosa.power_to_db(power, ref=ref)  # no cell is more than 80 dB below the loudest


def mfcc(clip: np.ndarray, *, config: AudioConfig) -> np.ndarray:
    """Return the mel-frequency cepstral coefficients, of shape (n_mfcc, n_frames) (chapter 4).

    The orthonormal DCT-II along the bands of the mel spectrogram, in dB against power 1.0, as in
    librosa and the article. (`extract` takes the power from `store.fast_mel`, which agrees.)
    """
    return _cepstrum(mel_power(clip, config=config), config=config)


def _cepstrum(power: np.ndarray, *, config: AudioConfig) -> np.ndarray:
    return librosa.feature.mfcc(S=librosa.power_to_db(power), n_mfcc=config.n_mfcc)


def prosody(clip: np.ndarray, *, config: AudioConfig) -> np.ndarray:
    """Measure pitch, level and tempo: what one would listen for without a model (chapter 3).

    Float32 of shape (4,), as `PROSODY` names them; not a number where the clip is silent. Pitch is
    that of `librosa.yin` (de Cheveigne and Kawahara 2002). Tempo counts onsets as syllables.
    """
    rate, hop = config.sample_rate, config.hop_length
    rms = librosa.feature.rms(y=clip, frame_length=4 * hop, hop_length=hop)[0]
    if not rms.any():
        return np.full(len(PROSODY), np.nan, dtype=np.float32)
    speaking = rms > rms.max() * 10 ** (-25 / 20)  # frames within 25 dB of the loudest
    pitch = librosa.yin(clip, fmin=65, fmax=500, sr=rate, frame_length=4 * hop, hop_length=hop)
    low, high = np.percentile(pitch[speaking], [10, 90])
    level = 20 * np.log10(np.sqrt(np.mean(rms[speaking] ** 2)))
    onsets = librosa.onset.onset_detect(y=clip, sr=rate, hop_length=hop, units="frames")
    tempo = len(onsets) / (speaking.sum() * hop / rate)
    measures = [np.median(pitch[speaking]), 12 * np.log2(high / low), level, tempo]
    return np.array(measures, dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How features are computed: an array whose last axis is time, or a vector."""

    compute: Callable[..., np.ndarray]
    """Called as `compute(clip, config=config)`, or with what `prepare` returned for the clip."""
    shape: Callable[[AudioConfig], Shape]
    """The shape of a clip's array; if there are fewer frames, the last one is repeated. None as
    the last axis: as many frames as the clip has."""
    whole: bool = False
    """Whether clips are read whole; if not, they are cut or padded to `config.seconds`."""
    prepare: Callable[..., Any] | None = None
    """Called as `prepare(clip, config=config)`. Kinds with the same function share what it returns:
    they are computed in one pass over a clip, and stored together."""
    processes: bool = True
    """Whether processes should share the work; TensorFlow uses all cores by itself."""
    version: int = 1
    """Raise it when you change `compute`, because what is stored is not computed again."""


KINDS: dict[str, Kind] = {
    "mel": Kind(compute=_decibels, shape=lambda c: (c.n_mels, c.n_frames), prepare=heard_power),
    "mfcc": Kind(compute=_cepstrum, shape=lambda c: (c.n_mfcc, c.n_frames), prepare=heard_power),
    "prosody": Kind(compute=prosody, shape=lambda c: (len(PROSODY),)),
    "functionals": Kind(compute=functionals, shape=lambda c: (N_FUNCTIONALS,), whole=True),
    "encoder": Kind(
        compute=layer_statistics, shape=lambda c: (N_STATISTICS,), whole=True, processes=False
    ),
}
"""All kinds of features by name. One more entry is one more kind."""


def _one_pass(kind: str, config: AudioConfig) -> dict[str, Kind]:
    """Return the kinds that are computed together with this one."""
    if kind not in KINDS:
        raise FeatureError(f"unknown kind {kind!r}, expected one of {', '.join(KINDS)}")
    steps = {name: (k.prepare or name, k.whole) for name, k in KINDS.items()}
    return {name: KINDS[name] for name, step in steps.items() if step == steps[kind]}


def compute(clip: np.ndarray, *, kind: str, config: AudioConfig) -> np.ndarray:
    """Return one kind of features of a clip from `load_clip`, as `extract` does, but float32."""
    chosen = _one_pass(kind, config)[kind]
    prepared = chosen.prepare(clip, config=config) if chosen.prepare else clip
    array = chosen.compute(prepared, config=config)
    return filled(array, chosen.shape(config)[-1]).astype(np.float32, copy=False)


def _read(path: Path, kind: Kind, config: AudioConfig) -> tuple[Any, int]:
    """Return what kinds are computed from, and how many frames the clip has without padding."""
    seconds = None if kind.whole else config.seconds
    clip, _ = librosa.load(path, sr=config.sample_rate, duration=seconds)
    own = 1 + (len(clip) - config.n_fft % 2) // config.hop_length  # as in `config.n_frames`
    clip = clip if kind.whole else librosa.util.fix_length(clip, size=config.n_samples)
    return kind.prepare(clip, config=config) if kind.prepare else clip, own


@dataclass(frozen=True)
class Features:
    """Features of some clips, read from disk when asked for."""

    array: Arrays
    """All that is stored: of shape (n_stored, ...), or a list of arrays of unequal length."""
    rows: np.ndarray
    """Of shape (n_clips,): the row of `array` that belongs to each clip."""
    lengths: Any = None
    """Of shape (n_clips,): how many frames come from the clip, not from padding (default: all)."""

    def __post_init__(self) -> None:
        if self.lengths is None:
            every = np.array([self.array[row].shape[-1] for row in self.rows], dtype=int)
            object.__setattr__(self, "lengths", every)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, positions: Any) -> np.ndarray:
        """Return a stacked array; clips of unequal length are padded at the end with zeros."""
        rows = self.rows[positions]
        if isinstance(self.array, np.ndarray) or rows.ndim == 0:
            return self.array[rows]
        longest = self.lengths[positions].max(initial=0)
        return np.stack([librosa.util.fix_length(self.array[row], size=longest) for row in rows])

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Number of clips, then the shape of one clip's features; None where clips differ."""
        if isinstance(self.array, np.ndarray):
            return (len(self.rows), *self.array.shape[1:])
        return (len(self.rows), *self.array[0].shape[:-1], None)


def extract(
    clips: pd.DataFrame, root: str | Path, *, config: AudioConfig, kind: str, report: Report = print
) -> Features:
    """Return features for each row of a manifest, whose paths begin in `root`.

    What is stored is not computed again, so an extraction that was killed goes on where it stopped.
    All cores compute: of this machine, or in `with joblib.parallel_config(backend="dask")` of a
    cluster, whose workers read the clips themselves and so need the same `root`. An unknown kind, a
    clip that is not what the manifest says, and a full disk are a `FeatureError`.
    """
    kinds = _one_pass(kind, config)
    store = ArrayStore(
        settings={"audio": asdict(config), "versions": [each.version for each in kinds.values()]},
        shapes={name: each.shape(config) for name, each in kinds.items()},
        dtype=config.dtype,
        read_clip=partial(_read, kind=KINDS[kind], config=config),
        compute={name: partial(each.compute, config=config) for name, each in kinds.items()},
    )
    how = nullcontext() if KINDS[kind].processes else parallel_config(backend="threading")
    with how:
        return Features(*store.read(kind, clips["sha256"], clips["path"], Path(root), report))
