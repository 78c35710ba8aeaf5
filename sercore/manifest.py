"""From a folder of clips to one checked table (chapter 2).

Nothing is dropped silently: every audio file found is a row, and its `note` says why it is out of
a view of the table, or what is odd about it. Views are taken with `article_view` and `clean_view`.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from joblib import Parallel, delayed

from sercore.config import cache_dir, digest
from sercore.corpora import CORPORA, LabelError
from sercore.workspace import check_root

COLUMNS = (
    "path",
    "corpus",
    "speaker",
    "sex",
    "age",
    "emotion",
    "intensity",
    "sentence",
    "seconds",
    "sample_rate",
    "sha256",
    "note",
)

UNUSABLE, UNKNOWN, COPY = "unusable", "unknown name", "copy"
SILENT, CONFLICT, TWIN = "silent", "same bytes, other label", "twin"
_OUT_OF_EVERY_VIEW = (UNUSABLE, UNKNOWN, COPY)

SILENCE_PEAK = 1e-3
"""A clip whose largest sample stays below this (-60 dB of full scale) is silent. The quietest real
utterance of the four corpora peaks at 6e-3."""


class ManifestError(ValueError):
    """A manifest that cannot be built or used as it is."""


def build_manifest(root: str | os.PathLike) -> pd.DataFrame:
    """Scan a folder of corpora into one table, a row for each audio file, sorted by path.

    Each clip is decoded once, so that what cannot be read is known before anything is computed;
    what was learned is remembered in the cache for files of unchanged size and time.

    Parameters
    ----------
    root : path
        Folder that holds `cremad`, `ravdess`, `tess`, `savee`, or some of them.

    Returns
    -------
    pandas.DataFrame
        Columns `COLUMNS`. `path` is relative to `root`, with forward slashes; `seconds` is the
        duration; `note` is empty or begins with one of `unusable`, `unknown name`, `copy`,
        `silent`, `same bytes, other label`, `twin`.

    Raises
    ------
    NoDataError
        If `root` holds none of the corpora.
    ManifestError
        If the corpora's folders hold no audio at all.
    """
    root = Path(root)
    check_root(root)
    paths = [path for name in CORPORA for path in _audio_files(root / name)]
    if not paths:
        raise ManifestError(f"the corpora's folders in {root} hold no .wav file; unzip them first")
    relative = sorted(path.relative_to(root).as_posix() for path in paths)
    facts = _inspect_all(root, relative)
    rows = [_row(path, facts[path]) for path in relative]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table["age"] = table["age"].astype("Int64")
    _note_copies(table)
    _note_same_bytes(table)
    return table


def _audio_files(folder: Path) -> Iterator[Path]:
    """Yield the .wav files below a folder; links are not followed, macOS's `._` files skipped."""
    for directory, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(directory, name)
            is_clip = name.lower().endswith(".wav") and not name.startswith(".")
            if is_clip and not path.is_symlink():
                yield path


def _row(path: str, facts: dict) -> dict:
    """Combine what the file name says with what the bytes say."""
    corpus = CORPORA[path.split("/", 1)[0]]
    row = dict.fromkeys(COLUMNS, "") | {"path": path, "corpus": corpus.name, "age": None}
    row |= {name: facts[name] for name in ("seconds", "sample_rate", "sha256")}
    try:
        row |= asdict(corpus.parse(path))
    except LabelError as error:
        return row | {"note": f"{UNKNOWN}: {error}"}
    if facts["problem"]:
        row["note"] = f"{UNUSABLE}: {facts['problem']}"
    elif facts["peak"] < SILENCE_PEAK:
        row["note"] = SILENT
    return row


# --- what the bytes say ---------------------------------------------------------------------------

_FACTS = {
    "path": str,
    "size": np.int64,
    "mtime_ns": np.int64,
    "sha256": str,
    "seconds": np.float64,
    "sample_rate": np.int64,
    "peak": np.float64,
    "problem": str,
}


def _inspect_all(root: Path, relative: list[str]) -> dict[str, dict]:
    """Return what is known of each file, inspecting those that are new or changed."""
    store = cache_dir() / "scans" / f"{digest(str(root.resolve()))}.csv"
    known = _read_facts(store)
    stats = {path: (root / path).stat() for path in relative}
    fresh = {
        row.path
        for row in known.itertuples()
        if row.path in stats
        and (row.size, row.mtime_ns) == (stats[row.path].st_size, stats[row.path].st_mtime_ns)
    }
    todo = [path for path in relative if path not in fresh]
    # Hashing and decoding release the interpreter's lock, so threads use every core.
    found = Parallel(n_jobs=-1, prefer="threads")(delayed(inspect)(root / path) for path in todo)
    new = [
        {"path": path, "size": stats[path].st_size, "mtime_ns": stats[path].st_mtime_ns} | facts
        for path, facts in zip(todo, found, strict=True)
    ]
    table = pd.concat(
        [known[known["path"].isin(fresh)], pd.DataFrame(new, columns=list(_FACTS)).astype(_FACTS)]
    ).sort_values("path", ignore_index=True)
    if new or len(known) != len(table):
        _write_atomically(store, table.to_csv(index=False))
    return table.set_index("path").to_dict(orient="index")


def _read_facts(store: Path) -> pd.DataFrame:
    """Read remembered facts; a file that is absent or damaged is as good as none."""
    empty = pd.DataFrame(columns=list(_FACTS)).astype(_FACTS)
    if not store.exists():
        return empty
    try:
        table = pd.read_csv(store, dtype=_FACTS, keep_default_na=False)
    except ValueError:  # also what pandas raises for text that is no table
        return empty
    return table if list(table.columns) == list(_FACTS) else empty


