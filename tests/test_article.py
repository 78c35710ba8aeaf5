"""What the article reports agrees with itself, and with the clips that were published."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from sercore import article as a
from sercore.config import TrainConfig
from sercore.corpora import EMOTIONS
from sercore.evaluation import confusion
from sercore.models import RECIPES
from sercore.splits import random_split
from tests.published import article_clips

MODELS = a.article_figures().index


def counts(test: pd.DataFrame) -> list[int]:
    return test["emotion"].value_counts().reindex(EMOTIONS).tolist()


def test_its_figures_are_those_that_it_states():
    table = a.article_figures()
    assert table["n"].tolist() == [2394] * 3
    assert table["macro_f1"].round(2).tolist() == [0.73, 0.76, 0.75]  # in its text
    assert table["accuracy"].round(3).tolist() == [0.712, 0.744, 0.737]
    f1 = [0.81, 0.71, 0.68, 0.71, 0.76, 0.73, 0.93]
    assert table.loc["cnn_mfcc", list(EMOTIONS)].round(2).tolist() == f1


@pytest.mark.parametrize("tell", [a.article_confusion, a.read_article_curves, a.replay_recipe])
def test_a_model_that_it_does_not_have_is_named(tell, monkeypatch):
    monkeypatch.setitem(RECIPES, "lstm", RECIPES["crnn_mfcc"])
    with pytest.raises(a.ArticleError, match="'lstm', expected one of cnn_mel, cnn_mfcc"):
        tell("lstm")


def test_its_split_has_the_test_clips_of_its_confusion_matrices():
    expected = [390, 369, 378, 396, 326, 396, 139]
    for model in MODELS:
        assert a.article_confusion(model).sum(axis=1).tolist() == expected
    clips = article_clips()
    for order in (clips, clips.sample(frac=1, random_state=1)):  # as they come, and mixed
        split = a.article_split(order)
        assert counts(order.iloc[split.test]) == expected
    # Not just any order does: the manifest's does not.
    assert counts(clips.iloc[random_split(clips).test]) != expected


def test_its_authors_crnn_gives_its_confusion_matrix_on_its_split():
    answers, clips = a.read_article_crnn(), article_clips()
    test = clips.iloc[a.article_split(clips).test]
    truth = [table.set_index("path")["emotion"].to_dict() for table in (answers, test)]
    assert truth[0] == truth[1]
    pd.testing.assert_frame_equal(confusion(answers), a.article_confusion("crnn_mfcc"))


@pytest.mark.parametrize(("model", "epochs"), zip(MODELS, (40, 31, 23), strict=True))
def test_its_curves_end_ten_epochs_after_the_accuracy_it_reports(model, epochs):
    curves = a.read_article_curves(model)
    assert curves.index.tolist() == list(range(1, epochs + 1))
    accuracy = a.article_figures().loc[model, "accuracy"]
    assert curves["val_accuracy"].loc[epochs - 10] == pytest.approx(accuracy, abs=0.001)
    # Which is the epoch of the least test loss, within two of the picture's pixels.
    assert curves["val_loss"].loc[epochs - 10] <= curves["val_loss"].min() + 0.011


def test_the_rates_that_the_curve_of_the_crnn_tells():
    """Five cuts; its author's file of the CRNN says as well that the last rate was 1e-6."""
    cuts = [1e-3] * 8 + [2e-4] * 4 + [4e-5] * 4 + [8e-6] * 3 + [1.6e-6] * 3 + [1e-6]
    assert a.article_rates("crnn_mfcc") == pytest.approx(cuts, rel=1e-5)
    schedule = a.GivenRates(tuple(a.article_rates("crnn_mfcc")))
    assert a.replay_recipe("crnn_mfcc") == replace(RECIPES["crnn_mfcc"], schedule=schedule)


def test_given_rates_are_set_and_the_last_one_stays():
    import keras

    model = SimpleNamespace(optimizer=keras.optimizers.Adam(0.5))
    callback = a.GivenRates((0.3, 0.1))(TrainConfig(max_epochs=4, shuffle=False))
    callback.set_model(model)
    for epoch, rate in enumerate((0.3, 0.1, 0.1, 0.1)):
        callback.on_epoch_begin(epoch)
        assert float(model.optimizer.learning_rate) == pytest.approx(rate)


@pytest.mark.parametrize("rates", [(), (1e-3, 0), (-1e-3,), (math.inf,), (math.nan,)])
def test_rates_that_are_none_are_refused(rates):
    with pytest.raises(a.ArticleError, match="positive"):
        a.GivenRates(rates)
