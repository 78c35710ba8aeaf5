"""Fit a model, go on after an interruption, and keep what came out (chapters 5 to 7)."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from filelock import FileLock

from sercore.config import AudioConfig, Profile, TrainConfig, cache_dir, digest, retrain_mark
from sercore.corpora import EMOTIONS
from sercore.datasets import Standardizer, encode, make_dataset, make_datasets
from sercore.features import Features, extract
from sercore.manifest import manifest_digest
from sercore.modelfile import ModelFileError, read_model, read_notes
from sercore.models import RECIPES
from sercore.results import (
    FIGURES,
    MODELS,
    PROBABILITIES,
    ResultsError,
    RunName,
    read_history,
    read_predictions,
    tables_digest,
)
from sercore.splits import Split, random_split

_RUN_FORMAT = 1  # raised whenever the same configuration would give other numbers
_WEIGHTS, _DONE = "best.weights.h5", "run.json"
_HISTORY, _PREDICTIONS = "history.csv", "predictions.csv"


class TrainingError(ValueError):
    """A run that cannot be trained as asked."""


@dataclass(frozen=True)
class Run:
    """A finished training run.

    Attributes
    ----------
    name : str
        Name given to `train`.
    folder : Path
        Where its files lie.
    settings : dict
        All that its key was made of.
    facts : dict
        What is known after training: epochs, best epoch, seconds, parameters, standardiser.
    history : pandas.DataFrame
        A row per epoch, from 1: `loss`, `accuracy`, `val_loss`, `val_accuracy`,
        `learning_rate`, `seconds`. As in the article, the validation data is the test set.
    predictions : pandas.DataFrame
        A row per test clip: `path`, `corpus`, `speaker`, `emotion` (the truth), `predicted`, and
        the seven columns `PROBABILITIES`.
    """

    name: str
    folder: Path
    settings: dict
    facts: dict
    history: pd.DataFrame
    predictions: pd.DataFrame

    def model(self) -> keras.Model:
        """Return the trained, uncompiled model with the weights of its best epoch."""
        model = keras.models.model_from_json(json.dumps(self.facts["model"]))
        model.load_weights(self.folder / _WEIGHTS)
        return model


def train(
    build: Callable[[], keras.Model],
    *,
    name: str,
    features: Features,
    clips: pd.DataFrame,
    split: Split,
    audio: AudioConfig,
    training: TrainConfig,
    kind: str,
    seed: int = 0,
    learning_rates: Sequence[float] | None = None,
    retrain: bool = False,
    report: Callable[[str], None] | None = print,
) -> Run:
    """Train a model, or load the run that was already trained with these very settings.

    A run's folder is named by the hash of everything that decides its numbers. An interrupted run
    goes on after its last whole epoch, with weights, optimiser, and the state of early stopping and
    of the learning rate schedule as they were. Where clips, split and settings are those of a run
    that comes with the course (`models/`), it is taken instead. As in the article, the test set
    serves as validation data, which makes its test figures optimistic.

    Inside the scope of a `tf.distribute.Strategy` all its devices train; each batch must divide
    evenly among them. A run of several devices that was interrupted goes on from the batch
    normalisation of one of them, so it is not exactly the run that was not interrupted.

    Parameters
    ----------
    build : callable
        Returns a new, uncompiled model; called after the seed is set.
    name : str
        What to call the run.
    features : Features
        Of all `clips`.
    clips : pandas.DataFrame
        Rows of a manifest, none of them calm.
    split : Split
    audio, training : AudioConfig, TrainConfig
    kind : str
        Name of the features, part of the key: give features of your own a name of their own.
    seed : int
        Decides weights, dropout and shuffling, never the split.
    learning_rates : sequence of float, optional
        The rate of each epoch, the last one for all that follow, in place of the rates that
        `training` lets the validation loss decide (see `plateau_rates`).
    retrain : bool
        Train even if there is a finished run, or one that comes with the course. An unfinished run
        goes on. Under `SER_RETRAIN` (`config.retrain_mark`) every run is trained once.
    report : callable, optional
        Called with one line per epoch; None for silence.

    Returns
    -------
    Run

    Raises
    ------
    TrainingError
        If the model does not fit the features or the classes, or the batches the devices, or if
        there are learning rates that are none.
    """
    rates = None if learning_rates is None else _check_rates(learning_rates)
    keras.utils.set_random_seed(seed)
    model = build()
    _check_model(model, features)
    if len(features) != len(clips):
        raise TrainingError(
            f"there are features of {len(features)} clips, but {len(clips)} clips; "
            "extract them from this very table"
        )
    settings = {
        "format": _RUN_FORMAT,
        "manifest": manifest_digest(clips),
        "split": _split_digest(split),
        "kind": kind,
        "audio": asdict(audio),
        "training": asdict(training),
        "model": _graph(model),
        "seed": seed,
    }
    devices = model.distribute_strategy.num_replicas_in_sync
    if devices > 1:  # each normalises its part of a batch, so the numbers are others
        settings["devices"] = devices
        _check_batches(len(split.train), training.batch_size, devices)
    if rates is not None:
        settings["learning_rates"] = rates
    folder = cache_dir() / "runs" / f"{name}-{digest(settings)}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    say = report or (lambda line: None)
    mark = retrain_mark()
    with FileLock(f"{folder}.lock"):
        fit = _Fit(model, folder, training, rates, say, mark)
        run = None if retrain else _load(name, folder, settings, mark)
        if run is None and not (retrain or mark or fit.state.exists()):
            run = _take_shipped(name, folder, settings, clips.iloc[split.test], say)
        if run is not None:
            source = "the course's own run" if "shipped" in run.facts else "already trained"
            say(f"{name}: {source}, {run.facts['epochs']} epochs, {run.facts['seconds']:.0f} s")
            return run
        folder.mkdir(exist_ok=True)
        fit.run(features, encode(clips["emotion"]), split, seed)
        return fit.finish(name, settings, features, clips, split)


def train_recipe(
    name: str,
    clips: pd.DataFrame,
    root: str | Path,
    *,
    profile: Profile,
    seed: int = 0,
    splitter: Callable[[pd.DataFrame], Split] = random_split,
    learning_rates: Sequence[float] | None = None,
    retrain: bool = False,
    report: Callable[[str], None] | None = print,
) -> Run:
    """Train one of the article's models on a random split, or load it (chapter 8).

    Does what chapters 5, 6 and 7 write out: features, random split, `train`.

    Parameters
    ----------
    name : str
        A key of `models.RECIPES`.
    clips : pandas.DataFrame
        The article's view without calm.
    root : path
        Folder the clips' paths are relative to.
    profile : Profile
    splitter : callable
        Splits the clips: `splits.random_split` or `splits.article_split`.
    seed, learning_rates, retrain, report
        As for `train`.

    Returns
    -------
    Run

    Raises
    ------
    TrainingError
        If there is no recipe of that name.
    """
    if name not in RECIPES:
        raise TrainingError(f"unknown model {name!r}, expected one of {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    features = extract(clips, root, config=profile.audio, kind=recipe.kind, report=report)
    return train(
        lambda: recipe.build((*features.shape[1:], 1), len(EMOTIONS)),
        name=name,
        features=features,
        clips=clips,
        split=splitter(clips),
        audio=profile.audio,
        training=profile.training,
        kind=recipe.kind,
        seed=seed,
        learning_rates=learning_rates,
        retrain=retrain,
        report=report,
    )


def plateau_rates(val_losses: Sequence[float], training: TrainConfig) -> list[float]:
    """Return the learning rate of each epoch that a sequence of validation losses leads to.

    So the rates of a training can be told from its curve (chapter 8).

    Parameters
    ----------
    val_losses : sequence of float
        After each epoch.
    training : TrainConfig

    Returns
    -------
    list of float
        As many, the first of them `training.learning_rate`.
    """
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.Adam(training.learning_rate))
    plateau = _plateau(training)
    plateau.set_model(model)
    plateau.on_train_begin()
    rates = []
    for epoch, loss in enumerate(val_losses):
        rates.append(float(f"{float(model.optimizer.learning_rate):.6g}"))  # kept as 32 bits
        plateau.on_epoch_end(epoch, {"val_loss": loss})
    return rates


def _plateau(training: TrainConfig) -> keras.callbacks.ReduceLROnPlateau:
    return keras.callbacks.ReduceLROnPlateau(
        monitor="val_loss",
        factor=training.plateau_factor,
        patience=training.plateau_patience,
        min_lr=training.min_learning_rate,
    )


def _check_rates(rates: Sequence[float]) -> list[float]:
    found = [float(rate) for rate in rates]
    if not found or not all(0 < rate < np.inf for rate in found):
        raise TrainingError(f"learning_rates must be positive numbers, at least one, not {rates!r}")
    return found


def _check_batches(n_clips: int, batch_size: int, devices: int) -> None:
    last = n_clips % batch_size
    if batch_size % devices or last % devices:
        raise TrainingError(
            f"batches of {batch_size} clips, the last of {last or batch_size}, do not divide "
            f"evenly among {devices} devices; choose another batch_size"
        )


def _split_digest(split: Split) -> str:
    return hashlib.sha256(np.concatenate([split.train, [-1], split.test]).tobytes()).hexdigest()


def _check_model(model: keras.Model, features: Features) -> None:
    expected = (*features.shape[1:], 1)
    if not model.built:
        raise TrainingError(
            "the model does not know its input's shape; "
            f"begin it with keras.layers.Input({expected})"
        )
    if model.input_shape[1:] != expected:
        raise TrainingError(
            f"the model takes {model.input_shape[1:]}, but a clip's features have shape "
            f"{expected}; build it with that input_shape"
        )
    if model.output_shape[1:] != (len(EMOTIONS),):
        raise TrainingError(
            f"the model has outputs of shape {model.output_shape[1:]}, expected "
            f"({len(EMOTIONS)},): one for each of {', '.join(EMOTIONS)}"
        )


def _graph(model: keras.Model) -> object:
    """Return a model's configuration with its layers' names numbered in the order they occur.

    Keras counts names up in a session (`dense`, `dense_1`, …), and a name changes no number.
    """
    config = json.loads(model.to_json())
    names: dict[str, str] = {}
    for name in _layer_names(config):
        names.setdefault(name, f"layer {len(names)}")
    return _renamed(config["config"], names)


def _layer_names(config: object) -> Iterator[str]:
    if isinstance(config, dict):
        # A dtype policy has a name as well, but that one decides numbers.
        own = config.get("config")
        if isinstance(own, dict) and "name" in own and config.get("class_name") != "DTypePolicy":
            yield own["name"]
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from _layer_names(value)


def _renamed(config: object, names: dict[str, str]) -> object:
    if isinstance(config, dict):
        return {key: _renamed(value, names) for key, value in config.items()}
    if isinstance(config, list):
        return [_renamed(value, names) for value in config]
    return names.get(config, config) if isinstance(config, str) else config


class _Fit:
    """One model being fitted in one folder."""

    def __init__(
        self,
        model: keras.Model,
        folder: Path,
        training: TrainConfig,
        rates: list[float] | None,
        say: Callable[[str], None],
        mark: str,
    ) -> None:
        self.model, self.folder, self.training = model, folder, training
        self.say, self.mark = say, mark
        # Another mark's training would not be one of this.
        self.state = folder / (f"state-{digest(mark)}.npz" if mark else "state.npz")
        self.stop = keras.callbacks.EarlyStopping(
            monitor="val_loss", patience=training.stop_patience, restore_best_weights=True
        )
        self.follows_loss = rates is None
        if rates:
            self.rate = keras.callbacks.LearningRateScheduler(
                lambda epoch: rates[min(epoch, len(rates) - 1)]
            )
        else:
            self.rate = _plateau(training)

    def run(self, features: Features, labels: np.ndarray, split: Split, seed: int) -> None:
        self.model.compile(
            optimizer=keras.optimizers.Adam(self.training.learning_rate),
            loss=keras.losses.SparseCategoricalCrossentropy(),
            metrics=["accuracy"],
        )
        self.model.optimizer.build(self.model.trainable_variables)
        keeper = _Keeper(self)
        epochs = range(keeper.epochs_done, self.training.max_epochs)
        train, test, self.standardizer = make_datasets(
            features, labels, split, training=self.training, seed=seed, epochs=epochs
        )
        if not keeper.stopped and len(epochs):
            self.model.fit(
                train,
                validation_data=test,
                initial_epoch=epochs.start,
                epochs=epochs.stop,
                steps_per_epoch=-(-len(split.train) // self.training.batch_size),
                callbacks=[self.stop, self.rate, keeper],
                shuffle=False,  # the dataset has its own order
                verbose=0,
            )
        self.model.set_weights(keeper.best_weights())
        self.history = keeper.history

    def finish(
        self,
        name: str,
        settings: dict,
        features: Features,
        clips: pd.DataFrame,
        split: Split,
    ) -> Run:
        """Predict the test clips, write everything, and mark the run as finished."""
        table = predict(
            self.model,
            features,
            clips,
            split.test,
            standardizer=self.standardizer,
            batch_size=self.training.batch_size,
        )
        history = pd.DataFrame(self.history, index=range(1, len(self.history) + 1))
        _write_tables(self.folder, self.model, history, table)
        facts = {
            "epochs": len(history),
            "best_epoch": int(history["val_loss"].idxmin()),
            "seconds": float(history["seconds"].sum()),
            "parameters": self.model.count_params(),
            "mean": self.standardizer.mean_,
            "std": self.standardizer.std_,
            "model": json.loads(self.model.to_json()),
            "versions": {p: version(p) for p in ("tensorflow", "keras", "librosa", "numpy")}
            | {"python": platform.python_version()},
            "mark": self.mark,
        }
        run = _close(name, self.folder, settings, facts)
        for state in self.folder.glob("state*.npz"):
            state.unlink()
        return run


class _Keeper(keras.callbacks.Callback):
    """Keep all that training goes on from after each epoch, in one file that is replaced whole.

    `keras.callbacks.BackupAndRestore` keeps weights and optimiser but not the callbacks' own state,
    so a resumed run would forget its patience. Must be the last of the callbacks.
    """

    def __init__(self, fit: _Fit) -> None:
        super().__init__()
        self.fit, self.history = fit, []
        self.stopped = False
        self.path = fit.state
        self._callbacks = {
            "stop": (fit.stop, ("wait", "best", "best_epoch", "stopped_epoch")),
        }
        if fit.follows_loss:
            self._callbacks["plateau"] = (fit.rate, ("wait", "best", "cooldown_counter"))
        self._saved = self._read()

    @property
    def epochs_done(self) -> int:
        return len(self.history)

    def _variables(self) -> list:
        """Return everything that training changes, dropout's random state included."""
        return [*self.fit.model.variables, *self.fit.model.optimizer.variables]

    def _read(self) -> dict | None:
        """Take up a saved state if there is a whole one that fits this model."""
        try:
            with np.load(self.path) as archive:
                saved = {key: archive[key] for key in archive.files}
            notes = json.loads(str(saved["notes"]))
            variables = self._variables()
            values = [saved[f"variable_{i}"] for i in range(len(variables))]
            fits = [
                value.shape == tuple(v.shape) for value, v in zip(values, variables, strict=True)
            ]
            if not all(fits):
                raise ValueError("the state of another model")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            self.fit.say("the saved state of this run is damaged; training starts again")
            return None
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        self.history, self.stopped = notes["history"], notes["stopped"]
        self.fit.say(f"going on after epoch {self.epochs_done}")
        return saved | {"notes": notes}

    def on_train_begin(self, logs: dict | None = None) -> None:
        # The other callbacks have just reset themselves, so their state is put back now.
        if self._saved is not None:
            for name, (callback, fields) in self._callbacks.items():
                for field in fields:
                    setattr(callback, field, self._saved["notes"][name][field])
            self.fit.stop.best_weights = self.best_weights()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        seconds = time.perf_counter() - self._started
        columns = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
        row = {name: float(logs[name]) for name in columns} | {"seconds": round(seconds, 2)}
        self.history.append(row)
        self.stopped = bool(self.fit.model.stop_training)
        self._write()
        self.fit.say(
            f"epoch {epoch + 1:3}  {seconds:5.1f} s  loss {row['loss']:.3f}  "
            f"accuracy {row['accuracy']:.3f}  |  test loss {row['val_loss']:.3f}  "
            f"accuracy {row['val_accuracy']:.3f}  |  rate {row['learning_rate']:.0e}"
        )

    def _write(self) -> None:
        notes = {
            name: {field: _plain(getattr(callback, field)) for field in fields}
            for name, (callback, fields) in self._callbacks.items()
        }
        notes |= {"history": self.history, "stopped": self.stopped}
        arrays = {f"variable_{i}": np.asarray(v) for i, v in enumerate(self._variables())}
        arrays |= {f"best_{i}": array for i, array in enumerate(self.fit.stop.best_weights)}
        _replace(
            self.path, lambda path: np.savez(path, notes=np.array(json.dumps(notes)), **arrays)
        )

    def best_weights(self) -> list[np.ndarray]:
        """Return the weights of the best epoch so far."""
        if self.fit.stop.best_weights is not None:
            return self.fit.stop.best_weights
        n_weights = len(self.fit.model.get_weights())
        return [self._saved[f"best_{i}"] for i in range(n_weights)]


