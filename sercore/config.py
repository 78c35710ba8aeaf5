"""Frozen settings and the three profiles of the course (introduced in chapter 4).

Everything that changes a number lives in one of these objects, so a configuration can be printed,
compared and hashed: the hash names the cached features and the training runs made with it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs

DTYPES = ("float16", "float32")

REPOSITORY = Path(__file__).resolve().parents[1]
"""The clone of the course: its notebooks, figures and models lie here."""


def digest(settings: object, *, length: int = 16) -> str:
    """Return a short, stable name for a JSON-serialisable value.

    Parameters
    ----------
    settings : object
        Anything `json.dumps` can write; key order does not matter.
    length : int
        Number of hexadecimal digits to keep, at most 64.

    Returns
    -------
    str
        The first `length` digits of the SHA-256 of the canonical JSON text.
    """
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _positive_int(name: str, value: object) -> None:
    ok = isinstance(value, int) and not isinstance(value, bool) and value > 0
    _require(ok, f"{name} must be a positive whole number, not {value!r}")


@dataclass(frozen=True, kw_only=True)
class AudioConfig:
    """How a clip becomes a feature array (chapter 4).

    Parameters
    ----------
    sample_rate : int
        Rate in Hz to which every clip is resampled.
    seconds : float
        Length in seconds to which every clip is cut or zero-padded at its end.
    n_fft, hop_length : int
        Window and step of the short-time Fourier transform, in samples.
    n_mels : int
        Number of mel bands.
    n_mfcc : int
        Number of MFCCs kept, at most `n_mels`.
    mel_ref : float or "min"
        Power that counts as 0 dB in the mel spectrogram. A number is the same for every clip;
        `"min"` takes the clip's own quietest cell, as the article does.
    dtype : {"float16", "float32"}
        Type in which features are stored on disk.

    Raises
    ------
    ValueError
        If a value is out of range; the message names it.
    """

    sample_rate: int
    seconds: float
    n_fft: int
    hop_length: int
    n_mels: int
    n_mfcc: int
    mel_ref: float | str
    dtype: str

    def __post_init__(self) -> None:
        for name in ("sample_rate", "n_fft", "hop_length", "n_mels", "n_mfcc"):
            _positive_int(name, getattr(self, name))
        _require(
            self.seconds > 0 and math.isfinite(self.seconds),
            f"seconds must be positive and finite, not {self.seconds!r}",
        )
        _require(
            self.n_mfcc <= self.n_mels,
            f"n_mfcc={self.n_mfcc} is more than n_mels={self.n_mels}: a DCT of {self.n_mels} "
            f"bands has only {self.n_mels} coefficients; lower n_mfcc or raise n_mels",
        )
        reference_ok = self.mel_ref == "min" or (
            isinstance(self.mel_ref, (int, float))
            and self.mel_ref > 0
            and math.isfinite(self.mel_ref)
        )
        _require(reference_ok, f"mel_ref must be a positive power or 'min', not {self.mel_ref!r}")
        _require(
            self.dtype in DTYPES, f"dtype must be one of {', '.join(DTYPES)}, not {self.dtype!r}"
        )

    @property
    def n_samples(self) -> int:
        """Samples in a clip after padding or cutting."""
        return round(self.sample_rate * self.seconds)

    @property
    def n_frames(self) -> int:
        """Frames of a centred STFT over `n_samples`: one at zero, then one per hop."""
        # Half a window of padding at both ends, rounded down: an odd window is one sample short.
        return 1 + (self.n_samples - self.n_fft % 2) // self.hop_length


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a model is fitted (chapter 5); the defaults are the article's.

    Parameters
    ----------
    max_epochs : int
        Upper bound on passes over the training data.
    shuffle : bool
        Whether each epoch visits the training clips in a new order. The article's does not.
    batch_size : int
        Clips in one gradient step.
    learning_rate : float
        Adam's initial step size.
    stop_patience : int
        Epochs without a better validation loss after which training stops.
    plateau_patience, plateau_factor, min_learning_rate
        After `plateau_patience` epochs without a better validation loss the learning rate is
        multiplied by `plateau_factor`, never below `min_learning_rate`.

    Raises
    ------
    ValueError
        If a value is out of range; the message names it.
    """

    max_epochs: int
    shuffle: bool
    batch_size: int = 32
    learning_rate: float = 1e-3
    stop_patience: int = 10
    plateau_patience: int = 3
    plateau_factor: float = 0.2
    min_learning_rate: float = 1e-6

    def __post_init__(self) -> None:
        for name in ("max_epochs", "batch_size", "stop_patience", "plateau_patience"):
            _positive_int(name, getattr(self, name))
        for name in ("learning_rate", "min_learning_rate"):
            value = getattr(self, name)
            _require(value > 0, f"{name} must be positive, not {value!r}")
        _require(
            0 < self.plateau_factor < 1,
            f"plateau_factor must lie between 0 and 1, not {self.plateau_factor!r}",
        )


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One size of the course: a name, how clips are read and how models are fitted."""

    name: str
    audio: AudioConfig
    training: TrainConfig

    def as_dict(self) -> dict:
        """Return the profile as plain, JSON-serialisable values."""
        return asdict(self)


_COMPACT_AUDIO = AudioConfig(
    sample_rate=16_000,
    seconds=4.0,
    n_fft=1024,
    hop_length=512,
    n_mels=64,
    n_mfcc=64,
    mel_ref=1.0,
    dtype="float16",
)

_ARTICLE_AUDIO = AudioConfig(
    sample_rate=44_100,
    seconds=4.0,
    n_fft=2048,
    hop_length=512,
    n_mels=128,
    n_mfcc=128,
    mel_ref="min",
    dtype="float32",
)

PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(
            name="demo",
            audio=_COMPACT_AUDIO,
            # Small batches: with a few hundred clips, batches of 32 are too few steps for the
            # moving averages of batch normalisation, and the test figures stay at chance.
            training=TrainConfig(max_epochs=14, shuffle=True, batch_size=8),
        ),
        Profile(
            name="laptop",
            audio=_COMPACT_AUDIO,
            training=TrainConfig(max_epochs=100, shuffle=True),
        ),
        Profile(
            name="article",
            audio=_ARTICLE_AUDIO,
            training=TrainConfig(max_epochs=100, shuffle=False),
        ),
    )
}


def load_profile(name: str | None = None) -> Profile:
    """Return a profile by name.

    Parameters
    ----------
    name : str, optional
        One of `PROFILES`. Without it the variable `SER_PROFILE` decides, and without that
        `"laptop"` where `SER_DATA` names a folder and `"demo"` where it does not.

    Returns
    -------
    Profile

    Raises
    ------
    ValueError
        If there is no profile of that name; the message lists those there are.
    """
    chosen = name or os.environ.get("SER_PROFILE")
    if not chosen:
        chosen = "laptop" if os.environ.get("SER_DATA") else "demo"
    if chosen not in PROFILES:
        raise ValueError(f"unknown profile {chosen!r}, expected one of {', '.join(PROFILES)}")
    return PROFILES[chosen]


def retrain_mark() -> str:
    """Return `SER_RETRAIN`: a run that was not trained under this mark is trained again.

    Returns
    -------
    str
        Empty where the variable is not set: any run that is there will do.
    """
    return os.environ.get("SER_RETRAIN", "")


class CacheError(RuntimeError):
    """A cache folder that cannot be used."""


def cache_dir() -> Path:
    """Return the folder for features, runs and demo corpora: `SER_CACHE` or the user's cache.

    Returns
    -------
    Path
        Absolute; made if it was not there.

    Raises
    ------
    CacheError
        If it is not there and cannot be made, or cannot be written to.
    """
    chosen = os.environ.get("SER_CACHE") or platformdirs.user_cache_path("sercore")
    folder = Path(chosen).expanduser().resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CacheError(
            f"the cache folder {folder} cannot be made ({error.strerror}); "
            "point SER_CACHE at a folder that you may write to"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CacheError(
            f"the cache folder {folder} cannot be written to; "
            "point SER_CACHE at a folder that you may write to"
        )
    return folder
