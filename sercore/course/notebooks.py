"""The chapters as files: find, read and save them, and keep voices out of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbformat.v4.rwbase import rejoin_lines

from sercore.config import REPOSITORY, SercoreError

NOTEBOOKS = REPOSITORY / "notebooks"
PLAYER_NOTE = "(a player is here when you run this cell)"


class CourseError(SercoreError, RuntimeError):
    """The course cannot go on; the message says why and what to do."""


def chapters_in(folder: Path) -> list[Path]:
    """Return the chapters of a folder in their order; a `CourseError` if there is none.

    A chapter's name begins with its number, so a student's `Untitled.ipynb` is no chapter.
    """
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise CourseError(f"there are no notebooks in {folder}: run this in a clone of the course")
    return paths


def read_chapter(path: Path) -> NotebookNode:
    """Read a chapter without what its last run left; a `CourseError` if it is no notebook."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except (ValueError, nbformat.ValidationError) as error:
        raise CourseError(
            f"{path} is no notebook ({str(error).splitlines()[0]}); `git checkout {path.name}` in "
            "its folder brings back the course's own"
        ) from error
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    notebook.metadata.pop("widgets", None)
    return notebook


def text_of(notebook: NotebookNode) -> str:
    """Return a notebook as the text of its file."""
    return nbformat.writes(notebook) + "\n"


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the code cells in order; cell numbers in messages count these from 1."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def output_text(output: NotebookNode) -> str:
    """Return everything in an output that is text, not a picture."""
    values = [value for kind, value in output.get("data", {}).items() if "image/" not in kind]
    return "\n".join([output.get("text", ""), *output.get("traceback", []), *map(str, values)])


def holds_sound(output: NotebookNode) -> bool:
    """Return whether there is a player or a sound in an output."""
    text, kinds = output_text(output).lower(), output.get("data", {})
    marks = "<audio" in text or "data:audio/" in text
    return marks or any(kind.startswith("audio/") for kind in kinds)


def remove_sound(notebook: NotebookNode) -> None:
    """Put a note in the place of each player; remove the state of widgets, which may hold sound."""
    for cell in code_cells(notebook):
        for place, output in enumerate(cell.outputs):
            if holds_sound(output):
                cell.outputs[place] = new_output("display_data", {"text/plain": PLAYER_NOTE})
    notebook.metadata.pop("widgets", None)


def keep_sound_out(*, model: dict[str, Any], path: str, contents_manager: Any) -> None:
    """Remove sound from a notebook that Jupyter is about to save in `notebooks/`.

    JupyterLab saves every two minutes by itself, and the next commit would publish the voices.
    Notebooks in other folders keep their players. `path` is relative to the manager's `root_dir`.
    """
    file = Path(contents_manager.root_dir, path.strip("/")).resolve()
    if model.get("type") == "notebook" and file.is_relative_to(NOTEBOOKS.resolve()):
        # A browser may send a text as a list of its lines.
        model["content"] = rejoin_lines(nbformat.from_dict(model["content"]))
        remove_sound(model["content"])
