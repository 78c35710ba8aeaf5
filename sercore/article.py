"""What the article reports: its confusion matrices, figures, split and curves (chapters 5 and 8).

A. Ragab: A Complete Guide to Speech Emotion Recognition in Tensorflow Using CNNs and CRNNs (2023).
Its test clips also chose the epoch.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from sercore.config import PROFILES, SercoreError, TrainConfig
from sercore.corpora import EMOTIONS
from sercore.evaluation import confusion_table
from sercore.models import plateau
from sercore.results import FIGURES, ResultsError, read_predictions_file, read_table
from sercore.splits import Split, random_split


class ArticleError(SercoreError, ValueError):
    """Something that the article does not report."""


ON_ARTICLE_SPLIT = FIGURES / "article"
"""Folder of what was tested on the article's own split, laid out as `results.FIGURES`."""

_CORPORA = ("cremad", "ravdess", "tess", "savee")  # in the article's order

# Truth down, prediction across, both in the order of EMOTIONS.
_CONFUSION = {
    "cnn_mel": (
        (299, 27, 12, 40, 8, 2, 2),
        (21, 246, 18, 20, 22, 41, 1),
        (25, 18, 244, 32, 16, 41, 2),
        (42, 22, 39, 248, 29, 11, 5),
        (7, 16, 6, 10, 261, 26, 0),
        (2, 36, 27, 9, 38, 284, 0),
        (1, 3, 7, 6, 0, 0, 122),
    ),
    "cnn_mfcc": (
        (318, 24, 9, 32, 5, 0, 2),
        (23, 262, 16, 14, 19, 34, 1),
        (16, 17, 250, 31, 13, 48, 3),
        (33, 20, 36, 274, 20, 10, 3),
        (6, 18, 4, 15, 252, 31, 0),
        (1, 27, 37, 5, 28, 298, 0),
        (0, 1, 3, 5, 0, 2, 128),
    ),
    "crnn_mfcc": (
        (317, 21, 14, 30, 5, 1, 2),
        (17, 258, 17, 15, 17, 43, 2),
        (17, 16, 250, 35, 6, 49, 5),
        (29, 20, 40, 271, 24, 9, 3),
        (6, 17, 4, 17, 244, 38, 0),
        (2, 29, 31, 6, 29, 298, 1),
        (1, 3, 3, 4, 1, 0, 127),
    ),
}


def article_confusion(model: str) -> pd.DataFrame:
    """Return the confusion matrix that the article shows for one of its models.

    Shape (7, 7): numbers of test clips, truth down, prediction across. The rows of all three have
    the same sums, 2,394 in all. Another model than the article's is an `ArticleError`.
    """
    return confusion_table(_CONFUSION[_known(model)])


def article_figures() -> pd.DataFrame:
    """Return the article's own figures, computed from its confusion matrices.

    A row for each of its models; columns `n`, `accuracy`, `uar`, `macro_f1` and the F1 of each
    emotion, as shares between 0 and 1.
    """
    rows = {}
    for model in _CONFUSION:
        table = article_confusion(model).to_numpy()
        right, true, called = table.diagonal(), table.sum(axis=1), table.sum(axis=0)
        f1 = 2 * right / (true + called)
        uar = (right / true).mean()
        rows[model] = [table.sum(), right.sum() / table.sum(), uar, f1.mean(), *f1]
    columns = ["n", "accuracy", "uar", "macro_f1", *EMOTIONS]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).astype({"n": int})


def article_split(clips: pd.DataFrame) -> Split:
    """Rebuild the very split that the article's figures come from (chapter 8).

    `random_state=0` fixes a split for one order of the clips only, and the article does not give
    its order. This one was found by trying 192: the corpora in the order CREMA-D, RAVDESS, TESS,
    SAVEE, other corpora after them, and the clips of each by path without regard to case, as
    Windows lists them. On all 11,970 clips, unzipped as Kaggle packs them, it gives the number of
    test clips that each emotion has in the article's confusion matrices. For these clips the CRNN
    whose weights the article's author published gives the article's confusion matrix
    (`read_article_crnn`). Positions are those in `clips`, which may be in any order.
    """
    rank = {corpus: i for i, corpus in enumerate(_CORPORA)}
    keys = pd.DataFrame(
        {
            "rank": clips["corpus"].map(rank).fillna(len(rank)).to_numpy(),
            "lower": clips["path"].str.lower().to_numpy(),
            "path": clips["path"].to_numpy(),
        }
    )
    order = keys.sort_values(["rank", "lower", "path"]).index.to_numpy()
    split = random_split(clips)
    return Split(order[split.train], order[split.valid], order[split.test])


def read_article_crnn(folder: Path = ON_ARTICLE_SPLIT) -> pd.DataFrame:
    """Read what the CRNN trained by the article's author answers, given this course's features.

    A table of predictions (`results.read_predictions`) for the test clips of `article_split`.
    `figures/README.md` says how the answers were made.
    """
    return read_predictions_file(folder / "crnn_mfcc.csv.gz")


def read_article_curves(model: str, folder: Path = ON_ARTICLE_SPLIT) -> pd.DataFrame:
    """Read the article's learning curves, measured from the pixels of its picture (chapter 8).

    A row per epoch, from 1: `loss`, `accuracy`, `val_loss`, `val_accuracy`. One pixel is 0.002 of
    `loss`, 0.005 of `val_loss` and 0.001 of the accuracies. `figures/README.md` says how.
    """
    file = folder / "curves.csv"
    curves = read_table(
        file, columns=("model", "epoch", "loss", "accuracy", "val_loss", "val_accuracy")
    )
    curves = curves[curves["model"] == _known(model)]
    if curves.empty:
        raise ResultsError(f"{file.name} in {file.parent} has no row of {model}")
    return curves.drop(columns="model").set_index("epoch")


def article_rates(model: str) -> list[float]:
    """Return the learning rates that the article's test loss led to, epoch by epoch (chapter 8).

    As far as the pixels of its picture tell: for the CRNN all of them; for the MFCC CNN up to epoch
    19 and for the mel CNN up to epoch 22, from where the test loss changes by less than a pixel.
    """
    return plateau_rates(list(read_article_curves(model)["val_loss"]), PROFILES["article"].training)


def plateau_rates(val_losses: list[float], training: TrainConfig) -> list[float]:
    """Return the learning rate of each epoch that a sequence of validation losses leads to.

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
        rates.append(float(f"{float(model.optimizer.learning_rate):.6g}"))  # kept as 32 bits
        schedule.on_epoch_end(epoch, {"val_loss": loss})
    return rates


def _known(model: str) -> str:
    if model not in _CONFUSION:
        raise ArticleError(
            f"the article has no model {model!r}, expected one of {', '.join(_CONFUSION)}"
        )
    return model
