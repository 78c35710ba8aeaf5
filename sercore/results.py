"""What comes with the repository: results, predictions and histories of its runs (chapter 8).

Reading them needs neither TensorFlow nor a clip, and what is not there, or damaged, is a
`ResultsError`. `course.publishing` writes them.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sercore.config import REPOSITORY, SercoreError
from sercore.corpora import EMOTIONS, LabelError, parse
from sercore.store.files import sha256

FIGURES = REPOSITORY / "figures"
"""Folder of the published tables and pictures."""

HONEST, BY_SPEAKER, BY_CORPUS = (FIGURES / name for name in ("honest", "by_speaker", "by_corpus"))
"""Folders of the runs in which nothing was chosen on the test clips (chapter 9)."""

COST = FIGURES / "cost.csv"
"""CPU minutes of each model for features and training, made by `benchmarks/cost.py`."""

ALL = "all"
"""The fold, in a table of results, that stands for all folds together."""

SHOWN = ("laptop", 0)
"""Profile and seed of the runs by folds that tables and cards show, and whose heads are shipped."""

MODELS = REPOSITORY / "models"
"""Folder of the trained models."""

PROBABILITIES = tuple(f"p_{emotion}" for emotion in EMOTIONS)
"""Columns of a model's probabilities in a table of predictions."""

FOLD_COLUMNS = ("path", "corpus", "speaker", "emotion", "predicted", "fold", *PROBABILITIES)
"""Columns of a table of predictions of several folds."""

HISTORY = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds")
"""Columns of a history. Those with `val_` are about the validation set of the run's split."""


class ResultsError(SercoreError, ValueError):
    """Published results that are not there, do not fit together or cannot be published."""


@dataclass(frozen=True, kw_only=True, order=True)
class RunName:
    """Which run: size of the course, model, seed."""

    profile: str
    model: str
    seed: int

    def __str__(self) -> str:
        return f"{self.profile}-{self.model}-{self.seed}"

    def predictions_file(self, folder: Path = FIGURES) -> Path:
        """Return the file of the predictions for the test clips."""
        return folder / "predictions" / f"{self}.csv.gz"

    def history_file(self, folder: Path = FIGURES) -> Path:
        """Return the file of the history of the training."""
        return folder / "history" / f"{self}.csv"


def results_file(folder: Path = FIGURES) -> Path:
    """Return the file that has a row for each published run."""
    return folder / "results.csv"


def tables_digest(name: RunName, folder: Path = FIGURES) -> str:
    """Return a hash of a run's predictions and history; the model file of the run holds it too.

    So tables of another run are noticed.
    """
    digest = hashlib.sha256()
    for file in (name.predictions_file(folder), name.history_file(folder)):
        try:
            digest.update(bytes.fromhex(sha256(file)))
        except OSError as error:
            raise _unusable(file, str(error.strerror)) from error
    return digest.hexdigest()


def read_results(folder: Path = FIGURES) -> pd.DataFrame:
    """Read the table of the published runs, a row each, sorted by profile, model and seed.

    Where there are folds, it has a row for each and one for `ALL`. `figures/README.md` explains the
    columns.
    """
    key, texts = ("profile", "model", "seed"), {"python": "str", "fold": "str"}
    return read_table(results_file(folder), columns=key, dtype=texts)


def read_shown(folder: Path) -> pd.DataFrame:
    """Read the rows of a table of folds that are shown: `ALL` folds of each model's `SHOWN` run."""
    runs = read_results(folder)
    profile, seed = SHOWN
    kept = (runs["profile"] == profile) & (runs["seed"] == seed) & (runs["fold"] == ALL)
    return runs[kept].reset_index(drop=True)


def read_predictions(name: RunName, folder: Path = FIGURES) -> pd.DataFrame:
    """Read a published run's answers for the test clips of its split, or of all its folds.

    Columns: `path`, `corpus`, `speaker`, `emotion` (the truth), `predicted`, where there are folds
    `fold`, and the seven `PROBABILITIES`, rounded to six decimals.
    """
    return read_predictions_file(name.predictions_file(folder))


def read_history(name: RunName, folder: Path = FIGURES) -> pd.DataFrame:
    """Read how the training of a published run went: for each epoch, from 1, the `HISTORY`."""
    return read_table(name.history_file(folder), columns=("epoch", *HISTORY)).set_index("epoch")


def read_predictions_file(file: Path) -> pd.DataFrame:
    """Read a file of predictions, as `read_predictions` returns them."""
    kept = read_table(file, columns=(), dtype={"fold": "str"})
    if set(FOLD_COLUMNS) <= set(kept):
        return kept
    kept = read_table(file, columns=("clip", "truth", *PROBABILITIES))
    try:
        return with_labels(kept)
    except LabelError as error:
        raise _unusable(file, str(error)) from error


def with_labels(kept: pd.DataFrame) -> pd.DataFrame:
    """Return a table of predictions from the columns of its file: `clip`, `truth`, `p_…`.

    The file name of a clip tells its corpus and its speaker; the largest probability is the answer.
    """
    labels = [parse(path) for path in kept["clip"]]
    probabilities = kept[list(PROBABILITIES)].reset_index(drop=True)
    table = pd.DataFrame(
        {
            "path": kept["clip"].to_numpy(),
            "corpus": [label.corpus for label in labels],
            "speaker": [label.speaker for label in labels],
            "emotion": kept["truth"].to_numpy(),
            "predicted": np.array(EMOTIONS)[probabilities.to_numpy().argmax(axis=1)],
        }
    )
    return table.join(probabilities)


def read_table(file: Path, *, columns: Sequence[str], **options: Any) -> pd.DataFrame:
    """Read a CSV file that must have some columns; `options` are those of `pandas.read_csv`."""
    try:
        table = pd.read_csv(file, **options)
    except FileNotFoundError:
        raise _unusable(file, "it is not there") from None
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise _unusable(file, str(error)) from error
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise _unusable(file, f"it has no column {', '.join(missing)}")
    return table


def _unusable(file: Path, problem: str) -> ResultsError:
    return ResultsError(
        f"{file.name} in {file.parent} cannot be used: {problem}; what was published comes with "
        "the repository: `git checkout figures` brings it back"
    )
