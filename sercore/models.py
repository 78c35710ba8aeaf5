"""The article's three networks and the course's own models, and how each is trained.

Keras is imported where something is built from it: a model's name, title and colour are asked for
in places that should not wait for TensorFlow.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sercore.config import AudioConfig, SercoreError, TrainConfig
from sercore.encoder import FROM_BLOCKS
from sercore.functionals import VOICE
from sercore.heads import learn_mixed, linear, mlp, solve
from sercore.store.arrays import Shape

if TYPE_CHECKING:
    import keras


class ModelError(SercoreError, ValueError):
    """A model that there is not, or that does not fit its features."""


CNN_FILTERS = (32, 64, 128, 256)
CRNN_FILTERS = (16, 32, 64, 128)


# --- networks -------------------------------------------------------------------------------------


def _conv_blocks(filters: tuple[int, ...], padding: str) -> list[keras.Layer]:
    """Return convolution, 2 x 2 max pooling and batch normalisation for each number of filters."""
    from keras import layers

    blocks = []
    for i, n in enumerate(filters, start=1):
        conv = layers.Conv2D(n, 3, activation="relu", padding=padding, name=f"conv_{i}")
        pool = layers.MaxPooling2D(2, name=f"pool_{i}")
        blocks += [conv, pool, layers.BatchNormalization(name=f"norm_{i}")]
    return blocks


def cnn(input_shape: Shape, n_classes: int, *, padding: str) -> keras.Model:
    """Build the article's CNN, uncompiled (chapters 5 and 6).

    From (bands or coefficients, frames, 1) to `n_classes` probabilities: 391,559 parameters for 7
    classes, whatever the input's size. The article's convolutions have the padding "valid" on mel
    spectrograms and "same" on MFCCs.
    """
    import keras
    from keras import layers

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


def article_crnn(input_shape: Shape, n_classes: int) -> keras.Model:
    """Build the article's CRNN, whose recurrent layers see a single step (chapter 7).

    From (coefficients, frames, 1) to `n_classes` probabilities, uncompiled: 296,647 parameters for
    7 classes.
    """
    import keras
    from keras import layers

    return keras.Sequential(
        [
            layers.Input(input_shape, name="features"),
            *_conv_blocks(CRNN_FILTERS, "same"),
            layers.GlobalAveragePooling2D(name="average"),
            layers.Reshape((1, CRNN_FILTERS[-1]), name="sequence"),
            layers.Bidirectional(
                layers.LSTM(64, return_sequences=True, name="lstm"), name="lstm_1"
            ),
            layers.Bidirectional(layers.LSTM(64, name="lstm"), name="lstm_2"),
            layers.Dropout(0.5, name="dropout"),
            layers.Dense(n_classes, activation="softmax", name="emotion"),
        ],
        name="article_crnn",
    )


# --- how a network is trained ---------------------------------------------------------------------


def adam(training: TrainConfig, n_steps: int) -> keras.Optimizer:
    """Return Adam with the profile's learning rate; `n_steps`, all gradient steps, is not used."""
    from keras.optimizers import Adam

    return Adam(training.learning_rate)


def plateau(training: TrainConfig) -> keras.callbacks.Callback:
    """Return the article's schedule: cut the learning rate when the validation loss stands still.

    After `plateau_patience` epochs without a better loss it is multiplied by `plateau_factor`.
    """
    from keras.callbacks import ReduceLROnPlateau

    return ReduceLROnPlateau(
        monitor="val_loss",
        factor=training.plateau_factor,
        patience=training.plateau_patience,
        min_lr=training.min_learning_rate,
    )


