"""What lies in a folder, and what each file's bytes hold (chapter 2)."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import stat
import struct
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import soundfile
from joblib import Parallel, delayed
from tqdm import tqdm

from sercore.config import CacheError, cache_dir, digest
from sercore.store.files import write_whole

_CLUTTER = {"thumbs.db", "desktop.ini", "corpus.toml"}  # and everything that begins with a dot
# Control characters, and lone surrogates: what bytes that are not UTF-8 become in a name.
_NOT_PLAIN = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_LOUDEST = 1e6  # the power of a much larger sample is not a finite float32 any more
_MEMORY_FORMAT = 3  # raised whenever the same bytes would give other facts


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A clip, with its size in bytes and the time of its last change, or what else was found."""

    path: str
    """From the root, with forward slashes."""
    size: int = 0
    mtime_ns: int = 0
    other: str = ""
    """What it is, if it is not a clip."""
    problem: str = ""
    """Why a file or folder cannot be opened; empty if it can."""


@dataclass(frozen=True)
class Facts:
    """What the bytes of one file hold: the sample rate in Hz, the largest absolute sample."""

    sha256: str = ""
    seconds: float = 0.0
    sample_rate: int = 0
    peak: float = 0.0
    """Of full scale 1.0."""
    problem: str = ""
    """Why the file is unusable; empty if it can be used."""


def is_plain(name: str) -> bool:
    """Return whether a file name can be written into a table and onto a screen as it is."""
    return _NOT_PLAIN.search(name) is None


def find_files(root: str | os.PathLike[str], folder: str) -> Iterator[Entry]:
    """Yield everything below a folder of `root`, in no particular order.

    A clip is a file whose name ends in `.wav`, whatever it holds. Hidden files, `Thumbs.db`,
    `desktop.ini` and `corpus.toml` are passed over. Links are not followed, unless `folder` itself
    is one. A folder that cannot be opened is an entry with a problem.
    """
    pending = [folder]
    while pending:
        where = pending.pop()
        try:
            with os.scandir(Path(root, where)) as listing:
                entries = list(listing)
        except OSError as error:
            yield Entry(path=where, problem=f"a folder that cannot be opened ({error.strerror})")
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in _CLUTTER:
                continue
            path = f"{where}/{entry.name}"
            if is_plain(entry.name) and entry.is_dir(follow_symlinks=False):
                pending.append(path)
            else:
                yield _look_at(entry, path)


def _look_at(entry: os.DirEntry[str], path: str) -> Entry:
    if not is_plain(entry.name):
        shown = path.encode("utf-8", "backslashreplace").decode()
        shown = _NOT_PLAIN.sub(lambda found: f"\\x{ord(found[0]):02x}", shown)
        return Entry(path=shown, other="a name with signs that cannot be written")
    if entry.is_symlink():
        return Entry(path=path, other="a symbolic link, which is not followed")
    if not entry.name.lower().endswith(".wav"):
        return Entry(path=path, other="not a .wav file")
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError as error:
        return Entry(path=path, problem=f"cannot be opened ({error.strerror})")
    if not stat.S_ISREG(status.st_mode):
        return Entry(path=path, other="not a file but a device or a pipe")
    return Entry(path=path, size=status.st_size, mtime_ns=status.st_mtime_ns)


