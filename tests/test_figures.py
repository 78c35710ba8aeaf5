"""What a picture draws is asserted on its axes; how it looks is for people."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from sercore import evaluation, figures
from sercore.corpora import LABELS
from tests.speech import TINY, predictions


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_every_label_and_model_has_a_colour_of_its_own():
    assert tuple(figures.EMOTION_COLOURS) == LABELS
    assert len(set(figures.EMOTION_COLOURS.values())) == len(LABELS)
    assert list(figures.MODEL_COLOURS) == list(figures.MODEL_TITLES)


def test_models_and_titles_name_the_same_models():
    from sercore.models import RECIPES

    assert list(RECIPES) == list(figures.MODEL_TITLES)


def test_counts_draws_a_bar_per_class_with_its_number():
    ax = figures.counts(pd.DataFrame({"emotion": ["anger", "anger", "fear"]}))
    bars = zip(ax.get_yticklabels(), ax.patches, strict=True)
    widths = {label.get_text(): bar.get_width() for label, bar in bars}
    assert widths["anger"] == 2 and widths["fear"] == 1 and widths["sadness"] == 0
    assert "calm" not in widths


def test_counts_draws_calm_where_it_occurs():
    ax = figures.counts(pd.DataFrame({"emotion": ["calm"]}))
    assert "calm" in [t.get_text() for t in ax.get_yticklabels()]


def test_waveform_spans_the_clip_in_seconds():
    ax = figures.waveform(np.ones(8_000), sample_rate=8_000, emotion="fear")
    (line,) = ax.lines
    assert line.get_xdata()[-1] == pytest.approx(1, abs=1e-3)
    assert line.get_color() == figures.EMOTION_COLOURS["fear"] and ax.get_title() == "fear"


@pytest.mark.parametrize(
    ("rows", "label"), [("mel", "frequency in Hz"), ("coefficient", "coefficient")]
)
def test_spectrogram_names_its_axes(rows, label):
    values = np.random.default_rng(0).normal(size=(16, TINY.n_frames))
    ax = figures.spectrogram(values, config=TINY, rows=rows, title="t")
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("time in s", label, "t")
    assert np.allclose(ax.collections[0].get_array().reshape(values.shape), values)


def test_history_marks_the_kept_epoch():
    table = pd.DataFrame(
        {"loss": [3.0, 2, 1], "val_loss": [3.0, 1, 2]}, index=pd.Index([1, 2, 3], name="epoch")
    )
    ax = figures.history(table)
    assert [line.get_label() for line in ax.lines] == [
        "training clips",
        "test clips",
        "kept: epoch 2",
    ]
    assert list(ax.lines[1].get_ydata()) == [3, 1, 2]


def test_losses_draws_the_article_and_each_of_ours():
    epochs = pd.RangeIndex(1, 4)
    article = pd.DataFrame({"loss": [3.0, 2.0, 1.0], "val_loss": 9.0}, index=epochs)
    ours = {f"run {i}": pd.DataFrame({"loss": [i, i, i]}, index=epochs) for i in range(5)}
    ax = figures.losses(article, ours, model="crnn_mfcc")
    assert [line.get_label() for line in ax.lines] == [*ours, "article"]
    assert ax.lines[-1].get_xydata().tolist() == [[1, 3], [2, 2], [3, 1]]
    assert [line.get_ydata()[0] for line in ax.lines[:-1]] == [0, 1, 2, 3, 4]
    assert len({line.get_color() for line in ax.lines}) == 2


def test_confusion_writes_counts_and_colours_shares():
    ax = figures.confusion(evaluation.confusion(predictions("aaf", "aff")))
    texts = [int(text.get_text()) for text in ax.texts]
    assert sum(texts) == 3
    shares = ax.collections[0].get_array().reshape(7, 7)
    assert shares[0, 0] == 0.5 and shares[2, 2] == 1


def test_comparison_draws_each_model_and_the_reference():
    scores = evaluation.score_table(
        {"cnn_mel": predictions("aa", "ad"), "rules": predictions("a", "a")}
    )
    ax = figures.comparison(scores, reference=evaluation.article_figures()["accuracy"])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["CNN on mel", "rules"]
    points = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"]
    assert points == [50.0, 100.0]


def test_class_scores_draws_seven_bars_per_model():
    tables = {"cnn_mel": evaluation.per_class(predictions("aa", "ad"))}
    assert len(figures.class_scores(tables | {"x": tables["cnn_mel"]}).patches) == 14


def test_functions_draw_on_the_axes_they_are_given():
    given = plt.subplots()[1]
    table = pd.DataFrame({"emotion": ["anger", "fear"], "pitch": [100.0, 200.0]})
    assert figures.by_emotion(table, "pitch", unit="Hz", ax=given) is given
    assert given.get_xlabel() == "pitch in Hz"


def test_style_takes_its_resolution_from_the_variable(monkeypatch):
    monkeypatch.setenv("SER_DPI", "72")
    figures.use_style()
    assert plt.rcParams["figure.dpi"] == 72
