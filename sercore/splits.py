"""Which clip is in which set (chapter 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from sercore.config import SercoreError


class SplitError(SercoreError, ValueError):
    """A split that cannot be made, or does not keep apart what it should."""


@dataclass(frozen=True)
class Split:
    """Positions of the clips of each set in the table they were split from.

    Weights are learned from `train`. `valid` chooses the epoch and the learning rate. `test` is
    what the model is judged on.
    """

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


def random_split(clips: pd.DataFrame, *, test_size: float = 0.2, random_state: int = 0) -> Split:
    """Split clips at random and unstratified, as the article does (80:20, `random_state=0`).

    As in the article, the validation set **is** the test set. The order of the clips matters, so it
    should be the manifest's. Fewer than two clips are a `SplitError`.
    """
    if len(clips) < 2:
        raise SplitError(f"{len(clips)} clips cannot be split; at least 2 are needed")
    train, test = train_test_split(
        np.arange(len(clips)), test_size=test_size, random_state=random_state
    )
    return Split(train, test, test)


def shared_share(clips: pd.DataFrame, split: Split, *, by: Sequence[str]) -> float:
    """Return the share of test clips whose values of `by` also occur in the training set.

    `by` names columns, such as `["speaker", "sentence"]`. Clips that do not say who speaks, or
    what, are a `SplitError` where `by` asks for it.
    """
    values = _values(clips, by)
    return float(values[split.test].isin(values[split.train]).mean())


def check_disjoint(clips: pd.DataFrame, split: Split, *, by: Sequence[str]) -> None:
    """Raise `SplitError` if a value of `by` occurs in the training set and in another set.

    The message counts the values and names some. Clips that do not say who speaks, or what, are a
    `SplitError` too where `by` asks for it.
    """
    values = _values(clips, by)
    others = np.union1d(split.valid, split.test)
    shared = values[split.train].unique().intersection(values[others].unique())
    if len(shared):
        names = ", ".join("/".join(map(str, value)) for value in shared[:3])
        raise SplitError(
            f"{len(shared)} values of {', '.join(by)} occur in both sets, among them {names}"
        )


def _values(clips: pd.DataFrame, by: Sequence[str]) -> pd.MultiIndex:
    """Return each clip's values of `by`; raise unless it says who speaks and what, if asked for."""
    for column in {"speaker", "sentence"} & set(by):
        unknown = clips[column] == ""
        if unknown.any():
            corpora = ""
            if "corpus" in clips:
                corpora = f" (in {', '.join(clips.loc[unknown, 'corpus'].unique())})"
            raise SplitError(
                f"the {column} of {unknown.sum()} of {len(clips)} clips is not known{corpora}, so "
                "nobody can say whether the sets share one; leave these clips out first, or give "
                f"the corpus a corpus.toml whose pattern has a group {column}"
            )
    return pd.MultiIndex.from_frame(clips[list(by)])
