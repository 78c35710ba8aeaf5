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
_LOUDEST = 1e6  # a power computed from much more is no longer a finite float32
_MEMORY_FORMAT = 3  # raised whenever the same bytes would give other facts


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Something that a scan came across.

    Attributes
    ----------
    path : str
        From the root, with forward slashes.
    size, mtime_ns : int
        Bytes, and time of the last change; 0 for what is not a clip.
    other : str
        Empty for a clip, else what it is instead.
    problem : str
        Why a file or folder could not be looked at; empty if it could.
    """

    path: str
    size: int = 0
    mtime_ns: int = 0
    other: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Facts:
    """What the bytes of one file hold.

    Attributes
    ----------
    sha256 : str
        Of all bytes, in hexadecimal.
    seconds : float
    sample_rate : int
        Hz.
    peak : float
        Largest absolute sample, of full scale 1.0.
    problem : str
        Why the file is unusable; empty if it is not.
    """

    sha256: str = ""
    seconds: float = 0.0
    sample_rate: int = 0
    peak: float = 0.0
    problem: str = ""


def is_plain(name: str) -> bool:
    """Return whether a file name can be written into a table and onto a screen as it is."""
    return _NOT_PLAIN.search(name) is None


def find_files(root: str | os.PathLike, folder: str) -> Iterator[Entry]:
    """Yield everything below a folder, looking at each file once, in no particular order.

    Hidden files (macOS's `._` files among them), `Thumbs.db`, `desktop.ini` and `corpus.toml` are
    passed over. Symbolic links are not followed, unless `folder` itself is one.

    Parameters
    ----------
    root : path
    folder : str
        A folder's path from `root`.

    Yields
    ------
    Entry
        A clip is a file whose name ends in `.wav`, whatever it holds. A folder that cannot be
        opened is an entry with a problem.
    """
    pending = [folder]
    while pending:
        where = pending.pop()
        try:
            with os.scandir(Path(root, where)) as listing:
                entries = list(listing)
        except OSError as error:
            problem = f"a folder that cannot be opened ({error.strerror})"
            yield Entry(path=where, problem=problem)
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in _CLUTTER:
                continue
            path = f"{where}/{entry.name}"
            if not is_plain(entry.name):
                yield _refuse(path)
            elif entry.is_dir(follow_symlinks=False):
                pending.append(path)
            else:
                yield _look_at(entry, path)


def _refuse(path: str) -> Entry:
    """Write a name that is not plain in a way that is, its odd signs as escapes."""
    shown = path.encode("utf-8", "backslashreplace").decode()
    shown = _NOT_PLAIN.sub(lambda found: f"\\x{ord(found[0]):02x}", shown)
    return Entry(path=shown, other="a name with signs that cannot be written")


def _look_at(entry: os.DirEntry, path: str) -> Entry:
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


def facts_of(root: str | os.PathLike, clips: Sequence[Entry]) -> dict[str, Facts]:
    """Return what the bytes of clips hold, reading only files that are new or have changed.

    What was learned is remembered in the cache for files of unchanged size and time, also if the
    scan is interrupted. All cores are used; on a terminal a bar shows the progress.

    Parameters
    ----------
    root : path
        Folder the paths are relative to.
    clips : sequence of Entry
        From `find_files`.

    Returns
    -------
    dict
        From path to facts.
    """
    root = Path(root)
    memory = cache_dir() / "scans" / f"{digest(str(root.resolve()))}.json"
    known = _recall(memory)
    stamps = {clip.path: (clip.size, clip.mtime_ns) for clip in clips}
    facts = {p: known[p][1] for p, stamp in stamps.items() if p in known and known[p][0] == stamp}
    todo = [path for path in stamps if path not in facts]
    before = len(facts)
    # Hashing and decoding release the interpreter's lock, so threads use every core.
    parallel = Parallel(n_jobs=-1, prefer="threads", return_as="generator")
    found = parallel(delayed(inspect_file)(root / path) for path in todo)
    try:
        # Without `disable=None` the bar would also be drawn into notebooks and log files.
        bar = tqdm(found, total=len(todo), unit=" clips", desc="reading", disable=None, leave=False)
        facts.update(zip(todo, bar, strict=True))
    finally:
        if len(facts) > before or len(known) != len(facts):
            # What could not be opened may be open next time, with the same size and time.
            read = {path: (stamps[path], found) for path, found in facts.items() if found.sha256}
            _remember(memory, read)
    return facts


def _recall(memory: Path) -> dict[str, tuple[tuple[int, int], Facts]]:
    """Read remembered facts; a file that is absent, damaged or of another format is as none."""
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


def _remember(memory: Path, known: dict[str, tuple[tuple[int, int], Facts]]) -> None:
    files = {path: [*stamp, *astuple(facts)] for path, (stamp, facts) in known.items()}
    text = json.dumps({"format": _MEMORY_FORMAT, "files": files}, separators=(",", ":"))
    try:
        write_whole(memory, text)
    except OSError as error:
        raise CacheError(
            f"what was read cannot be remembered in {memory.parent} ({error.strerror}); "
            "make room, or point SER_CACHE elsewhere"
        ) from error


def inspect_file(path: str | os.PathLike) -> Facts:
    """Read one file and say what its bytes hold.

    Parameters
    ----------
    path : path

    Returns
    -------
    Facts
    """
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
    if not samples.size:
        return Facts(sha256, seconds, rate, problem="no samples")
    if not np.isfinite(samples).all():
        return Facts(sha256, seconds, rate, problem="samples that are not finite numbers")
    if missing := _missing_bytes(data):
        problem = f"truncated, {missing} bytes of audio are missing"
        return Facts(sha256, seconds, rate, problem=problem)
    peak = float(np.abs(samples).max())
    if peak > _LOUDEST:
        return Facts(sha256, seconds, rate, problem=f"samples up to {peak:.0e} of full scale")
    return Facts(sha256, seconds, rate, peak)


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
