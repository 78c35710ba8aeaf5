"""The article's graphs."""

import keras
import numpy as np
import pytest

from sercore.models import RECIPES, article_crnn, cnn

SHAPES = [(128, 345, 1), (64, 126, 1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_cnn_has_the_articles_parameters_whatever_the_input(shape, padding):
    assert cnn(shape, 7, padding).count_params() == 391_559


@pytest.mark.parametrize("shape", SHAPES)
def test_crnn_has_the_articles_parameters_whatever_the_input(shape):
    assert article_crnn(shape, 7).count_params() == 296_647


def test_the_articles_crnn_sees_a_sequence_of_length_one():
    model = article_crnn((128, 345, 1), 7)
    assert model.get_layer("lstm_1").input.shape[1:] == (1, 128)


def test_padding_decides_the_last_feature_map():
    assert cnn((128, 345, 1), 7, "valid").get_layer("norm_4").output.shape[1:] == (6, 19, 256)
    assert cnn((128, 345, 1), 7, "same").get_layer("norm_4").output.shape[1:] == (8, 21, 256)


def test_recipes_are_the_articles():
    kinds = {name: recipe.kind for name, recipe in RECIPES.items()}
    assert kinds == {"cnn_mel": "mel", "cnn_mfcc": "mfcc", "crnn_mfcc": "mfcc"}
    paddings = [RECIPES[n].build(SHAPES[1], 7).get_layer("conv_1").padding for n in RECIPES]
    assert paddings == ["valid", "same", "same"]


@pytest.mark.parametrize("name", RECIPES)
def test_models_are_uncompiled_and_give_probabilities(name):
    model = RECIPES[name].build(SHAPES[1], 7)
    assert not model.compiled
    result = np.asarray(model(np.zeros((2, *SHAPES[1]), np.float32)))
    assert result.shape == (2, 7) and np.allclose(result.sum(axis=1), 1)


def test_order_within_a_block_is_convolution_pooling_normalisation():
    kinds = [type(layer).__name__ for layer in cnn((64, 126, 1), 7, "same").layers[:3]]
    assert kinds == ["Conv2D", "MaxPooling2D", "BatchNormalization"]


def test_too_small_an_input_is_refused_by_keras():
    with pytest.raises(ValueError):
        cnn((8, 8, 1), 7, "valid")


def test_building_twice_with_one_seed_gives_the_same_weights():
    keras.utils.set_random_seed(1)
    first = cnn((32, 40, 1), 7, "same").get_weights()
    keras.utils.set_random_seed(1)
    second = cnn((32, 40, 1), 7, "same").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
