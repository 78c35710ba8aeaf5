"""JupyterLab on a student's own copies of the chapters, which lie in `work/`; git ignores them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from sercore.config import REPOSITORY, digest
from sercore.course.notebooks import NOTEBOOKS, CourseError, chapters_in, read_chapter, text_of
from sercore.store.files import write_whole

WORK = REPOSITORY / "work"
# What follows a chapter's name: in the own copy, then in newer versions beside it.
_ENDINGS = [".ipynb", ".new.ipynb", *(f".new{number}.ipynb" for number in range(2, 100))]


def lay_out_chapters(notebooks: Path, work: Path) -> list[Path]:
    """Copy the chapters without outputs from `notebooks` into `work`; return the files written.

    A missing copy is made. When the course has a newer version of a chapter, it replaces a copy
    whose cells the student has not changed; beside a changed one it is laid as `NAME.new.ipynb`,
    once. `work/.laid-out` says what the course has laid. All else is the student's and is kept.
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
                laid.append(write_whole(place, text_of(chapter)))
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
        if found in known and found != version:
            return copy
        if version in {found, *known}:  # the student has it, changed or not, or has had it
            return None
    return None


def open_lab(options: Sequence[str]) -> None:
    """Lay out the chapters and run JupyterLab with these options; it may end the program."""
    from jupyterlab.labapp import LabApp

    for path in lay_out_chapters(NOTEBOOKS, WORK):
        print(f"new: {WORK.name}/{path.name}", flush=True)
    first = chapters_in(NOTEBOOKS)[0].name
    # The root is not work/, because chapters show pictures from figures/.
    course = [f"--ServerApp.root_dir={REPOSITORY}", f"--LabApp.default_url=/lab/tree/work/{first}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        course.append("--allow-root")  # JupyterLab asks for it; in a container one often is root
    LabApp.launch_instance([*course, *options])
