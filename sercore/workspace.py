"""Where a chapter works: which data, which profile, which versions (first cell of each chapter)."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from sercore.config import Profile, SercoreError, cache_dir, data_folder, load_profile
from sercore.corpora import CORPORA, DECLARATION, corpora_in
from sercore.demo.render import is_demo, make_demo_corpora

_SHOWN_VERSIONS = ("tensorflow", "keras", "librosa", "numpy", "pandas", "scikit-learn")

SYNTHETIC_NOTE = (
    "Synthetic demo speech: results made on it show that the code runs "
    "and say nothing about people."
)


class NoDataError(SercoreError, FileNotFoundError):
    """There is no folder of any corpus where the data should be."""


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """What a chapter works on. Printed, it says so without a path of this machine."""

    root: Path
    """Folder that holds the corpora's folders."""
    profile: Profile
    synthetic: bool
    """Whether `root` holds the demo corpora."""

    def __str__(self) -> str:
        audio = self.profile.audio
        present = [corpus.title for corpus in corpora_in(self.root).values()]
        versions = [f"{name} {version(name)}" for name in _SHOWN_VERSIONS]
        reference = "each clip's minimum" if audio.mel_ref == "min" else f"{audio.mel_ref:g}"
        lines = [
            f"data      {', '.join(present)}" + (" (synthetic)" if self.synthetic else ""),
            f"profile   {self.profile.name}: {audio.sample_rate} Hz, {audio.seconds:g} s, "
            f"{audio.n_mels} mel bands x {audio.n_frames} frames, 0 dB at {reference}",
            f"versions  Python {platform.python_version()}, " + ", ".join(versions[:3]) + ",",
            f"          {', '.join(versions[3:])}",
        ]
        return "\n".join(lines + [SYNTHETIC_NOTE] * self.synthetic)


def open_workspace(data: str | os.PathLike[str] | None = None) -> Workspace:
    """Find the data and the profile, and make the demo corpora if no data are named.

    `data` is a folder with one or more corpora (`corpora.corpora_in`); without it `SER_DATA` names
    one. A folder that is not there or holds none is a `NoDataError`, a `corpus.toml` that cannot be
    used is a `DeclarationError`.
    """
    named = Path(data).expanduser().resolve() if data else data_folder()
    root = named or make_demo_corpora(cache_dir() / "demo")
    check_root(root)
    return Workspace(root=root, profile=load_profile(), synthetic=is_demo(root))


def check_root(root: Path) -> None:
    """Raise `NoDataError`, which says what to do, unless a folder holds at least one corpus."""
    try:
        if corpora_in(root):
            return
        problem = f"holds none of the folders {', '.join(CORPORA)}, no folder with a {DECLARATION}"
        problem += ", and none whose folders are named after emotions"
    except OSError as error:
        absent = isinstance(error, FileNotFoundError)
        problem = "does not exist" if absent else f"cannot be opened ({error.strerror})"
    # The folder that is meant may be the one above, or one below.
    near = [root.parent, *sorted(root.glob("*/"))]
    meant = (folder for folder in near if any(os.path.isdir(folder / name) for name in CORPORA))
    hints = [f"Did you mean {folder}? " for folder in meant]
    raise NoDataError(
        f"the data folder {root} {problem}. {''.join(hints[:1])}Three ways to get data: "
        "leave DATA and SER_DATA unset to use the synthetic demo corpora; download the corpora "
        "as chapter 1 shows; or point DATA at a folder that has at least one of them"
    )
