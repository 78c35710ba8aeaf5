"""JupyterLab on a student's own copies of the chapters, which lie in `work/`; git ignores them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from sercore.config import REPOSITORY, digest
from sercore.course.notebooks import NOTEBOOKS, CourseError, chapters_in, read_chapter, save_chapter
from sercore.store.files import write_whole

WORK = REPOSITORY / "work"
# What follows a chapter's name: in the own copy, then in newer versions beside it.
_ENDINGS = [".ipynb", ".new.ipynb", *(f".new{number}.ipynb" for number in range(2, 100))]


def lay_out_chapters(notebooks: Path, work: Path) -> list[Path]:
    """Copy the chapters without outputs from `notebooks` into `work`; return the files written.

    A copy that is missing is made. A copy whose cells the student has not changed is replaced when
    the course has a newer version of the chapter. When the student has changed it, the newer
    version is laid beside it, once, as `NAME.new.ipynb`. No file with a student's words in it is
    ever written to: what the course has laid is known by `work/.laid-out`, and a file that is not
    known is the student's.
    """
    record = work / ".laid-out"
    try:
        # Without a readable record, each copy that is not up to date counts as changed.
        known = set(record.read_bytes().decode(errors="replace").split() if record.exists() else [])
        laid = []
        for path in chapters_in(notebooks):
            chapter = read_chapter(path)
            version = _version(chapter, path.stem)
            if place := _place(path.stem, version, work, known):
                laid.append(save_chapter(place, chapter))
            known.add(version)
        write_whole(record, "\n".join(sorted(known)) + "\n")
    except OSError as error:
        raise CourseError(f"the chapters cannot be copied to {work} ({error})") from error
    return laid


def _version(notebook: NotebookNode, name: str) -> str:
    """Return a hash of what a student may write: not of outputs, nor of what Jupyter notes.

    Empty cells do not count, because JupyterLab adds one when the last cell is run.
    """
    cells = [(cell.cell_type, cell.source, cell.get("attachments")) for cell in notebook.cells]
    return digest([name, [cell for cell in cells if cell[1].strip() or cell[2]]])


def _place(name: str, version: str, work: Path, known: set[str]) -> Path | None:
    """Return where this version of a chapter is to be written, or None if it need not be."""
    for copy in (work / f"{name}{ending}" for ending in _ENDINGS):
        if not copy.exists():
            return copy
        try:
            found = _version(nbformat.read(copy, as_version=4), name)
        except Exception:  # whatever is wrong with it, it is the student's
            found = "unreadable"
        if found == version:
            return None
        if found in known:
            return copy
        if version in known:  # the student has changed it, or has had it beside the own copy
            return None
    return None


def lab_options(options: Sequence[str]) -> list[str]:
    """Return the command line of JupyterLab: the course's options, then the student's."""
    first = chapters_in(NOTEBOOKS)[0].name
    course = [
        # Not work/, because a chapter shows pictures from figures/.
        f"--ServerApp.root_dir={REPOSITORY}",
        f"--LabApp.default_url=/lab/tree/{WORK.name}/{first}",
    ]
    # JupyterLab does not start as root without being asked to; in a container one often is.
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return [*course, *(["--allow-root"] if as_root else []), *options]


def open_lab(options: Sequence[str]) -> None:
    """Lay out the chapters and run JupyterLab until it is stopped; it may end the program."""
    from jupyterlab.labapp import LabApp

    for path in lay_out_chapters(NOTEBOOKS, WORK):
        print(f"new: {WORK.name}/{path.name}", flush=True)
    LabApp.launch_instance(lab_options(options))
