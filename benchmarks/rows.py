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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import article, memory
from benchmarks.measure import Row, Times, alternate, at_least, duration, megabytes
from sercore.config import PROFILES, AudioConfig
from sercore.features import extract

ARTICLE, LAPTOP = PROFILES["article"], PROFILES["laptop"]
_CHECKED = 100  # clips whose features are compared with librosa's
_STEPS = 20
_MEMORY_ROUNDS = 3
_OPENED_WITHIN = 1.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured.

    Attributes
    ----------
    rounds : int
        Rounds after the warm-up.
    clips : int
        Clips extracted.
    memory : int
        Clips whose memory is measured; ours with twice as many too.
    single : int
        Clips predicted one by one.
    folder : int
        Clips of the folder that is predicted at once.
    growth : tuple of int
        Numbers of clips between which time and memory may grow; none leaves the row out.
    """

    rounds: int
    clips: int
    memory: int
    single: int
    folder: int
    growth: tuple[int, ...]

    def within(self, available: int) -> Sizes:
        """Return the sizes that so many clips allow."""
        return Sizes(
            rounds=self.rounds,
            clips=min(self.clips, available),
            memory=min(self.memory, available // 2),
            single=min(self.single, available),
            folder=min(self.folder, available),
            growth=tuple(sorted({min(size, available) for size in self.growth})),
        )


@contextmanager
def fresh_cache() -> Iterator[Path]:
    """Let sercore use an empty cache folder, and remove it afterwards."""
    before = os.environ.get("SER_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SER_CACHE"] = folder
        try:
            yield Path(folder)
        finally:
            if before is None:
                del os.environ["SER_CACHE"]
            else:
                os.environ["SER_CACHE"] = before


def _first_batch(clips: pd.DataFrame, root: Path) -> None:
    from sercore.datasets import encode, make_datasets
    from sercore.splits import random_split

    features = extract(clips, root, config=LAPTOP.audio, kind="mel", report=None)
    labels, split = encode(clips["emotion"]), random_split(clips)
    train, _, _ = make_datasets(features, labels, split, training=LAPTOP.training)
    next(iter(train))


def extraction(clips: pd.DataFrame, root: Path, sizes: Sizes) -> list[Row]:
    """Time extraction from cold, and the first batch of features that are there."""
    from sercore.datasets import encode

    clips = clips[: sizes.clips]
    paths = [root / path for path in clips["path"]]
    labels = encode(clips["emotion"])
    computed = {}
    emptied = ExitStack()

    def from_cold(audio: AudioConfig) -> None:
        emptied.enter_context(fresh_cache())
        extract(clips, root, config=audio, kind="mel", report=None)  # and MFCCs, in one pass

    def theirs(kind: str) -> None:
        computed[kind] = article.features(paths, kind)

    def their_batch() -> None:
        train, _ = article.datasets(computed["mel"], labels)
        next(iter(train))

    with fresh_cache(), emptied:
        started = time.perf_counter()
        extract(clips, root, config=LAPTOP.audio, kind="mel", report=None)
        first = time.perf_counter() - started
        _, times = alternate(
            {
                "mel": lambda: theirs("mel"),
                "mfcc": lambda: theirs("mfcc"),
                "batch": their_batch,
                "article": lambda: from_cold(ARTICLE.audio),
                "laptop": lambda: from_cold(LAPTOP.audio),
                "open": lambda: _first_batch(clips, root),
            },
            sizes.rounds,
            after=emptied.close,
        )
    n = f"{len(clips):,} clips"
    both = times["mel"] + times["mfcc"]
    return [
        at_least(f"mel and MFCC from cold, article settings, {n}", both, times["article"], 6),
        at_least(
            f"mel and MFCC from cold, profile laptop against article, {n}",
            both,
            times["laptop"],
            14,
        ),
        Row(
            what="the same for the first time, when processes are to be started, one round",
            theirs="",
            ours=duration(first),
            found="",
            bound="",
            met=None,
        ),
        _agreement(clips, root, computed),
        at_least(
            f"first batch of features that are there, profile laptop, {n}",
            times["mel"] + times["batch"],
            times["open"],
            100,
        ),
    ]


def _agreement(clips: pd.DataFrame, root: Path, computed: dict[str, np.ndarray]) -> Row:
    with fresh_cache():
        ours = {
            kind: extract(clips[:_CHECKED], root, config=ARTICLE.audio, kind=kind, report=None)[:]
            for kind in article.KINDS
        }
    far = {kind: np.abs(ours[kind] - computed[kind][:_CHECKED]).max() for kind in ours}
    return Row(
        what=f"largest difference from librosa, {len(ours['mel'])} clips",
        theirs="",
        ours="",
        found=", ".join(f"{kind} {value:.1e} dB" for kind, value in far.items()),
        bound="< 1e-3 dB",
        met=all(bool(value < 1e-3) for value in far.values()),  # not so if one is no number
    )


def peak_memory(clips: pd.DataFrame, root: Path, sizes: Sizes) -> list[Row]:
    """Measure the memory of extraction and one epoch of training input, article settings."""
    n = sizes.memory
    try:
        theirs = memory.peak("article", clips[:n], root).size
        rounds = [
            [memory.peak("ours", clips[:size], root).size for size in (n, 2 * n)]
            for _ in range(_MEMORY_ROUNDS)
        ]
    except memory.MemoryUnknown as error:
        return [Row(what=f"peak memory: {error}", theirs="", ours="", found="", bound="", met=None)]
    ours, twice = zip(*rounds, strict=True)
    smaller, larger = statistics.median(ours), statistics.median(twice)
    more = larger / smaller - 1
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
            theirs="",
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

    from sercore.datasets import Standardizer, encode, make_dataset
    from sercore.models import RECIPES

    size = LAPTOP.training.batch_size
    clips = clips[: size * _STEPS]
    labels = encode(clips["emotion"])
    positions = np.arange(len(clips))
    with fresh_cache():
        features = extract(clips, root, config=LAPTOP.audio, kind="mfcc", report=None)
        standardizer = Standardizer().fit(features, positions)
        ours = make_dataset(features, labels, positions, standardizer=standardizer, batch_size=size)
        everything = standardizer.transform(features[positions])[..., np.newaxis]
        theirs = tf.data.Dataset.from_tensor_slices((everything, labels))
        theirs = theirs.batch(size).prefetch(tf.data.AUTOTUNE)
        model = RECIPES["cnn_mfcc"].build((*features.shape[1:], 1), 7)
        model.compile("adam", "sparse_categorical_crossentropy")
        _, times = alternate(
            {
                "theirs": lambda: model.fit(theirs, verbose=0, shuffle=False),
                "ours": lambda: model.fit(ours, verbose=0, shuffle=False),
            },
            sizes.rounds,
        )
    steps = -(-len(clips) // size)
    per_step = {
        name: Times(tuple(seconds / steps for seconds in found.seconds))
        for name, found in times.items()
    }
    ratio = per_step["ours"].median / per_step["theirs"].median
    return [
        Row(
            what=f"a training step, {steps} steps of {size} clips, profile laptop",
            theirs=str(per_step["theirs"]),
            ours=str(per_step["ours"]),
            found=f"{ratio:.3f} ×",
            bound="≤ 1.05 ×",
            met=ratio <= 1.05,
        )
    ]


def _a_model():
    """Return the first model that comes with the course, or one that has learned nothing."""
    from sercore.corpora import EMOTIONS
    from sercore.inference import load_pretrained
    from sercore.modelfile import TrainedModel
    from sercore.models import RECIPES
    from sercore.results import MODELS

    shipped = sorted(path.stem for path in MODELS.glob("*.keras"))
    if shipped:
        return load_pretrained(shipped[0])
    audio = ARTICLE.audio
    return TrainedModel(
        name="cnn_mfcc",
        model=RECIPES["cnn_mfcc"].build((audio.n_mfcc, audio.n_frames, 1), len(EMOTIONS)),
        kind="mfcc",
        audio=audio,
        mean=0.0,
        std=1.0,
        labels=tuple(EMOTIONS),
        settings={},
        facts={},
    )


def prediction(clips: pd.DataFrame, root: Path, sizes: Sizes) -> list[Row]:
    """Time one clip from disk to its probabilities, stage by stage, and a folder of clips."""
    from sercore.features import load_clip, mel_spectrogram, mfcc
    from sercore.inference import predict_files

    trained = _a_model()
    audio, compute = trained.audio, {"mel": mel_spectrogram, "mfcc": mfcc}[trained.kind]
    paths = [root / path for path in clips["path"]]
    stages: dict[str, list[float]] = {"loading": [], trained.kind: [], "model": []}
    whole = []
    for path in (paths[0], *paths[: sizes.single]):
        marks = [time.perf_counter()]
        clip = load_clip(path, config=audio)
        marks.append(time.perf_counter())
        array = compute(clip, config=audio)
        marks.append(time.perf_counter())
        trained(array[np.newaxis])
        marks.append(time.perf_counter())
        for name, seconds in zip(stages, np.diff(marks), strict=True):
            stages[name].append(seconds)
        whole.append(marks[-1] - marks[0])
    single = Times(tuple(whole[1:]))  # the first warms up
    parts = ", ".join(
        f"{name} {duration(Times(tuple(found[1:])).median)}" for name, found in stages.items()
    )

    folder = paths[: sizes.folder]

    def one_by_one() -> None:
        for path in folder:
            x = (article.KINDS[trained.kind](path) - trained.mean) / trained.std
            trained.model.predict(x[np.newaxis, ..., np.newaxis], verbose=0)

    rows = [
        Row(
            what=f"one clip on disk to its probabilities ({trained.name}), {len(whole) - 1} clips",
            theirs="",
            ours=f"{single}: {parts}",
            found=duration(single.median),
            bound="< 60 ms",
            met=single.median < 0.060,
        )
    ]
    if audio == ARTICLE.audio:  # otherwise the article's arrays do not fit the model
        ways = {"theirs": one_by_one, "ours": lambda: predict_files(trained, folder)}
        _, times = alternate(ways, sizes.rounds)
        what = f"a folder of {len(folder):,} clips to probabilities"
        rows.append(at_least(what, times["theirs"], times["ours"], 5))
    return rows


def importing(clips: pd.DataFrame, root: Path, sizes: Sizes) -> list[Row]:
    """Time `import sercore` in a fresh interpreter."""
    script = "from time import perf_counter as t; a = t(); import sercore; print(t() - a)"
    command = [sys.executable, "-c", script]
    found = []
    for _ in range(sizes.rounds + 1):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(float(done.stdout))
    times = Times(tuple(found[1:]))
    return [
        Row(
            what="`import sercore`",
            theirs="",
            ours=str(times),
            found=duration(times.median),
            bound="< 0.5 s",
            met=times.median < 0.5,
        )
    ]


def _growth(clips: pd.DataFrame, root: Path) -> tuple[float, str]:
    try:
        found = memory.peak("ours", clips, root)
    except memory.MemoryUnknown:
        with fresh_cache():
            started = time.perf_counter()
            extract(clips, root, config=ARTICLE.audio, kind="mel", report=None)
            return time.perf_counter() - started, "memory unknown"
    return found.seconds, megabytes(found.size)


def growth(clips: pd.DataFrame, root: Path, sizes: Sizes) -> list[Row]:
    """Measure how our time and memory grow with the number of clips."""
    rows = []
    for n in sizes.growth:
        seconds, held = _growth(clips[:n], root)
        rows.append(
            Row(
                what=f"{n:,} clips from cold, article settings, one round, processes there",
                theirs="",
                ours=f"{duration(seconds)}, {held}",
                found=f"{duration(seconds / n)} a clip",
                bound="",
                met=None,
            )
        )
        with fresh_cache():
            _, times = alternate({"open": lambda n=n: _first_batch(clips[:n], root)}, sizes.rounds)
        rows.append(
            Row(
                what=f"first batch of features that are there, {n:,} clips, profile laptop",
                theirs="",
                ours=str(times["open"]),
                found=duration(times["open"].median),
                bound=f"< {duration(_OPENED_WITHIN)}",
                met=times["open"].median < _OPENED_WITHIN,
            )
        )
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
