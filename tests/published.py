"""Made-up runs for tests of what is published, a small model, and the clips that were published."""

from functools import cache
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from sercore.collection import checksums
from sercore.config import PROFILES
from sercore.corpora import CORPORA, EMOTIONS, parse
from sercore.course.publishing import Protocol, publish_run
from sercore.course.texts import VERSIONS
from sercore.datasets import Standardizer, input_shape
from sercore.features import KINDS
from sercore.modelfile import TrainedModel
from sercore.models import ARTICLE_MODELS, RECIPES, Recipe
from sercore.results import HISTORY, PROBABILITIES, RunName, with_labels
from sercore.splits import random_split
from sercore.training import Run
from tests.speech import TINY

PATHS = [f"savee/ALL/DC_{code}01.wav" for code in ("a", "d", "f", "h", "n", "sa", "su")]
PATHS += ["cremad/AudioWAV/1001_DFA_ANG_XX.wav", "tess/OAF_angry/OAF_back_angry.wav"]
PATHS += ["ravdess/Actor_24/03-01-08-02-01-01-24.wav"]


@cache
def article_clips() -> pd.DataFrame:
    """The 11,970 published clips that are not calm, in the manifest's order."""
    rows = sorted(row for name in CORPORA for row in checksums.published(name).values())
    table = pd.DataFrame(rows, columns=["path", "sha256"])
    labels = [parse(path) for path in table["path"]]
    for column in ("emotion", "corpus", "speaker", "sex", "age"):
        table[column] = [getattr(label, column) for label in labels]
    return table[table["emotion"] != "calm"].reset_index(drop=True)


def predictions(right: int = 7) -> pd.DataFrame:
    """Ten clips of all corpora; the first of them, `right` in number, are predicted right."""
    emotions = [parse(path).emotion for path in PATHS]
    answers = [EMOTIONS.index(emotion) + (i >= right) for i, emotion in enumerate(emotions)]
    table = pd.DataFrame(0.1 + 0.3 * np.eye(8)[answers, :7], columns=list(PROBABILITIES))
    return with_labels(table.assign(clip=PATHS, truth=emotions))


def history() -> pd.DataFrame:
    """Three epochs, of which the second is the best."""
    table = pd.DataFrame({column: [0.9, 0.6, 0.7] for column in HISTORY}, index=[1, 2, 3])
    return table.assign(learning_rate=1e-3, seconds=10.4).rename_axis("epoch")


class MadeUpRun(Run):
    """A run of one of `RECIPES` that was never trained."""

    def __init__(self, model: str, right: int = 7) -> None:
        kinds = list(RECIPES[model].kinds)
        facts = {"epochs": 3, "best_epoch": 2, "seconds": 31.2, "parameters": 1234}
        facts |= {"standardizers": [[0, 1]] * len(kinds), "versions": dict.fromkeys(VERSIONS, "1")}
        super().__init__(model, Path(), {"kinds": kinds}, facts, history(), predictions(right))

    def model(self):
        """A new network of the article's size."""
        recipe = RECIPES[self.name]
        audio = recipe.audio or PROFILES["article"].audio
        shapes = [input_shape(KINDS[kind].shape(audio)) for kind in self.settings["kinds"]]
        return recipe.build(*shapes, len(EMOTIONS))


def publish_made_up(folder: Path, *, profiles=("article", "laptop"), seeds=(0, 1), models=None):
    """Publish runs into a folder: the first model is right on 6 of 10 clips, the next on 7, …"""
    protocol = Protocol("made up", lambda clips: {"": random_split(clips)}, folder)
    for i, model in enumerate(models or ARTICLE_MODELS):
        for name in (RunName(profile=p, model=model, seed=s) for p in profiles for s in seeds):
            audio = PROFILES[name.profile].audio
            publish_run(MadeUpRun(model, 6 + i), name, audio=audio, n_clips=50, protocol=protocol)


def small(shape, n_classes, dropout=0.2):
    return keras.Sequential(
        [
            keras.layers.Input(shape),
            keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
            keras.layers.BatchNormalization(momentum=0.8),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(n_classes, activation="softmax"),
        ]
    )


SMALL = Recipe(name="small", title="Small", colour="#000000", kinds=("mfcc",), build=small)


def trained(**changes) -> TrainedModel:
    """A model with the small network, as it comes from a seed."""
    keras.utils.set_random_seed(0)
    values = {
        "name": "small",
        "model": small((16, 32, 1), 7),
        "kinds": ("mfcc",),
        "audio": TINY,
        "standardizers": (Standardizer.of(1.5, 2.0),),
        "labels": EMOTIONS,
        "settings": {"seed": 0},
        "facts": {"epochs": 3, "versions": {"keras": "3.0"}},
    }
    return TrainedModel(**values | changes)
