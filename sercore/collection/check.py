"""Compare a data folder with what was published, file by file (chapter 1)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sercore import manifest as notes
from sercore.collection import checksums
from sercore.config import SercoreError
from sercore.corpora import CORPORA, DECLARATION, corpora_in
from sercore.demo.render import is_demo

STATUSES = ("found", "missing", "changed", "unknown", "duplicate", "unusable", "skipped")
"""What `check_files` says of a file or a clip."""

_OF_NOTE = {
    notes.UNUSABLE: "unusable",
    notes.UNKNOWN: "unknown",
    notes.COPY: "duplicate",
    notes.SKIPPED: "skipped",
}
_WRONG = ("missing", "changed", "unusable")


class CheckError(SercoreError, RuntimeError):
    """A data folder that is not as it should be."""


def check_files(manifest: pd.DataFrame, *, synthetic: bool = False) -> pd.DataFrame:
    """Say of each file whether it is what was published, and which published clips are missing.

    The columns are `corpus`, `status` (one of `STATUSES`), `path` and `detail`. `unknown` is a file
    that is not a clip of the corpus, `changed` is a clip with other bytes than the published ones.
    Nothing was published of added corpora and of the demo corpora (`synthetic`), whose clips have
    the names of published ones but not their sound: there, a clip that can be used is `found`.
    """
    rows = []
    for corpus, group in manifest.groupby("corpus", sort=False):
        reference = {} if synthetic else checksums.published(corpus)
        names = {sha256: name for name, (_, sha256) in reference.items()}
        seen = set()
        for path, sha256, note in zip(group["path"], group["sha256"], group["note"], strict=True):
            name = checksums.clip_name(corpus, path) if reference else ""
            status, detail = _status(note, sha256, name, reference)
            if status != "unknown":
                seen.add(name)
            elif sha256 in names:
                detail += f" (it holds the clip {names[sha256]})"
            rows.append((corpus, status, path, detail))
        missing = [path for name, (path, _) in reference.items() if name not in seen]
        rows += [(corpus, "missing", path, "") for path in missing]
    return pd.DataFrame(rows, columns=["corpus", "status", "path", "detail"])


def _status(note: str, sha256: str, name: str, reference: checksums.Published) -> tuple[str, str]:
    for kind, status in _OF_NOTE.items():
        if note.startswith(kind):
            return status, note.removeprefix(f"{kind}: ")
    if reference and name not in reference:
        return "unknown", "no clip of this name was published"
    if reference and sha256 != reference[name][1]:
        return "changed", "its bytes are not the published ones"
    return "found", note


def check_manifest(manifest: pd.DataFrame, *, synthetic: bool = False) -> pd.DataFrame:
    """Count, in each corpus, what `check_files` says, and the notes of clips that were found.

    `complete` is the number of published clips; a column for each of `STATUSES` follows, then the
    number of clips noted as silent, as the same bytes under another label, and as twins. Where
    nothing was published, `complete`, `missing` and `changed` are not available.
    """
    files = check_files(manifest, synthetic=synthetic)
    order = list(dict.fromkeys(manifest["corpus"]))
    table = pd.crosstab(files["corpus"], files["status"])
    table = table.reindex(index=order, columns=list(STATUSES), fill_value=0).astype("Int64")
    complete = [0 if synthetic else len(checksums.published(name)) for name in order]
    table.insert(0, "complete", pd.array(complete, dtype="Int64"))
    table.loc[table["complete"] == 0, ["complete", "missing", "changed"]] = pd.NA
    for kind in (notes.SILENT, notes.CONFLICT, notes.TWIN):
        noted = manifest.loc[manifest["note"].str.startswith(kind), "corpus"]
        table[kind] = noted.value_counts().reindex(order, fill_value=0)
    return table.rename_axis("corpus").rename_axis(None, axis=1)


@dataclass(frozen=True, kw_only=True)
class Check:
    """What a data folder holds, compared with what was published."""

    counts: pd.DataFrame
    """As `check_manifest` returns it; `files` is as `check_files` returns it."""
    files: pd.DataFrame
    synthetic: bool
    """Whether the folder holds the demo corpora."""
    remarks: tuple[str, ...]
    """What else there is to say, a sentence each."""

    @property
    def wrong(self) -> str:
        """What is wrong in words, such as `"3 missing, 1 changed"`; empty if nothing is."""
        numbers = self.files["status"].value_counts().to_dict()
        words = [f"{numbers[status]} {status}" for status in _WRONG if status in numbers]
        n = len(self._contradictions)
        return ", ".join(words + [f"{n} with the {notes.CONFLICT}"] * bool(n))

    @property
    def _contradictions(self) -> pd.DataFrame:
        """The clips of added corpora that are there under two emotions: one of them is wrong."""
        added = ~self.files["corpus"].isin(CORPORA)
        return self.files[added & self.files["detail"].str.startswith(notes.CONFLICT)]

    def text(self, *, shown: int | None = 3) -> str:
        """Return the table of counts and the names that stand out: `shown` of a kind, or all."""
        columns = ["complete", *(s for s in STATUSES if s != "skipped" or self.counts[s].any())]
        table = self.counts[columns].astype(object)
        lines = [table.where(table.notna(), "-").rename_axis(None).to_string()]
        for (corpus, status), group in self.files.groupby(["corpus", "status"], sort=False):
            if status != "found":
                lines += ["", f"{corpus}, {len(group)} {status}:", *_names(group, shown)]
        if len(odd := self._contradictions):
            lines += ["", f"{len(odd)} clips contradict others:", *_names(odd, shown)]
        return "\n".join(lines + [""] * bool(self.remarks) + list(self.remarks))


def _names(group: pd.DataFrame, shown: int | None) -> list[str]:
    pairs = zip(group["path"], group["detail"], strict=True)
    names = ["  " + ": ".join(filter(None, pair)) for pair in pairs]
    rest = len(names) - len(names[:shown])
    return names[:shown] + [f"  and {rest} more"] * bool(rest)


def check_data(root: str | os.PathLike[str]) -> Check:
    """Compare all corpora of a data folder with what was published.

    Every file is hashed anew, because size and time do not show every damage.
    """
    manifest, synthetic = notes.build_manifest(root, fresh=True), is_demo(root)
    about = ["These are the synthetic demo corpora: nobody speaks in them."] * synthetic
    return Check(
        counts=check_manifest(manifest, synthetic=synthetic),
        files=check_files(manifest, synthetic=synthetic),
        synthetic=synthetic,
        remarks=(*about, *_remarks(Path(root))),
    )


def _remarks(root: Path) -> list[str]:
    corpora = corpora_in(root)
    # os.path.isdir says no to a link that leads to itself; other ways raise.
    folders = [n for n in os.listdir(root) if n[0] != "." and os.path.isdir(os.path.join(root, n))]
    unread = f"because they hold neither a {DECLARATION} nor folders named after emotions"
    listed = {
        "Not there": [name for name in CORPORA if name not in corpora],
        "Added, so there is nothing to compare with": [n for n in corpora if n not in CORPORA],
        f"Not looked at, {unread}": sorted(ascii(n)[1:-1] for n in folders if n not in corpora),
    }
    return [f"{what}: {', '.join(names)}." for what, names in listed.items() if names]
