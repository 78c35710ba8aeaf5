"""From a clip to an answer, with a model that was trained before (chapter 8)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
import soundfile

from sercore.features import KINDS, FeatureError, compute, load_clip
from sercore.manifest import SILENCE_PEAK
from sercore.modelfile import ModelFileError, TrainedModel, read_model
from sercore.models import RECIPES
from sercore.results import MODELS

_BATCH = 32  # clips


def load_pretrained(name: str | Path) -> TrainedModel:
    """Load one of the models that come with the course, or one of your own.

    `name` is a model's name, such as `"cnn_mfcc"`, or the path of a file that `save_model` wrote.
    A name that there is not, or a file that cannot be used, is a `ModelFileError`.
    """
    path = Path(name)
    if path.suffix == ".keras":
        return read_model(path)
    shipped = [model for model in RECIPES if (MODELS / f"{model}.keras").exists()]
    if str(name) not in shipped:
        raise ModelFileError(
            f"unknown model {str(name)!r}, expected one of {', '.join(shipped) or 'none so far'}, "
            "or the path of a file that ends in .keras"
        )
    return read_model(MODELS / f"{name}.keras")


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
    try:
        # Opened here: older librosas go on to decoders with errors of their own.
        with soundfile.SoundFile(path) as file:
            clips = {}
            for whole in {KINDS[kind].whole for kind in trained.kinds}:
                file.seek(0)
                clips[whole] = load_clip(file, config=trained.audio, whole=whole)
    # librosa's errors tell of samples that are no numbers, a TypeError of sound without a header.
    except (OSError, TypeError, soundfile.SoundFileError, librosa.LibrosaError) as error:
        raise FeatureError(
            f"{path} cannot be read as sound ({error}); convert it to WAV or FLAC"
        ) from error
    peak = max(np.abs(clip).max(initial=0) for clip in clips.values())
    heard = min(np.count_nonzero(clip) for clip in clips.values())
    if peak < SILENCE_PEAK or heard < trained.audio.n_fft:
        span = "" if False not in clips else f" in its first {trained.audio.seconds:g} s"
        raise FeatureError(
            f"{path} holds no sound to speak of{span} (its peak is {peak:.1g} of full scale): look "
            "whether the recording is empty, shorter than a syllable, or begins with a long silence"
        )
    arrays = tuple(
        compute(clips[KINDS[kind].whole], kind=kind, config=trained.audio) for kind in trained.kinds
    )
    if not all(np.isfinite(array).all() for array in arrays):
        raise FeatureError(
            f"{path} has samples of up to {peak:.1g} where full scale is 1, too large to compute "
            "with; scale it down"
        )
    return arrays


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
