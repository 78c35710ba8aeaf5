"""A trained model in one file, with all that prediction needs (chapter 8).

The file is a Keras archive (`.keras`) that any Keras opens. The course itself takes no architecture
from it: it builds the network from the recipe's name and reads the weights alone, whose names and
shapes are checked first. So loading a file runs no code and makes no network that the course does
not know. Labels, standardisers and notes stand in one JSON text, and one digest covers all parts.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tempfile
import zlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import h5py
import keras
import numpy as np

from sercore.config import AudioConfig, SercoreError
from sercore.corpora import EMOTIONS
from sercore.datasets import Standardizer, input_shape, standardized
from sercore.features import KINDS
from sercore.models import ModelError, graph, recipe_named
from sercore.store.files import write_whole

FORMAT = 2  # raised whenever a file of before cannot be read any more
_MAX_BYTES = 100_000_000  # unpacked; no model of the course comes near
_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_OWN = "sercore"  # key in the metadata, which Keras leaves alone
# RuntimeError: an encrypted member, or JSON nested too deeply.
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, RuntimeError, BadZipFile, zlib.error)
_AGAIN = "get it anew: `git checkout models` brings back those of the course"


class ModelFileError(SercoreError, ValueError):
    """A file from which no model can be had, or a model that cannot be put into one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedModel:
    """A trained model and how to feed it."""

    name: str
    """A key of `models.RECIPES`."""
    model: keras.Model
    """Uncompiled."""
    kinds: tuple[str, ...]
    """The kinds of features it reads, one for each input."""
    audio: AudioConfig
    """How a clip becomes those features."""
    standardizers: tuple[Standardizer, ...]
    """Those of its training clips, one for each input."""
    labels: tuple[str, ...]
    """What its outputs stand for, in their order."""
    settings: dict[str, Any]
    """All that decided the run's numbers, but for the network."""
    facts: dict[str, Any]
    """What the run found: epochs, best epoch, seconds, parameters, versions."""

    def __call__(self, *features: np.ndarray) -> np.ndarray:
        """Return the probabilities, (n, 7), for an array (n, height, width) for each input."""
        pairs = zip(self.standardizers, features, strict=True)
        x = [standardized(standardizer, array) for standardizer, array in pairs]
        return np.asarray(self.model(x[0] if len(x) == 1 else x, training=False))


