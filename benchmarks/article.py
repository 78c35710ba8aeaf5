"""The article's way, as a student writes it who follows the text: librosa's calls, lists, copies.

Each kind of features loads and resamples every clip again, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import librosa
import numpy as np
from sklearn.model_selection import train_test_split

RATE, SECONDS = 44_100, 4


def load(path: Path) -> np.ndarray:
    """Load a clip at 44.1 kHz, cut or zero-padded to four seconds."""
    samples, _ = librosa.load(path, sr=RATE, duration=SECONDS)
    return np.pad(samples, (0, RATE * SECONDS - len(samples)))


def mel(path: Path) -> np.ndarray:
    """Return the mel spectrogram of a clip, in dB against its own quietest cell."""
    return librosa.power_to_db(librosa.feature.melspectrogram(y=load(path), sr=RATE), ref=np.min)


def mfcc(path: Path) -> np.ndarray:
    """Return the 128 MFCCs of a clip."""
    return librosa.feature.mfcc(y=load(path), sr=RATE, n_mfcc=128)


KINDS = {"mel": mel, "mfcc": mfcc}


def features(paths: Iterable[Path], kind: str) -> np.ndarray:
    """Compute one kind of features for all clips: a list, then an array."""
    return np.array([KINDS[kind](path) for path in paths])


def datasets(array: np.ndarray, labels: np.ndarray) -> tuple:
    """Split at random, standardise, and return training and test batches of 32."""
    import tensorflow as tf  # so that extraction alone can be measured without it

    x_train, x_test, y_train, y_test = train_test_split(
        array, labels, test_size=0.2, random_state=0
    )
    mean, std = x_train.mean(), x_train.std()
    x_train, x_test = (x_train - mean) / std, (x_test - mean) / std
    parts = ((x_train[..., np.newaxis], y_train), (x_test[..., np.newaxis], y_test))
    return tuple(
        tf.data.Dataset.from_tensor_slices(part).batch(32).prefetch(tf.data.AUTOTUNE)
        for part in parts
    )
