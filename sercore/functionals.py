"""A clip of any length as 266 numbers: cepstra, bands, pitch, level and rhythm (chapter 9).

Statistics over a whole clip are called functionals. A linear model on them is the oldest way of
recognising emotion, and it takes seconds. None of the numbers depends on how loud the clip was
recorded, because all levels are relative to its loudest frame.
"""

from __future__ import annotations

from typing import Any

import librosa
import numpy as np
from scipy.signal import find_peaks

from sercore.config import AudioConfig

VOICE = AudioConfig(
    sample_rate=16_000,
    seconds=5.0,
    n_fft=400,
    hop_length=160,
    n_mels=40,
    n_mfcc=24,
    mel_ref=1.0,
    dtype="float32",
)
"""How speech is read for the functionals and for the encoder: 100 frames of 25 ms a second. Clips
are read whole, so `seconds` has no say."""

N_FUNCTIONALS = 266

_FLOOR = 70  # dB below the loudest cell or frame
_SPOKEN = 25  # dB below the loudest frame; what is softer is breath or room
_LOWEST, _HIGHEST = 65, 500  # Hz
_PERIODIC = 0.5  # correlation of a voiced frame with itself, one period later
_RHYTHMS = (0.5, 1, 2, 4, 6, 10, 16)  # Hz; syllables come at 3 to 6
_BAND_GROUPS = 5


def functionals(clip: np.ndarray, *, config: AudioConfig) -> np.ndarray:
    """Describe a clip of any length by `N_FUNCTIONALS` numbers, float32.

    - 24 cepstra and 20 mel bands in dB: mean, standard deviation, 10th and 90th percentile, and
      standard deviation of the differences from frame to frame;
    - pitch in semitones: mean, standard deviation, five percentiles, slope per second; and the
      share of frames that are voiced (without a voiced frame all nine are 0);
    - level in dB below the loudest frame: four percentiles, standard deviation;
    - peaks of the level per second, seconds from the first sound to the last, and how strongly five
      groups of bands swing at six rhythms.
    """
    hop = config.hop_length
    speech, _ = librosa.effects.trim(clip, top_db=40, frame_length=config.n_fft, hop_length=hop)
    speech = librosa.util.fix_length(speech, size=max(len(speech), config.n_fft))
    power = librosa.feature.melspectrogram(
        y=speech, sr=config.sample_rate, n_fft=config.n_fft, hop_length=hop, n_mels=config.n_mels
    )
    bands = librosa.power_to_db(power, ref=np.max, top_db=_FLOOR)  # (n_mels, n)
    level = librosa.power_to_db(power.sum(axis=0), ref=np.max, top_db=_FLOOR)  # (n,)
    cepstra = librosa.feature.mfcc(S=bands, n_mfcc=config.n_mfcc)
    seconds = len(speech) / config.sample_rate
    peaks, _ = find_peaks(np.convolve(level, np.hanning(9) / 4, "same"), prominence=3)
    numbers = [
        _moments(cepstra),
        _moments(bands[::2]),
        _melody(speech, level, config),
        np.percentile(level, [10, 25, 50, 75]),
        [level.std(), len(peaks) / seconds, np.log(seconds)],
        _swing(bands, config.sample_rate / hop),
    ]
    return np.concatenate([np.ravel(each) for each in numbers]).astype(np.float32)


def _moments(rows: np.ndarray) -> np.ndarray:
    """Return five statistics of each row, of shape (5, n_rows)."""
    low, high = np.percentile(rows, [10, 90], axis=1)
    steps = np.diff(rows, axis=1, prepend=rows[:, :1]).std(axis=1)
    return np.array([rows.mean(axis=1), rows.std(axis=1), low, high, steps])


def _melody(speech: np.ndarray, level: np.ndarray, config: AudioConfig) -> np.ndarray:
    """Return eight statistics of the pitch, and the share of voiced frames."""
    length, rate = 1024, config.sample_rate
    sizes: dict[str, Any] = {"frame_length": length, "hop_length": config.hop_length}
    pitch = librosa.yin(speech, fmin=_LOWEST, fmax=_HIGHEST, sr=rate, **sizes)  # de Cheveigné 2002
    padded = np.pad(speech, length // 2)
    frames = librosa.util.frame(padded, axis=0, **sizes)[: len(pitch)]
    half = length - rate // _LOWEST  # samples that every frame has a period later as well
    later = np.arange(half) + np.rint(rate / pitch).astype(int)[:, np.newaxis]
    now, then = frames[:, :half], np.take_along_axis(frames, np.minimum(later, length - 1), axis=1)
    energy = np.sqrt((now**2).sum(axis=1) * (then**2).sum(axis=1))
    alike = (now * then).sum(axis=1) / np.maximum(energy, 1e-12)
    voiced = (alike > _PERIODIC) & (level[: len(pitch)] > -_SPOKEN)
    if not voiced.any():
        return np.zeros(9)
    semitones = 12 * np.log2(pitch[voiced] / 100)
    times = np.flatnonzero(voiced) * config.hop_length / rate
    slope = np.polyfit(times - times.mean(), semitones, 1)[0] if len(times) > 1 else 0.0
    shape = [semitones.mean(), semitones.std(), *np.percentile(semitones, [5, 25, 50, 75, 95])]
    return np.array([*shape, slope, voiced.mean()])


def _swing(bands: np.ndarray, rate: float) -> np.ndarray:
    """Return how strongly groups of bands swing at each rhythm, in ln dB, shape (groups, 6)."""
    groups = np.array([each.mean(axis=0) for each in np.array_split(bands, _BAND_GROUPS)])
    n = max(512, groups.shape[1])  # a resolution of 0.2 Hz at least
    spectrum = np.abs(np.fft.rfft(groups - groups.mean(axis=1, keepdims=True), n)) / bands.shape[1]
    rhythms = np.fft.rfftfreq(n, 1 / rate)
    edges = np.searchsorted(rhythms, _RHYTHMS)
    parts = [spectrum[:, a:b].mean(axis=1) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    return np.log(np.array(parts).T + 1e-3)
