"""The article's three networks as uncompiled Keras graphs (chapters 5 to 7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import keras
from keras import layers

CNN_FILTERS = (32, 64, 128, 256)
CRNN_FILTERS = (16, 32, 64, 128)


def _conv_blocks(filters: tuple[int, ...], padding: str) -> list[keras.Layer]:
    """Return convolution, 2 x 2 max pooling and batch normalisation for each number of filters."""
    blocks = []
    for i, n in enumerate(filters, start=1):
        conv = layers.Conv2D(n, 3, activation="relu", padding=padding, name=f"conv_{i}")
        pool = layers.MaxPooling2D(2, name=f"pool_{i}")
        blocks += [conv, pool, layers.BatchNormalization(name=f"norm_{i}")]
    return blocks


def cnn(input_shape: tuple[int, int, int], n_classes: int, padding: str) -> keras.Model:
    """Build the article's CNN (chapters 5 and 6).

    Parameters
    ----------
    input_shape : tuple of int
        (bands or coefficients, frames, 1).
    n_classes : int
        Number of outputs.
    padding : {"valid", "same"}
        Of the convolutions: the article's mel CNN uses "valid", its MFCC CNN "same".

    Returns
    -------
    keras.Model
        Uncompiled; 391,559 parameters for 7 classes, whatever the input's size.
    """
    return keras.Sequential(
        [
            layers.Input(input_shape, name="features"),
            *_conv_blocks(CNN_FILTERS, padding),
            layers.GlobalAveragePooling2D(name="average"),
            layers.Dropout(0.5, name="dropout"),
            layers.Dense(n_classes, activation="softmax", name="emotion"),
        ],
        name="cnn",
    )


def article_crnn(input_shape: tuple[int, int, int], n_classes: int) -> keras.Model:
    """Build the article's CRNN, whose recurrent layers see a sequence of length 1 (chapter 7).

    Parameters
    ----------
    input_shape : tuple of int
        (coefficients, frames, 1).
    n_classes : int
        Number of outputs.

    Returns
    -------
    keras.Model
        Uncompiled; 296,647 parameters for 7 classes.
    """
    return keras.Sequential(
        [
            layers.Input(input_shape, name="features"),
            *_conv_blocks(CRNN_FILTERS, "same"),
            layers.GlobalAveragePooling2D(name="average"),
            layers.Reshape((1, CRNN_FILTERS[-1]), name="sequence"),
            layers.Bidirectional(layers.LSTM(64, return_sequences=True), name="lstm_1"),
            layers.Bidirectional(layers.LSTM(64), name="lstm_2"),
            layers.Dropout(0.5, name="dropout"),
            layers.Dense(n_classes, activation="softmax", name="emotion"),
        ],
        name="article_crnn",
    )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One of the article's models: what it reads and how to build it."""

    kind: str
    build: Callable[[tuple[int, int, int], int], keras.Model]


RECIPES: dict[str, Recipe] = {
    "cnn_mel": Recipe(kind="mel", build=partial(cnn, padding="valid")),
    "cnn_mfcc": Recipe(kind="mfcc", build=partial(cnn, padding="same")),
    "crnn_mfcc": Recipe(kind="mfcc", build=article_crnn),
}
"""The article's three models."""
