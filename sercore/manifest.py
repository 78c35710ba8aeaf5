"""One table of all clips: what is there, what is odd about it, and named views (chapter 2)."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from sercore.collection.checksums import published
from sercore.corpora import CORPORA, SKIP, Corpus, LabelError, corpora_in
from sercore.store.files import write_whole
from sercore.store.scan import Entry, Facts, facts_of, find_files, inspect_file
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
_DTYPES = dict.fromkeys(COLUMNS, "str") | {
    "age": "Int64",
    "seconds": "float64",
    "sample_rate": "int64",
}

UNUSABLE, UNKNOWN, COPY, SKIPPED = "unusable", "unknown name", "copy", "skipped"
SILENT, CONFLICT, TWIN = "silent", "same bytes, other label", "twin"
_OUT_OF_EVERY_VIEW = (UNUSABLE, UNKNOWN, COPY, SKIPPED)

SILENCE_PEAK = 1e-3
"""A clip whose largest sample stays below this (-60 dB of full scale) is silent. The quietest real
utterance of the four corpora peaks at 6e-3."""

STATUSES = ("found", "missing", "changed", "unknown", "duplicate", "unusable", "skipped")
"""What `check_files` says of a file or a clip."""


class ManifestError(ValueError):
    """A manifest that cannot be built, read or used as it is."""


def build_manifest(root: str | os.PathLike) -> pd.DataFrame:
    """Scan a folder of corpora into one table, a row for each file, sorted by path.

    Each clip is decoded once, so that what cannot be read is known before anything is computed;
    what was learned is remembered in the cache for files of unchanged size and time.

    Parameters
    ----------
    root : path
        Folder that holds `cremad`, `ravdess`, `tess`, `savee`, or some of them, or corpora of your
        own (`own.corpora_in`).

    Returns
    -------
    pandas.DataFrame
        Columns `COLUMNS`, the same on every machine. `path` is relative to `root`, with forward
        slashes; `seconds` is the duration, rounded to microseconds; `note` is empty or begins with
        one of `unusable`, `unknown name`, `copy`, `skipped`, `silent`, `same bytes, other label`,
        `twin`. Files that are no clips, and folders that cannot be opened, are rows with a note.

    Raises
    ------
    NoDataError
        If `root` holds none of the corpora.
    ManifestError
        If the corpora's folders hold no audio at all.
    DeclarationError
        If a `corpus.toml` cannot be used.
    """
    root = Path(root)
    check_root(root)
    corpora = corpora_in(root)
    entries = sorted(
        (entry for folder in corpora for entry in find_files(root, folder)),
        key=lambda entry: entry.path,
    )
    clips = [entry for entry in entries if not entry.other and not entry.problem]
    if not clips and not any(entry.problem for entry in entries):
        raise ManifestError(f"the corpora's folders in {root} hold no .wav file; unzip them first")
    facts = facts_of(root, clips)
    rows = [
        _row(entry, facts.get(entry.path, Facts()), corpora[entry.path.split("/", 1)[0]])
        for entry in entries
    ]
    _note_copies(rows)
    _note_same_bytes(rows)
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(_DTYPES)


def _row(entry: Entry, facts: Facts, corpus: Corpus) -> dict[str, object]:
    """Combine what the file name says with what the bytes say."""
    row = dict.fromkeys(COLUMNS, "") | {"path": entry.path, "corpus": corpus.name, "age": None}
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
    return asdict(inspect_file(path))


# --- what only the whole table says ---------------------------------------------------------------


def _note_copies(rows: list[dict]) -> None:
    """Mark second copies (same corpus, clip's name and bytes): the shallowest path stays."""
    first: dict[tuple, str] = {}
    for row in sorted(rows, key=lambda row: (row["path"].count("/"), row["path"])):
        if row["note"].startswith((UNUSABLE, UNKNOWN)):
            continue
        kept = first.setdefault((row["corpus"], row["name"], row["sha256"]), row["path"])
        if kept != row["path"]:
            row["note"] = f"{COPY} of {kept}"


def _note_same_bytes(rows: list[dict]) -> None:
    """Mark clips whose bytes occur under another name: under another label, or as a twin."""
    groups: dict[str, list[dict]] = {}
    for row in rows:
        if row["note"] == "":
            groups.setdefault(row["sha256"], []).append(row)
    for group in groups.values():
        first, *rest = group
        if all(row["emotion"] == first["emotion"] for row in rest):
            for row in rest:
                row["note"] = f"{TWIN} of {first['path']}"
        else:
            for row in group:
                other = rest[0] if row is first else first
                row["note"] = f"{CONFLICT}: {other['path']}"


def _begins_with(notes: pd.Series, kinds: tuple[str, ...]) -> pd.Series:
    return notes.str.startswith(kinds)


# --- views and checks -----------------------------------------------------------------------------


def article_view(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the clips as the article counts them: each once, odd ones included (12,162 in all).

    Second copies, unusable files and unknown names are out; silent clips, twins and clips with
    the same bytes under two labels are in. `ManifestError` if no clip is left.
    """
    return _some(_view(manifest, ~_begins_with(manifest["note"], _OUT_OF_EVERY_VIEW)), manifest)


def clean_view(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return only the clips without any note (12,154 in all): what one would train on today.

    `ManifestError` if no clip is left.
    """
    return _some(_view(manifest, manifest["note"] == ""), manifest)


def without_calm(clips: pd.DataFrame) -> pd.DataFrame:
    """Return the clips that carry one of the seven emotions, as the article does (11,970)."""
    return _view(clips, clips["emotion"] != "calm")


def _some(view: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """Return a view that has clips; a chapter without any would end in an error of its own."""
    if view.empty:
        reasons = manifest["note"].str.split(":").str[0].value_counts()
        found = ", ".join(f"{reason} ({n})" for reason, n in reasons.items())
        raise ManifestError(
            f"none of the {len(manifest)} sound files can be used{': ' * bool(found)}{found}; "
            "`python -m sercore check DIR --all` names them, chapter 1 shows how to get them anew"
        )
    return view


def _view(table: pd.DataFrame, keep: pd.Series) -> pd.DataFrame:
    return table[keep].reset_index(drop=True)


def manifest_text(manifest: pd.DataFrame) -> str:
    """Return a manifest as CSV, the same text on every machine.

    Parameters
    ----------
    manifest : pandas.DataFrame

    Returns
    -------
    str
        Lines end with a newline alone.
    """
    return manifest.to_csv(index=False, lineterminator="\n")


def save_manifest(manifest: pd.DataFrame, path: str | os.PathLike) -> Path:
    """Save a manifest as CSV in UTF-8, whole or not at all.

    Parameters
    ----------
    manifest : pandas.DataFrame
        As `build_manifest` returns it, or a view of it.
    path : path
        File to write; one that is there is replaced.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    ManifestError
        If a column is missing, or the file cannot be written.
    """
    _check_columns(manifest.columns, "this table")
    try:
        write_whole(Path(path), manifest_text(manifest))
    except OSError as error:
        raise ManifestError(f"{path} cannot be written ({error.strerror})") from error
    return Path(path)


def read_manifest(path: str | os.PathLike) -> pd.DataFrame:
    """Read what `save_manifest` wrote, with the same values and types.

    Parameters
    ----------
    path : path

    Returns
    -------
    pandas.DataFrame
        Columns `COLUMNS`.

    Raises
    ------
    ManifestError
        If the file cannot be read, or is not a manifest.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8")
        table = pd.read_csv(
            io.StringIO(text, newline=""),
            # pandas' own way of reading decimals may differ from Python's in the last digit.
            dtype=_DTYPES | {"seconds": "str"},
            keep_default_na=False,
            na_values={"age": [""]},
        )
        _check_columns(table.columns, str(path))
        return table.astype({"seconds": "float64"})
    except OSError as error:
        raise ManifestError(f"{path} cannot be opened ({error.strerror})") from error
    except ManifestError:
        raise
    except ValueError as error:  # also what pandas raises for text that is no table
        raise ManifestError(f"{path} is not a manifest: {error}") from error


def _check_columns(columns: Iterable[str], what: str) -> None:
    if list(columns) != list(COLUMNS):
        raise ManifestError(
            f"{what} is not a manifest: its columns are {', '.join(columns)}, "
            f"not {', '.join(COLUMNS)}"
        )


# --- against what was published -------------------------------------------------------------------


def check_files(manifest: pd.DataFrame, *, synthetic: bool = False) -> pd.DataFrame:
    """Say of each file whether it is what was published, and which published clips are missing.

    Parameters
    ----------
    manifest : pandas.DataFrame
        As `build_manifest` returns it.
    synthetic : bool
        Whether the folder holds the demo corpora (`Workspace.synthetic`), whose clips have the
        names of published ones but not their sound.

    Returns
    -------
    pandas.DataFrame
        `corpus`, `status` (one of `STATUSES`), `path` and `detail`, sorted by path in each corpus.
        `unknown` is a file that is no clip of the corpus, `changed` a clip with other bytes than
        the published ones. Nothing was published of the demo corpora and of added ones: there, a
        clip that can be used is `found`.
    """
    rows = []
    for corpus, group in manifest.groupby("corpus", sort=False):
        reference = {} if synthetic else published(corpus)
        seen = set()
        names = {sha256: name for name, (_, sha256) in reference.items()}
        for path, sha256, note in zip(group["path"], group["sha256"], group["note"], strict=True):
            name = path.rsplit("/", 1)[-1]
            if reference and name not in reference:
                name = _clip_name(corpus, path)
            status, detail = _status(note, bool(reference), sha256, reference.get(name))
            if status != "unknown":
                seen.add(name)
            elif sha256 in names:
                detail += f" (it holds the clip {names[sha256]})"
            rows.append((corpus, status, path, detail))
        rows += [
            (corpus, "missing", path, "")
            for name, (path, _) in reference.items()
            if name not in seen
        ]
    return pd.DataFrame(rows, columns=["corpus", "status", "path", "detail"])


def _clip_name(corpus: str, path: str) -> str:
    """Return the name as the corpus spells it; nothing if the name is not one of its."""
    try:
        return CORPORA[corpus].parse(path).name
    except LabelError:
        return ""


def _status(
    note: str, compare: bool, sha256: str, reference: tuple[str, str] | None
) -> tuple[str, str]:
    for kind, status in (
        (UNUSABLE, "unusable"),
        (UNKNOWN, "unknown"),
        (COPY, "duplicate"),
        (SKIPPED, "skipped"),
    ):
        if note.startswith(kind):
            return status, note.removeprefix(f"{kind}: ")
    if not compare:
        return "found", note
    if reference is None:
        return "unknown", "no clip of this name was published"
    if sha256 != reference[1]:
        return "changed", "its bytes are not the published ones"
    return "found", note


def check_manifest(manifest: pd.DataFrame, *, synthetic: bool = False) -> pd.DataFrame:
    """Count, in each corpus, what `check_files` says, and the notes of clips that were found.

    Parameters
    ----------
    manifest : pandas.DataFrame
        As `build_manifest` returns it.
    synthetic : bool
        As for `check_files`.

    Returns
    -------
    pandas.DataFrame
        A row per corpus present: `complete` (clips that were published), `found`, `missing`,
        `changed`, `unknown`, `duplicate`, `unusable`, `skipped`, then how many clips are noted as
        silent, as having the same bytes under another label, and as twins. Where nothing was
        published, `complete`, `missing` and `changed` are not available.
    """
    files = check_files(manifest, synthetic=synthetic)
    order = list(dict.fromkeys(manifest["corpus"]))
    table = pd.crosstab(files["corpus"], files["status"])
    table = table.reindex(index=order, columns=list(STATUSES), fill_value=0).astype("Int64")
    complete = [0 if synthetic else len(published(name)) for name in order]
    table.insert(0, "complete", pd.array(complete, dtype="Int64"))
    table.loc[table["complete"] == 0, ["complete", "missing", "changed"]] = pd.NA
    for kind in (SILENT, CONFLICT, TWIN):
        noted = manifest.loc[manifest["note"].str.startswith(kind), "corpus"]
        table[kind] = noted.value_counts().reindex(order, fill_value=0)
    return table.rename_axis("corpus").rename_axis(None, axis=1)


def manifest_digest(clips: pd.DataFrame) -> str:
    """Return a hash of which clips these are: path, content and label of each, in order."""
    text = clips[["path", "sha256", "emotion"]].to_csv(index=False, lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()
