"""Train a model: compile, fit and callbacks, in sight (chapters 5 to 7).

Where a run lies on disk, and how it goes on after an interruption, is told in `store.runs`.
"""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import CodeType
from typing import Any

import keras
import numpy as np
import pandas as pd

from sercore.config import AudioConfig, Profile, SercoreError, TrainConfig, retraining
from sercore.corpora import EMOTIONS
from sercore.datasets import (
    Inputs,
    Standardizer,
    as_inputs,
    encode,
    input_shape,
    make_dataset,
    make_datasets,
    standardized,
)
from sercore.features import extract
from sercore.manifest import manifest_digest
from sercore.models import Recipe, Shape, graph, recipe_named
from sercore.results import PROBABILITIES
from sercore.splits import Split, random_split
from sercore.store.runs import Run, RunFolder
from sercore.store.shipped import take_shipped

_FORMAT = 2  # raised whenever the same settings would give other numbers
_PACKAGES = ("tensorflow", "keras", "librosa", "numpy")

Say = Callable[[str], object]
Report = Say | None


class TrainingError(SercoreError, ValueError):
    """A run that cannot be trained as asked."""


def train(
    recipe: Recipe,
    *,
    features: Inputs,
    clips: pd.DataFrame,
    split: Split,
    audio: AudioConfig,
    training: TrainConfig,
    seed: int = 0,
    report: Report = print,
) -> Run:
    """Train a model, or load the run that was already trained with these very settings.

    The features are those of all `clips`, none of them calm, one array for each kind in
    `recipe.kinds`. The seed decides weights, dropout and the order of batches, never the split. A
    run that was interrupted goes on after its last whole epoch, and ends as if nothing had
    happened. `report` is called with one line per epoch; None is silence.

    Inside the scope of a `tf.distribute.Strategy` all its devices train; each batch must divide
    evenly among them. If such a run is interrupted, it goes on from the batch normalisation of one
    device, so its numbers differ a little. What does not fit together is a `TrainingError`.
    """
    say = report or (lambda line: None)
    task = _Task(features, clips, split, audio, training, seed)
    model, folder = _prepare(recipe, task)
    with folder.locked():
        run = folder.read()
        if run is None:
            way = _learn if recipe.learn else _fit
            run = way(recipe, model, folder, task, say)
        else:
            source = "the course's own run" if "shipped" in run.facts else "already trained"
            epochs, seconds = run.facts["epochs"], run.facts["seconds"]
            say(f"{recipe.name}: {source}, {epochs} epochs, {seconds:.0f} s")
    return run


@dataclass(frozen=True)
class _Task:
    """What a model is trained on, and how long."""

    features: Inputs
    clips: pd.DataFrame
    split: Split
    audio: AudioConfig
    training: TrainConfig
    seed: int