def _write_atomically(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def inspect(path: str | os.PathLike) -> dict[str, object]:
    """Read one file and say what its bytes hold.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict
        `sha256`; `seconds`; `sample_rate` in Hz; `peak`, the largest absolute sample of full scale
        1.0; and `problem`, empty or the reason why the file is unusable.
    """
    facts = {"sha256": "", "seconds": 0.0, "sample_rate": 0, "peak": 0.0, "problem": ""}
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        return facts | {"problem": f"cannot be opened ({error.strerror})"}
    facts["sha256"] = hashlib.sha256(data).hexdigest()
    if not data:
        return facts | {"problem": "an empty file"}
    if data.startswith(b"version https://git-lfs"):
        return facts | {"problem": "a Git LFS pointer, not audio; fetch the real file"}
    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError:
        return facts | {"problem": "not audio that libsndfile can read"}
    facts |= {"seconds": len(samples) / rate, "sample_rate": rate}
    if not samples.size:
        return facts | {"problem": "no samples"}
    if not np.isfinite(samples).all():
        return facts | {"problem": "samples that are not finite numbers"}
    missing = _missing_bytes(data)
    if missing:
        return facts | {"problem": f"truncated, {missing} bytes of audio are missing"}
    return facts | {"peak": float(np.abs(samples).max())}


def _missing_bytes(data: bytes) -> int:
    """Return how many bytes a RIFF file's header promises beyond its end (libsndfile reads on)."""
    position = 12 if data[:4] == b"RIFF" else len(data)
    while position + 8 <= len(data):
        chunk, length = struct.unpack_from("<4sI", data, position)
        position += 8
        # Recorders that stream leave the length at its maximum, which promises nothing.
        if chunk == b"data" and length != 0xFFFFFFFF:
            return max(0, position + length - len(data))
        position += length + length % 2
    return 0


# --- what only the whole table says ---------------------------------------------------------------


def _note_copies(table: pd.DataFrame) -> None:
    """Mark second copies (same corpus, file name and bytes): the shallowest path stays."""
    order = pd.DataFrame({"depth": table["path"].str.count("/"), "path": table["path"]})
    ranked = table.loc[order.sort_values(["depth", "path"]).index]
    ranked = ranked[~_begins_with(ranked["note"], (UNUSABLE, UNKNOWN))]
    keys = [ranked["corpus"], ranked["path"].str.rsplit("/", n=1).str[-1], ranked["sha256"]]
    first = ranked["path"].groupby(keys).transform("first")
    copies = ranked.index[first != ranked["path"]]
    table.loc[copies, "note"] = f"{COPY} of " + first.loc[copies]


def _note_same_bytes(table: pd.DataFrame) -> None:
    """Mark clips whose bytes occur under another name: under another label, or as a twin."""
    for _, group in table[table["note"] == ""].groupby("sha256", sort=False):
        if len(group) == 1:
            continue
        first = group["path"].iloc[0]
        if group["emotion"].nunique() > 1:
            for index in group.index:
                other = group["path"].drop(index).iloc[0]
                table.loc[index, "note"] = f"{CONFLICT}: {other}"
        else:
            table.loc[group.index[1:], "note"] = f"{TWIN} of {first}"


def _begins_with(notes: pd.Series, kinds: tuple[str, ...]) -> pd.Series:
    return notes.str.startswith(kinds)


# --- views and checks -----------------------------------------------------------------------------


def article_view(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the clips as the article counts them: each once, odd ones included (12,162 in all).

    Second copies, unusable files and unknown names are out; silent clips, twins and clips with
    the same bytes under two labels are in.
    """
    return _view(manifest, ~_begins_with(manifest["note"], _OUT_OF_EVERY_VIEW))


def clean_view(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return only the clips without any note (12,154 in all): what one would train on today."""
    return _view(manifest, manifest["note"] == "")


def without_calm(clips: pd.DataFrame) -> pd.DataFrame:
    """Return the clips that carry one of the seven emotions, as the article does (11,970)."""
    return _view(clips, clips["emotion"] != "calm")


def _view(table: pd.DataFrame, keep: pd.Series) -> pd.DataFrame:
    return table[keep].reset_index(drop=True)


def check_manifest(manifest: pd.DataFrame) -> pd.DataFrame:
    """Count what was found in each corpus.

    Parameters
    ----------
    manifest : pandas.DataFrame
        As `build_manifest` returns it.

    Returns
    -------
    pandas.DataFrame
        A row per corpus present: `complete` (clips of a complete corpus), `found` (clips of the
        article's view), `missing`, then how many files carry each kind of note.
    """
    rows = {}
    for name, group in manifest.groupby("corpus", sort=False):
        complete, found = CORPORA[name].clips, len(article_view(group))
        rows[name] = {"complete": complete, "found": found, "missing": max(0, complete - found)}
        for kind in (COPY, UNKNOWN, UNUSABLE, SILENT, CONFLICT, TWIN):
            rows[name][kind] = int(group["note"].str.startswith(kind).sum())
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("corpus")


def manifest_digest(clips: pd.DataFrame) -> str:
    """Return a hash of which clips these are: path, content and label of each, in order."""
    text = clips[["path", "sha256", "emotion"]].to_csv(index=False, lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()
