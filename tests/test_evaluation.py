"""Numbers from predictions, by known answers."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from sercore import evaluation as e
from sercore.corpora import EMOTIONS
from tests.speech import predictions


def test_scores_by_hand():
    # anger: 2 of 3 right; disgust: 1 of 1 right, named twice
    scores = e.score(predictions("aaad", "aadd"))
    assert scores.n == 4 and scores.accuracy == 0.75
    assert scores.uar == pytest.approx((2 / 3 + 1) / 2)
    assert scores.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)


def test_classes_that_do_not_occur_are_left_out_of_averages():
    assert e.score(predictions("aadd", "aadd")).uar == 1
    # a class that is only predicted is an error of the others, not a class of its own
    assert e.score(predictions("aadd", "aadf")).uar == pytest.approx(0.75)


def test_scores_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    table = predictions(
        "".join(rng.choice(list("adfhn"), 200)), "".join(rng.choice(list("adfhn"), 200))
    )
    scores, truth, predicted = e.score(table), table["emotion"], table["predicted"]
    assert scores.accuracy == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert scores.uar == pytest.approx(metrics.balanced_accuracy_score(truth, predicted))
    assert scores.macro_f1 == pytest.approx(metrics.f1_score(truth, predicted, average="macro"))


def test_wilson_interval_of_the_article():
    low, high = e.accuracy_interval(1_781, 2_394)  # 74.4 %
    assert (low, high) == (pytest.approx(0.7261, abs=1e-4), pytest.approx(0.7610, abs=1e-4))


def test_interval_covers_as_often_as_it_says():
    right = np.random.default_rng(0).binomial(300, 0.7, size=400)
    covered = [low <= 0.7 <= high for low, high in (e.accuracy_interval(k, 300) for k in right)]
    assert 0.92 < np.mean(covered) < 0.98


def test_no_clips_have_no_interval():
    with pytest.raises(ValueError, match="no clips"):
        e.accuracy_interval(0, 0)


def test_per_class_has_every_class_in_order():
    table = e.per_class(predictions("aad", "add"))
    assert list(table.index) == list(EMOTIONS)
    assert table.loc["anger", "recall"] == 0.5 and table.loc["disgust", "precision"] == 0.5
    assert table.loc["surprise"].tolist() == [0, 0, 0, 0]


def test_per_corpus_keeps_corpora_apart():
    table = pd.concat(
        [
            predictions("aa", "ad").assign(corpus="tess"),
            predictions("ad", "ad").assign(corpus="cremad"),
        ]
    )
    result = e.per_corpus(table)
    assert list(result.index) == ["cremad", "tess"]
    assert result["accuracy"].tolist() == [1.0, 0.5]


def test_confusion_has_truth_in_rows():
    table = e.confusion(predictions("aaf", "aff"))
    assert table.loc["anger", "fear"] == 1 and table.loc["fear", "anger"] == 0
    assert table.to_numpy().sum() == 3 and table.shape == (7, 7)


def test_paired_test_counts_clips_that_one_alone_got_right():
    first, second = predictions("a" * 12, "a" * 10 + "dd"), predictions("a" * 12, "d" * 10 + "aa")
    only_first, only_second, p = e.paired_test(first, second.sample(frac=1, random_state=0))
    assert (only_first, only_second) == (10, 2)
    assert p == pytest.approx(2 * (1 + 12 + 66) / 2**12)


def test_paired_test_of_a_model_with_itself_finds_nothing():
    table = predictions("adf", "aaf")
    assert e.paired_test(table, table) == (0, 0, 1.0)


def test_paired_test_refuses_different_clips():
    with pytest.raises(ValueError, match="different clips"):
        e.paired_test(predictions("adf", "adf"), predictions("ad", "ad"))


def test_article_figures_are_those_that_the_article_states():
    table = e.article_figures()
    assert table["n"].tolist() == [2394] * 3
    assert table["macro_f1"].round(2).tolist() == [0.73, 0.76, 0.75]  # in its text
    assert table["accuracy"].round(3).tolist() == [0.712, 0.744, 0.737]
    assert table.loc["cnn_mfcc", list(EMOTIONS)].round(2).tolist() == [
        *(0.81, 0.71, 0.68, 0.71, 0.76, 0.73, 0.93)
    ]


def test_a_model_that_the_article_does_not_have_is_named():
    with pytest.raises(ValueError, match="no model 'lstm', expected one of cnn_mel, cnn_mfcc"):
        e.article_confusion("lstm")


def test_the_articles_models_were_tested_on_as_many_clips_of_each_emotion():
    sums = [e.article_confusion(model).sum(axis=1).tolist() for model in e.article_figures().index]
    assert sums == [[390, 369, 378, 396, 326, 396, 139]] * 3
