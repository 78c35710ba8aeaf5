"""What `python -m sercore check` says about a data folder (chapter 1)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sercore.corpora import CORPORA
from sercore.demo.make import is_demo
from sercore.manifest import STATUSES, build_manifest, check_files, check_manifest
from sercore.own import DECLARATION, corpora_in

_SHOWN = 3
_WRONG = ("missing", "changed", "unusable")
_LISTED = ("missing", "changed", "unknown", "duplicate", "unusable", "skipped")


class CheckError(RuntimeError):
    """A data folder that is not as it should be."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """What a data folder holds, compared with what was published.

    Attributes
    ----------
    counts : pandas.DataFrame
        As `check_manifest` returns it.
    files : pandas.DataFrame
        As `check_files` returns it.
    synthetic : bool
        Whether the folder holds the demo corpora.
    remarks : tuple[str, ...]
        What else there is to say.
    """

    counts: pd.DataFrame
    files: pd.DataFrame
    synthetic: bool
    remarks: tuple[str, ...]

    @property
    def wrong(self) -> str:
        """What is wrong in words, such as `"3 missing, 1 changed"`; empty if nothing is."""
        numbers = self.files["status"].value_counts()
        return ", ".join(f"{numbers[status]} {status}" for status in _WRONG if status in numbers)

    def text(self, *, shown: int | None = _SHOWN) -> str:
        """Return the table of counts, and what stands out by name.

        Parameters
        ----------
        shown : int, optional
            How many names of each kind; None for all.

        Returns
        -------
        str
            Lines without a newline at the end.
        """
        columns = ["complete", *(s for s in STATUSES if s != "skipped" or self.counts[s].any())]
        table = self.counts[columns].astype(object)
        lines = [table.where(table.notna(), "-").rename_axis(None).to_string()]
        for (corpus, status), group in self.files.groupby(["corpus", "status"], sort=False):
            if status in _LISTED:
                lines += ["", f"{corpus}, {len(group)} {status}:", *_names(group, shown)]
        return "\n".join(lines + [""] * bool(self.remarks) + list(self.remarks))


def _names(group: pd.DataFrame, shown: int | None) -> list[str]:
    rows = group.head(len(group) if shown is None else shown)
    lines = [
        f"  {path}: {detail}" if detail else f"  {path}"
        for path, detail in zip(rows["path"], rows["detail"], strict=True)
    ]
    rest = len(group) - len(rows)
    return lines + [f"  and {rest} more"] * bool(rest)


def check_data(root: str | os.PathLike) -> Check:
    """Compare all corpora of a data folder with what was published.

    Parameters
    ----------
    root : path

    Returns
    -------
    Check

    Raises
    ------
    NoDataError, ManifestError, DeclarationError
        As `build_manifest`.
    """
    root = Path(root)
    manifest = build_manifest(root)
    synthetic = is_demo(root)
    return Check(
        counts=check_manifest(manifest, synthetic=synthetic),
        files=check_files(manifest, synthetic=synthetic),
        synthetic=synthetic,
        remarks=tuple(_remarks(root, synthetic)),
    )


def _remarks(root: Path, synthetic: bool) -> list[str]:
    corpora = corpora_in(root)
    remarks = []
    if synthetic:
        remarks.append("These are the synthetic demo corpora: nobody speaks in them.")
    if absent := [name for name in CORPORA if name not in corpora]:
        remarks.append(f"Not there: {', '.join(absent)}.")
    if added := [name for name in corpora if name not in CORPORA]:
        remarks.append(f"Added, so there is nothing to compare with: {', '.join(added)}.")
    with os.scandir(root) as entries:
        others = [entry.name for entry in entries if entry.is_dir() and entry.name[0] != "."]
    if passed_over := sorted(ascii(name)[1:-1] for name in others if name not in corpora):
        remarks.append(
            f"Not looked at, for they hold neither a {DECLARATION} nor folders named after "
            f"emotions: {', '.join(passed_over)}."
        )
    return remarks
