"""One table of all clips: what is there, what is odd about it, and views of it (chapter 2)."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from sercore.config import SercoreError
from sercore.corpora import SKIP, Corpus, LabelError, corpora_in
from sercore.store.scan import Entry, Facts, facts_of, find_files, inspect_file
from sercore.workspace import check_root

_TYPES = dict.fromkeys(("path", "corpus", "speaker", "sex"), "str") | {"age": "Int64"}
_TYPES |= dict.fromkeys(("emotion", "intensity", "sentence"), "str")
_TYPES |= {"seconds": "float64", "sample_rate": "int64", "sha256": "str", "note": "str"}

COLUMNS = tuple(_TYPES)
"""Columns of a manifest. `path` starts at the data folder and has forward slashes, `sample_rate`
is in Hz, and `note` is empty or begins with one of the seven kinds below."""

UNUSABLE, UNKNOWN, COPY, SKIPPED = "unusable", "unknown name", "copy", "skipped"
SILENT, CONFLICT, TWIN = "silent", "same bytes, other label", "twin"

SILENCE_PEAK = 1e-3
"""A clip whose largest sample stays below this (-60 dB of full scale) is silent. The quietest
spoken clip of the four corpora peaks at 6e-3."""


class ManifestError(SercoreError, ValueError):
    """A manifest that cannot be built, read or used as it is."""


def build_manifest(root: str | os.PathLike[str], *, fresh: bool = False) -> pd.DataFrame:
    """Return a table of all files of the corpora in a folder, sorted by path.

    It has the columns `COLUMNS` and is the same on every machine. Files that are no clips and
    folders that cannot be opened are rows with a note. Each clip is decoded once, so that what
    cannot be read is known before anything is computed. What was learned is remembered for files of
    unchanged size and time; with `fresh`, every file is read and hashed again.

    A folder without a corpus is a `NoDataError`, corpora without a sound file are a
    `ManifestError`, and a `corpus.toml` that cannot be used is a `DeclarationError`.
    """
    root = Path(root)
    check_root(root)
    corpora = corpora_in(root)
    found = (entry for folder in corpora for entry in find_files(root, folder))
    entries = sorted(found, key=lambda entry: entry.path)
    clips = [entry for entry in entries if not entry.other and not entry.problem]
    if not clips and not any(entry.problem for entry in entries):
        raise ManifestError(f"the corpora's folders in {root} hold no .wav file; unzip them first")
    facts = facts_of(root, clips, fresh=fresh)
    rows = [_row(entry, facts.get(entry.path, Facts()), corpora) for entry in entries]
    _note_copies(rows)
    _note_same_bytes(rows)
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(_TYPES)


def inspect(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read one sound file and say what its bytes hold.

    The keys are `sha256`, `seconds`, `sample_rate` in Hz, `peak` (the largest absolute sample, of
    full scale 1.0), and `problem`, which is empty or says why the file is unusable.
    """
    return asdict(inspect_file(path))


def _row(entry: Entry, facts: Facts, corpora: dict[str, Corpus]) -> dict[str, Any]:
    """Combine what the file name says with what the bytes say."""
    corpus = corpora[entry.path.split("/", 1)[0]]
    row: dict[str, Any] = dict.fromkeys(COLUMNS, "")
    row |= {"path": entry.path, "corpus": corpus.name, "age": None}
    row |= {"seconds": facts.seconds, "sample_rate": facts.sample_rate, "sha256": facts.sha256}
    if entry.other:
        return row | {"note": f"{UNKNOWN}: {entry.other}"}
    if entry.problem:
        return row | {"note": f"{UNUSABLE}: {entry.problem}"}
    try:
        row |= vars(corpus.parse(entry.path))
    except LabelError as error:
        return row | {"note": f"{UNKNOWN}: {error}"}
    if facts.problem:
        row["note"] = f"{UNUSABLE}: {facts.problem}"
    elif row["emotion"] == SKIP:
        row["note"] = f"{SKIPPED}: its label was declared as {SKIP!r}"
    elif facts.peak < SILENCE_PEAK:
        row["note"] = SILENT
    if row["emotion"] == SKIP:
        row["emotion"] = ""
    return row


def _note_copies(rows: list[dict[str, Any]]) -> None:
    """Note second copies of a clip: same corpus, name, label and bytes. The shortest path stays."""
    first: dict[tuple[str, ...], str] = {}
    for row in sorted(rows, key=lambda row: (row["path"].count("/"), row["path"])):
        if row["note"].startswith((UNUSABLE, UNKNOWN)):
            continue
        clip = (row["corpus"], row["name"], row["emotion"], row["sha256"])
        kept = first.setdefault(clip, row["path"])
        if kept != row["path"]:
            row["note"] = f"{COPY} of {kept}"


def _note_same_bytes(rows: list[dict[str, Any]]) -> None:
    """Note different clips with the same bytes: under another label, or as a twin."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["note"] == "":
            groups.setdefault(row["sha256"], []).append(row)
    for first, *rest in groups.values():
        same_label = all(row["emotion"] == first["emotion"] for row in rest)
        for row in rest:
            kind = f"{TWIN} of" if same_label else f"{CONFLICT}:"
            row["note"] = f"{kind} {first['path']}"
        if not same_label:
            first["note"] = f"{CONFLICT}: {rest[0]['path']}"


def article_view(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the clips as the article counts them: each once, odd ones included (12,162 in all).

    Second copies, unusable files and unknown names are out; silent clips, twins and clips with
    the same bytes under two labels are in. Without any clip left, here and in `clean_view`, it is
    a `ManifestError`.
    """
    return _view(manifest, ~manifest["note"].str.startswith((UNUSABLE, UNKNOWN, COPY, SKIPPED)))


def clean_view(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return only the clips without any note (12,154 in all): what one would train on today."""
    return _view(manifest, manifest["note"] == "")


def without_calm(clips: pd.DataFrame) -> pd.DataFrame:
    """Return the clips that carry one of the seven emotions, as the article does (11,970)."""
    return clips[clips["emotion"] != "calm"].reset_index(drop=True)


def _view(manifest: pd.DataFrame, keep: pd.Series) -> pd.DataFrame:
    """Return some clips; if there were none, a chapter would end in an error of pandas."""
    if not keep.any():
        reasons = manifest["note"].str.split(":").str[0].value_counts()
        found = ", ".join(f"{reason} ({n})" for reason, n in reasons.items())
        raise ManifestError(
            f"none of the {len(manifest)} sound files can be used{': ' * bool(found)}{found}; "
            "`python -m sercore check DIR --all` names them, chapter 1 shows how to get them anew"
        )
    return manifest[keep].reset_index(drop=True)


def manifest_digest(clips: pd.DataFrame) -> str:
    """Return a hash of which clips these are: path, bytes and emotion of each, in order."""
    text = clips[["path", "sha256", "emotion"]].to_csv(index=False, lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()
