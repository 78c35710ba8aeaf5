"""Training runs on disk: one folder a run, kept whole, and continued after an interruption.

A run's folder is named by the hash of everything that decides its numbers. `run.json` is written
last and holds the SHA-256 of the other files, so a folder without it, or with a file that does not
fit, is no finished run.
"""

from __future__ import annotations

import json
import shutil
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from filelock import FileLock

from sercore.config import cache_dir, digest, runs_folder
from sercore.datasets import Standardizer
from sercore.store.files import sha256, write_whole

_WEIGHTS, _HISTORY, _PREDICTIONS = "best.weights.h5", "history.csv", "predictions.csv"
_FILES = (_WEIGHTS, _HISTORY, _PREDICTIONS)
_DONE, _STATE = "run.json", "state.npz"
_COLUMNS = ("loss", "accuracy", "val_loss", "val_accuracy")


@dataclass(frozen=True)
class Run:
    """A finished training run."""

    name: str
    folder: Path
    settings: dict[str, Any]
    """Everything that decides its numbers."""
    facts: dict[str, Any]
    """What is known after training: epochs, best epoch, seconds, parameters, versions."""
    history: pd.DataFrame
    """A row per epoch, from 1: loss and accuracy on the training clips, `val_loss` and
    `val_accuracy` on the validation clips, `learning_rate`, `seconds`."""
    predictions: pd.DataFrame
    """A row per test clip, as `training.predict` returns it."""

    def model(self) -> keras.Model:
        """Return the trained, uncompiled model with the weights of its best epoch."""
        model = keras.models.model_from_json(json.dumps(self.facts["architecture"]))
        model.load_weights(self.folder / _WEIGHTS)
        return model

    @property
    def standardizers(self) -> tuple[Standardizer, ...]:
        """The standardiser of each input, fitted on the training clips."""
        return tuple(Standardizer.of(*values) for values in self.facts["standardizers"])


