"""What a picture draws is asserted on its axes; how it looks is for people."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from sercore import evaluation, figures
from sercore.article import article_figures
from sercore.corpora import EMOTIONS, LABELS
from sercore.course import pictures
from sercore.manifest import article_view, build_manifest
from sercore.models import ARTICLE_MODELS, RECIPES
from sercore.results import ResultsError
from tests.published import publish_made_up
from tests.speech import TINY, predictions


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def words(labels) -> list[str]:
    return [label.get_text() for label in labels]


def test_every_label_and_model_has_a_colour_of_its_own():
    assert tuple(figures.EMOTION_COLOURS) == LABELS
    for colours in (figures.EMOTION_COLOURS.values(), [r.colour for r in RECIPES.values()]):
        assert len(set(colours)) == len(colours)


@pytest.mark.parametrize("calm", [[], ["calm"]])
def test_counts_draws_a_bar_per_class_and_calm_where_it_occurs(calm):
    ax = figures.counts(pd.DataFrame({"emotion": ["anger", "anger", "fear", *calm]}))
    assert words(ax.get_yticklabels()) == [*EMOTIONS, *calm]
    assert [bar.get_width() for bar in ax.patches] == [2, 0, 1, 0, 0, 0, 0] + [1] * len(calm)


def test_each_speaker_is_a_dot_in_the_row_of_its_corpus():
    table = pd.DataFrame({"uar": [0.2, 0.6, 0.5], "corpus": ["savee", "savee", "mine"]})
    ax = figures.speaker_scores(table)
    assert [sorted(line.get_xdata()) for line in ax.lines] == [[20, 60], [50]]
    assert words(ax.get_yticklabels()) == ["SAVEE", "mine"]


def test_cost_has_a_dot_with_its_interval_for_each_model():
    shares = {"uar": [0.5, 0.7], "uar_low": [0.4, 0.6], "uar_high": [0.6, 0.9]}
    table = pd.DataFrame({"model": ["cnn_mfcc", "encoder"], "minutes": [100.0, 10.0], **shares})
    ax = figures.cost(table)
    dots = [(line.get_xdata().item(), line.get_ydata().item()) for line in ax.lines]
    assert dots == [(100, pytest.approx(50)), (10, pytest.approx(70))]
    spans = [bar.get_segments()[0][:, 1].tolist() for bar in ax.collections]
    assert spans == [pytest.approx([40, 60]), pytest.approx([60, 90])]
    assert words(ax.texts) == [RECIPES["cnn_mfcc"].title, RECIPES["encoder"].title]


def test_waveform_spans_the_clip_in_seconds():
    ax = figures.waveform(np.ones(8_000), sample_rate=8_000, emotion="fear")
    (line,) = ax.lines
    assert line.get_xdata()[-1] == pytest.approx(1, abs=1e-3)
    assert line.get_color() == figures.EMOTION_COLOURS["fear"] and ax.get_title() == "fear"


@pytest.mark.parametrize("rows", ["mel", "coefficient"])
def test_spectrogram_names_its_axes(rows):
    label = {"mel": "frequency in Hz", "coefficient": "coefficient"}[rows]
    values = np.random.default_rng(0).normal(size=(16, TINY.n_frames))
    ax = figures.spectrogram(values, config=TINY, rows=rows, title="t")
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("time in s", label, "t")
    assert np.allclose(ax.collections[0].get_array().reshape(values.shape), values)


@pytest.mark.parametrize("bar", [True, False])
def test_spectrograms_with_the_same_limits_need_no_bar_each(bar):
    ax = figures.spectrogram(np.eye(16), config=TINY, limits=(-5, 5), bar=bar)
    assert ax.collections[0].get_clim() == (-5, 5) and len(ax.figure.axes) == 1 + bar


@pytest.mark.parametrize("valid", [{}, {"valid": "validation clips"}])
def test_history_names_the_validation_set_and_marks_the_kept_epoch(valid):
    ax = figures.history(pd.DataFrame({"loss": [3, 2, 1], "val_loss": [3, 1, 2]}), **valid)
    names = ["training clips", valid.get("valid", "test clips"), "kept: epoch 1"]
    assert [line.get_label() for line in ax.lines] == names
    assert list(ax.lines[1].get_ydata()) == [3, 1, 2]


def test_losses_draws_the_article_and_each_of_ours():
    article = pd.DataFrame({"loss": [3.0, 2.0, 1.0], "val_loss": 9.0}, index=[1, 2, 3])
    ours = {f"run {i}": article.assign(loss=i) for i in range(5)}
    ax = figures.losses(article, ours, model="crnn_mfcc")
    assert [line.get_label() for line in ax.lines] == [*ours, "article"]
    assert ax.lines[-1].get_xydata().tolist() == [[1, 3], [2, 2], [3, 1]]
    assert [line.get_ydata()[0] for line in ax.lines[:-1]] == [0, 1, 2, 3, 4]
    assert len({line.get_color() for line in ax.lines}) == 2


def test_confusion_writes_counts_and_colours_shares():
    ax = figures.confusion(evaluation.confusion(predictions("aaf", "aff")))
    assert sum(int(word) for word in words(ax.texts)) == 3
    shares = ax.collections[0].get_array().reshape(7, 7)
    assert shares[0, 0] == 0.5 and shares[2, 2] == 1


def test_comparison_draws_each_model_and_the_reference_where_there_is_one():
    tables = {"cnn_mel": predictions("aa", "ad"), "rules": predictions("a", "a")}
    reference = article_figures()["accuracy"]
    ax = figures.comparison(evaluation.score_table(tables), reference=reference)
    assert words(ax.get_yticklabels()) == ["CNN on mel", "rules"]
    assert [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"] == [50, 100]
    (diamonds,) = [line for line in ax.lines if line.get_marker() == "D"]
    assert np.isnan(diamonds.get_xdata()).tolist() == [False, True]


def test_functions_draw_on_the_axes_they_are_given_in_the_courses_style():
    figures.use_style()
    given = plt.subplots()[1]
    table = pd.DataFrame({"emotion": ["anger", "fear"], "pitch": [100.0, 200.0]})
    assert figures.by_emotion(table, "pitch", unit="Hz", ax=given) is given
    assert given.get_xlabel() == "pitch in Hz" and given.figure.dpi == 80


def test_the_pictures_of_results_show_every_model(tmp_path):
    publish_made_up(tmp_path)
    drawn = {name: figure.axes for name, figure in pictures.result_pictures(tmp_path)}
    names = ["comparison", "curves", "per_class", "per_corpus"]
    assert list(drawn) == names + [f"confusion_{model}" for model in ARTICLE_MODELS]
    assert len(drawn["comparison"][0].get_yticklabels()) == 2 * len(ARTICLE_MODELS)
    titles = [RECIPES[model].title for model in ARTICLE_MODELS]
    assert [ax.get_title() for ax in drawn["curves"][: len(ARTICLE_MODELS)]] == titles
    assert words(drawn["per_class"][0].get_legend().get_texts()) == titles
    assert len(drawn["per_corpus"][0].patches) == 4 * len(ARTICLE_MODELS)
    assert sum(int(word) for word in words(drawn["confusion_cnn_mel"][0].texts)) == 10


def test_before_a_run_at_the_articles_settings_only_the_comparison_is_drawn(tmp_path):
    publish_made_up(tmp_path, profiles=("laptop",), models=["cnn_mel"])
    files = pictures.draw(pictures.result_pictures(tmp_path), tmp_path)
    assert files == [tmp_path / "comparison.png"]
    image, colour = imread(files[0]), to_rgb(RECIPES["cnn_mel"].colour)  # that of the dots
    assert image.shape == (504, 1080, 4)
    assert np.isclose(image[..., :3], colour, atol=0.004).all(axis=-1).any()


def test_the_pictures_of_clips_show_one_speaker_and_every_label(sample):
    clips = article_view(build_manifest(sample))
    drawn = {name: figure.axes for name, figure in pictures.clip_pictures(clips, sample)}
    assert list(drawn) == ["class_counts", "waveforms", "mel_spectrograms", "mfcc"]
    for name in ("waveforms", "mel_spectrograms", "mfcc"):
        assert [ax.get_title() for ax in drawn[name][:8]] == list(LABELS)
    with pytest.raises(ResultsError, match="no clip of .*`python -m sercore check`"):
        pictures.examples(clips[clips["corpus"] == "tess"])