def crossentropy() -> keras.Loss:
    """Return the loss for integer labels and probabilities (chapter 5)."""
    from keras.losses import SparseCategoricalCrossentropy

    return SparseCategoricalCrossentropy()


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One model: what it is called, what it reads, how it is built and trained.

    A model of your own is one entry in `RECIPES`. The defaults of the last four fields are the
    article's way of training.
    """

    name: str
    """Short name, for files and tables."""
    title: str
    """Name for people."""
    colour: str
    """Its colour in every picture."""
    kinds: tuple[str, ...]
    """The feature kinds it reads (`features.KINDS`), one for each input of the network."""
    build: Callable[..., keras.Model]
    """Called with the shape of each input, channel included, and the number of classes."""
    optimizer: Callable[[TrainConfig, int], keras.Optimizer] = adam
    """Called with the training settings and the number of gradient steps in all epochs."""
    schedule: Callable[[TrainConfig], keras.callbacks.Callback] | None = plateau
    """Gives the callback that changes the learning rate; None where the optimiser does it."""
    loss: Callable[[], keras.Loss] = crossentropy
    augment: Callable[[Any, Any, Any], tuple[Any, Any]] | None = None
    """Changes each training batch: from the tensors inputs, labels and a seed to new ones."""
    learn: Callable[..., None] | None = None
    """Trains the model in one go, choosing nothing, so it gets the validation clips as well:
    `heads.solve` says how it is called. Of the fields above it needs the loss alone."""
    audio: AudioConfig | None = None
    """How clips are read, where the profile has no say."""


def _head(name: str, title: str, colour: str, *kinds: str, c: float | None = None) -> Recipe:
    """Return the recipe of a model on vectors (chapters 9 and 11): linear if `c` is given."""
    build, learn = (linear, partial(solve, c=c)) if c else (mlp, learn_mixed)
    if kinds[0] == "encoder":
        build = partial(build, cut=FROM_BLOCKS)
    ways: dict[str, Any] = {"build": build, "learn": learn}
    return Recipe(name=name, title=title, colour=colour, kinds=kinds, audio=VOICE, **ways)


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="cnn_mel",
            title="CNN on mel",
            colour="#721f81",
            kinds=("mel",),
            build=partial(cnn, padding="valid"),
        ),
        Recipe(
            name="cnn_mfcc",
            title="CNN on MFCC",
            colour="#b73779",
            kinds=("mfcc",),
            build=partial(cnn, padding="same"),
        ),
        Recipe(
            name="crnn_mfcc",
            title="CRNN on MFCC",
            colour="#f1605d",
            kinds=("mfcc",),
            build=article_crnn,
        ),
        _head("functionals", "Linear on functionals", "#2a788e", "functionals", c=0.02),
        _head("encoder", "Linear on encoder", "#22a884", "encoder", c=0.003),
        _head("encoder_functionals", "Network on both", "#7ad151", "encoder", "functionals"),
    )
}
"""The models of the course by name, in the order in which tables and pictures show them."""


ARTICLE_MODELS = ("cnn_mel", "cnn_mfcc", "crnn_mfcc")
"""The three of the article, which chapters 5 to 8 are about."""


def recipe_named(name: str) -> Recipe:
    """Return the recipe of that name; `ModelError` with the known names if there is none."""
    if name not in RECIPES:
        raise ModelError(f"unknown model {name!r}, expected one of {', '.join(RECIPES)}")
    return RECIPES[name]


def graph(model: keras.Model) -> str:
    """Return a network's configuration as text, without the names that Keras counts up.

    Two networks that compute the same have the same text: Keras calls the second one's layers
    `dense_1`, `dense_2` and so on, and a name changes no number.
    """
    return json.dumps(_renamed(json.loads(model.to_json())["config"], {}), sort_keys=True)


def _renamed(part: Any, numbers: dict[str, str], named: bool = False) -> Any:
    """Give layers numbers, where they are named and where others refer to them."""
    if named and isinstance(part, str):
        return numbers.setdefault(part, f"#{len(numbers)}")
    # A dtype policy has a name as well, but that one decides numbers.
    if isinstance(part, dict) and part.get("class_name") != "DTypePolicy":
        return {key: _renamed(value, numbers, key == "name") for key, value in part.items()}
    if isinstance(part, list):
        refers = [type(value) for value in part] == [str, int, int]  # layer, node, tensor
        return [_renamed(value, numbers, refers) for value in part]
    return part
