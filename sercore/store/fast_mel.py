"""The power in mel bands, as librosa computes it, in about a third of the time.

It agrees with `librosa.feature.melspectrogram` within 1e-3 dB wherever a cell is at most 80 dB
below the clip's loudest. Lower cells are lifted to that floor in any case. It is faster because

- it leaves out the frames of the padding: most clips end in zeros, and zeros have no power;
- it makes the window and the mel filters once, and leaves out the zeros, which most weights are;
- it takes the frames in blocks that fit into the processor's cache;
- it transforms in single precision, where librosa does in double precision.

Single precision is computed again in double precision where it is not enough. Its error is a fixed
part of the loudest bin of a frame: too much for bands more than 65 dB below that bin. And in a clip
without padding the quietest cell must be right, because the article measures all others against it.
"""

from __future__ import annotations

from functools import cache

import librosa
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import rfft
from scipy.signal import get_window
from scipy.sparse import csr_array

from sercore.config import AudioConfig

_BLOCK = 2**19  # bytes of one block of frames; a larger one does not fit into the cache
_WEAK = 3e-7  # of the power that a band would have if all its bins were as loud as the loudest


def mel_power(clip: np.ndarray, *, config: AudioConfig) -> np.ndarray:
    """Return the power in each mel band and frame: float32 of shape (n_mels, n_frames).

    A sample that is not a finite number is a `librosa.ParameterError`.
    """
    librosa.util.valid_audio(clip)
    clip = clip.astype(np.float32, copy=False)
    hop = config.hop_length
    padded = np.pad(clip, config.n_fft // 2)  # the middle of the first frame is the first sample
    frames = sliding_window_view(padded, config.n_fft)[::hop].T  # (n_fft, n_frames), no copy
    power = np.zeros((config.n_mels, frames.shape[1]), dtype=np.float32)
    loud = np.flatnonzero(np.logical_or.reduceat(padded != 0, np.arange(0, len(padded), hop)))
    n_frames = min(loud[-1] + 1, frames.shape[1]) if len(loud) else 0
    frames, heard = frames[:, :n_frames], power[:, :n_frames]
    if n_frames == power.shape[1]:  # no padding: the quietest cell may be the reference
        heard[:], _ = _band_power(frames, config, np.float64)
        return power
    heard[:], unheard = _band_power(frames, config, np.float32)
    _, _, peaks = _window_and_bands(config, np.float32)
    # At least half of the loudest bin: some band hears it at half of its peak, or it is unheard.
    loudest = np.maximum((heard / peaks).max(axis=0), unheard)
    weak = (heard < _WEAK * peaks * loudest) & (heard > 1e-8 * heard.max(initial=0))
    again = np.flatnonzero(weak.any(axis=0))
    heard[:, again], _ = _band_power(frames.T[again].T, config, np.float64)
    return power


def heard_power(clip: np.ndarray, *, config: AudioConfig) -> np.ndarray:
    """Return `mel_power` with only the first of the zero frames at the end; `filled` adds them."""
    power = mel_power(clip, config=config)
    heard = np.flatnonzero(power.any(axis=0))
    return power[:, : heard[-1] + 2 if len(heard) else 1]


def filled(array: np.ndarray, n_frames: int | None) -> np.ndarray:
    """Repeat the last frame until there are `n_frames`; with None there are enough already."""
    full = np.empty((*array.shape[:-1], n_frames or array.shape[-1]), dtype=array.dtype)
    full[..., : array.shape[-1]] = array
    full[..., array.shape[-1] :] = array[..., -1:]  # `np.pad` would do, in three times the time
    return full


def _band_power(
    frames: np.ndarray, config: AudioConfig, dtype: type
) -> tuple[np.ndarray, np.ndarray]:
    """Return the power in each mel band, of shape (n_mels, n_frames), computed with `dtype`.

    Beside it, of shape (n_frames,), the power in the bins that no band hears well.
    """
    window, bands, _ = _window_and_bands(config, dtype)
    power = np.empty((config.n_mels + 1, frames.shape[1]), dtype=np.float32)
    step = max(1, _BLOCK // (config.n_fft * np.dtype(dtype).itemsize))
    for start in range(0, frames.shape[1], step):
        block = slice(start, start + step)
        spectrum = rfft(frames[:, block] * window, axis=0, overwrite_x=True)
        # A complex number is two real ones side by side. Their squares are added after the bands
        # have been summed, because there are fewer of them by then.
        parts = spectrum.view(dtype)
        energy = bands @ np.square(parts, out=parts)
        np.add(energy[:, ::2], energy[:, 1::2], out=power[:, block], casting="same_kind")
    return power[:-1], power[-1]


@cache
def _window_and_bands(config: AudioConfig, dtype: type) -> tuple[np.ndarray, csr_array, np.ndarray]:
    """Return the window, librosa's mel filters, and the peak of each filter, above zero.

    Below the filters stands one more row: the bins that no filter hears at half of its peak.
    """
    bands = librosa.filters.mel(sr=config.sample_rate, n_fft=config.n_fft, n_mels=config.n_mels)
    # A filter that is narrower than a bin may be all zeros.
    peaks = np.maximum(bands.max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    well_heard = (bands > peaks / 2).any(axis=0)
    rows = csr_array(np.vstack([bands, ~well_heard]), dtype=dtype)
    return get_window("hann", config.n_fft)[:, np.newaxis].astype(dtype), rows, peaks
