"""The rows of the table: what is done in the article's way and in ours."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd

from benchmarks import article, memory
from benchmarks.measure import Row, Times, alternate, at_least, at_most, duration, megabytes
from sercore.config import PROFILES, AudioConfig
from sercore.features import extract

ARTICLE, LAPTOP = PROFILES["article"], PROFILES["laptop"]
_CHECKED = 100  # clips whose features are compared with librosa's
_STEPS = 20
_MEMORY_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured; the command line explains each of them."""

    rounds: int = 5
    clips: int = 1_100
    memory: int = 2_000
    single: int = 100
    folder: int = 60
    growth: Sequence[int] = (1_000, 12_000)

    def within(self, available: int) -> Sizes:
        """Return the sizes that so many clips allow."""
        fewer = {
            name: min(getattr(self, name), available) for name in ("clips", "single", "folder")
        }
        growth = sorted({min(size, available) for size in self.growth})
        return replace(self, memory=min(self.memory, available // 2), growth=growth, **fewer)


@contextmanager
def fresh_cache() -> Iterator[Path]:
    """Let sercore use an empty cache folder, and remove it afterwards."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, SER_CACHE=folder):
        yield Path(folder)


def _first_batch(clips: pd.DataFrame, root: Path) -> None:
    from sercore.datasets import encode, make_datasets
    from sercore.splits import random_split

    features = extract(clips, root, config=LAPTOP.audio, kind="mel", report=None)
    labels, split = encode(clips["emotion"]), random_split(clips)
    train, *_ = make_datasets(features, labels, split, training=LAPTOP.training)
    next(iter(train))


def extraction(clips: pd.DataFrame, root: Path, sizes: Sizes) -> list[Row]:
    """Time extraction from cold, and the first batch of features that are there."""
    from sercore.datasets import encode

    clips = clips[: sizes.clips]
    paths = [root / path for path in clips["path"]]
    labels = encode(clips["emotion"])
    computed, emptied = {}, ExitStack()

    def from_cold(audio: AudioConfig) -> None:
        emptied.enter_context(fresh_cache())
        extract(clips, root, config=audio, kind="mel", report=None)  # and MFCCs, in one pass

    ways = {
        "mel": lambda: computed.update(mel=article.features(paths, "mel")),
        "mfcc": lambda: computed.update(mfcc=article.features(paths, "mfcc")),
        "batch": lambda: next(iter(article.datasets(computed["mel"], labels)[0])),
        "article": lambda: from_cold(ARTICLE.audio),
        "laptop": lambda: from_cold(LAPTOP.audio),
        "open": lambda: _first_batch(clips, root),
    }
    with fresh_cache(), emptied:
        started = time.perf_counter()
        extract(clips, root, config=LAPTOP.audio, kind="mel", report=None)
        first = duration(time.perf_counter() - started)
        times = alternate(ways, sizes.rounds, after=emptied.close)
    n, cold = f"{len(clips):,} clips", "mel and MFCC from cold"
    again, batch = "the same for the first time, when processes are to be started", "first batch of"
    both, one = times["mel"] + times["mfcc"], times["mel"] + times["batch"]
    return [
        at_least(f"{cold}, article settings, {n}", both, times["article"], 6),
        at_least(f"{cold}, profile laptop against article, {n}", both, times["laptop"], 14),
        Row(what=f"{again}, one round", ours=first),
        agreement(clips, root, computed),
        at_least(f"{batch} features that are there, profile laptop, {n}", one, times["open"], 100),
    ]


def agreement(clips: pd.DataFrame, root: Path, theirs: dict[str, np.ndarray]) -> Row:
    """Compare our features of the first clips with theirs."""
    far = {}
    with fresh_cache():
        for kind, array in theirs.items():
            ours = extract(clips[:_CHECKED], root, config=ARTICLE.audio, kind=kind, report=None)
            far[kind] = np.abs(ours[:] - array[:_CHECKED]).max()
    what = f"largest difference from librosa, {len(ours)} clips"
    found = ", ".join(f"{kind} {value:.1e} dB" for kind, value in far.items())
    met = all(bool(value < 1e-3) for value in far.values())  # not so if one is no number
    return Row(what, found=found, bound="< 1e-3 dB", met=met)


def peak_memory(clips: pd.DataFrame, root: Path, sizes: Sizes) -> list[Row]:
    """Measure the memory of extraction and one epoch of training input, article settings."""
    n = sizes.memory
    try:
        theirs, _ = memory.peak("article", clips[:n], root)
        rounds = [
            [memory.peak("ours", clips[:size], root)[0] for size in (n, 2 * n)]
            for _ in range(_MEMORY_ROUNDS)
        ]
    except memory.MemoryUnknown as error:
        return [Row(what=f"peak memory: {error}")]
    ours, twice = zip(*rounds, strict=True)
    smaller = statistics.median(ours)
    more = statistics.median(twice) / smaller - 1
    return [
        Row(
            what=f"peak anonymous memory above imports, {n:,} clips",
            theirs=f"{megabytes(theirs)}, one round",
            ours=_megabytes(ours),
            found=f"1/{theirs / smaller:.3g}",
            bound="≤ 1/8",
            met=smaller <= theirs / 8,
        ),
        Row(
            what=f"the same with {2 * n:,} clips",
            ours=_megabytes(twice),
            found=f"{100 * more:+.1f} %",
            bound="< 5 % more",
            met=more < 0.05,
        ),
    ]


def _megabytes(sizes: Sequence[int]) -> str:
    low, middle, high = map(megabytes, (min(sizes), statistics.median(sizes), max(sizes)))
    return f"{middle} ({low} to {high}), {len(sizes)} rounds"


def training_step(clips: pd.DataFrame, root: Path, sizes: Sizes) -> list[Row]:
    """Time a training step on batches from memory and on the same batches from disk."""
    import tensorflow as tf

    from sercore.corpora import EMOTIONS
    from sercore.datasets import Standardizer, encode, make_dataset
    from sercore.models import RECIPES

    size = LAPTOP.training.batch_size
    clips = clips[: size * _STEPS]
    labels, positions = encode(clips["emotion"]), np.arange(len(clips))
    with fresh_cache():
        features = extract(clips, root, config=LAPTOP.audio, kind="mfcc", report=None)
        standardizer = Standardizer().fit(features, positions)
        how = {"standardizers": [standardizer], "batch_size": size}
        ours = make_dataset(features, labels, positions, **how)
        everything = standardizer.transform(features[positions])[..., np.newaxis]
        theirs = tf.data.Dataset.from_tensor_slices((everything, labels))
        theirs = theirs.batch(size).prefetch(tf.data.AUTOTUNE)
        model = RECIPES["cnn_mfcc"].build((*features.shape[1:], 1), len(EMOTIONS))
        model.compile("adam", "sparse_categorical_crossentropy")
        fit = partial(model.fit, verbose=0, shuffle=False)
        ways = {"theirs": partial(fit, theirs), "ours": partial(fit, ours)}
        times = alternate(ways, sizes.rounds)
    steps = -(-len(clips) // size)
    ratio = times["ours"].median / times["theirs"].median
    what = f"a training step, {steps} steps of {size} clips, profile laptop"
    theirs, ours = (str(times[name] / steps) for name in ("theirs", "ours"))
    return [Row(what, theirs, ours, f"{ratio:.3f} ×", "≤ 1.05 ×", ratio <= 1.05)]


def prediction(clips: pd.DataFrame, root: Path, sizes: Sizes) -> list[Row]:
    """Time one clip from disk to its probabilities, stage by stage, and a folder of clips."""
    from sercore.features import compute, load_clip
    from sercore.inference import load_pretrained, predict_files

    trained = load_pretrained("cnn_mel")  # with the article's settings, as all that come with it
    (kind,), (standardizer,) = trained.kinds, trained.standardizers
    paths = [root / path for path in clips["path"]]
    marks = []
    for path in (paths[0], *paths[: sizes.single]):
        started = time.perf_counter()
        clip = load_clip(path, config=trained.audio)
        there = time.perf_counter()
        array = compute(clip, kind=kind, config=trained.audio)
        computed = time.perf_counter()
        trained(array[np.newaxis])
        marks.append((started, there, computed, time.perf_counter()))
    stages = np.diff(marks[1:])  # the first warms up
    middle = zip(("loading", kind, "model"), np.median(stages, axis=0), strict=True)
    folder = paths[: sizes.folder]

    def one_by_one() -> None:
        for path in folder:
            x = standardizer.transform(article.KINDS[kind](path))
            trained.model.predict(x[np.newaxis, ..., np.newaxis], verbose=0)

    ways = {"theirs": one_by_one, "ours": lambda: predict_files(trained, folder)}
    times = alternate(ways, sizes.rounds)
    what = f"a folder of {len(folder):,} clips to probabilities"
    return [
        at_most(
            f"one clip on disk to its probabilities ({trained.name}), {len(stages)} clips",
            Times(tuple(stages.sum(axis=1))),
            0.060,
            parts=", ".join(f"{name} {duration(seconds)}" for name, seconds in middle),
        ),
        at_least(what, times["theirs"], times["ours"], 5),
    ]


def importing(clips: pd.DataFrame, root: Path, sizes: Sizes) -> list[Row]:
    """Time `import sercore` in a fresh interpreter."""
    script = "from time import perf_counter as t; a = t(); import sercore; print(t() - a)"
    command = [sys.executable, "-c", script]
    found = [float(subprocess.check_output(command, text=True)) for _ in range(sizes.rounds + 1)]
    return [at_most("`import sercore`", Times(tuple(found[1:])), 0.5)]


def growth(clips: pd.DataFrame, root: Path, sizes: Sizes) -> list[Row]:
    """Measure how our time and memory grow with the number of clips."""
    rows = []
    for n in sizes.growth:
        what = f"{n:,} clips from cold, article settings, one round, processes there"
        try:
            size, seconds = memory.peak("ours", clips[:n], root)
        except memory.MemoryUnknown as error:
            rows.append(Row(what=f"{what}: {error}"))
        else:
            ours = f"{duration(seconds)}, {megabytes(size)}"
            rows.append(Row(what=what, ours=ours, found=f"{duration(seconds / n)} a clip"))
        with fresh_cache():
            times = alternate({"open": lambda n=n: _first_batch(clips[:n], root)}, sizes.rounds)
        what = f"first batch of features that are there, {n:,} clips, profile laptop"
        rows.append(at_most(what, times["open"], 1.0))
    return rows


PARTS = {
    "extraction": extraction,
    "memory": peak_memory,
    "step": training_step,
    "prediction": prediction,
    "import": importing,
    "growth": growth,
}
"""What each word on the command line measures."""
