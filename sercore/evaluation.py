"""Numbers from predictions (chapters 5 to 8).

Every function takes a table of predictions with a row per clip and the columns `path`, `corpus`,
`emotion` (the truth) and `predicted`, as a `training.Run` holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import binomtest
from sklearn import metrics

from sercore.corpora import CORPORA, EMOTIONS


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How well a table of predictions agrees with the truth; all shares between 0 and 1.

    Attributes
    ----------
    n : int
        Clips.
    accuracy, low, high : float
        Share of clips predicted right, with its 95 % Wilson interval.
    uar : float
        Unweighted average recall: the mean over classes of the share predicted right.
    macro_f1 : float
        Mean over classes of the F1 score.
    """

    n: int
    accuracy: float
    low: float
    high: float
    uar: float
    macro_f1: float

    def __str__(self) -> str:
        return (
            f"accuracy {self.accuracy:.1%} (95 % interval {self.low:.1%} to {self.high:.1%}, "
            f"n = {self.n}), UAR {self.uar:.1%}, macro F1 {self.macro_f1:.1%}"
        )


def accuracy_interval(n_right: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson interval of a share.

    Parameters
    ----------
    n_right, n : int
        Clips predicted right, and clips in all.
    confidence : float
        Between 0 and 1.

    Returns
    -------
    low, high : float

    Raises
    ------
    ValueError
        If `n` is 0.

    Notes
    -----
    Wilson (1927). It covers what chance does in drawing the clips, not what another seed, other
    speakers or another corpus would do.

    Examples
    --------
    >>> low, high = accuracy_interval(5, 10)
    >>> print(f"{low:.3f} {high:.3f}")
    0.237 0.763
    """
    if n == 0:
        raise ValueError("no clips, so there is no share to give an interval for")
    interval = binomtest(n_right, n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def score(predictions: pd.DataFrame) -> Scores:
    """Score predictions as a whole.

    Classes that the truth does not hold are left out of the averages over classes.

    Parameters
    ----------
    predictions : pandas.DataFrame

    Returns
    -------
    Scores

    Raises
    ------
    ValueError
        If there are no predictions.
    """
    truth, predicted = predictions["emotion"], predictions["predicted"]
    n_right = int((truth == predicted).sum())
    low, high = accuracy_interval(n_right, len(predictions))
    averages = per_class(predictions).loc[lambda table: table["clips"] > 0].mean()
    return Scores(
        n=len(predictions),
        accuracy=n_right / len(predictions),
        low=low,
        high=high,
        uar=float(averages["recall"]),
        macro_f1=float(averages["f1"]),
    )


def per_class(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return precision, recall, F1 and the number of clips of each emotion.

    Parameters
    ----------
    predictions : pandas.DataFrame

    Returns
    -------
    pandas.DataFrame
        Index `EMOTIONS`, columns `precision`, `recall`, `f1`, `clips`; 0 where a ratio has no
        denominator.
    """
    values = metrics.precision_recall_fscore_support(
        predictions["emotion"], predictions["predicted"], labels=list(EMOTIONS), zero_division=0
    )
    columns = ("precision", "recall", "f1", "clips")
    return pd.DataFrame(dict(zip(columns, values, strict=True)), index=list(EMOTIONS))


def per_corpus(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the scores within each corpus.

    Parameters
    ----------
    predictions : pandas.DataFrame

    Returns
    -------
    pandas.DataFrame
        A row per corpus present, in the order of `CORPORA`, with the fields of `Scores`.
    """
    groups = dict(list(predictions.groupby("corpus")))
    order = [name for name in CORPORA if name in groups] + sorted(set(groups) - set(CORPORA))
    return score_table({name: groups[name] for name in order}).rename_axis("corpus")


def score_table(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Score several tables of predictions, a row each.

    Parameters
    ----------
    tables : mapping
        From a name to its predictions.

    Returns
    -------
    pandas.DataFrame
        Index the names, columns the fields of `Scores`.
    """
    rows = {name: vars(score(predictions)) for name, predictions in tables.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def confusion(predictions: pd.DataFrame) -> pd.DataFrame:
    """Count how often each emotion was taken for each.

    Parameters
    ----------
    predictions : pandas.DataFrame

    Returns
    -------
    pandas.DataFrame, shape (7, 7)
        Rows are the truth, columns the prediction, both in the order of `EMOTIONS`.
    """
    counts = metrics.confusion_matrix(
        predictions["emotion"], predictions["predicted"], labels=list(EMOTIONS)
    )
    return confusion_table(counts)


def paired_test(first: pd.DataFrame, second: pd.DataFrame) -> tuple[int, int, float]:
    """Compare two models on the same clips by the clips on which just one is right.

    Parameters
    ----------
    first, second : pandas.DataFrame
        Predictions of the same clips, in any order.

    Returns
    -------
    only_first, only_second : int
        Clips that just the first, or just the second, predicts right.
    p : float
        Two-sided p value of McNemar's exact test; 1.0 where they never differ.

    Raises
    ------
    ValueError
        If the tables are not about the same clips.
    """
    right = [t.set_index("path").eval("emotion == predicted").sort_index() for t in (first, second)]
    if not right[0].index.equals(right[1].index):
        raise ValueError("the two tables hold different clips; compare runs on the same split")
    only_first = int((right[0] & ~right[1]).sum())
    only_second = int((right[1] & ~right[0]).sum())
    n = only_first + only_second
    return only_first, only_second, float(binomtest(only_first, n).pvalue) if n else 1.0


def confusion_table(counts: ArrayLike) -> pd.DataFrame:
    """Name the rows (truth) and columns (prediction) of a 7 x 7 confusion matrix."""
    index, columns = (pd.Index(EMOTIONS, name=name) for name in ("truth", "predicted"))
    return pd.DataFrame(counts, index=index, columns=columns)
