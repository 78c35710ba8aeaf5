"""Numbers from predictions, by known answers."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from sercore import evaluation as e
from sercore.corpora import EMOTIONS
from tests.speech import predictions


@pytest.mark.parametrize(
    ("truth", "answers", "accuracy", "uar", "macro_f1"),
    [  # classes that do not occur are left out of the averages
        ("aadd", "aadd", 1, 1, 1),
        ("aaad", "aadd", 0.75, (2 / 3 + 1) / 2, (0.8 + 2 / 3) / 2),
        ("aadd", "aadf", 0.75, (1 + 0.5) / 2, (1 + 2 / 3) / 2),  # also one only predicted
    ],
)
def test_scores_by_hand(truth, answers, accuracy, uar, macro_f1):
    scores = e.score(predictions(truth, answers))
    found = [scores.n, scores.accuracy, scores.uar, scores.macro_f1]
    assert found == pytest.approx([4, accuracy, uar, macro_f1])


def test_scores_agree_with_scikit_learn():
    truth, answers = np.random.default_rng(0).choice(list("adfhn"), (2, 200))
    table = predictions("".join(truth), "".join(answers))
    scores = e.score(table)
    assert scores.uar == pytest.approx(metrics.balanced_accuracy_score(truth, answers))
    assert scores.macro_f1 == pytest.approx(metrics.f1_score(truth, answers, average="macro"))


def test_wilson_interval_of_the_article_and_of_nothing():
    low, high = e.accuracy_interval(1_781, 2_394)  # 74.4 %
    assert (low, high) == (pytest.approx(0.7261, abs=1e-4), pytest.approx(0.7610, abs=1e-4))
    with pytest.raises(e.EvaluationError, match="no clips"):
        e.accuracy_interval(0, 0)


def test_per_class_has_every_class_in_order():
    table = e.per_class(predictions("aad", "add"))
    assert list(table.index) == list(EMOTIONS)
    assert table.loc["anger", "recall"] == 0.5 and table.loc["disgust", "precision"] == 0.5
    assert table.loc["surprise"].tolist() == [0, 0, 0, 0]


def test_per_corpus_keeps_corpora_apart_and_in_order():
    answers = {"mine": "aa", "tess": "ad", "cremad": "aa"}
    tables = [predictions("aa", each).assign(corpus=name) for name, each in answers.items()]
    result = e.per_corpus(pd.concat(tables))
    assert result["accuracy"].to_dict() == {"cremad": 1, "tess": 0.5, "mine": 1}
    assert list(result.index) == ["cremad", "tess", "mine"]


def test_confusion_has_truth_in_rows():
    table = e.confusion(predictions("aaf", "aff"))
    assert table.loc["anger", "fear"] == 1 and table.loc["fear", "anger"] == 0
    assert table.to_numpy().sum() == 3 and table.shape == (7, 7)


def test_paired_test_counts_clips_that_one_alone_got_right():
    first, second = predictions("a" * 12, "a" * 10 + "dd"), predictions("a" * 12, "d" * 10 + "aa")
    found = e.paired_test(first, second.sample(frac=1, random_state=0))
    assert found == (10, 2, pytest.approx(2 * (1 + 12 + 66) / 2**12))
    assert e.paired_test(first, first) == (0, 0, 1.0)
    with pytest.raises(e.EvaluationError, match="different clips"):
        e.paired_test(first, second[:11])


def by_speaker(**answers):
    """Clips of anger in one corpus: an "a" for each that is right, by speaker."""
    tables = [predictions("a" * len(a), a).assign(speaker=who) for who, a in answers.items()]
    return pd.concat(tables, ignore_index=True).assign(corpus="mine")


def test_an_interval_over_speakers_counts_speakers_and_not_clips():
    low, high = e.speaker_interval(by_speaker(one="a" * 50, two="d" * 50))
    assert (low, high) == (0, 1)  # a quarter of all draws has only one, a quarter only two
    many = by_speaker(**{f"s{i}": "ad"[i % 2] for i in range(100)})
    low, high = e.speaker_interval(many)  # a clip each: the binomial, 0.5 +- 1.96 * 0.05
    assert (low, high) == (pytest.approx(0.40, abs=0.015), pytest.approx(0.60, abs=0.015))
    assert e.speaker_interval(many) == (low, high)  # the draws have a seed


def test_corpora_keep_their_share_in_an_interval_over_speakers():
    good, bad = by_speaker(one="aa", two="aa"), by_speaker(three="dd", four="dd")
    assert e.speaker_interval(pd.concat([good, bad.assign(corpus="other")])) == (0.5, 0.5)


def test_clips_of_unknown_speakers_have_no_such_interval():
    with pytest.raises(e.EvaluationError, match="do not say who speaks"):
        e.speaker_interval(by_speaker(one="ad").assign(speaker=""))


def test_each_speaker_has_scores():
    table = e.per_speaker(by_speaker(two="ad", one="aaa"))
    assert table["uar"].to_dict() == {"one": 1, "two": 0.5} and set(table["corpus"]) == {"mine"}


def test_the_crowd_heard_what_was_counted():
    table = e.crowd_confusion()
    votes, shares = table["votes"], table.drop(columns="votes")
    assert list(shares.index) == list(shares.columns) == list(EMOTIONS[:6])
    assert votes.sum() == 68_568 and np.allclose(shares.sum(axis=1), 1, atol=0.003)
    right = np.diag(shares)
    assert (right * votes).sum() / votes.sum() == pytest.approx(0.400, abs=5e-4)
    assert right.mean() == pytest.approx(0.407, abs=5e-4)
