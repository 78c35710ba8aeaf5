"""What the article reports: its confusion matrices, figures, split, curves (appendix A).

A. Ragab: A Complete Guide to Speech Emotion Recognition in Tensorflow Using CNNs and CRNNs (2023).
Its test clips also chose the epoch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sercore.config import PROFILES, SercoreError, TrainConfig
from sercore.corpora import CORPORA, EMOTIONS
from sercore.evaluation import confusion_table
from sercore.models import Recipe, plateau, recipe_named
from sercore.results import FIGURES, ResultsError, read_predictions_file, read_table
from sercore.splits import Split, random_split

if TYPE_CHECKING:
    import keras


class ArticleError(SercoreError, ValueError):
    """Something that the article does not report."""


ON_ARTICLE_SPLIT = FIGURES / "article"
"""Folder of the runs on the article's own split, with the same files as `results.FIGURES`."""

_CONFUSION = pd.read_csv(
    Path(__file__).parent / "data" / "article_confusion.csv", index_col=["model", "truth"]
)
_MODELS = tuple(_CONFUSION.index.unique("model"))


def article_confusion(model: str) -> pd.DataFrame:
    """Return the confusion matrix that the article shows for one of its models.

    Shape (7, 7): numbers of test clips, truth down, prediction across. The rows of all three have
    the same sums, 2,394 in all. A model that the article does not have is an `ArticleError`.
    """
    return confusion_table(_CONFUSION.loc[_known(model)].to_numpy())


def article_figures() -> pd.DataFrame:
    """Return the article's own figures, computed from its confusion matrices.

    A row for each of its models; columns `n`, `accuracy`, `uar`, `macro_f1` and the F1 of each
    emotion, as shares between 0 and 1.
    """
    rows = {}
    for model in _MODELS:
        table = article_confusion(model).to_numpy()
        right, true, called = table.diagonal(), table.sum(axis=1), table.sum(axis=0)
        f1 = 2 * right / (true + called)
        uar = (right / true).mean()
        rows[model] = [table.sum(), right.sum() / table.sum(), uar, f1.mean(), *f1]
    columns = ["n", "accuracy", "uar", "macro_f1", *EMOTIONS]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).astype({"n": int})


def article_split(clips: pd.DataFrame) -> Split:
    """Rebuild the very split that the article's figures come from (appendix A).

    Positions are those in `clips`, which may be in any order. `random_state=0` gives a certain
    split only for a certain order of the clips, and the article does not tell its order. We tried
    192 orders. In this one the corpora come as CREMA-D, RAVDESS, TESS, SAVEE and then any others;
    the clips of each are sorted by path, upper and lower case alike, as Windows lists them. On all
    11,970 clips, unzipped as Kaggle packs them, the test set then has as many clips of each emotion
    as the article's confusion matrices. And the CRNN that the article's author published gives the
    article's confusion matrix for these clips (`read_article_crnn`).
    """
    ranks = {corpus: i for i, corpus in enumerate(CORPORA)}  # they have the article's order
    places = clips["corpus"].map(ranks).fillna(len(ranks))
    keys = [(place, path.lower(), path) for place, path in zip(places, clips["path"], strict=True)]
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__))
    split = random_split(clips)
    return Split(order[split.train], order[split.valid], order[split.test])


def read_article_crnn(folder: Path = ON_ARTICLE_SPLIT) -> pd.DataFrame:
    """Read what the CRNN trained by the article's author answers, given this course's features.

    A table of predictions (`results.read_predictions`) for the test clips of `article_split`.
    `figures/README.md` says how the answers were made.
    """
    return read_predictions_file(folder / "crnn_mfcc.csv.gz")


def read_article_curves(model: str, folder: Path = ON_ARTICLE_SPLIT) -> pd.DataFrame:
    """Read the article's learning curves, measured from the pixels of its picture (appendix A).

    A row for each epoch, from 1: `loss`, `accuracy`, `val_loss`, `val_accuracy`. One pixel is 0.002
    of `loss`, 0.005 of `val_loss` and 0.001 of the accuracies. `figures/README.md` says how.
    """
    file = folder / "curves.csv"
    columns = ("model", "epoch", "loss", "accuracy", "val_loss", "val_accuracy")
    curves = read_table(file, columns=columns)
    curves = curves[curves["model"] == _known(model)]
    if curves.empty:
        raise ResultsError(f"{file.name} in {file.parent} has no row of {model}")
    return curves.drop(columns="model").set_index("epoch")


def plateau_rates(val_losses: Sequence[float], training: TrainConfig) -> list[float]:
    """Return the learning rate of each epoch, given the validation loss after each epoch.

    Keras's own callback decides, on a network of one weight.
    """
    import keras

    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.Adam(training.learning_rate))
    schedule = plateau(training)
    schedule.set_model(model)
    schedule.on_train_begin()
    rates = []
    for epoch, loss in enumerate(val_losses):
        # Keras keeps 32 bits of a rate; six digits of it are the rate that was meant.
        rates.append(float(f"{float(model.optimizer.learning_rate):.6g}"))
        schedule.on_epoch_end(epoch, {"val_loss": loss})
    return rates


def article_rates(model: str) -> list[float]:
    """Return the learning rates that the article's test loss led to, epoch by epoch (appendix A).

    For the CRNN these are all rates. For the MFCC CNN they are sure up to epoch 19, for the mel CNN
    up to epoch 22: after that the test loss changes by less than a pixel of the picture.
    """
    return plateau_rates(list(read_article_curves(model)["val_loss"]), PROFILES["article"].training)


@dataclass(frozen=True)
class GivenRates:
    """A schedule (`models.Recipe.schedule`) that gives each epoch its learning rate."""

    rates: tuple[float, ...]
    """From the first epoch on; the last one stays for all epochs that follow."""

    def __post_init__(self) -> None:
        if not self.rates or not all(0 < rate < math.inf for rate in self.rates):
            expected = "positive, finite numbers, at least one"
            raise ArticleError(f"rates must be {expected}, not {self.rates!r}")

    def __call__(self, training: TrainConfig) -> keras.callbacks.Callback:
        """Return the callback that sets the rates; `training` has no say."""
        from keras.callbacks import LearningRateScheduler

        return LearningRateScheduler(lambda epoch: self.rates[min(epoch, len(self.rates) - 1)])


def replay_recipe(model: str) -> Recipe:
    """Return a recipe of the article's with the learning rates of the article's own training."""
    return replace(recipe_named(model), schedule=GivenRates(tuple(article_rates(model))))


def _known(model: str) -> str:
    if model not in _MODELS:
        known = ", ".join(_MODELS)
        raise ArticleError(f"the article has no model {model!r}, expected one of {known}")
    return model