def predict(
    model: keras.Model,
    features: Features,
    clips: pd.DataFrame,
    positions: np.ndarray,
    *,
    standardizer: Standardizer,
    batch_size: int = 32,
) -> pd.DataFrame:
    """Return a row per clip with its truth and the model's probabilities.

    Parameters
    ----------
    model : keras.Model
    features : Features
    clips : pandas.DataFrame
        The clips the features belong to.
    positions : numpy.ndarray
        Which of them to predict.
    standardizer : Standardizer
        The one the model was trained with.
    batch_size : int

    Returns
    -------
    pandas.DataFrame
        `path`, `corpus`, `speaker`, `emotion`, `predicted` and the columns `PROBABILITIES`, in the
        order of `positions`.
    """
    unlabelled = np.zeros(len(clips), dtype=np.int32)  # only the features are read
    data = make_dataset(
        features, unlabelled, positions, standardizer=standardizer, batch_size=batch_size
    )
    # Called directly: `model.predict` compiles a function for each model and each size of batch.
    probabilities = np.concatenate([np.asarray(model(x, training=False)) for x, _ in data])
    table = clips.iloc[positions][["path", "corpus", "speaker", "emotion"]].reset_index(drop=True)
    table["predicted"] = np.array(EMOTIONS)[probabilities.argmax(axis=1)]
    return table.join(pd.DataFrame(probabilities, columns=list(PROBABILITIES)))


