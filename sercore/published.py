"""What comes with the repository: the published runs' results, predictions, histories (chapter 8).

Reading them needs neither TensorFlow nor a clip, so that every figure and every curve can be drawn
again by anyone. `publish` writes them.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sercore.config import REPOSITORY
from sercore.corpora import EMOTIONS, LabelError, parse

FIGURES = REPOSITORY / "figures"
"""Folder of what is published, pictures included."""

ON_ARTICLE_SPLIT = FIGURES / "article"
"""Folder of what was tested on the article's own split, laid out as `FIGURES` (chapter 8)."""

MODELS = REPOSITORY / "models"
"""Folder of the trained models."""

MODEL_NAMES = ("cnn_mel", "cnn_mfcc", "crnn_mfcc")
"""The article's models, in its order; keys of `models.RECIPES`."""

PROBABILITIES = tuple(f"p_{emotion}" for emotion in EMOTIONS)
"""Columns of a table of predictions that hold the model's probabilities."""

HISTORY = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds")
"""Columns of a history; as in the article, the validation data is the test set."""

_DECIMALS = 6  # of a probability: the published ones are to be met within 1e-4


class PublishedError(ValueError):
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
    PublishedError
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
    PublishedError
        If there is no such file.
    """
    key = ("profile", "model", "seed")
    return _read(results_file(folder), columns=key, dtype={"python": "str"})


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
    PublishedError
        If this run was not published.
    """
    return _predictions(name.predictions_file(folder))


def read_article_crnn(folder: Path = ON_ARTICLE_SPLIT) -> pd.DataFrame:
    """Read what the CRNN trained by the article's author answers, given this course's features.

    Its author published the weights. `figures/README.md` says how the answers were made.

    Parameters
    ----------
    folder : path

    Returns
    -------
    pandas.DataFrame
        As `read_predictions`, for the test clips of `splits.article_split`.

    Raises
    ------
    PublishedError
        If the file is not there or damaged.
    """
    return _predictions(folder / "crnn_mfcc.csv.gz")


def read_article_curves(model: str, folder: Path = ON_ARTICLE_SPLIT) -> pd.DataFrame:
    """Read the article's learning curves, measured from the pixels of its picture (chapter 8).

    `figures/README.md` says how.

    Parameters
    ----------
    model : str
        One of `MODEL_NAMES`.
    folder : path

    Returns
    -------
    pandas.DataFrame
        A row per epoch, from 1: `loss`, `accuracy`, `val_loss`, `val_accuracy`. One pixel is 0.002
        of `loss`, 0.005 of `val_loss` and 0.001 of the accuracies.

    Raises
    ------
    PublishedError
        If there are none of that model, or the file is not there.
    """
    file = folder / "curves.csv"
    curves = _read(file, columns=("model", "epoch", *HISTORY[:4]))
    if model not in MODEL_NAMES:
        raise PublishedError(
            f"the article shows no curves of {model!r}, but of {', '.join(MODEL_NAMES)}"
        )
    if model not in set(curves["model"]):
        raise _unusable(file, f"it has no row of {model}")
    return curves[curves["model"] == model].drop(columns="model").set_index("epoch")


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
    PublishedError
        If this run was not published.
    """
    return _read(name.history_file(folder), columns=("epoch", *HISTORY)).set_index("epoch")


def write_predictions(predictions: pd.DataFrame, name: RunName, folder: Path = FIGURES) -> Path:
    """Write predictions compactly, the same bytes for the same numbers.

    Parameters
    ----------
    predictions : pandas.DataFrame
        As `training.Run.predictions`.
    name : RunName
    folder : path

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    PublishedError
        If the path of a clip tells another corpus, speaker or emotion than the table, or rounding
        would change an answer: either could not be read back.
    """
    columns = list(PROBABILITIES)
    stored = predictions[["path", "emotion", *columns]].rename(
        columns={"path": "clip", "emotion": "truth"}
    )
    stored[columns] = stored[columns].astype(np.float64).round(_DECIMALS)
    told = ["path", "corpus", "speaker", "emotion", "predicted"]
    differs = (_from_stored(stored)[told] != predictions[told].reset_index(drop=True)).any(axis=1)
    if differs.any():
        raise PublishedError(
            f"{name} cannot be published: {differs.sum()} of its clips would be read back with "
            "another corpus, speaker or answer, the first of them "
            f"{stored['clip'][differs.to_numpy()].iloc[0]}; only the four corpora can be published"
        )
    packed = io.BytesIO()
    # Without a time of its own in the archive, the same predictions are the same file.
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as archive:
        archive.write(stored.to_csv(index=False, lineterminator="\n").encode())
    return _write(name.predictions_file(folder), packed.getvalue())


def write_history(history: pd.DataFrame, name: RunName, folder: Path = FIGURES) -> Path:
    """Write the history of a training.

    Parameters
    ----------
    history : pandas.DataFrame
        As `training.Run.history`.
    name : RunName
    folder : path

    Returns
    -------
    Path
        The file written.
    """
    text = history.to_csv(index_label="epoch", float_format="%.6g", lineterminator="\n")
    return _write(name.history_file(folder), text.encode())


def write_results(results: pd.DataFrame, folder: Path = FIGURES) -> Path:
    """Write the table of the published runs.

    Parameters
    ----------
    results : pandas.DataFrame
        As `read_results` returns it.
    folder : path

    Returns
    -------
    Path
        The file written.
    """
    return _write(results_file(folder), results.to_csv(index=False, lineterminator="\n").encode())


def _predictions(file: Path) -> pd.DataFrame:
    stored = _read(file, columns=("clip", "truth", *PROBABILITIES))
    try:
        return _from_stored(stored)
    except LabelError as error:
        raise _unusable(file, str(error)) from error


def _from_stored(stored: pd.DataFrame) -> pd.DataFrame:
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


def _read(file: Path, *, columns: Sequence[str], **options) -> pd.DataFrame:
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


def _unusable(file: Path, problem: str) -> PublishedError:
    return PublishedError(
        f"{file.name} in {file.parent} cannot be used: {problem}; what was published comes with "
        "the repository: `git checkout figures` brings it back"
    )


def _write(file: Path, content: bytes) -> Path:
    """Write a file beside its place and move it there whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"partial-{file.name}")
    draft.write_bytes(content)
    draft.replace(file)
    return file
