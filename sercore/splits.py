"""Which clip is in which set (chapters 4 and 9).

Four protocols, each with its question: `random_split` (what does the article measure?),
`honest_split` (the same, but nothing is chosen on the test clips), `speaker_folds` (what of voices
that the model has never heard?) and `corpus_folds` (what of another recording studio?).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from sercore.config import SercoreError

N_FOLDS = 5
ONE_IN = 8
"""One training clip, or one training speaker, in so many becomes validation."""


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


def honest_split(clips: pd.DataFrame, *, random_state: int = 0) -> Split:
    """Return `random_split` with its test clips, but a validation set taken from its training set.

    Nothing is chosen on the test clips then. Their speakers are still in the training set. Fewer
    than three clips are a `SplitError`.
    """
    article = random_split(clips, random_state=random_state)
    if len(article.train) < 2:
        raise SplitError(f"{len(clips)} clips are too few for three sets; at least 3 are needed")
    train, valid = train_test_split(
        article.train, test_size=-(-len(article.train) // ONE_IN), random_state=random_state
    )
    return Split(train, valid, article.test)


def speaker_folds(clips: pd.DataFrame, *, n_folds: int = N_FOLDS) -> dict[str, Split]:
    """Return a split for each fold, "1" to "5": each speaker is tested in exactly one of them.

    The speakers of a corpus, in the order of their names, are cut into blocks of equal size; the
    last block takes what is left. On the four corpora these are the blocks of EMO-SUPERB (CREMA-D:
    1001 to 1018 and so on). A corpus with fewer speakers than folds is tested in the first folds.

    Validation speakers come from the other folds: one in eight of each corpus, drawn with a fixed
    seed, so a corpus with few speakers gives none. If no corpus can, the largest gives one.

    A `SplitError` where there is no such split: fewer speakers than folds, a clip whose speaker is
    not known, an emotion that is tested but not in training, the same bytes under two speakers.
    """
    _values(clips, ["speaker"])  # all are known
    speakers = _speakers(clips)
    n_speakers = sum(map(len, speakers.values()))
    if not 2 <= n_folds <= n_speakers:
        raise SplitError(
            f"{n_speakers} speakers cannot be tested in {n_folds} folds: add speakers, or name a "
            "number of folds with n_folds=, at least 2 and at most one for each speaker"
        )
    fold_of: dict[str, int] = {}
    for own in speakers.values():
        # Rounded, but so that something is left for the last block.
        size = max(1, min(round(len(own) / n_folds), (len(own) - 1) // (n_folds - 1)))
        fold_of |= {speaker: min(i // size, n_folds - 1) for i, speaker in enumerate(own)}
    folds = clips["speaker"].map(fold_of).to_numpy()
    if missing := n_folds - len(set(folds)):
        raise SplitError(
            f"no corpus has speakers enough for {n_folds} folds, and {missing} would test nobody; "
            f"choose n_folds={n_folds - missing}"
        )
    return {f"{i + 1}": _held_out(clips, folds == i, f"fold {i + 1}") for i in range(n_folds)}


def corpus_folds(clips: pd.DataFrame) -> dict[str, Split]:
    """Return a split for each corpus, by its name: it is tested, and all others are training.

    Validation speakers are drawn as in `speaker_folds`, and the same is refused; so is one corpus
    alone.
    """
    _values(clips, ["speaker"])
    corpora = list(_speakers(clips))
    if len(corpora) < 2:
        raise SplitError(f"a corpus can be left out of two or more, not of {len(corpora)}")
    return {name: _held_out(clips, (clips["corpus"] == name).to_numpy(), name) for name in corpora}


def _speakers(clips: pd.DataFrame) -> dict[str, list[str]]:
    """Return the speakers of each corpus, sorted; corpora in the order of their first clips."""
    groups = clips.groupby("corpus", sort=False)["speaker"]
    return {str(corpus): sorted(set(own)) for corpus, own in groups}


def _held_out(clips: pd.DataFrame, tested: np.ndarray, name: str) -> Split:
    """Return the split that tests some clips and takes validation speakers from the others."""
    speakers = _speakers(clips[~tested])
    if len([speaker for own in speakers.values() for speaker in own]) < 2:
        raise SplitError(f"{name}: one speaker is left to learn from, and none to choose by")
    chosen: list[str] = []
    for own in speakers.values():
        if n := len(own) // ONE_IN:
            chosen += train_test_split(own, test_size=n, random_state=0)[1]
    chosen = chosen or max(speakers.values(), key=len)[-1:]
    valid = clips["speaker"].isin(chosen).to_numpy() & ~tested
    split = Split(*(np.flatnonzero(mask) for mask in (~tested & ~valid, valid, tested)))
    learned = set(clips["emotion"].iloc[split.train])
    if unheard := sorted(set(clips["emotion"][tested]) - learned):
        raise SplitError(
            f"{name}: {', '.join(unheard)} is tested, but no training clip has it; leave these "
            "clips out, or add speakers who show it"
        )
    check_disjoint(clips, split, by=["speaker"])
    check_disjoint(clips, split, by=["sha256"])
    return split


def shared_share(clips: pd.DataFrame, split: Split, *, by: Sequence[str]) -> float:
    """Return the share of test clips whose values of `by` also occur in the training set.

    `by` names columns, such as `["speaker", "sentence"]`. Clips that do not say who speaks, or
    what, are a `SplitError` where `by` asks for it.
    """
    values = _values(clips, by)
    return float(values[split.test].isin(values[split.train]).mean())


def check_disjoint(clips: pd.DataFrame, split: Split, *, by: Sequence[str]) -> None:
    """Raise `SplitError` if a value of `by` occurs in two of the sets.

    Where the test clips are the validation clips too, that is one set. The message counts the
    values and names some. Clips that do not say who speaks, or what, are a `SplitError` too where
    `by` asks for it.
    """
    values = _values(clips, by)
    sets = (
        [split.train, split.test]
        if np.array_equal(split.valid, split.test)
        else list(vars(split).values())
    )
    for one, other in combinations(sets, 2):
        shared = values[one].unique().intersection(values[other].unique())
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
