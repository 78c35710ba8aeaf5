"""From a clip to an answer, with a model that was trained before (chapter 8)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from sercore.features import FeatureError, load_clip, mel_spectrogram, mfcc
from sercore.modelfile import ModelFileError, TrainedModel, read_model
from sercore.published import MODELS

_KINDS = {"mel": mel_spectrogram, "mfcc": mfcc}
_BATCH = 32  # clips


def load_pretrained(name: str | Path) -> TrainedModel:
    """Load one of the models that come with the course, or one of your own.

    Parameters
    ----------
    name : str or path
        A model's name, such as `"cnn_mfcc"`, or the path of a file that `modelfile.save_model`
        wrote, ending in `.keras`.

    Returns
    -------
    TrainedModel

    Raises
    ------
    ModelFileError
        If there is no such model, or its file cannot be used.
    """
    path = Path(name)
    if path.suffix == ".keras":
        return read_model(path)
    shipped = sorted(file.stem for file in MODELS.glob("*.keras"))
    if str(name) not in shipped:
        raise ModelFileError(
            f"unknown model {str(name)!r}, expected one of {', '.join(shipped) or 'none so far'}, "
            "or the path of a file that ends in .keras"
        )
    return read_model(MODELS / f"{name}.keras")


def clip_features(path: str | Path, trained: TrainedModel) -> np.ndarray:
    """Return what a model reads of one clip, before standardising.

    Parameters
    ----------
    path : path
        A sound file of any rate and number of channels.
    trained : TrainedModel

    Returns
    -------
    numpy.ndarray, shape (height, width), float32

    Raises
    ------
    FeatureError
        If the file is not there, is no sound, or is silent.
    """
    try:
        clip = load_clip(path, config=trained.audio)
    except (OSError, soundfile.SoundFileError) as error:
        raise FeatureError(
            f"{path} cannot be read as sound ({error}); convert it to WAV or FLAC"
        ) from error
    if not clip.any():
        raise FeatureError(
            f"{path} is silent for its first {trained.audio.seconds:g} s, so there is nothing to "
            "recognise; cut the silence off, or leave it out"
        )
    return _KINDS[trained.kind](clip, config=trained.audio)


def predict_files(trained: TrainedModel, paths: Iterable[str | Path]) -> pd.DataFrame:
    """Say which emotion a model hears in each clip.

    Parameters
    ----------
    trained : TrainedModel
    paths : iterable of path
        Sound files.

    Returns
    -------
    pandas.DataFrame
        A row per clip, in the order given: `path`, `predicted`, and a probability for each label,
        `p_anger` and so on. A probability is what the model says; chapter 8 asks how far to
        believe it.

    Raises
    ------
    FeatureError
        If a file is not there, is no sound, or is silent; the message names it.
    """
    paths = [Path(path) for path in paths]
    rows = [
        trained(np.stack([clip_features(path, trained) for path in paths[start : start + _BATCH]]))
        for start in range(0, len(paths), _BATCH)
    ]
    probabilities = np.concatenate(rows) if rows else np.empty((0, len(trained.labels)))
    table = pd.DataFrame(probabilities, columns=[f"p_{label}" for label in trained.labels])
    table.insert(0, "path", [str(path) for path in paths])
    table.insert(1, "predicted", np.array(trained.labels)[probabilities.argmax(axis=1)])
    return table
