"""A trained model in one file, with all that prediction needs (chapter 8).

The file is a Keras archive (`.keras`: architecture and weights, uncompiled) whose `metadata.json`
also holds which features it reads, how they are standardised, what its outputs mean and which run
it comes from. Nothing in it is code: before Keras sees the architecture, every layer in it must be
one of the few that the course knows.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import keras
import numpy as np

from sercore.config import AudioConfig

MODEL_FILE_FORMAT = 1
"""Raised whenever a file of before cannot be read any more."""

MAX_BYTES, MAX_SIZE = 100_000_000, 4_096
"""Bytes unpacked, and the size of a layer, that no model of the course comes near: a file that
claims more is refused before memory is spent on it."""

KINDS = ("mel", "mfcc")
"""Features that a model can read."""

LAYERS = frozenset(
    {
        "Sequential",
        "Functional",
        "InputLayer",
        "Conv2D",
        "MaxPooling2D",
        "BatchNormalization",
        "GlobalAveragePooling2D",
        "Reshape",
        "Bidirectional",
        "LSTM",
        "Dropout",
        "Dense",
    }
)
"""Layers that a model file may hold: none of them can carry code."""

_PARTS = frozenset({"DTypePolicy", "GlorotUniform", "Orthogonal", "Zeros", "Ones"})
_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_OWN = "sercore"  # key in the metadata, which Keras leaves alone
# RuntimeError: an encrypted member, or JSON nested too deeply.
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)
_AGAIN = "get it anew: `git checkout models` brings back those of the course"


class ModelFileError(ValueError):
    """A file from which no model can be had."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedModel:
    """A trained model and how to feed it.

    Attributes
    ----------
    name : str
        A key of `models.RECIPES`.
    model : keras.Model
        Uncompiled; from (n, height, width, 1) to (n, 7) probabilities.
    kind : str
        Features it reads: "mel" or "mfcc".
    audio : AudioConfig
        How a clip becomes those features.
    mean, std : float
        The standardiser of its training clips.
    labels : tuple of str
        What its outputs stand for, in their order.
    settings : dict
        All that decided the run's numbers, but for the architecture: manifest, split, training,
        seed.
    facts : dict
        What the run found: epochs, best epoch, seconds, parameters, versions.
    """

    name: str
    model: keras.Model
    kind: str
    audio: AudioConfig
    mean: float
    std: float
    labels: tuple[str, ...]
    settings: dict
    facts: dict

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return the probabilities for features of shape (n, height, width), as (n, 7)."""
        x = (np.asarray(features, dtype=np.float32) - np.float32(self.mean)) / np.float32(self.std)
        return np.asarray(self.model(x[..., np.newaxis], training=False))


def save_model(trained: TrainedModel, path: str | Path) -> Path:
    """Write a trained model into one file.

    Parameters
    ----------
    trained : TrainedModel
    path : path
        Ends in `.keras`. A file that is there is replaced whole, or stays as it was.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ModelFileError
        If the name does not end in `.keras`.
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise ModelFileError(f"{path.name} must end in .keras, or Keras would not open it")
    # An optimiser's state would triple the file. Keras's clone_model would copy it too.
    clone = type(trained.model).from_config(trained.model.get_config())
    clone.set_weights(trained.model.get_weights())
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"partial-{path.name}")
    try:
        clone.save(draft)
        _rewrite(draft, trained)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def _rewrite(draft: Path, trained: TrainedModel) -> None:
    """Put the notes into what Keras wrote, and take out what differs from one time to the next."""
    with zipfile.ZipFile(draft) as archive:
        config, weights = json.loads(archive.read(_CONFIG)), archive.read(_WEIGHTS)
    config = json.dumps(_without_ids(config)).encode()
    notes = {
        "format": MODEL_FILE_FORMAT,
        "name": trained.name,
        "kind": trained.kind,
        "audio": asdict(trained.audio),
        "mean": trained.mean,
        "std": trained.std,
        "labels": list(trained.labels),
        "settings": trained.settings,
        "facts": trained.facts,
    }
    notes = json.loads(json.dumps(notes))  # as it will be read back
    notes["sha256"] = _digest(config, weights, notes)
    metadata = {"keras_version": keras.__version__, _OWN: notes}
    members = {_METADATA: json.dumps(metadata, indent=1).encode(), _CONFIG: config}
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
        for name, content in (members | {_WEIGHTS: weights}).items():
            # ZipInfo's own date, not today's.
            archive.writestr(zipfile.ZipInfo(name), content)


def _without_ids(config: Any) -> Any:
    """Take Keras's marks of shared objects, addresses in memory, out of a configuration."""
    if isinstance(config, dict):
        return {k: _without_ids(v) for k, v in config.items() if k != "shared_object_id"}
    return [_without_ids(value) for value in config] if isinstance(config, list) else config


def read_notes(path: str | Path) -> dict[str, Any]:
    """Read what a model file says of itself, without building the model.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict
        `name`, `kind`, `audio`, `mean`, `std`, `labels`, `settings` and `facts`, as plain values.

    Raises
    ------
    ModelFileError
        If the file is not there, cut short, altered, of another format, or no model of the course.
    """
    return _open(Path(path))[0]


