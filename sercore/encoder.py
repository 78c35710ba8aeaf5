"""A speech encoder that others have trained, put together in Keras (chapter 11).

It is the encoder of Whisper tiny.en (Radford et al. 2022, arXiv:2212.04356; MIT licence, OpenAI),
which has learned from some 400,000 hours of English. `python -m sercore collect encoder` gets its
weights; the course does not change them.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import librosa
import numpy as np

from sercore.config import AudioConfig, SercoreError, cache_dir

if TYPE_CHECKING:
    import keras

RATE = 16_000  # Hz
WIDTH, HEADS, BLOCKS = 384, 6, 4
STEPS = 1_500  # the encoder knows so many positions, 50 a second
LAYERS = ("entry", "block 1", "block 2", "block 3", "block 4", "normalised")
"""The encoder's six outputs: what enters the first block, and so on."""

N_STATISTICS = len(LAYERS) * 2 * WIDTH
"""Numbers that describe a clip: mean and spread of each layer's outputs."""

FROM_BLOCKS = slice(2 * WIDTH, (1 + BLOCKS) * 2 * WIDTH)
"""Which of them describe what the four blocks give."""

_DIGEST = "6e70e31f0cb83141eebf8c04749dc97a86089fca316d694c0b1a8bc9982dd9a0"
_LONGEST = 29 * RATE  # samples read at a time
_SILENCE = np.zeros(RATE // 5, np.float32)


class EncoderError(SercoreError, ValueError):
    """Weights of the encoder that are not there, or not as they were published."""


def log_mel(samples: np.ndarray) -> np.ndarray:
    """Return what the encoder reads of a clip at 16 kHz: shape (frames, 80), 100 frames a second.

    The logarithm of the power in each mel band, at most 8 (80 dB) below the loudest cell, shifted
    by 4 and divided by 4.
    """
    power = librosa.feature.melspectrogram(
        y=samples, sr=RATE, n_fft=400, hop_length=160, n_mels=80, pad_mode="reflect"
    )[:, :-1]
    logs = np.log10(np.maximum(power, 1e-10))
    return (np.maximum(logs, logs.max() - 8).T + 4) / 4


def build_encoder() -> keras.Model:
    """Build the encoder, with weights that mean nothing yet: 8.2 M parameters.

    From (batch, frames, 80) to six arrays of shape (batch, frames / 2, 384), as `LAYERS` names
    them.
    """
    import keras
    from keras import layers, ops

    def gelu(x: Any) -> Any:
        return keras.activations.gelu(x, approximate=False)

    def convolution(x: Any, stride: int) -> Any:
        x = layers.ZeroPadding1D(1)(x)  # padding="same" would pad a strided one at its end only
        return layers.Conv1D(WIDTH, 3, strides=stride, activation=gelu)(x)

    def norm(x: Any) -> Any:
        return layers.LayerNormalization(epsilon=1e-5)(x)

    def block(x: Any) -> Any:
        y = norm(x)
        x = x + layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(y, y)
        y = layers.Dense(4 * WIDTH, activation=gelu)(norm(x))
        return x + layers.Dense(WIDTH)(y)

    mel = layers.Input((None, 80))
    x = convolution(convolution(mel, 1), 2)
    places = ops.cumsum(ops.ones_like(x[:, :, 0]), axis=1) - 1  # 0, 1, 2, ...
    found = [x + layers.Embedding(STEPS, WIDTH)(places)]
    for _ in range(BLOCKS):
        found.append(block(found[-1]))
    return keras.Model(mel, [*found, norm(found[-1])], name="encoder")


def encoder_file() -> Path:
    """Return where the collected weights lie, whether or not they are there."""
    return cache_dir() / "encoder.npz"


def load_arrays() -> dict[str, np.ndarray]:
    """Read the collected weights; `EncoderError` if they are not there or were altered."""
    file = encoder_file()
    again = "`python -m sercore collect encoder` gets them"
    if not file.exists():
        raise EncoderError(f"the encoder's weights are not there; {again}")
    try:
        with np.load(file) as archive:
            arrays = dict(archive)
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error) as error:
        raise EncoderError(
            f"the encoder's weights cannot be read ({error}); {again} anew"
        ) from None
    if digest_of(arrays) != _DIGEST:
        raise EncoderError(f"the encoder's weights are not the published ones; {again} anew")
    return arrays