def _write_tables(
    folder: Path, model: keras.Model, history: pd.DataFrame, predictions: pd.DataFrame
) -> None:
    model.save_weights(folder / _WEIGHTS)
    history.to_csv(folder / _HISTORY, index_label="epoch", lineterminator="\n")
    predictions.to_csv(folder / _PREDICTIONS, index=False, lineterminator="\n")


def _close(name: str, folder: Path, settings: dict, facts: dict) -> Run:
    """Mark the run in a folder as finished: what was written before this does not count."""
    files = {file: _sha256(folder / file) for file in (_WEIGHTS, _HISTORY, _PREDICTIONS)}
    done = json.dumps({"settings": settings, "facts": facts, "files": files}, indent=1)
    _replace(folder / _DONE, lambda path: path.write_text(done, encoding="utf-8"))
    return Run(name, folder, settings, facts, *_read_tables(folder))


def _take_shipped(
    name: str,
    folder: Path,
    settings: dict,
    test: pd.DataFrame,
    say: Callable[[str], None],
) -> Run | None:
    """Put the run that comes with the course into its folder, if it is this very run.

    Manifest, split and every setting must agree, and the clips that were predicted must be the test
    clips: so it is never scored on clips that it was trained on.
    """
    file = MODELS / f"{name}.keras"
    if not file.exists():
        return None
    try:
        notes = read_notes(file)
        asked = json.loads(json.dumps(settings))
        graph = asked.pop("model")
        kept = notes["settings"]
        # Some settings are only there where they were asked for, in either of the two.
        differing = {key for key in asked.keys() | kept.keys() if asked.get(key) != kept.get(key)}
        if differing and differing <= {"manifest", "split"}:
            say(f"{name}: the course's own run was trained on other clips, so this one is trained")
        if differing:
            return None
        shipped = read_model(file)
        # The architecture is compared as this version of Keras describes it.
        if _graph(shipped.model) != graph:
            return None
        published = RunName(
            profile=shipped.facts["profile"], model=name, seed=shipped.settings["seed"]
        )
        history, table = read_history(published, FIGURES), read_predictions(published, FIGURES)
        columns = ["path", "emotion"]
        same_clips = table[columns].to_numpy().tolist() == test[columns].to_numpy().tolist()
        if tables_digest(published, FIGURES) != shipped.facts["tables"] or not same_clips:
            raise ResultsError(
                f"the predictions or the history of {published} in {FIGURES} are not those that "
                "belong to its model file; `git checkout figures models` brings them back"
            )
    except (ModelFileError, ResultsError) as error:
        say(f"{name}: the course's own run cannot be used and is trained anew: {error}")
        return None
    folder.mkdir(exist_ok=True)
    _write_tables(folder, shipped.model, history, table)
    facts = shipped.facts | {"mean": shipped.mean, "std": shipped.std, "shipped": _sha256(file)}
    return _close(name, folder, settings, facts | {"model": json.loads(shipped.model.to_json())})


def _load(name: str, folder: Path, settings: dict, mark: str) -> Run | None:
    """Return the finished run in a folder, or None if there is none that is whole.

    With a mark, only a run that was trained under it.
    """
    try:
        done = json.loads((folder / _DONE).read_text(encoding="utf-8"))
        intact = all(_sha256(folder / file) == digest for file, digest in done["files"].items())
        same = done["settings"] == json.loads(json.dumps(settings))
        same &= not mark or done["facts"].get("mark") == mark
        shipped = done["facts"].get("shipped")  # it may have been published anew since
        same &= not shipped or shipped == _sha256(MODELS / f"{name}.keras")
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None  # there is none, or its file is damaged
    if not (intact and same):
        return None
    return Run(name, folder, settings, done["facts"], *_read_tables(folder))


def _read_tables(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    history = pd.read_csv(folder / _HISTORY, index_col="epoch")
    return history, pd.read_csv(folder / _PREDICTIONS)


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place and move it there whole."""
    partial = path.with_name(f"partial-{os.getpid()}-{path.name}")
    write(partial)
    partial.replace(path)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _plain(value: object) -> object:
    """Turn a NumPy or TensorFlow scalar into a Python number, for JSON."""
    return value if value is None or isinstance(value, int) else float(value)
