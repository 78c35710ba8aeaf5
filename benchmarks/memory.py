"""Peak anonymous memory, and time, of extraction and training input, in a process of its own.

Anonymous memory is what a process has made itself (`RssAnon`); pages of a mapped file are none,
since the system may drop them whenever it needs the room. The processes that help are counted too.
What all of them hold after their imports is taken off.
"""

from __future__ import annotations

import argparse
import os
import re
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pandas as pd
import psutil

_EVERY = 0.01  # seconds between two looks
_FAMILY_EVERY = 50  # looks; to search for new processes each time would slow down what is timed


class MemoryUnknown(RuntimeError):
    """Anonymous memory cannot be told here."""


def anonymous_bytes(status: str) -> int:
    r"""Read the anonymous memory out of a process's `/proc/.../status`.

    Examples
    --------
    >>> anonymous_bytes("VmRSS: 30 kB\nRssAnon:\t      12 kB\nRssFile: 18 kB")
    12288
    """
    found = re.search(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE)
    return 1_024 * int(found[1]) if found else 0  # none while a process starts or ends


def anonymous_of(processes: Iterable[psutil.Process]) -> int:
    """Return the anonymous memory of processes, in bytes."""
    total = 0
    for each in processes:
        try:
            total += anonymous_bytes(Path(f"/proc/{each.pid}/status").read_text(encoding="ascii"))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
    return total


@dataclass(frozen=True)
class Peak:
    """What a fresh process took.

    Attributes
    ----------
    size : int
        How far its memory rose above what its imports take, in bytes.
    seconds : float
        How long the extraction of features took.
    """

    size: int
    seconds: float


def peak(way: str, clips: pd.DataFrame, root: Path) -> Peak:
    """Measure a fresh process, with all that it starts.

    Parameters
    ----------
    way : {"article", "ours"}
    clips : pandas.DataFrame
        With `path`, `sha256` and `emotion`.
    root : Path
        Folder the paths are relative to.

    Returns
    -------
    Peak

    Raises
    ------
    MemoryUnknown
        Where the system is not Linux.
    """
    if sys.platform != "linux":
        raise MemoryUnknown(f"anonymous memory is read from /proc, which {sys.platform} lacks")
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "clips.csv")
        clips.to_csv(table, index=False)
        command = [sys.executable, "-m", "benchmarks.memory", way, str(table), str(root)]
        environment = os.environ | {"SER_CACHE": folder, "TF_CPP_MIN_LOG_LEVEL": "2"}
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            _expect(child, "ready")
            processes = _family(child.pid)
            highest = start = anonymous_of(processes)
            looks = 0
            child.stdin.write("go\n")
            child.stdin.flush()
            while not select.select([child.stdout], [], [], _EVERY)[0]:
                looks += 1
                if looks % _FAMILY_EVERY == 0:
                    processes = _family(child.pid)
                highest = max(highest, anonymous_of(processes))
            seconds = float(_expect(child, "done"))
    return Peak(highest - start, seconds)


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _expect(child: subprocess.Popen, word: str) -> str:
    """Read a line that begins with `word`, and return the rest."""
    line = child.stdout.readline().strip()
    found, _, rest = line.partition(" ")
    if found != word:
        raise RuntimeError(
            f"the process that was to be measured said {line!r}, not {word!r}; its error is above"
        )
    return rest


def _article(clips: pd.DataFrame, root: Path) -> float:
    from benchmarks import article
    from sercore.datasets import encode

    paths = [root / path for path in clips["path"]]
    started = time.perf_counter()
    array = article.features(paths, "mel")
    seconds = time.perf_counter() - started
    train, _ = article.datasets(array, encode(clips["emotion"]))
    for _ in train:
        pass
    return seconds


def _ours(clips: pd.DataFrame, root: Path) -> float:
    from sercore.config import PROFILES
    from sercore.datasets import encode, make_datasets
    from sercore.features import extract
    from sercore.splits import random_split

    profile = PROFILES["article"]
    started = time.perf_counter()
    features = extract(clips, root, config=profile.audio, kind="mel", report=None)
    seconds = time.perf_counter() - started
    labels = encode(clips["emotion"])
    train, _, _ = make_datasets(features, labels, random_split(clips), training=profile.training)
    for _ in train:
        pass
    return seconds


WAYS = {"article": _article, "ours": _ours}


def _import_everywhere() -> None:
    """Import what both ways need, here and in the processes that extraction will use."""
    from joblib import Parallel, cpu_count, delayed

    for name in ("benchmarks.article", "sercore.datasets", "sercore.features"):
        import_module(name)
    n = cpu_count()
    with Parallel(n_jobs=-1, prefer="processes", batch_size=1, pre_dispatch="all") as parallel:
        parallel(delayed(_import_and_try)() for _ in range(4 * n))


def _import_and_try() -> None:
    """Compute the features of a made-up clip, which imports what is imported at first use."""
    import numpy as np

    from sercore.config import PROFILES
    from sercore.features import mel_spectrogram, mfcc

    audio = PROFILES["article"].audio
    clip = np.zeros(audio.n_samples, dtype=np.float32)
    mel_spectrogram(clip, config=audio), mfcc(clip, config=audio)


def main() -> None:
    """Do one way, and say when it is ready and when it is done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("clips", type=Path)
    parser.add_argument("root", type=Path)
    options = parser.parse_args()
    clips = pd.read_csv(options.clips)
    _import_and_try()
    _import_everywhere()
    print("ready", flush=True)
    input()
    seconds = WAYS[options.way](clips, options.root)
    print("done", seconds, flush=True)


if __name__ == "__main__":
    main()