def read_model(path: str | Path) -> TrainedModel:
    """Read a trained model from its file. No code from the file is run.

    Parameters
    ----------
    path : path

    Returns
    -------
    TrainedModel

    Raises
    ------
    ModelFileError
        If the file is not there, cut short, altered, of another format, or no model of the course;
        the message says which, and what to do.
    """
    path = Path(path)
    notes, config = _open(path)
    try:
        audio = AudioConfig(**notes["audio"])
        _check_notes(notes)
        _check_architecture(config)
        model = keras.models.load_model(path, compile=False, safe_mode=True)
        given, asked = model.input_shape[1:], (audio.n_mels, audio.n_frames, 1)
        if notes["kind"] == "mfcc":
            asked = (audio.n_mfcc, *asked[1:])
        if given != asked or model.output_shape[1:] != (len(notes["labels"]),):
            raise ValueError(
                f"it goes from {given} to {model.output_shape[1:]}, but its notes speak of "
                f"{asked} and {len(notes['labels'])} labels"
            )
        if not all(np.isfinite(weights).all() for weights in model.get_weights()):
            raise ValueError("some of its weights are not numbers")
    except Exception as error:  # Keras raises many kinds, and each means the same here
        raise ModelFileError(
            f"{path.name} cannot be used (Keras {keras.__version__}): {error}; {_AGAIN}"
        ) from error
    return TrainedModel(
        **notes | {"model": model, "audio": audio, "labels": tuple(notes["labels"])}
    )


def _check_notes(notes: dict[str, Any]) -> None:
    """Raise `ValueError` if the notes do not hold what a `TrainedModel` needs."""
    expected = {field.name for field in fields(TrainedModel)} - {"model"}
    if set(notes) != expected:
        raise ValueError(f"its notes hold {sorted(notes)}, expected {sorted(expected)}")
    if notes["kind"] not in KINDS:
        raise ValueError(f"it reads {notes['kind']!r}, expected one of {', '.join(KINDS)}")
    if not np.isfinite([notes["mean"], notes["std"]]).all() or notes["std"] <= 0:
        raise ValueError(f"it standardises with {notes['mean']!r} and {notes['std']!r}")
    labels = notes["labels"]
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"its labels are {labels!r}, expected a list of names")


def _check_architecture(config: dict) -> None:
    """Raise `ValueError` if an architecture could carry code, or take all memory."""
    foreign = sorted(set(_named(config, "class_name")) - LAYERS - _PARTS)
    if foreign:
        raise ValueError(
            f"it holds {', '.join(foreign)}, which could carry code; the course's models are "
            f"made of {', '.join(sorted(LAYERS))}"
        )
    largest = max(_whole_numbers(config), default=0)
    if largest > MAX_SIZE:
        raise ValueError(f"it declares a size of {largest:,}, more than {MAX_SIZE:,}")


def _open(path: Path) -> tuple[dict[str, Any], dict]:
    """Return a file's notes and architecture, after every check that needs no model."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
                raise ModelFileError(f"{path.name} claims to hold more than {MAX_BYTES:,} bytes")
            parts = {name: archive.read(name) for name in (_CONFIG, _METADATA, _WEIGHTS)}
            foreign = sorted(set(archive.namelist()) - set(parts))
        metadata, config = json.loads(parts[_METADATA]), json.loads(parts[_CONFIG])
    except FileNotFoundError:
        raise ModelFileError(f"there is no model file {path}") from None
    except _UNREADABLE as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(
            f"{path.name} is cut short, damaged or no model file ({error}); {_AGAIN}"
        ) from error
    if foreign:
        raise ModelFileError(f"{path.name} holds {', '.join(foreign)} besides a model; {_AGAIN}")
    notes = metadata.get(_OWN) if isinstance(metadata, dict) else None
    if not isinstance(notes, dict):
        raise ModelFileError(
            f"{path.name} is a Keras model without the course's notes on features and labels; "
            "write it with modelfile.save_model"
        )
    if notes.get("format") != MODEL_FILE_FORMAT:
        raise ModelFileError(
            f"{path.name} has format {notes.get('format')}, and this version of the course reads "
            f"format {MODEL_FILE_FORMAT}; take the model and the course from the same version"
        )
    if notes.pop("sha256", None) != _digest(parts[_CONFIG], parts[_WEIGHTS], notes):
        raise ModelFileError(f"{path.name} was altered after it was written; {_AGAIN}")
    del notes["format"]
    return notes, config


def _digest(config: bytes, weights: bytes, notes: dict[str, Any]) -> str:
    text = json.dumps(notes, sort_keys=True).encode()
    return hashlib.sha256(
        b"".join(hashlib.sha256(x).digest() for x in (config, weights, text))
    ).hexdigest()


def _named(config: object, key: str) -> Iterator[str]:
    """Yield every value of a key in a Keras configuration, at any depth."""
    if isinstance(config, dict):
        if key in config:
            yield str(config[key])
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from _named(value, key)


def _whole_numbers(config: object) -> Iterator[int]:
    """Yield every whole number in a Keras configuration, at any depth."""
    if isinstance(config, int):
        yield config
    elif isinstance(config, dict | list):
        for value in config.values() if isinstance(config, dict) else config:
            yield from _whole_numbers(value)