@dataclass(frozen=True)
class RunFolder:
    """The folder of the run with these settings; hold it with `locked` while you use it."""

    name: str
    settings: dict[str, Any]

    @property
    def path(self) -> Path:
        """Where the run lies: while retraining, in a fresh place (`config.runs_folder`)."""
        return runs_folder() / f"{self.name}-{digest(self.settings)}"

    def locked(self) -> FileLock:
        """Return a lock that keeps other processes out of the folder."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(f"{self.path}.lock")

    @property
    def begun(self) -> bool:
        """Whether a training was interrupted here and can go on."""
        return (self.path / _STATE).exists()

    def read(self) -> Run | None:
        """Return the finished run, or None if there is none that is whole."""
        try:
            done = json.loads((self.path / _DONE).read_text(encoding="utf-8"))
            found = {name: sha256(self.path / name) for name in _FILES}
            return self._run(dict(done["facts"])) if found == done["files"] else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None  # there is none, or a file of it is damaged: it is made again

    def finish(
        self,
        model: keras.Model,
        *,
        facts: dict[str, Any],
        history: pd.DataFrame,
        predictions: pd.DataFrame,
    ) -> Run:
        """Write what came out, mark the run as finished, and return it."""
        write_whole(self.path / _WEIGHTS, lambda path: model.save_weights(path))
        rows = history.to_csv(index_label="epoch", lineterminator="\n")
        write_whole(self.path / _HISTORY, rows)
        rows = predictions.to_csv(index=False, lineterminator="\n")
        write_whole(self.path / _PREDICTIONS, rows)
        files = {name: sha256(self.path / name) for name in _FILES}
        facts |= {"architecture": json.loads(model.to_json())}
        done = {"settings": self.settings, "facts": facts, "files": files}
        write_whole(self.path / _DONE, json.dumps(done, indent=1))
        (self.path / _STATE).unlink(missing_ok=True)
        return self._run(facts)

    def _run(self, facts: dict[str, Any]) -> Run:
        history = pd.read_csv(self.path / _HISTORY, index_col="epoch")
        predictions = pd.read_csv(self.path / _PREDICTIONS)
        return Run(self.name, self.path, self.settings, facts, history, predictions)

    def state(self, say: Callable[[str], object]) -> TrainingState:
        """Return what was kept of a training that was interrupted here, or an empty state."""
        return TrainingState(self.path / _STATE, say)


def keep_retrained() -> None:
    """Put the runs of a retraining that has ended in the place of those that were there before.

    A run that is not finished stays where it is, and a later retraining goes on with it.
    """
    fresh, kept = cache_dir() / "retraining", cache_dir() / "runs"
    kept.mkdir(exist_ok=True)
    for done in sorted(fresh.glob(f"*/{_DONE}")):
        target = kept / done.parent.name
        with FileLock(f"{target}.lock"):
            if target.exists():
                shutil.rmtree(target)
            done.parent.rename(target)


class TrainingState(keras.callbacks.Callback):
    """All that training goes on from, kept after each epoch in one file. Must be the last callback.

    Weights, optimiser and dropout's random numbers are written down. What the other callbacks know
    (how long to be patient still, which loss was the best) follows from the history, so it is
    replayed to them. `keras.callbacks.BackupAndRestore` keeps no callback's memory.
    """

    def __init__(self, path: Path, say: Callable[[str], object]) -> None:
        super().__init__()
        self.path, self.say = path, say
        self.history: list[dict[str, float]] = []
        self.stopped = False
        self._saved: dict[str, np.ndarray] = {}
        self._others: Sequence[keras.callbacks.Callback] = ()
        self._best: Any = None  # the early stopping

    def attach(
        self, model: keras.Model, stop: keras.callbacks.EarlyStopping, *others: Any
    ) -> TrainingState:
        """Take up what was kept, if it fits this compiled model; return itself."""
        self.set_model(model)
        self._best, self._others = stop, (stop, *others)
        model.optimizer.build(model.trainable_variables)
        try:
            with np.load(self.path) as archive:
                saved = {key: archive[key] for key in archive.files}
            notes = json.loads(str(saved["notes"]))
            shapes = [saved[f"variable_{i}"].shape for i, _ in enumerate(self._variables())]
            if shapes != [tuple(variable.shape) for variable in self._variables()]:
                raise ValueError("the state of another network")
            self.history, self.stopped = notes["history"], notes["stopped"]
        except FileNotFoundError:
            return self
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            self.say("the saved state of this run is damaged; training starts again")
            return self
        self._saved = saved
        self.say(f"going on after epoch {len(self.history)}")
        return self

    def _variables(self) -> list[Any]:
        return [*self.model.variables, *self.model.optimizer.variables]

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Put everything back as it was; the other callbacks have just forgotten all."""
        if not self._saved:
            return
        for epoch, row in enumerate(self.history):
            for callback in self._others:
                callback.on_epoch_begin(epoch)
                callback.on_epoch_end(epoch, dict(row))
        for i, variable in enumerate(self._variables()):
            variable.assign(self._saved[f"variable_{i}"])
        self._best.best_weights = None  # the replay has kept those that the model began with
        self._best.best_weights = self.best_weights()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock, and note the learning rate before a callback cuts it."""
        self._started = time.perf_counter()
        self._rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep the epoch, then say how it went."""
        seconds = round(time.perf_counter() - self._started, 2)
        row = {name: float((logs or {})[name]) for name in _COLUMNS}
        self.history.append(row | {"learning_rate": self._rate, "seconds": seconds})
        self.stopped = bool(self.model.stop_training)
        notes = json.dumps({"history": self.history, "stopped": self.stopped})
        arrays: dict[str, Any] = {
            f"variable_{i}": np.asarray(v) for i, v in enumerate(self._variables())
        }
        arrays |= {f"best_{i}": array for i, array in enumerate(self.best_weights())}
        write_whole(self.path, lambda path: np.savez(path, notes=np.array(notes), **arrays))
        self.say(
            f"epoch {epoch + 1:3}  {seconds:5.1f} s  loss {row['loss']:.3f}  "
            f"accuracy {row['accuracy']:.3f}  |  valid loss {row['val_loss']:.3f}  "
            f"accuracy {row['val_accuracy']:.3f}  |  rate {self._rate:.0e}"
        )

    def best_weights(self) -> list[np.ndarray]:
        """Return the weights of the best epoch so far."""
        if self._best is not None and self._best.best_weights is not None:
            return self._best.best_weights
        return [self._saved[f"best_{i}"] for i, _ in enumerate(self.model.get_weights())]
