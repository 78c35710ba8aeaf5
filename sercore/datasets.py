"""From stored arrays to standardised batches (chapter 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from sercore.config import SercoreError, TrainConfig
from sercore.corpora import EMOTIONS
from sercore.features import Features
from sercore.models import Shape
from sercore.splits import Split

Inputs = Features | Sequence[Features]
"""What a model reads of each clip: one kind of features, or one for each of its inputs."""

_CHUNK = 64  # clips read at a time while fitting
_AHEAD = 2  # batches read while the model learns from another


class DataError(SercoreError, ValueError):
    """Features or labels that no model can learn from."""


class Standardizer:
    """One global shift and scale, learned from training data only (chapter 4).

    `mean_` and `std_` are the mean and the standard deviation over all cells of the clips that it
    was fitted on.
    """

    mean_: float
    std_: float

    @classmethod
    def of(cls, mean: float, std: float) -> Standardizer:
        """Return a standardiser that was fitted before."""
        standardizer = cls()
        standardizer.mean_, standardizer.std_ = mean, std
        return standardizer

    def fit(self, features: Features, positions: np.ndarray) -> Standardizer:
        """Learn mean and standard deviation from the clips at some positions: the training clips.

        Returns itself. No clips, or clips whose cells are all equal, are a `DataError`.
        """
        if len(positions) == 0:
            raise DataError("a Standardizer needs at least one training clip")
        count, mean, squares = 0, 0.0, 0.0
        for start in range(0, len(positions), _CHUNK):
            cells = _cells(features, positions[start : start + _CHUNK])
            # Chan et al. (1983): combining means and squared deviations loses no digits.
            middle, n = cells.mean(), cells.size
            cells -= middle
            delta = middle - mean
            squares += np.square(cells, out=cells).sum() + delta**2 * count * n / (count + n)
            mean += delta * n / (count + n)
            count += n
        self.mean_, self.std_ = float(mean), float(np.sqrt(squares / count))
        if not self.std_ > 0:
            raise DataError(
                f"all training cells are {self.mean_:g}, so they cannot be scaled; "
                "are the clips silent?"
            )
        return self

    def transform(self, array: np.ndarray) -> np.ndarray:
        """Shift and scale an array of any shape; returns float32."""
        shifted = np.asarray(array, dtype=np.float32) - np.float32(self.mean_)
        return shifted / np.float32(self.std_)


def _cells(features: Features, positions: np.ndarray) -> np.ndarray:
    """Return all cells of some clips as float64, without what pads clips of unequal length."""
    if None not in features.shape:
        return np.asarray(features[positions], dtype=np.float64)
    return np.concatenate([np.ravel(features[i]).astype(np.float64) for i in positions])


def as_inputs(features: Inputs) -> tuple[Features, ...]:
    """Return the features of each input, also where there is only one."""
    return (features,) if isinstance(features, Features) else tuple(features)


def input_shape(shape: Shape) -> Shape:
    """Return the shape of a network's input for clips of this shape: with a channel behind."""
    return (*shape, 1) if len(shape) > 1 else shape


def standardized(standardizer: Standardizer, array: np.ndarray) -> np.ndarray:
    """Return a batch as a network reads it: standardised, with a channel behind two axes."""
    x = standardizer.transform(array)
    return x[..., np.newaxis] if x.ndim > 2 else x


def encode(emotions: pd.Series) -> np.ndarray:
    """Turn emotion names into their positions in `EMOTIONS`, as int32 of shape (n_clips,).

    A missing label, or one that is none of the seven, such as calm, is a `DataError`.
    """
    if missing := int(emotions.isna().sum()):
        raise DataError(
            f"{missing} of {len(emotions)} clips have no label; leave them out, or give each one "
            f"of {', '.join(EMOTIONS)}"
        )
    codes = pd.Index(EMOTIONS).get_indexer(emotions)
    unknown = sorted(set(emotions[codes < 0]))
    if unknown:
        raise DataError(
            f"labels {', '.join(unknown)} are none of the seven classes {', '.join(EMOTIONS)}; "
            "leave calm out with manifest.without_calm"
        )
    return codes.astype(np.int32)


