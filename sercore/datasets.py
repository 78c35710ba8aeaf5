"""From stored arrays to standardised batches (chapter 4)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import tensorflow as tf

from sercore.config import TrainConfig
from sercore.corpora import EMOTIONS
from sercore.features import Features
from sercore.splits import Split

_CHUNK = 256  # clips read at a time while fitting
_AHEAD = 2  # batches read while the model learns from another


class Standardizer:
    """One global shift and scale, learned from training data only (chapter 4).

    Attributes
    ----------
    mean_, std_ : float
        Mean and standard deviation over all cells of the clips it was fitted on.
    """

    def fit(self, features: Features, positions: np.ndarray) -> Standardizer:
        """Learn mean and standard deviation from some of the clips, a chunk at a time.

        Parameters
        ----------
        features : Features
        positions : numpy.ndarray, shape (n_train,)
            Positions of the training clips, and of no others.

        Returns
        -------
        Standardizer
            Itself.

        Raises
        ------
        ValueError
            If there are no clips, or all their cells are equal.
        """
        if len(positions) == 0:
            raise ValueError("a Standardizer needs at least one training clip")
        count, mean, squares = 0, 0.0, 0.0
        # One array for all chunks, filled clip by clip and changed in place: `astype` and `var`
        # would make others as large beside it.
        buffer = np.empty((min(_CHUNK, len(positions)), *features.shape[1:]), dtype=np.float64)
        for start in range(0, len(positions), _CHUNK):
            part = positions[start : start + _CHUNK]
            chunk = buffer[: len(part)]
            for i, position in enumerate(part):
                chunk[i] = features[position]
            # Chan et al. (1983): combining means and squared deviations loses no digits.
            middle, n = chunk.mean(), chunk.size
            chunk -= middle
            np.square(chunk, out=chunk)
            delta = middle - mean
            squares += chunk.mean() * n + delta**2 * count * n / (count + n)
            mean += delta * n / (count + n)
            count += n
        self.mean_, self.std_ = float(mean), float(np.sqrt(squares / count))
        if not self.std_ > 0:
            raise ValueError(
                f"all training cells are {self.mean_:g}, so they cannot be scaled; "
                "are the clips silent?"
            )
        return self

    def transform(self, array: np.ndarray) -> np.ndarray:
        """Shift and scale an array of any shape; returns float32."""
        return (np.asarray(array, dtype=np.float32) - np.float32(self.mean_)) / np.float32(
            self.std_
        )


def encode(emotions: pd.Series) -> np.ndarray:
    """Turn emotion names into their positions in `EMOTIONS`.

    Parameters
    ----------
    emotions : pandas.Series

    Returns
    -------
    numpy.ndarray, int32

    Raises
    ------
    ValueError
        If a label is none of the seven, such as calm, or missing.
    """
    if missing := int(emotions.isna().sum()):
        raise ValueError(
            f"{missing} of {len(emotions)} clips have no label; leave them out, or give each one "
            f"of {', '.join(EMOTIONS)}"
        )
    codes = pd.Index(EMOTIONS).get_indexer(emotions)
    unknown = sorted(set(emotions[codes < 0]))
    if unknown:
        raise ValueError(
            f"labels {', '.join(unknown)} are none of the seven classes {', '.join(EMOTIONS)}; "
            "leave calm out with manifest.without_calm"
        )
    return codes.astype(np.int32)


def make_dataset(
    features: Features,
    labels: np.ndarray,
    positions: np.ndarray,
    *,
    standardizer: Standardizer,
    batch_size: int,
    shuffle_seed: int | None = None,
    epochs: range = range(1),
) -> tf.data.Dataset:
    """Read clips from disk batch by batch, standardised.

    The order of epoch `e` depends on `(shuffle_seed, e)` alone, so training that stopped after an
    epoch goes on with the batches it would have seen; `Dataset.shuffle` cannot be resumed so.

    Parameters
    ----------
    features : Features
        Of shape (n_clips, height, width).
    labels : numpy.ndarray, shape (n_clips,)
        As `encode` returns them.
    positions : numpy.ndarray
        Which clips to read.
    standardizer : Standardizer
        Fitted on the training clips.
    batch_size : int
    shuffle_seed : int, optional
        None reads the clips in the order of `positions` in every epoch.
    epochs : range
        Epochs to run through, one after the other.

    Returns
    -------
    tf.data.Dataset
        Pairs of float32 (batch, height, width, 1) and int32 (batch,).
    """
    positions = np.asarray(positions)

    def order(epoch: tf.Tensor) -> tf.data.Dataset:
        chosen = tf.constant(positions, dtype=tf.int64)
        if shuffle_seed is not None:
            seed = tf.stack([tf.constant(shuffle_seed, tf.int64), epoch])
            chosen = tf.random.experimental.stateless_shuffle(chosen, seed=seed)
        return tf.data.Dataset.from_tensor_slices(chosen).batch(batch_size)

    def read(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return standardizer.transform(features[batch])[..., np.newaxis], labels[batch]

    def load(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        x, y = tf.numpy_function(read, [batch], (tf.float32, tf.int32), stateful=False)
        x.set_shape((None, *features.shape[1:], 1))
        y.set_shape((None,))
        return x, y

    batches = tf.data.Dataset.range(epochs.start, epochs.stop).flat_map(order)
    # flat_map hides how many batches there are, and Keras warns where it cannot know.
    n_batches = -(-len(positions) // batch_size) * len(epochs)
    batches = batches.apply(tf.data.experimental.assert_cardinality(n_batches))
    # There is nothing to tune, and TensorFlow's tuner makes the end of a pass wait: it sleeps
    # twice as long each time, and the iterator is often not let go before it wakes.
    untuned = tf.data.Options()
    untuned.autotune.enabled = False
    return batches.map(load).prefetch(_AHEAD).with_options(untuned)


def make_datasets(
    features: Features,
    labels: np.ndarray,
    split: Split,
    *,
    training: TrainConfig,
    seed: int = 0,
    epochs: range = range(1),
) -> tuple[tf.data.Dataset, tf.data.Dataset, Standardizer]:
    """Return the training and the test batches, and the standardiser fitted on the former.

    Parameters
    ----------
    features, labels
        As for `make_dataset`.
    split : Split
    training : TrainConfig
        Its `batch_size` and `shuffle` apply; test clips are never shuffled.
    seed : int
        Seed of the training order, if it is shuffled.
    epochs : range
        Epochs the training batches run through.

    Returns
    -------
    train, test : tf.data.Dataset
    standardizer : Standardizer
    """
    standardizer = Standardizer().fit(features, split.train)
    common = {"standardizer": standardizer, "batch_size": training.batch_size}
    train = make_dataset(
        features,
        labels,
        split.train,
        shuffle_seed=seed if training.shuffle else None,
        epochs=epochs,
        **common,
    )
    return train, make_dataset(features, labels, split.test, **common), standardizer
