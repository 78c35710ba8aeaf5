"""From a clip to an answer, with a model that was trained before (chapter 8)."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import librosa
import numpy as np
import pandas as pd
import soundfile

from sercore.collection.encoder import have_encoder
from sercore.encoder import load_arrays
from sercore.features import KINDS, FeatureError, compute, load_clip
from sercore.manifest import SILENCE_PEAK
from sercore.modelfile import ModelFileError, TrainedModel, read_model
from sercore.models import RECIPES
from sercore.results import BY_SPEAKER, MODELS, read_shown

_BATCH = 32  # clips


def load_pretrained(
    name: str | Path | None = None, *, report: Callable[[str], object] | None = print
) -> TrainedModel:
    """Load one of the models that come with the course, or one of your own.

    `name` is a model's name, such as `"cnn_mfcc"`, or the path of a file that `save_model` wrote.
    Without it, of the models that can run here the one is loaded that was best on new speakers, and
    `report` is called with its name. A name that there is not, or a file that cannot be used, is a
    `ModelFileError`; a model that reads the encoder, where its weights are not there, an
    `EncoderError`.
    """
    if name is None:
        name = _best()
        if report:
            report(f"{name}: {RECIPES[name].title}, the best on new speakers that can run here")
    path = Path(name)
    if path.suffix == ".keras":
        return _checked(read_model(path))
    if str(name) not in (shipped := _shipped()):
        raise ModelFileError(
            f"unknown model {str(name)!r}, expected one of {', '.join(shipped) or 'none so far'}, "
            "or the path of a file that ends in .keras"
        )
    return _checked(read_model(MODELS / f"{name}.keras"))


def _checked(trained: TrainedModel) -> TrainedModel:
    if "encoder" in trained.kinds and not have_encoder():
        load_arrays()  # says what is wrong with the weights, and how to get them
    return trained


def _shipped() -> list[str]:
    return [model for model in RECIPES if (MODELS / f"{model}.keras").exists()]


def _best() -> str:
    """Return the shipped model with the best published UAR by speaker that can run here."""
    runs = read_shown(BY_SPEAKER)
    can = [name for name in _shipped() if "encoder" not in RECIPES[name].kinds or have_encoder()]
    runs = runs[runs["model"].isin(can)]
    if runs.empty:
        raise ModelFileError("no model that was tested on new speakers is in models/; name one")
    return str(runs.loc[runs["uar"].idxmax(), "model"])


def clip_features(path: str | Path, trained: TrainedModel) -> tuple[np.ndarray, ...]:
    """Return what a model reads of one clip, before standardising: an array for each input.

    The clip may have any sample rate and number of channels. A file that is not there, is no
    sound, is silent, or is far too loud to compute with is a `FeatureError`.
    """
    if not Path(path).is_file():
        raise FeatureError(
            f"there is no file {path}; give the whole path of a recording, or one that begins in "
            f"{Path.cwd()}"
        )
    return _features(path, trained, str(path))


def _features(source: str | Path | BinaryIO, trained: TrainedModel, name: str) -> tuple[Any, ...]:
    whole = any(KINDS[kind].whole for kind in trained.kinds)
    try:
        # Opened here: older librosas go on to decoders with errors of their own.
        with soundfile.SoundFile(source) as file:
            clip = load_clip(file, config=trained.audio, whole=whole)
    # librosa's errors tell of samples that are no numbers, a TypeError of sound without a header.
    except (OSError, TypeError, soundfile.SoundFileError, librosa.LibrosaError) as error:
        raise FeatureError(
            f"{name} cannot be read as sound ({error}); convert it to WAV or FLAC"
        ) from error
    peak = np.abs(clip).max(initial=0)
    if peak < SILENCE_PEAK or np.count_nonzero(clip) < trained.audio.n_fft:
        span = "" if whole else f" in its first {trained.audio.seconds:g} s"
        raise FeatureError(
            f"{name} holds no sound to speak of{span} (its peak is {peak:.1g} of full scale): look "
            "whether the recording is empty, shorter than a syllable, or begins with a long silence"
        )
    arrays = tuple(compute(clip, kind=kind, config=trained.audio) for kind in trained.kinds)
    if not all(np.isfinite(array).all() for array in arrays):
        raise FeatureError(
            f"{name} has samples of up to {peak:.1g} where full scale is 1, too large to compute "
            "with; scale it down"
        )
    return arrays


def predict(trained: TrainedModel, samples: np.ndarray, rate: int) -> pd.Series:
    """Return the probability of each emotion for sound in memory, the likeliest one first.

    `samples` are floats of which 1 is full scale, or whole numbers of 16 or 32 bits, of shape (n,)
    or (n, channels) and any length; `rate` is their rate in Hz. What cannot be used is a
    `FeatureError`, as for a file.
    """
    clip, file = np.asarray(samples), io.BytesIO()
    if clip.dtype in (np.int16, np.int32):
        clip = clip / -float(np.iinfo(clip.dtype).min)
    try:
        if clip.dtype.kind != "f" or rate != int(rate):
            raise TypeError("other kinds of numbers are not read")
        clip = clip.astype(np.float32)
        soundfile.write(file, clip, int(rate), format="WAV", subtype="FLOAT")
    except (TypeError, ValueError, IndexError, OverflowError, soundfile.SoundFileError) as error:
        raise FeatureError(
            "sound is an array of floats, or of whole numbers of 16 or 32 bits, of shape (n,) or "
            f"(n, channels), and a whole number of samples a second; this is of {clip.dtype} and "
            f"shape {clip.shape}, at {rate} ({error})"
        ) from error
    file.seek(0)
    (shares,) = trained(*(array[np.newaxis] for array in _features(file, trained, "the sound")))
    return pd.Series(shares, trained.labels).sort_values(ascending=False)


def predict_files(trained: TrainedModel, paths: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """Say which emotion a model hears in each clip.

    A row per clip, in the order given: `path`, `predicted`, and a probability for each label,
    `p_anger` and so on. A probability is what the model says; chapter 8 asks how far to believe it.
    Raises `FeatureError` as `clip_features` does.
    """
    paths = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    rows = [np.empty((0, len(trained.labels)))]
    for start in range(0, len(paths), _BATCH):
        clips = [clip_features(path, trained) for path in paths[start : start + _BATCH]]
        rows.append(trained(*(np.stack(arrays) for arrays in zip(*clips, strict=True))))
    probabilities = np.concatenate(rows)
    table = pd.DataFrame(probabilities, columns=[f"p_{label}" for label in trained.labels])
    table.insert(0, "path", [str(path) for path in paths])
    table.insert(1, "predicted", np.array(trained.labels)[probabilities.argmax(axis=1)])
    return table
