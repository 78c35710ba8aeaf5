"""Measure, and print the table: `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before anything imports TensorFlow

from joblib import cpu_count

from benchmarks.measure import table
from benchmarks.rows import PARTS, Sizes
from sercore.manifest import ManifestError, article_view, build_manifest, without_calm
from sercore.workspace import NoDataError, open_workspace

RESULTS = Path(__file__).with_name("results.md")
_VERSIONS = ("numpy", "scipy", "librosa", "soxr", "soundfile", "joblib", "tensorflow", "keras")


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--data", help="folder of the corpora (default: the demo corpora)")
    some, many = _at_least(1), _at_least(20)  # many are split 80:20
    parser.add_argument("--rounds", type=some, default=5, help="rounds after the warm-up")
    parser.add_argument("--clips", type=many, default=1_100, help="clips extracted in each round")
    parser.add_argument("--memory", type=many, default=2_000, help="clips whose memory is measured")
    parser.add_argument("--single", type=some, default=100, help="clips predicted one by one")
    parser.add_argument("--folder", type=some, default=60, help="clips of a predicted folder")
    parser.add_argument(
        "--growth",
        type=many,
        nargs="+",
        default=[1_000, 12_000],
        metavar="N",
        help="numbers of clips for which time and memory are compared",
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument(
        "--output",
        type=Path,
        help=f"where the table is kept (default: {RESULTS.name}, if no part is left out)",
    )
    chosen = parser.parse_args(arguments)
    if chosen.output is None and set(chosen.parts) == set(PARTS):
        chosen.output = RESULTS
    if chosen.output and not chosen.output.parent.is_dir():
        parser.error(f"there is no folder {chosen.output.parent} to keep the table in")
    return chosen


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return int(text)

    return number


def machine() -> str:
    """Say on what the figures were had."""
    name = platform.processor() or platform.machine()
    gigabytes = ""
    if platform.system() == "Linux":
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), name)
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        gigabytes = f", {size / 1e9:.0f} GB"
    versions = ", ".join(f"{package} {version(package)}" for package in _VERSIONS)
    return (
        f"{cpu_count()} cores ({name}){gigabytes}, {platform.system()}; "
        f"Python {platform.python_version()}, {versions}"
    )


def main() -> None:
    """Measure what the command line asks for, print the table and keep it."""
    chosen = options()
    try:
        workspace = open_workspace(chosen.data)
        clips = without_calm(article_view(build_manifest(workspace.root)))
    except (NoDataError, ManifestError) as error:
        sys.exit(str(error))
    clips = clips.sample(frac=1, random_state=0).reset_index(drop=True)  # of all corpora
    sizes = Sizes(
        rounds=chosen.rounds,
        clips=chosen.clips,
        memory=chosen.memory,
        single=chosen.single,
        folder=chosen.folder,
        growth=tuple(chosen.growth),
    ).within(len(clips))
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
        chosen.output.write_text(text, encoding="utf-8")
    else:
        print("Not kept, since parts were left out; --output FILE keeps it.")


if __name__ == "__main__":
    main()
