"""Measure, and print the table: `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from dataclasses import fields
from functools import partial
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before anything imports TensorFlow

import psutil
from joblib import cpu_count

from benchmarks.measure import table
from benchmarks.rows import PARTS, Sizes
from sercore.config import SercoreError
from sercore.manifest import article_view, build_manifest, without_calm
from sercore.store.files import write_whole
from sercore.workspace import open_workspace

RESULTS = Path(__file__).with_name("results.md")
_VERSIONS = ("numpy", "scipy", "librosa", "soxr", "soundfile", "joblib", "tensorflow", "keras")


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--data", help="folder of the corpora (default: the demo corpora)")
    sizes = {
        "rounds": (1, "rounds after the warm-up"),
        "clips": (20, "clips extracted in each round"),
        "memory": (20, "clips whose memory is measured; ours with twice as many too"),
        "single": (1, "clips predicted one by one"),
        "folder": (1, "clips of a folder that is predicted at once"),
        "growth": (20, "numbers of clips for which time and memory are compared"),
    }
    for name, (least, text) in sizes.items():
        default = getattr(Sizes(), name)
        several = {"nargs": "+", "metavar": "N"} if name == "growth" else {}
        kind = partial(_at_least, least)
        parser.add_argument(f"--{name}", type=kind, default=default, help=text, **several)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    kept = f"where the table is kept (default: {RESULTS.name}, if no part is left out)"
    parser.add_argument("--output", type=Path, help=kept)
    chosen = parser.parse_args(arguments)
    if chosen.output is None and set(chosen.parts) == set(PARTS):
        chosen.output = RESULTS
    if chosen.output and not chosen.output.parent.is_dir():
        parser.error(f"there is no folder {chosen.output.parent} to keep the table in")
    return chosen


def _at_least(least: int, text: str) -> int:
    if int(text) < least:
        raise argparse.ArgumentTypeError(f"{text} is less than {least}")
    return int(text)


def machine() -> str:
    """Say on what the figures were had."""
    name, info = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    name = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), name)
    gigabytes = psutil.virtual_memory().total / 1e9
    versions = ", ".join(f"{package} {version(package)}" for package in _VERSIONS)
    return (
        f"{cpu_count()} cores ({name}), {gigabytes:.0f} GB, {platform.system()}; "
        f"Python {platform.python_version()}, {versions}"
    )


def main() -> None:
    """Measure what the command line asks for, print the table and keep it."""
    chosen = options()
    try:
        workspace = open_workspace(chosen.data)
        clips = without_calm(article_view(build_manifest(workspace.root)))
    except SercoreError as error:
        sys.exit(str(error))
    clips = clips.sample(frac=1, random_state=0).reset_index(drop=True)  # of all corpora
    asked = {each.name: getattr(chosen, each.name) for each in fields(Sizes)}
    sizes = Sizes(**asked).within(len(clips))
    kind = "demo clips, which are synthetic" if workspace.synthetic else "real clips"
    rows = []
    for part in chosen.parts:
        print(f"measuring: {part} ...", flush=True)
        found = PARTS[part](clips, workspace.root, sizes)
        print(table(found), flush=True)  # now, in case a later part fails
        rows += found
    text = (
        "# Benchmark\n\n"
        "Written by `make bench`; each way in turn, median of "
        f"{sizes.rounds} rounds after a warm-up (lowest to highest).\n\n"
        f"{machine()}. {len(clips):,} {kind}.\n\n{table(rows)}\n"
    )
    print(f"\n{text}")
    if chosen.output:
        write_whole(chosen.output, text)
    else:
        print("Not kept, since parts were left out; --output FILE keeps it.")


if __name__ == "__main__":
    main()
