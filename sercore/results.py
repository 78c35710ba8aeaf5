"""What comes with the repository: the published runs' results, predictions, histories (chapter 8).

Reading them needs neither TensorFlow nor a clip, so that every figure and every curve can be drawn
again by anyone. `publish` writes them.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sercore.config import REPOSITORY, SercoreError
from sercore.corpora import EMOTIONS, LabelError, parse

FIGURES = REPOSITORY / "figures"
"""Folder of what is published, pictures included."""

MODELS = REPOSITORY / "models"
"""Folder of the trained models."""

PROBABILITIES = tuple(f"p_{emotion}" for emotion in EMOTIONS)
"""Columns of a table of predictions that hold the model's probabilities."""

HISTORY = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds")
"""Columns of a history; as in the article, the validation data is the test set."""

class ResultsError(SercoreError, ValueError):
    """Published results that are not there or do not fit together."""


@dataclass(frozen=True, kw_only=True, order=True)
class RunName:
    """Which run: size of the course, model, seed."""

    profile: str
    model: str
    seed: int

    def __str__(self) -> str:
        return f"{self.profile}-{self.model}-{self.seed}"

    def predictions_file(self, folder: Path = FIGURES) -> Path:
        """Return where the predictions for the test clips lie."""
        return folder / "predictions" / f"{self}.csv.gz"

    def history_file(self, folder: Path = FIGURES) -> Path:
        """Return where the history of the training lies."""
        return folder / "history" / f"{self}.csv"


def tables_digest(name: RunName, folder: Path = FIGURES) -> str:
    """Return a hash of a run's published tables, by which its model file knows them.

    Parameters
    ----------
    name : RunName
    folder : path

    Returns
    -------
    str
        Of the predictions' and the history's bytes.

    Raises
    ------
    ResultsError
        If one of them is not there.
    """
    digest = hashlib.sha256()
    for file in (name.predictions_file(folder), name.history_file(folder)):
        try:
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        except OSError as error:
            raise _unusable(file, str(error.strerror)) from error
    return digest.hexdigest()


def results_file(folder: Path = FIGURES) -> Path:
    """Return where the table of all published runs lies."""
    return folder / "results.csv"


def read_results(folder: Path = FIGURES) -> pd.DataFrame:
    """Read the table of the published runs.

    Parameters
    ----------
    folder : path
        Where `results.csv` lies.

    Returns
    -------
    pandas.DataFrame
        A row per run, as `publish.result_row` describes it; sorted by profile, model and seed.

    Raises
    ------
    ResultsError
        If there is no such file.
    """
    key = ("profile", "model", "seed")
    return read_table(results_file(folder), columns=key, dtype={"python": "str"})


def read_predictions(name: RunName, folder: Path = FIGURES) -> pd.DataFrame:
    """Read what a published run answered for each test clip.

    Parameters
    ----------
    name : RunName
    folder : path

    Returns
    -------
    pandas.DataFrame
        As `training.Run.predictions`: `path`, `corpus`, `speaker`, `emotion` (the truth),
        `predicted`, and the seven `PROBABILITIES`, which are rounded to six decimals.

    Raises
    ------
    ResultsError
        If this run was not published.
    """
    return read_predictions_file(name.predictions_file(folder))


def read_history(name: RunName, folder: Path = FIGURES) -> pd.DataFrame:
    """Read how the training of a published run went.

    Parameters
    ----------
    name : RunName
    folder : path

    Returns
    -------
    pandas.DataFrame
        As `training.Run.history`: a row per epoch, from 1.

    Raises
    ------
    ResultsError
        If this run was not published.
    """
    return read_table(name.history_file(folder), columns=("epoch", *HISTORY)).set_index("epoch")


def read_predictions_file(file: Path) -> pd.DataFrame:
    stored = read_table(file, columns=("clip", "truth", *PROBABILITIES))
    try:
        return with_labels(stored)
    except LabelError as error:
        raise _unusable(file, str(error)) from error


def with_labels(stored: pd.DataFrame) -> pd.DataFrame:
    """Add to the stored columns what they imply."""
    labels = [parse(path) for path in stored["clip"]]
    columns = list(PROBABILITIES)
    table = pd.DataFrame(
        {
            "path": stored["clip"].to_numpy(),
            "corpus": [label.corpus for label in labels],
            "speaker": [label.speaker for label in labels],
            "emotion": stored["truth"].to_numpy(),
            "predicted": np.array(EMOTIONS)[stored[columns].to_numpy().argmax(axis=1)],
        }
    )
    return table.join(stored[columns].reset_index(drop=True))


def read_table(file: Path, *, columns: Sequence[str], **options) -> pd.DataFrame:
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
