"""Where a chapter works: which data, which profile, which versions (first cell of each chapter)."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from sercore.config import Profile, cache_dir, load_profile
from sercore.corpora import CORPORA
from sercore.demo.render import is_demo, make_demo_corpora
from sercore.corpora import DECLARATION, corpora_in

_SHOWN_VERSIONS = ("tensorflow", "keras", "librosa", "numpy", "pandas", "scikit-learn")

SYNTHETIC_NOTE = (
    "Synthetic demo speech: results made on it show that the code runs "
    "and say nothing about people."
)


class NoDataError(FileNotFoundError):
    """There is no folder of any corpus where the data should be."""


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """What a chapter works on.

    Attributes
    ----------
    root : Path
        Folder that holds the corpora's folders.
    profile : Profile
        Size of the course.
    synthetic : bool
        Whether `root` holds the demo corpora.
    """

    root: Path
    profile: Profile
    synthetic: bool

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


def open_workspace(data: str | os.PathLike | None = None) -> Workspace:
    """Find the data and the profile; make the demo corpora where no data is named.

    Parameters
    ----------
    data : path, optional
        Folder with `cremad`, `ravdess`, `tess`, `savee`, some of them, or others
        (`own.corpora_in`). Without it the variable
        `SER_DATA` decides, and without that the demo corpora are used.

    Returns
    -------
    Workspace

    Raises
    ------
    NoDataError
        If the folder is not there or holds none of the corpora.
    DeclarationError
        If a `corpus.toml` in it cannot be used.
    """
    data = data or os.environ.get("SER_DATA")
    if data:
        root = Path(data).expanduser().resolve()
        check_root(root)
    else:
        root = make_demo_corpora(cache_dir() / "demo")
    return Workspace(root=root, profile=load_profile(), synthetic=is_demo(root))


def check_root(root: Path) -> None:
    """Raise `NoDataError` unless `root` holds at least one corpus's folder."""
    try:
        if corpora_in(root):
            return
        folders = ", ".join(CORPORA)
        problem = (
            f"holds none of the folders {folders}, no folder with a {DECLARATION}, and none whose "
            "folders are named after emotions"
        )
    except OSError as error:
        problem = f"cannot be opened ({error.strerror})" if root.exists() else "does not exist"
    near = _corpora_nearby(root)
    raise NoDataError(
        f"the data folder {root} {problem}. "
        + (f"Did you mean {near}? " if near else "")
        + "Three ways to get data: "
        "leave DATA and SER_DATA unset to use the synthetic demo corpora; download the corpora "
        "as chapter 1 shows; or point DATA at a folder that has at least one of them"
    )


def _corpora_nearby(root: Path) -> Path | None:
    """Return a folder that holds one of the four corpora, one level above `root` or below it."""
    try:
        below = sorted(path for path in root.iterdir() if path.is_dir())
    except OSError:
        below = []
    above_and_below = (root.parent, *below)
    nearby = (f for f in above_and_below if any((f / name).is_dir() for name in CORPORA))
    return next(nearby, None)