def load_encoder() -> keras.Model:
    """Return the encoder with its weights; `EncoderError` as for `load_arrays`."""
    arrays, model = load_arrays(), build_encoder()
    model.set_weights(in_keras_order(arrays))
    return model


def digest_of(arrays: dict[str, np.ndarray]) -> str:
    """Return a SHA-256 over the names, types, shapes and bytes of some arrays."""
    total = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def in_keras_order(arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Return the published arrays in the order and shapes of `build_encoder().get_weights()`."""
    full = {name: np.asarray(array, np.float32) for name, array in arrays.items()}

    def layer(name: str) -> list[np.ndarray]:
        # Published as (outputs, inputs, ...); Keras wants (..., inputs, outputs).
        return [full[f"{name}/weight"].transpose(), full[f"{name}/bias"]]

    def norm(name: str) -> list[np.ndarray]:
        return [full[f"{name}/gamma"], full[f"{name}/beta"]]

    def attention(name: str) -> list[np.ndarray]:
        heads, (kernel, bias) = (HEADS, WIDTH // HEADS), layer(f"{name}/linear_0")
        weights = []  # query, key and value are published side by side
        for k, b in zip(np.split(kernel, 3, axis=1), np.split(bias, 3), strict=True):
            weights += [k.reshape(WIDTH, *heads), b.reshape(heads)]
        kernel, bias = layer(f"{name}/linear_1")
        return [*weights, kernel.reshape(*heads, WIDTH), bias]

    weights = [*layer("conv1"), *layer("conv2"), full["position_encodings/encodings"]]
    for i in range(BLOCKS):
        ours, theirs = f"layer_{i}/self_attention", f"layer_{i}/ffn"
        weights += norm(f"{ours}/layer_norm") + attention(ours) + norm(f"{theirs}/layer_norm")
        weights += layer(f"{theirs}/linear_0") + layer(f"{theirs}/linear_1")
    return weights + norm("layer_norm")


@cache
def compiled() -> Callable[[np.ndarray], list[Any]]:
    """Return the collected encoder as a function of a spectrogram, (1, frames, 80)."""
    import tensorflow as tf

    model = load_encoder()
    shape = tf.TensorSpec((1, None, 80), tf.float32)
    answer = partial(model, training=False)
    return tf.function(answer, input_signature=[shape], autograph=False)


def layer_statistics(clip: np.ndarray, *, config: AudioConfig) -> np.ndarray:
    """Return mean and spread over time of each of the `LAYERS`, float32, shape (4608,).

    Layer after layer, 384 means and then 384 standard deviations: `reshape(6, 2, 384)` gives them
    apart. The clip, at 16 kHz (`config` must say so), is scaled to a peak of 0.5 and followed by
    0.2 s of silence; a long one is read in pieces.
    """
    if config.sample_rate != RATE:
        raise EncoderError(f"the encoder reads {RATE} Hz, not {config.sample_rate}")
    clip = clip * (0.5 / max(np.abs(clip).max(), 1e-9))
    n_pieces = -(-len(clip) // _LONGEST)
    found = []
    for piece in np.array_split(clip, n_pieces):
        piece = np.concatenate([piece, _SILENCE])
        mel = log_mel(np.pad(piece, (0, -len(piece) % 320)))
        found.append(np.concatenate(compiled()(mel[np.newaxis])))
    steps = np.concatenate(found, axis=1)  # (6, steps, 384)
    return np.stack([steps.mean(axis=1), steps.std(axis=1)], axis=1).ravel()
