"""The article's graphs, and what a fourth model takes."""

from dataclasses import replace

import keras
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from keras import layers

from sercore import figures
from sercore.article import article_figures
from sercore.config import REPOSITORY
from sercore.evaluation import per_class, score_table
from sercore.inference import predict_files
from sercore.modelfile import read_model, save_model
from sercore.models import ARTICLE_MODELS, RECIPES, Recipe, article_crnn, cnn, graph
from tests.published import trained
from tests.speech import tiny_corpus
from tests.test_training import TRAINING, run_small

SHAPES = [(128, 345, 1), (64, 126, 1)]
PARAMETERS = {"cnn_mel": 391_559, "cnn_mfcc": 391_559, "crnn_mfcc": 296_647}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", PARAMETERS)
def test_models_have_the_articles_parameters_whatever_the_input(shape, name):
    assert RECIPES[name].build(shape, 7).count_params() == PARAMETERS[name]


def test_the_articles_crnn_sees_a_sequence_of_length_one():
    model = article_crnn((128, 345, 1), 7)
    assert model.get_layer("lstm_1").input.shape[1:] == (1, 128)


@pytest.mark.parametrize(("padding", "shape"), [("valid", (6, 19, 256)), ("same", (8, 21, 256))])
def test_padding_decides_the_last_feature_map(padding, shape):
    model = cnn((128, 345, 1), 7, padding=padding)
    assert model.get_layer("norm_4").output.shape[1:] == shape


def test_the_two_cnns_differ_in_the_padding_of_their_convolutions_alone():
    first, second = (RECIPES[name].build(SHAPES[0], 7).layers for name in ("cnn_mel", "cnn_mfcc"))
    pairs = [(a.get_config(), b.get_config()) for a, b in zip(first, second, strict=True)]
    differ = [(a["name"], key) for a, b in pairs for key in a | b if a.get(key) != b.get(key)]
    assert differ == [(f"conv_{block}", "padding") for block in range(1, 5)]


def test_recipes_are_the_articles():
    kinds = {name: RECIPES[name].kinds for name in PARAMETERS}
    assert kinds == {"cnn_mel": ("mel",), "cnn_mfcc": ("mfcc",), "crnn_mfcc": ("mfcc",)}
    paddings = [RECIPES[n].build(SHAPES[1], 7).get_layer("conv_1").padding for n in PARAMETERS]
    assert paddings == ["valid", "same", "same"]


def test_chapter_5_builds_the_helpers_network():
    chapter = nbformat.read(REPOSITORY / "notebooks" / "05_cnn_mel.ipynb", as_version=4)
    (source,) = [c.source for c in chapter.cells if c.source.startswith("def build(")]
    names = {"keras": keras, "layers": layers}
    exec(source.partition("\n\n\n")[0], names)
    helper = RECIPES["cnn_mel"].build(SHAPES[0], 7)
    assert graph(names["build"](SHAPES[0], 7)) == graph(helper)


@pytest.mark.parametrize("name", ARTICLE_MODELS)
def test_models_are_uncompiled_and_give_probabilities(name):
    model = RECIPES[name].build(SHAPES[1], 7)
    assert not model.compiled
    result = np.asarray(model(np.zeros((2, *SHAPES[1]), np.float32)))
    assert result.shape == (2, 7) and np.allclose(result.sum(axis=1), 1)


def test_building_twice_with_one_seed_gives_the_same_weights():
    weights = []
    for _ in range(2):
        keras.utils.set_random_seed(1)
        weights.append(cnn((32, 40, 1), 7, padding="same").get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))


def functional(units=4, policy="float32"):
    x = layers.Input((16, 32, 1))
    y = layers.Dense(units, dtype=policy)(layers.Flatten()(x))
    return keras.Model(x, layers.Dense(7, activation="softmax")(y))


def test_a_graph_forgets_counted_names_and_nothing_else():
    first, again, wider = (graph(functional(**change)) for change in ({}, {}, {"units": 5}))
    assert first == again != wider
    assert graph(functional(policy="mixed_float16")) != first


def test_a_layers_name_that_is_a_word_of_its_settings_changes_no_graph():
    graphs = []
    for kind, name in (("relu", "relu"), ("tanh", "tanh"), ("relu", "other")):
        network = layers.Input((4,)), layers.Dense(3), layers.Activation(kind, name=name)
        graphs.append(graph(keras.Sequential(network)))
    assert graphs[0] == graphs[2] != graphs[1]


def two_inputs(mel_shape, mfcc_shape, n_classes):
    mel, mfcc = layers.Input(mel_shape), layers.Input(mfcc_shape)
    pooled = [layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(x)) for x in (mel, mfcc)]
    joined = layers.Concatenate()(pooled)
    return keras.Model([mel, mfcc], layers.Dense(n_classes, activation="softmax")(joined))


FOURTH = Recipe(
    name="both",
    title="Mel and MFCC",
    colour="#00aa00",
    kinds=("mel", "mfcc"),
    build=two_inputs,
    optimizer=lambda training, n_steps: keras.optimizers.AdamW(
        keras.optimizers.schedules.CosineDecay(training.learning_rate, n_steps)
    ),
    schedule=None,
    loss=lambda: keras.losses.SparseCategoricalCrossentropy(ignore_class=None),
    augment=lambda inputs, labels, seed: (tuple(x * 1.01 for x in inputs), labels),
)


def test_a_fourth_model_is_one_entry(tmp_path, cache, monkeypatch):
    """It has two inputs, another optimiser and schedule, and changes its training batches."""
    monkeypatch.setitem(RECIPES, "both", FOURTH)
    root = tiny_corpus(tmp_path)
    run = run_small(root, recipe="both", training=replace(TRAINING, max_epochs=2))
    assert run.history["learning_rate"].is_monotonic_decreasing
    assert run.history["learning_rate"].nunique() == 2

    scores = score_table({"both": run.predictions})
    ax = figures.comparison(scores, reference=article_figures()["accuracy"])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Mel and MFCC"]
    ax = figures.class_scores({"both": per_class(run.predictions)})
    assert ax.get_legend().get_texts()[0].get_text() == "Mel and MFCC"
    plt.close("all")

    columns = list(run.predictions.columns[5:])
    own = {"kinds": FOURTH.kinds, "model": run.model(), "standardizers": run.standardizers}
    labels = tuple(column.removeprefix("p_") for column in columns)
    file = save_model(trained(name="both", labels=labels, **own), tmp_path / "both.keras")
    again = predict_files(read_model(file), [root / path for path in run.predictions["path"]])
    assert np.allclose(again[columns], run.predictions[columns], atol=1e-4)
