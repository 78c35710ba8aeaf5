"""Measure what each model costs, for chapter 11's picture: `python -m benchmarks.cost --data DIR`.

CPU minutes (user and system): features of all clips, scaled up from one clip in a hundred, and one
training on the random split that chooses nothing on test clips. A network's training is scaled up
from one or two epochs to those of its published run. The table goes to `figures/cost.csv`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before anything imports TensorFlow

import pandas as pd
import psutil

from sercore.config import PROFILES
from sercore.encoder import encoder_file
from sercore.features import extract
from sercore.manifest import article_view, build_manifest, without_calm
from sercore.models import RECIPES
from sercore.results import COST, FIGURES, read_results
from sercore.splits import honest_split
from sercore.store.files import write_whole
from sercore.training import train

_SHARE = 100  # one clip in so many
_EPOCHS = {"laptop": 2, "article": 1}


def cpu_minutes() -> float:
    """Return the CPU time of this process and of its children that have ended."""
    return sum(psutil.Process().cpu_times()[:4]) / 60


def cost(
    clips: pd.DataFrame, root: Path, model: str, profile: str, epochs: int
) -> dict[str, object]:
    """Return a row of the table."""
    recipe, settings = RECIPES[model], PROFILES[profile]
    audio = recipe.audio or settings.audio
    arguments = {"root": root, "config": audio, "report": None}
    features = [extract(clips, kind=kind, **arguments) for kind in recipe.kinds]  # kept ones
    row: dict[str, object] = {"model": model, "profile": profile, "epochs": epochs}
    some, first = clips.iloc[::_SHARE], clips.iloc[1:2]  # the first compiles what is compiled
    with fresh_cache():
        for kind in recipe.kinds:
            extract(first, kind=kind, **arguments)
        before = cpu_minutes()
        for kind in recipe.kinds:
            extract(some, kind=kind, **arguments)
        row["features"] = (cpu_minutes() - before) * len(clips) / len(some)
        training = replace(settings.training, max_epochs=_EPOCHS[profile])
        split = honest_split(clips)
        before = cpu_minutes()
        told = {"clips": clips, "split": split, "audio": audio, "training": training}
        train(recipe, features=features, **told, report=None)
        scale = 1 if recipe.learn else epochs / _EPOCHS[profile]
        row["training"] = (cpu_minutes() - before) * scale
    return row


@contextmanager
def fresh_cache() -> Iterator[None]:
    """Compute everything anew: a cache that holds no more than the encoder's weights."""
    weights, before = encoder_file(), os.environ.get("SER_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        if weights.exists():
            shutil.copy(weights, folder)
        os.environ["SER_CACHE"] = folder
        try:
            yield
        finally:
            os.environ.pop("SER_CACHE")
            if before:
                os.environ["SER_CACHE"] = before


def main() -> None:
    """Measure every model that has a run by the random split, and the article's way."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the corpora")
    root = parser.parse_args().data.resolve()
    clips = without_calm(article_view(build_manifest(root)))
    runs = read_results().query("profile == 'laptop' and seed == 0")
    runs = pd.concat([runs, read_results(FIGURES / "article" / "replay")])  # the article's way
    todo = runs[["model", "profile", "epochs"]].to_numpy().tolist()
    todo += [[name, "laptop", 1] for name, recipe in RECIPES.items() if recipe.learn]
    rows = []
    for model, profile, epochs in todo:
        rows.append(cost(clips, root, model, profile, int(epochs)))
        print(rows[-1], flush=True)
    table = pd.DataFrame(rows).round({"features": 2, "training": 2})
    write_whole(COST, table.to_csv(index=False, lineterminator="\n"))


if __name__ == "__main__":
    main()