def facts_of(
    root: str | os.PathLike[str], clips: Sequence[Entry], *, fresh: bool = False
) -> dict[str, Facts]:
    """Return what the bytes of clips hold, by their path from `root`.

    What was read is remembered in the cache, also if reading is interrupted, and a file of
    unchanged size and time is not read again. With `fresh`, every file is. All cores are used; on
    a terminal a bar shows the progress.
    """
    root = Path(root)
    memory = cache_dir() / "scans" / f"{digest(str(root.resolve()))}.json"
    stamps = {clip.path: (clip.size, clip.mtime_ns) for clip in clips}
    recalled = _recall(memory)
    known = {p: f for p, (stamp, f) in recalled.items() if stamps.get(p) == stamp}
    todo = [path for path in stamps if fresh or path not in known]
    # Hashing and decoding release the interpreter's lock, so threads use every core.
    parallel = Parallel(n_jobs=-1, prefer="threads", return_as="generator")
    found = parallel(delayed(inspect_file)(root / path) for path in todo)
    read: dict[str, Facts] = {}
    try:
        # Without `disable=None` the bar would also be drawn into notebooks and log files.
        bar = tqdm(found, total=len(todo), unit=" clips", desc="reading", disable=None, leave=False)
        read.update(zip(todo, bar, strict=True))
    finally:
        facts = known | read
        if read or len(recalled) != len(facts):
            # What could not be opened may be open next time, with the same size and time.
            _remember(memory, {p: (stamps[p], f) for p, f in facts.items() if f.sha256})
    return facts


def _recall(memory: Path) -> dict[str, tuple[tuple[int, int], Facts]]:
    """Read remembered facts; a file that is absent, damaged or of another format holds none."""
    try:
        stored = json.loads(memory.read_text(encoding="utf-8"))
        if stored["format"] != _MEMORY_FORMAT:
            return {}
        return {
            path: ((size, mtime_ns), Facts(*facts))
            for path, (size, mtime_ns, *facts) in stored["files"].items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _remember(memory: Path, facts: dict[str, tuple[tuple[int, int], Facts]]) -> None:
    files = {path: [*stamp, *astuple(found)] for path, (stamp, found) in facts.items()}
    text = json.dumps({"format": _MEMORY_FORMAT, "files": files}, separators=(",", ":"))
    try:
        write_whole(memory, text)
    except OSError as error:
        raise CacheError(
            f"what was read cannot be remembered in {memory.parent} ({error.strerror}); "
            "make room, or point SER_CACHE elsewhere"
        ) from error


def inspect_file(path: str | os.PathLike[str]) -> Facts:
    """Read one file and say what its bytes hold."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        return Facts(problem=f"cannot be opened ({error.strerror})")
    sha256 = hashlib.sha256(data).hexdigest()
    if not data:
        return Facts(sha256, problem="an empty file")
    if data.startswith(b"version https://git-lfs"):
        return Facts(sha256, problem="a Git LFS pointer, not audio; fetch the real file")
    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    # A damaged header can ask for any amount of memory.
    except (soundfile.SoundFileError, MemoryError, ValueError):
        return Facts(sha256, problem="not audio that libsndfile can read")
    # Microseconds are finer than any sample, and short enough to be read in a table.
    seconds = round(len(samples) / rate, 6)
    peak = float(np.abs(samples).max(initial=0))
    if not samples.size:
        problem = "no samples"
    elif not np.isfinite(peak):
        problem = "samples that are not finite numbers"
    elif missing := _missing_bytes(data):
        problem = f"truncated, {missing} bytes of audio are missing"
    elif peak > _LOUDEST:
        problem = f"samples up to {peak:.0e} of full scale"
    else:
        return Facts(sha256, seconds, rate, peak)
    return Facts(sha256, seconds, rate, problem=problem)


def _missing_bytes(data: bytes) -> int:
    """Return how many bytes a WAV or AIFF header promises beyond its end (libsndfile reads on)."""
    order = {b"RIFF": "<", b"RF64": "<", b"FORM": ">"}.get(data[:4])
    position, long_length = 12, None
    while order and position + 8 <= len(data):
        chunk, length = struct.unpack_from(f"{order}4sI", data, position)
        position += 8
        if chunk == b"ds64" and position + 16 <= len(data):
            (long_length,) = struct.unpack_from("<Q", data, position + 8)
        if chunk in (b"data", b"SSND"):
            # Recorders that stream leave the length at its maximum, which promises nothing.
            promised = long_length if length == 0xFFFFFFFF else length
            return max(0, position + (promised or 0) - len(data))
        position += length + length % 2
    return 0