def save_model(trained: TrainedModel, path: str | Path) -> Path:
    """Write a trained model into one file that ends in `.keras`, whole or not at all.

    The network must be the one that its recipe builds; another is a `ModelFileError`.
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise ModelFileError(f"{path.name} must end in .keras, or Keras would not open it")
    network = _network(trained.name, trained.kinds, trained.audio)
    if graph(network) != graph(trained.model):
        raise ModelFileError(
            f"this network is not the one that the recipe {trained.name!r} builds; add a recipe of "
            "its own to models.RECIPES, or save it with Keras alone: model.save(...)"
        )
    # Without an optimiser, whose state would triple the file.
    network.set_weights(trained.model.get_weights())
    notes = {key: value for key, value in vars(trained).items() if key != "model"}
    notes |= {"kinds": list(trained.kinds), "labels": list(trained.labels)}
    notes["audio"] = asdict(trained.audio)
    notes["standardizers"] = [[each.mean_, each.std_] for each in trained.standardizers]
    _check_notes(notes)
    return write_whole(path, lambda draft: _write(draft, network, json.dumps(notes)))


def _write(draft: Path, network: keras.Model, notes: str) -> None:
    network.save(draft)
    with ZipFile(draft) as archive:
        config, weights = archive.read(_CONFIG), archive.read(_WEIGHTS)
    # Keras marks objects with their addresses in memory, which differ from one time to the next.
    config = re.sub(rb', "shared_object_id": \d+', b"", config)
    own = {"format": FORMAT, "notes": notes}
    own["sha256"] = _digest(own, config, weights)
    metadata = json.dumps({"keras_version": keras.__version__, _OWN: own}, indent=1)
    with ZipFile(draft, "w", ZIP_STORED) as archive:
        for name, content in ((_METADATA, metadata), (_CONFIG, config), (_WEIGHTS, weights)):
            archive.writestr(ZipInfo(name), content)  # its own date, not today's


def read_model(path: str | Path) -> TrainedModel:
    """Read a trained model from its file; no code from the file is run.

    A file that is not there, cut short, altered, of another format, or no model of the course is a
    `ModelFileError` that says which, and what to do.
    """
    path = Path(path)
    own, weights = _open(path)
    try:
        notes = json.loads(own["notes"])
        _check_notes(notes)
        audio = AudioConfig(**notes["audio"])
        if max(audio.n_samples, audio.n_fft, audio.n_mels * audio.n_frames) > 2**24:
            raise ModelFileError("its clips would not fit into memory")
        model = _network(notes["name"], notes["kinds"], audio)
        _load_weights(model, weights)
        standardizers = [Standardizer.of(*pair) for pair in notes["standardizers"]]
    except Exception as error:  # whatever it is, it lies in the file
        raise ModelFileError(f"{path.name} cannot be used: {error}; {_AGAIN}") from error
    own = {"model": model, "audio": audio, "standardizers": tuple(standardizers)}
    own |= {"kinds": tuple(notes["kinds"]), "labels": tuple(notes["labels"])}
    return TrainedModel(**(notes | own))


def _open(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return what a file says of itself, and its weights, after the checks of the archive."""
    try:
        with ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MAX_BYTES:
                raise ModelFileError(f"{path.name} claims to hold more than {_MAX_BYTES:,} bytes")
            parts = {name: archive.read(name) for name in (_CONFIG, _METADATA, _WEIGHTS)}
            foreign = sorted(set(archive.namelist()) - set(parts))
        own = json.loads(parts[_METADATA]).get(_OWN)
    except FileNotFoundError:
        raise ModelFileError(f"there is no model file {path}") from None
    except (*_UNREADABLE, AttributeError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(
            f"{path.name} is cut short, damaged or no model file ({error}); {_AGAIN}"
        ) from error
    if foreign:
        raise ModelFileError(f"{path.name} holds {', '.join(foreign)} besides a model; {_AGAIN}")
    if not isinstance(own, dict):
        raise ModelFileError(
            f"{path.name} is a Keras model without the course's notes on features and labels; "
            "write it with modelfile.save_model"
        )
    if own.get("format") != FORMAT:
        raise ModelFileError(
            f"{path.name} has format {own.get('format')}, and this version of the course reads "
            f"format {FORMAT}; take the model and the course from the same version"
        )
    if own.pop("sha256", None) != _digest(own, parts[_CONFIG], parts[_WEIGHTS]):
        raise ModelFileError(f"{path.name} was altered after it was written; {_AGAIN}")
    return own, parts[_WEIGHTS]


def _digest(own: dict[str, Any], *parts: bytes) -> str:
    texts = [json.dumps(own, sort_keys=True).encode(), *parts]
    return hashlib.sha256(b"".join(hashlib.sha256(text).digest() for text in texts)).hexdigest()


def _network(name: str, kinds: list[str] | tuple[str, ...], audio: AudioConfig) -> keras.Model:
    """Build the network of a recipe for these features, with weights that mean nothing yet."""
    try:
        recipe = recipe_named(name)
    except ModelError as error:
        raise ModelFileError(str(error)) from error
    if tuple(kinds) != recipe.kinds:
        raise ModelFileError(f"{name} reads {', '.join(recipe.kinds)}, not {', '.join(kinds)}")
    shapes = [input_shape(KINDS[kind].shape(audio)) for kind in kinds]
    return recipe.build(*shapes, len(EMOTIONS))


def _check_notes(notes: dict[str, Any]) -> None:
    """Raise `ModelFileError` if the notes do not hold what a `TrainedModel` needs."""
    expected = {field.name for field in fields(TrainedModel)} - {"model"}
    if set(notes) != expected:
        raise ModelFileError(f"its notes hold {sorted(notes)}, expected {sorted(expected)}")
    if notes["labels"] != list(EMOTIONS):
        raise ModelFileError(
            f"its labels are {notes['labels']!r}, expected {', '.join(EMOTIONS)} in this order"
        )
    if not all(isinstance(notes[key], dict) for key in ("audio", "settings", "facts")):
        raise ModelFileError("its audio, settings and facts are not all tables")
    if len(notes["standardizers"]) != len(notes["kinds"]):
        raise ModelFileError("it has not one standardiser for each kind of features")
    for mean, std in notes["standardizers"]:
        numbers = all(isinstance(value, int | float) for value in (mean, std))
        if not (numbers and abs(mean) < 1e30 and 0 < std < 1e30):
            raise ModelFileError(f"it standardises with {mean!r} and {std!r}")


def _load_weights(network: keras.Model, weights: bytes) -> None:
    """Put weights from a file's bytes into a network; refuse other names, shapes or no numbers."""
    with tempfile.TemporaryDirectory() as folder:
        own, given = Path(folder, "own.weights.h5"), Path(folder, "given.weights.h5")
        network.save_weights(own)
        given.write_bytes(weights)
        expected, found = _arrays(own.read_bytes()), _arrays(weights)
        if found != expected:
            odd = sorted(set(found.items()) ^ set(expected.items()), key=str)
            raise ModelFileError(f"its weights are not those of the network: {odd[0]} differs")
        network.load_weights(given)
    if not all(np.isfinite(array).all() for array in network.get_weights()):
        raise ModelFileError("some of its weights are not numbers")


def _arrays(weights: bytes) -> dict[str, tuple[Any, ...]]:
    """Return shape and type of each array in an HDF5 file; links out of the file are left out."""
    found: dict[str, tuple[Any, ...]] = {}

    def note(name: str, item: Any) -> None:
        # What is packed could be far larger than the file; Keras packs nothing.
        whole = isinstance(item, h5py.Dataset) and item.chunks is None
        if whole and item.external is None and not item.is_virtual:
            found[name] = (*item.shape, str(item.dtype))

    with h5py.File(io.BytesIO(weights), "r") as file:
        file.visititems(note)
    return found
