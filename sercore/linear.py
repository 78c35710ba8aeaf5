"""A linear model on numbers that describe a whole clip (chapters 9 and 11).

It has a weight for each number and each emotion, found at once by scikit-learn's logistic
regression. It is kept as a Keras network of one layer, so it is published, shipped and asked like
any other model, and no pickled object is needed.
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


def linear(*sizes: Any) -> keras.Model:
    """Build a network of one layer, uncompiled, from vectors to probabilities.

    Called with the shape of each input and the number of classes, like every network's builder.
    """
    import keras
    from keras import layers

    *shapes, n_classes = sizes
    inputs = [layers.Input(shape) for shape in shapes]
    x = layers.Concatenate(name="side_by_side")(inputs) if len(inputs) > 1 else inputs[0]
    x = layers.Dense(n_classes, activation="softmax", name="emotion")(x)
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], x, name="linear")


def solve(
    inputs: Sequence[np.ndarray], labels: np.ndarray, *, n_classes: int, c: float
) -> list[np.ndarray]:
    """Return kernel and bias of `linear` for training clips: one array (n, size) for each input.

    Every number is scaled to mean 0 and spread 1 first, and the weights take that back. Emotions
    weigh the same, however many clips they have. `c` is scikit-learn's: smaller means that weights
    are pulled more strongly towards 0.
    """
    x = np.concatenate(inputs, axis=1)
    scaler = StandardScaler().fit(x)
    found = LogisticRegression(C=c, class_weight="balanced", max_iter=1_000)
    found.fit(scaler.transform(x), labels)
    weights, starts = found.coef_, found.intercept_
    if len(found.classes_) == 2:  # scikit-learn gives the second one's alone
        weights, starts = np.vstack([0 * weights, weights]), np.append(0, starts)
    kernel, bias = np.zeros((x.shape[1], n_classes)), np.full(n_classes, _NEVER)
    kernel[:, found.classes_] = weights.T / scaler.scale_[:, np.newaxis]
    bias[found.classes_] = starts - scaler.mean_ @ kernel[:, found.classes_]
    return [kernel.astype(np.float32), bias.astype(np.float32)]
