"""Models on numbers that describe a whole clip: a linear one, a small network (chapters 9 and 11).

Both learn in one go from all clips that they are given, and choose nothing, so they need no
validation clips. They are Keras models, so they are published, shipped and asked like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

if TYPE_CHECKING:
    import keras

_NEVER = -30.0  # bias of an emotion that no training clip has: its probability is nearly 0
_MEMBERS = 3
_EPOCHS, _BATCH, _RATE, _DECAY = 20, 128, 1e-3, 1e-2
_SMOOTHING, _MIXING = 0.1, 0.3


def linear(*sizes: Any, cut: slice | None = None) -> keras.Model:
    """Build a network of one layer, uncompiled, from vectors to probabilities.

    Called with the shape of each input and the number of classes, like every network's builder. Of
    the first input it reads all numbers, or those of `cut`.
    """
    import keras
    from keras import layers

    inputs, x = _side_by_side(sizes[:-1], cut)
    return keras.Model(inputs, layers.Dense(sizes[-1], activation="softmax")(x), name="linear")


def mlp(*sizes: Any, cut: slice | None = None) -> keras.Model:
    """Build three networks with one hidden layer each, whose mean answers; called like `linear`."""
    import keras
    from keras import layers

    inputs, x = _side_by_side(sizes[:-1], cut)
    # Scales each number by what `learn_mixed` puts there; no batch changes it.
    x = layers.BatchNormalization(center=False, scale=False, epsilon=1e-9, trainable=False)(x)
    answers = []
    for _ in range(_MEMBERS):
        hidden = layers.Dense(256, activation="gelu")(layers.Dropout(0.4)(x))
        answers.append(layers.Dense(sizes[-1], activation="softmax")(layers.Dropout(0.5)(hidden)))
    return keras.Model(inputs, layers.Average()(answers), name="mlp")


def _side_by_side(shapes: Sequence[Any], cut: slice | None) -> tuple[Any, Any]:
    from keras import layers

    inputs = [layers.Input(shape) for shape in shapes]
    x, *others = inputs
    x = x[:, cut] if cut else x
    if not others:
        return inputs[0], x
    return inputs, layers.Concatenate()([x, *others])


def _read_by(kind: str, model: keras.Model, inputs: Sequence[np.ndarray]) -> tuple[Any, np.ndarray]:
    """Return the first layer of a kind, and what it reads for these inputs, (n, size)."""
    import keras

    layer = next(layer for layer in model.layers if type(layer).__name__ == kind)
    before = keras.Model(model.inputs, layer.input)
    return layer, np.asarray(before([*inputs], training=False))


def solve(
    model: keras.Model, inputs: Sequence[np.ndarray], labels: np.ndarray, *, seed: int, c: float
) -> None:
    """Give `linear` the weights that scikit-learn's logistic regression finds.

    `inputs` holds an array (n, size) for each input. Every number is scaled to mean 0 and spread 1
    first, and the weights take that back. Emotions weigh the same, however many clips they have.
    `c` is scikit-learn's: smaller means that weights are pulled more strongly towards 0. There is
    one best answer, so the seed has no say.
    """
    layer, x = _read_by("Dense", model, inputs)
    scaler = StandardScaler().fit(x)
    found = LogisticRegression(C=c, class_weight="balanced", max_iter=1_000)
    found.fit(scaler.transform(x), labels)
    weights, starts = found.coef_, found.intercept_
    if len(found.classes_) == 2:  # scikit-learn gives the second one's alone
        weights, starts = np.vstack([0 * weights, weights]), np.append(0, starts)
    n_classes = model.output_shape[-1]
    kernel, bias = np.zeros((x.shape[1], n_classes)), np.full(n_classes, _NEVER)
    kernel[:, found.classes_] = weights.T / scaler.scale_[:, np.newaxis]
    bias[found.classes_] = starts - scaler.mean_ @ kernel[:, found.classes_]
    layer.set_weights([kernel, bias])


def learn_mixed(
    model: keras.Model, inputs: Sequence[np.ndarray], labels: np.ndarray, *, seed: int
) -> None:
    """Train `mlp` for 20 epochs on mixtures of clips; each of its networks learns for itself.

    Each clip is mixed with another one, and so are their labels (mixup: Zhang et al. 2018,
    arXiv:1710.09412). Emotions weigh the same. The learning rate falls to 0 along a cosine.
    """
    import keras

    n, n_classes = len(labels), model.output_shape[-1]
    scale, x = _read_by("BatchNormalization", model, inputs)
    scale.set_weights([x.mean(axis=0), x.var(axis=0)])
    steps = keras.optimizers.schedules.CosineDecay(_RATE, _EPOCHS * -(-n // _BATCH))
    members = keras.Model(model.inputs, model.layers[-1].input)  # one output for each network
    members.compile(
        keras.optimizers.AdamW(steps, weight_decay=_DECAY),
        keras.losses.CategoricalCrossentropy(label_smoothing=_SMOOTHING),
    )
    counts = np.bincount(labels, minlength=n_classes)
    shares = np.eye(n_classes)[labels] / np.maximum(counts, 1) * n / np.count_nonzero(counts)
    random = np.random.default_rng(seed)
    for _ in range(_EPOCHS):
        order, share = random.permutation(n), random.beta(_MIXING, _MIXING, n).astype(np.float32)
        *data, mixed = (_mixed(x, order, share) for x in (*inputs, shares))
        weight = mixed.sum(axis=1)
        members.fit(
            data if data[1:] else data[0],
            [mixed / weight[:, np.newaxis]] * _MEMBERS,
            sample_weight=[weight] * _MEMBERS,
            batch_size=_BATCH,
            shuffle=False,
            verbose=0,
        )


def _mixed(values: np.ndarray, order: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Mix each row, in a new order, with the row that follows it there."""
    share = share.reshape(-1, *[1] * (values.ndim - 1))
    return share * values[order] + (1 - share) * values[np.roll(order, -1)]