def make_dataset(
    features: Inputs,
    labels: np.ndarray,
    positions: np.ndarray,
    *,
    standardizers: Sequence[Standardizer],
    batch_size: int,
    shuffle: bool = False,
    seed: int = 0,
    epochs: range = range(1),
    augment: Callable[[Any, Any, Any], tuple[Any, Any]] | None = None,
) -> tf.data.Dataset:
    """Read the clips at some positions from disk batch by batch, standardised.

    Yields pairs of inputs, float32 (batch, height, width, 1), and labels, int32 (batch,); with
    several kinds of features the inputs are a tuple. There is one standardiser for each kind. When
    shuffled, the order of epoch `e` depends on `(seed, e)` alone, so training that stopped after an
    epoch goes on with the batches it would have seen; `Dataset.shuffle` cannot be resumed so.
    `augment` is called with each batch's inputs, labels and a seed: two whole numbers that no other
    batch has.
    """
    inputs, positions = as_inputs(features), np.asarray(positions)
    per_epoch = -(-len(positions) // batch_size)

    def order(epoch: tf.Tensor) -> tf.data.Dataset:
        chosen = tf.constant(positions, dtype=tf.int64)
        if shuffle:
            pair = tf.stack([tf.constant(seed, tf.int64), epoch])
            chosen = tf.random.experimental.stateless_shuffle(chosen, seed=pair)
        return tf.data.Dataset.from_tensor_slices(chosen).batch(batch_size)

    def read(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        pairs = zip(standardizers, inputs, strict=True)
        return (*(standardized(each, kind[batch]) for each, kind in pairs), labels[batch])

    def load(batch: tf.Tensor) -> tuple[Any, tf.Tensor]:
        types = [tf.float32] * len(inputs) + [tf.int32]
        *x, y = tf.numpy_function(read, [batch], types, stateful=False)
        for tensor, kind in zip(x, inputs, strict=True):
            tensor.set_shape((None, *input_shape(kind.shape[1:])))
        y.set_shape((None,))
        return (x[0] if len(x) == 1 else tuple(x)), y

    batches = tf.data.Dataset.range(epochs.start, epochs.stop).flat_map(order)
    # flat_map hides how many batches there are, and Keras warns where it cannot know.
    batches = batches.apply(tf.data.experimental.assert_cardinality(per_epoch * len(epochs)))
    data = batches.map(load)
    if augment is not None:
        seeds = tf.data.Dataset.counter(epochs.start * per_epoch).map(
            lambda step: tf.stack([tf.constant(seed, tf.int64), step])
        )
        data = tf.data.Dataset.zip(data, seeds).map(lambda xy, own: augment(xy[0], xy[1], own))
    # There is nothing to tune, and TensorFlow's tuner makes the end of a pass wait: it sleeps
    # twice as long each time, and the iterator is often not let go before it wakes.
    untuned = tf.data.Options()
    untuned.autotune.enabled = False
    return data.prefetch(_AHEAD).with_options(untuned)


def make_datasets(
    features: Inputs,
    labels: np.ndarray,
    split: Split,
    *,
    training: TrainConfig,
    seed: int = 0,
    epochs: range = range(1),
    augment: Callable[[Any, Any, Any], tuple[Any, Any]] | None = None,
) -> tuple[tf.data.Dataset, tf.data.Dataset, tuple[Standardizer, ...]]:
    """Return training batches, validation batches, and the standardisers of the training clips.

    Only training batches are shuffled (if `training.shuffle` says so, by `seed`) and augmented.
    """
    standardizers = tuple(Standardizer().fit(kind, split.train) for kind in as_inputs(features))
    read = partial(
        make_dataset, features, labels, standardizers=standardizers, batch_size=training.batch_size
    )
    train = read(split.train, shuffle=training.shuffle, seed=seed, epochs=epochs, augment=augment)
    return train, read(split.valid), standardizers