def _fit(recipe: Recipe, model: keras.Model, folder: RunFolder, task: _Task, say: Say) -> Run:
    split, training = task.split, task.training
    steps = -(-len(split.train) // training.batch_size)
    model.compile(
        optimizer=recipe.optimizer(training, steps * training.max_epochs),
        loss=recipe.loss(),
        metrics=["accuracy"],
    )
    stop = keras.callbacks.EarlyStopping(
        monitor="val_loss", patience=training.stop_patience, restore_best_weights=True
    )
    schedule = [recipe.schedule(training)] if recipe.schedule else []
    state = folder.state(say).attach(model, stop, *schedule)
    epochs = range(len(state.history), training.max_epochs)
    train, valid, standardizers = make_datasets(
        task.features,
        encode(task.clips["emotion"]),
        split,
        training=training,
        seed=task.seed,
        epochs=epochs,
        augment=recipe.augment,
    )
    if epochs and not state.stopped:
        model.fit(
            train,
            validation_data=valid,
            initial_epoch=epochs.start,
            epochs=epochs.stop,
            steps_per_epoch=steps,
            callbacks=[stop, *schedule, state],
            shuffle=False,  # the batches have an order of their own
            verbose=0,
        )
    model.set_weights(state.best_weights())
    history = pd.DataFrame(state.history, index=range(1, len(state.history) + 1))
    return _finish(model, folder, task, history, standardizers)


def _learn(recipe: Recipe, model: keras.Model, folder: RunFolder, task: _Task, say: Say) -> Run:
    """Train in one go. Validation clips choose nothing here, so they are learned from.

    What the history says of them is therefore what it says of the training.
    """
    labels, started = encode(task.clips["emotion"]), time.perf_counter()
    known = np.union1d(task.split.train, task.split.valid)
    given = as_inputs(task.features)
    standardizers = tuple(Standardizer().fit(x, known) for x in given)
    inputs = [standardized(s, x[known]) for s, x in zip(standardizers, given, strict=True)]
    if recipe.learn:
        recipe.learn(model, inputs, labels[known], seed=task.seed)
    seconds, x = time.perf_counter() - started, inputs if inputs[1:] else inputs[0]
    model.compile(loss=recipe.loss(), metrics=["accuracy"])
    found = model.evaluate(x, labels[known], verbose=0, return_dict=True)
    row = {"learning_rate": 0.0, "seconds": round(seconds, 2)} | found
    row |= {f"val_{name}": value for name, value in found.items()}
    say("{seconds:.1f} s  loss {loss:.3f}  accuracy {accuracy:.3f}".format(**row))
    return _finish(model, folder, task, pd.DataFrame([row], index=[1]), standardizers)


def _finish(
    model: keras.Model,
    folder: RunFolder,
    task: _Task,
    history: pd.DataFrame,
    standardizers: tuple[Standardizer, ...],
) -> Run:
    """Let a trained model answer for the test clips, and keep the run."""
    facts = {
        "epochs": len(history),
        "best_epoch": int(history["val_loss"].idxmin()),
        "seconds": float(history["seconds"].sum()),
        "parameters": model.count_params(),
        "standardizers": [(each.mean_, each.std_) for each in standardizers],
        "versions": {name: version(name) for name in _PACKAGES}
        | {"python": platform.python_version()},
    }
    test = task.split.test
    answers = predict(model, task.features, task.clips, test, standardizers=standardizers)
    return folder.finish(model, facts=facts, history=history, predictions=answers)


def train_recipe(
    recipe: str | Recipe,
    clips: pd.DataFrame,
    root: str | Path,
    *,
    profile: Profile,
    seed: int = 0,
    splitter: Callable[[pd.DataFrame], Split] = random_split,
    report: Report = print,
) -> Run:
    """Train one of the course's models, or load it: features, split, `train` (chapter 5).

    `recipe` is a key of `models.RECIPES`, or a recipe of your own. Where clips, split and settings
    are those of a run that comes with the course (in `models/`), that run is taken instead, unless
    everything is being trained anew (`config.retraining`).
    """
    recipe = recipe_named(recipe) if isinstance(recipe, str) else recipe
    audio = recipe.audio or profile.audio
    features = [
        extract(clips, root, config=audio, kind=kind, report=report) for kind in recipe.kinds
    ]
    task = _Task(features, clips, splitter(clips), audio, profile.training, seed)
    if not retraining() and recipe.learn is None:
        _, folder = _prepare(recipe, task)
        test = clips.iloc[task.split.test]
        take_shipped(recipe.name, folder, test, report or (lambda line: None))
    return train(recipe, report=report, **vars(task))


def predict(
    model: keras.Model,
    features: Inputs,
    clips: pd.DataFrame,
    positions: np.ndarray,
    *,
    standardizers: tuple[Standardizer, ...],
    batch_size: int = 32,
) -> pd.DataFrame:
    """Return a row for each clip at `positions`, with its truth and the model's probabilities.

    Columns `path`, `corpus`, `speaker`, `emotion` (the truth), `predicted`, and the seven of
    `results.PROBABILITIES`.
    """
    unlabelled = np.zeros(len(clips), dtype=np.int32)  # only the features are read
    data = make_dataset(
        features, unlabelled, positions, standardizers=standardizers, batch_size=batch_size
    )
    # Called directly: `model.predict` compiles a function for each model and each size of batch.
    probabilities = np.concatenate([np.asarray(model(x, training=False)) for x, _ in data])
    table = clips.iloc[positions][["path", "corpus", "speaker", "emotion"]].reset_index(drop=True)
    table["predicted"] = np.array(EMOTIONS)[probabilities.argmax(axis=1)]
    return table.join(pd.DataFrame(probabilities, columns=list(PROBABILITIES)))


# --- what a run is known by -----------------------------------------------------------------------


def _prepare(recipe: Recipe, task: _Task) -> tuple[keras.Model, RunFolder]:
    """Build the network and find the folder of the run; refuse what does not fit together."""
    keras.utils.set_random_seed(task.seed)
    inputs = as_inputs(task.features)
    for each in inputs:
        if len(each) != len(task.clips):
            raise TrainingError(
                f"there are features of {len(each)} clips, but {len(task.clips)} clips; "
                "extract them from this very table"
            )
    shapes = [input_shape(each.shape[1:]) for each in inputs]
    model = recipe.build(*shapes, len(EMOTIONS))
    _check_model(model, shapes)
    split, training = task.split, task.training
    sets = np.concatenate([split.train, [-1], split.valid, [-1], split.test])
    ways = [recipe.optimizer, recipe.schedule, recipe.loss, recipe.augment]
    ways += [recipe.learn] if recipe.learn else []
    settings = {
        "format": _FORMAT,
        "manifest": manifest_digest(task.clips),
        "split": hashlib.sha256(sets.astype(np.int64).tobytes()).hexdigest(),
        "kinds": list(recipe.kinds),
        "audio": asdict(task.audio),
        "training": asdict(training),
        "ways": [_way(each) for each in ways],
        "seed": task.seed,
        "network": graph(model),
    }
    devices = model.distribute_strategy.num_replicas_in_sync
    if devices > 1:  # each normalises its part of a batch, so the numbers are others
        settings["devices"] = devices
        last = len(split.train) % training.batch_size
        if training.batch_size % devices or last % devices:
            raise TrainingError(
                f"batches of {training.batch_size} clips, the last of "
                f"{last or training.batch_size}, do not divide evenly among {devices} devices; "
                "choose another batch_size"
            )
    return model, RunFolder(recipe.name, settings)


def _way(part: Any) -> str:
    """Name a function of a recipe; an object with settings of its own is named by its repr."""
    if isinstance(part, partial):
        return f"{_way(part.func)}{part.args}{part.keywords}"
    if not hasattr(part, "__qualname__"):
        return repr(part)
    name = f"{part.__module__}.{part.__qualname__}"
    if part.__module__.startswith("sercore.") or not hasattr(part, "__code__"):
        return name
    # A function of the user's own is known by what it does: the next one may have the same name.
    given = [cell.cell_contents for cell in part.__closure__ or ()]
    given += [part.__defaults__, part.__kwdefaults__, getattr(part, "__self__", None)]
    return f"{name} {_code(part.__code__)} {given}"


def _code(code: CodeType) -> list[object]:
    constants = [_code(x) if isinstance(x, CodeType) else repr(x) for x in code.co_consts]
    return [code.co_code.hex(), code.co_names, constants]


def _check_model(model: keras.Model, shapes: list[Shape]) -> None:
    reads = ", ".join(map(str, shapes))
    if not model.built:
        raise TrainingError(
            f"the model does not know its input's shape; begin it with keras.layers.Input({reads})"
        )
    given, outputs = [tuple(x.shape[1:]) for x in model.inputs], model.output_shape[1:]
    if given != shapes:
        raise TrainingError(
            f"the model takes {', '.join(map(str, given))}, but a clip's features have shape "
            f"{reads}; build it with that input_shape"
        )
    if outputs != (len(EMOTIONS),):
        raise TrainingError(
            f"the model has outputs of shape {outputs}, expected ({len(EMOTIONS)},): one for each "
            f"of {', '.join(EMOTIONS)}"
        )
