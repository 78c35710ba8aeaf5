"""Peak anonymous memory, and time, of extraction and training input, in a process of its own.

Anonymous memory is what a process has made itself. Pages of a mapped file are not part of it, since
the system may drop them whenever it needs the room. The processes that help are counted too. What
all of them hold after their imports is taken off.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from itertools import count
from pathlib import Path

import pandas as pd
import psutil

_EVERY = 0.01  # seconds between two looks
_FAMILY_EVERY = 50  # looks; to search for new processes each time would slow down what is timed


class MemoryUnknown(RuntimeError):
    """Anonymous memory cannot be told here."""


def anonymous_of(processes: Iterable[psutil.Process]) -> int:
    """Return the anonymous memory of processes, in bytes."""
    total = 0
    for each in processes:
        with suppress(psutil.NoSuchProcess):  # it has just ended
            memory = each.memory_info()
            total += memory.rss - memory.shared
    return total


def peak(way: str, clips: pd.DataFrame, root: Path) -> tuple[int, float]:
    """Measure one of `WAYS` in a fresh process, with all processes that it starts.

    Returns how many bytes its memory rose above what its imports take, and how many seconds the
    extraction of features took. Where the system is not Linux, this is a `MemoryUnknown`.
    """
    if sys.platform != "linux":
        raise MemoryUnknown(f"{sys.platform} does not tell anonymous memory")
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
            child.stdin.write("go\n")
            child.stdin.flush()
            for look in count(1):
                if select.select([child.stdout], [], [], _EVERY)[0]:
                    break
                if look % _FAMILY_EVERY == 0:
                    processes = _family(child.pid)
                highest = max(highest, anonymous_of(processes))
            seconds = float(_expect(child, "done"))
    return highest - start, seconds


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _expect(child: subprocess.Popen, word: str) -> str:
    """Read a line that begins with `word`, and return the rest."""
    found, _, rest = child.stdout.readline().strip().partition(" ")
    if found != word:
        raise RuntimeError(f"the process said {found!r}, not {word!r}; its error is above")
    return rest


# --- in the process that is measured --------------------------------------------------------------


def _article(clips: pd.DataFrame, root: Path) -> tuple[Iterable, float]:
    from benchmarks import article
    from sercore.datasets import encode

    started = time.perf_counter()
    array = article.features([root / path for path in clips["path"]], "mel")
    seconds = time.perf_counter() - started
    return article.datasets(array, encode(clips["emotion"]))[0], seconds


def _ours(clips: pd.DataFrame, root: Path) -> tuple[Iterable, float]:
    from sercore.config import PROFILES
    from sercore.datasets import encode, make_datasets
    from sercore.features import extract
    from sercore.splits import random_split

    profile = PROFILES["article"]
    started = time.perf_counter()
    features = extract(clips, root, config=profile.audio, kind="mel", report=None)
    seconds = time.perf_counter() - started
    labels, split = encode(clips["emotion"]), random_split(clips)
    return make_datasets(features, labels, split, training=profile.training)[0], seconds


WAYS = {"article": _article, "ours": _ours}


def _import_and_try() -> None:
    """Compute the features of a made-up clip, which imports what is imported at first use."""
    import numpy as np

    from sercore.config import PROFILES
    from sercore.features import compute, mel_spectrogram

    audio = PROFILES["article"].audio
    clip = np.zeros(audio.n_samples, dtype=np.float32)
    mel_spectrogram(clip, config=audio), compute(clip, kind="mfcc", config=audio)


def main(way: str, table: str, root: str) -> None:
    """Do one way, and say when it is ready and when it is done."""
    from joblib import Parallel, cpu_count, delayed

    clips = pd.read_csv(table)
    # Everything that both ways need, here and in the processes that extraction will use.
    _import_and_try()
    for name in ("benchmarks.article", "sercore.datasets"):
        import_module(name)
    with Parallel(n_jobs=-1, prefer="processes", batch_size=1, pre_dispatch="all") as parallel:
        parallel(delayed(_import_and_try)() for _ in range(4 * cpu_count()))
    print("ready", flush=True)
    input()
    batches, seconds = WAYS[way](clips, Path(root))
    for _ in batches:
        pass
    print("done", seconds, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
