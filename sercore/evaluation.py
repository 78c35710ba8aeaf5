"""Numbers from predictions (chapters 5 to 9).

Every function takes a table of predictions, as a `training.Run` holds it: a row for each clip, with
the columns `path`, `corpus`, `emotion` (the truth) and `predicted`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import binomtest
from sklearn import metrics

from sercore.config import SercoreError
from sercore.corpora import CORPORA, EMOTIONS


class EvaluationError(SercoreError, ValueError):
    """Predictions that cannot be scored or compared."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How well a table of predictions agrees with the truth; all shares lie between 0 and 1."""

    n: int
    accuracy: float
    low: float
    high: float
    """The ends of the accuracy's 95 % Wilson interval."""
    uar: float
    """Unweighted average recall: the mean over classes of the share predicted right."""
    macro_f1: float

    def __str__(self) -> str:
        return (
            f"accuracy {self.accuracy:.1%} (95 % interval {self.low:.1%} to {self.high:.1%}, "
            f"n = {self.n}), UAR {self.uar:.1%}, macro F1 {self.macro_f1:.1%}"
        )


def accuracy_interval(n_right: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return the lower and the upper end of the Wilson interval of a share (Wilson, 1927).

    It covers what chance does when the clips are drawn. It does not cover what another seed, other
    speakers or another corpus would do. No clips at all are an `EvaluationError`.

    >>> low, high = accuracy_interval(5, 10)
    >>> print(f"{low:.3f} {high:.3f}")
    0.237 0.763
    """
    if n == 0:
        raise EvaluationError("there are no clips to score; give at least one")
    interval = binomtest(n_right, n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def speaker_interval(
    predictions: pd.DataFrame, *, draws: int = 2_000, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of the UAR that other speakers would give (chapter 9).

    A bootstrap (Efron 1979): in each draw every corpus gets as many speakers as it has, drawn from
    its own with replacement, and the UAR is computed from all their clips together. A corpus with
    two or four speakers says too little about others for that; show each of them instead. Clips of
    unknown speakers are an `EvaluationError`.
    """
    if (predictions["speaker"] == "").any():
        raise EvaluationError("some clips do not say who speaks; score those with a speaker alone")
    right = predictions["emotion"] == predictions["predicted"]
    keys = [predictions["corpus"], predictions["speaker"], predictions["emotion"]]
    tables = [values.groupby(keys).sum().unstack(fill_value=0) for values in (right, right | True)]
    hits, clips = (table.to_numpy(float) for table in tables)
    random, times = np.random.default_rng(seed), []
    for _, own in tables[0].groupby(level="corpus", sort=False):
        times.append(random.multinomial(len(own), np.full(len(own), 1 / len(own)), draws))
    drawn = np.concatenate(times, axis=1)
    with np.errstate(invalid="ignore"):  # an emotion without a clip in a draw is no number
        recalls = (drawn @ hits) / (drawn @ clips)
    low, high = np.percentile(np.nanmean(recalls, axis=1), [2.5, 97.5])
    return float(low), float(high)


def score(predictions: pd.DataFrame) -> Scores:
    """Score predictions as a whole.

    A class without a clip is left out of the averages over classes. No clips at all are an
    `EvaluationError`.
    """
    n = len(predictions)
    n_right = int((predictions["emotion"] == predictions["predicted"]).sum())
    low, high = accuracy_interval(n_right, n)
    averages = per_class(predictions).query("clips > 0")[["recall", "f1"]].mean()
    uar, macro_f1 = averages.tolist()
    return Scores(n=n, accuracy=n_right / n, low=low, high=high, uar=uar, macro_f1=macro_f1)


def per_class(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each of `EMOTIONS`: `precision`, `recall`, `f1` and the number of `clips`.

    A ratio whose denominator is 0 is 0.
    """
    values = metrics.precision_recall_fscore_support(
        predictions["emotion"], predictions["predicted"], labels=list(EMOTIONS), zero_division=0
    )
    columns = ("precision", "recall", "f1", "clips")
    return pd.DataFrame(dict(zip(columns, values, strict=True)), index=list(EMOTIONS))


def per_corpus(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the scores within each corpus that occurs, in the order of `CORPORA`, others last."""
    groups = dict(list(predictions.groupby("corpus")))
    order = [name for name in CORPORA if name in groups] + sorted(set(groups) - set(CORPORA))
    return score_table({name: groups[name] for name in order}).rename_axis("corpus")


def per_speaker(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of each speaker, sorted by corpus and name, with a column `corpus`."""
    groups = dict(list(predictions.groupby("speaker")))
    table = score_table(groups).rename_axis("speaker")
    table["corpus"] = predictions.drop_duplicates("speaker").set_index("speaker")["corpus"]
    return table.sort_values(["corpus", "speaker"])


def crowd_confusion() -> pd.DataFrame:
    """Return what people heard in CREMA-D's clips, without the picture (chapter 9).

    Shape (6, 6): shares of the votes, what the actor meant down, what was heard across; the column
    `votes` counts them. From `tabulatedVotes.csv` (Cao et al. 2014, 10.1109/TAFFC.2014.2336244):
    68,568 votes, rounded to a thousandth.
    """
    return pd.read_csv(Path(__file__).parent / "data" / "crowd_confusion.csv", index_col="truth")


def score_table(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Score several tables of predictions: a row for each name, with the fields of `Scores`."""
    rows = {name: vars(score(predictions)) for name, predictions in tables.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def confusion(predictions: pd.DataFrame) -> pd.DataFrame:
    """Count how often each emotion was taken for each: shape (7, 7), rows are the truth."""
    pairs = predictions["emotion"], predictions["predicted"]
    return confusion_table(metrics.confusion_matrix(*pairs, labels=list(EMOTIONS)))


def confusion_table(counts: ArrayLike) -> pd.DataFrame:
    """Name the rows (truth) and columns (prediction) of a confusion matrix of shape (7, 7)."""
    index, columns = (pd.Index(EMOTIONS, name=name) for name in ("truth", "predicted"))
    return pd.DataFrame(counts, index=index, columns=columns)


def paired_test(first: pd.DataFrame, second: pd.DataFrame) -> tuple[int, int, float]:
    """Compare two models on the same clips by the clips on which just one of them is right.

    Returns how many clips only the first predicts right, how many only the second, and the
    two-sided p value of McNemar's exact test (1.0 where they never differ). The tables may be in
    any order; tables of different clips are an `EvaluationError`.
    """
    right = [t.set_index("path").eval("emotion == predicted").sort_index() for t in (first, second)]
    if not right[0].index.equals(right[1].index):
        raise EvaluationError(
            "the two tables hold different clips; compare runs that were tested on the same split"
        )
    only_first = int((right[0] & ~right[1]).sum())
    only_second = int((right[1] & ~right[0]).sum())
    n = only_first + only_second
    return only_first, only_second, float(binomtest(only_first, n).pvalue) if n else 1.0
