"""Frozen settings, the three profiles of the course (chapter 4), and what the environment says.

Everything that changes a number lives in one of these objects, so a configuration can be printed,
compared and hashed: the hash names the cached features and the training runs made with it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

import platformdirs


class SercoreError(Exception):
    """Whatever the course refuses: the message says what is wrong and what to do next."""


class ConfigError(SercoreError, ValueError):
    """A setting or a variable that cannot be used."""


REPOSITORY = Path(__file__).resolve().parents[1]
"""The clone of the course: its notebooks, figures and models lie here."""


def digest(settings: object, *, length: int = 16) -> str:
    """Return a short, stable name for a JSON-serialisable value: the start of its SHA-256."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


def _positive_int(name: str, value: object) -> None:
    ok = isinstance(value, int) and not isinstance(value, bool) and value > 0
    _require(ok, f"{name} must be a positive whole number, not {value!r}")


@dataclass(frozen=True, kw_only=True)
class AudioConfig:
    """How a clip becomes a feature array (chapter 4). A value out of range is a `ConfigError`."""

    sample_rate: int
    """Hz; every clip is resampled to it."""
    seconds: float
    """Every clip is cut to this length, or padded with zeros at its end."""
    n_fft: int
    """Window of the short-time Fourier transform, in samples."""
    hop_length: int
    """Step from one window to the next, in samples."""
    n_mels: int
    """Mel bands."""
    n_mfcc: int
    """MFCCs kept, at most `n_mels`."""
    mel_ref: float | str
    """Power that counts as 0 dB. A number is the same for every clip; `"min"` takes the clip's own
    quietest cell, as the article does."""
    dtype: str
    """Type in which features are stored: float16 or float32."""

    def __post_init__(self) -> None:
        for name in ("sample_rate", "n_fft", "hop_length", "n_mels", "n_mfcc"):
            _positive_int(name, getattr(self, name))
        _require(0 < self.seconds < math.inf, f"seconds must be positive, not {self.seconds!r}")
        _require(
            self.n_mfcc <= self.n_mels,
            f"n_mfcc={self.n_mfcc} is more than n_mels={self.n_mels}: a DCT of {self.n_mels} "
            f"bands has only {self.n_mels} coefficients; lower n_mfcc or raise n_mels",
        )
        number = isinstance(self.mel_ref, int | float) and 0 < self.mel_ref < math.inf
        known = number or self.mel_ref == "min"
        _require(known, f"mel_ref must be a positive power or 'min', not {self.mel_ref!r}")
        types = ("float16", "float32")
        _require(self.dtype in types, f"dtype must be float16 or float32, not {self.dtype!r}")

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
    """How long and how fast a model is fitted (chapter 5); the defaults are the article's."""

    max_epochs: int
    """At most so many passes over the training clips."""
    shuffle: bool
    """Whether each epoch visits the training clips in a new order. The article's does not."""
    batch_size: int = 32
    """Clips in one gradient step."""
    learning_rate: float = 1e-3
    """The optimiser's first step size."""
    stop_patience: int = 10
    """Epochs without a better validation loss after which training stops."""
    plateau_patience: int = 3
    """Epochs without a better validation loss after which the learning rate is cut."""
    plateau_factor: float = 0.2
    """What the learning rate is multiplied by then."""
    min_learning_rate: float = 1e-6
    """It is never cut below this."""

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


PROFILES: dict[str, Profile] = {
    name: Profile(
        name=name, audio=AudioConfig(**keys["audio"]), training=TrainConfig(**keys["training"])
    )
    for name, keys in tomllib.loads(
        (Path(__file__).parent / "data" / "profiles.toml").read_text(encoding="utf-8")
    ).items()
}
"""The three sizes of the course by name; their values stand in `sercore/data/profiles.toml`."""


# --- what the environment says: read here and nowhere else ----------------------------------------


def data_folder() -> Path | None:
    """Return the folder of the corpora that `SER_DATA` names; None if it names none."""
    chosen = os.environ.get("SER_DATA")
    return Path(chosen).expanduser().resolve() if chosen else None


def load_profile(name: str | None = None) -> Profile:
    """Return a profile by its name, or the one that `SER_PROFILE` names.

    Without either it is `laptop` where `SER_DATA` names a folder, and `demo` where it does not.
    An unknown name is a `ConfigError` that lists the known ones.
    """
    chosen = name or os.environ.get("SER_PROFILE") or ("laptop" if data_folder() else "demo")
    if chosen not in PROFILES:
        source = "" if name else "SER_PROFILE: "
        raise ConfigError(
            f"{source}unknown profile {chosen!r}, expected one of {', '.join(PROFILES)}"
        )
    return PROFILES[chosen]


def retraining() -> bool:
    """Return whether every model is to be trained anew (`SER_RETRAIN` is set and not 0)."""
    return os.environ.get("SER_RETRAIN", "0") not in ("", "0")


def runs_folder() -> Path:
    """Return the folder of the training runs; while retraining, it is a fresh one."""
    return cache_dir() / ("retraining" if retraining() else "runs")


class CacheError(SercoreError, RuntimeError):
    """A cache folder that cannot be used."""


def cache_dir() -> Path:
    """Return the folder for features, runs and demo corpora: `SER_CACHE` or the user's cache.

    It is made if it is not there. A folder that cannot be made or written is a `CacheError`.
    """
    chosen = os.environ.get("SER_CACHE") or platformdirs.user_cache_path("sercore")
    folder = Path(chosen).expanduser().resolve()
    advice = "point SER_CACHE at a folder that you may write to"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CacheError(
            f"the cache folder {folder} cannot be made ({error.strerror}); {advice}"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CacheError(f"the cache folder {folder} cannot be written to; {advice}")
    return folder
