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
