"""What may be stored in the repository: outputs are cleaned, checked, and written back.

Every `..._problems` check returns one line a finding, so that `python -m sercore store` and the
tests on the stored notebooks ask the same questions.
"""

from __future__ import annotations

import base64
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from sercore.config import REPOSITORY, cache_dir

STORE_DPI = 72
MAX_WIDTH = 10 * STORE_DPI
MAX_BYTES = 1_000_000

PLAYER_NOTE = "(a player is here when you run this cell)"

_AUDIO = re.compile(r"<audio\b|data:audio/", re.IGNORECASE)
# The two shapes of TensorFlow's own log lines, and the two lines that come without either.
_LOG_LINE = re.compile(
    r"^(?:[IWE]\d{4} \d\d:\d\d:\d+\.\d+ +\d+ \S+\.cc:\d+\]"
    r"|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWE] (?:tensorflow|external)/"
    r"|WARNING: All log messages before absl::InitializeLog\(\)"
    r"|To enable the following instructions: )"
)
_ABSOLUTE_PATH = re.compile(
    r"(?<![\w.~/-])(?:file://)?/(?:home|root|Users|tmp|private|var|mnt|media|usr|opt|srv|data|work|workspace|Volumes)/"
    r"|(?<!\w)[A-Za-z]:\\+\w"
)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the code cells in order; cell numbers in messages count these from 1."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


# --- Cleaning and writing --------------------------------------------------------------------


def clean_for_storing(notebook: NotebookNode) -> None:
    """Take out of a notebook what differs between machines or may not be passed on, in place."""
    for cell in code_cells(notebook):
        cell.outputs = [_without_player(output) for output in cell.outputs]
        cell.metadata.pop("execution", None)
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )


def notebook_text(notebook: NotebookNode) -> str:
    """Return a notebook as the text of its file."""
    return nbformat.writes(notebook) + "\n"


def write_notebooks(notebooks: dict[Path, NotebookNode]) -> None:
    """Write each notebook to its file, which is whole at every moment."""
    for path, notebook in notebooks.items():
        draft = path.with_name(f".{path.name}.tmp")
        draft.write_text(notebook_text(notebook), encoding="utf-8", newline="\n")
        os.replace(draft, path)


def _without_player(output: NotebookNode) -> NotebookNode:
    if not _holds_audio(output):
        return output
    return nbformat.v4.new_output("display_data", data={"text/plain": PLAYER_NOTE})


def _holds_audio(output: NotebookNode) -> bool:
    kinds = output.get("data", {})
    return any(kind.startswith("audio/") for kind in kinds) or bool(_AUDIO.search(_text(output)))


def _text(output: NotebookNode) -> str:
    """Return everything in an output that is text, not a picture."""
    values = [value for kind, value in output.get("data", {}).items() if "image/" not in kind]
    return "\n".join([output.get("text", ""), *output.get("traceback", []), *map(str, values)])


# --- Checking --------------------------------------------------------------------------------


def stored_problems(notebook: NotebookNode, *, data: Path) -> list[str]:
    """Return everything in a notebook that must not be stored.

    Parameters
    ----------
    notebook : NotebookNode
        The notebook with its outputs.
    data : Path
        Folder of the corpora, which no output may name.
    """
    return [
        *audio_problems(notebook),
        *path_problems(notebook, data=data),
        *log_problems(notebook),
        *stderr_problems(notebook),
        *picture_problems(notebook),
        *error_problems(notebook),
        *count_problems(notebook),
        *size_problems(notebook_text(notebook)),
    ]


def _findings(notebook: NotebookNode, problem: Callable[[NotebookNode], str | None]) -> list[str]:
    """Ask `problem` about every output and put the cell's number before what it answers."""
    return [
        f"cell {number}: {finding}"
        for number, cell in enumerate(code_cells(notebook), start=1)
        for output in cell.outputs
        if (finding := problem(output))
    ]


def audio_problems(notebook: NotebookNode) -> list[str]:
    """Name the cells whose outputs hold audio: clips may not be passed on."""
    return _findings(notebook, lambda output: "audio" if _holds_audio(output) else None)


def path_problems(notebook: NotebookNode, *, data: Path | None = None) -> list[str]:
    """Name the cells whose outputs hold an absolute path or a folder of this machine.

    Parameters
    ----------
    notebook : NotebookNode
        The notebook with its outputs.
    data : Path, optional
        One more folder that no output may name.
    """
    private = _private_folders() | ({str(data)} if data else set())

    def problem(output: NotebookNode) -> str | None:
        for line in _text(output).splitlines():
            if _ABSOLUTE_PATH.search(line) or any(folder in line for folder in private):
                return f"an absolute path in {line.strip()[:120]!r}"
        return None

    return _findings(notebook, problem)


def _private_folders() -> set[str]:
    folders = [Path.home(), REPOSITORY, Path(sys.prefix), Path(tempfile.gettempdir()), cache_dir()]
    # The root of a drive, a home in some containers, is a part of every URL.
    return {str(folder) for folder in folders if folder.parent != folder}


def log_problems(notebook: NotebookNode) -> list[str]:
    """Name the cells whose outputs hold a line of TensorFlow's start-up log."""

    def problem(output: NotebookNode) -> str | None:
        lines = [line for line in _text(output).splitlines() if _LOG_LINE.match(line)]
        return f"a log line {lines[0][:80]!r}" if lines else None

    return _findings(notebook, problem)


def stderr_problems(notebook: NotebookNode) -> list[str]:
    """Name the cells that wrote to standard error, as Python's warnings do."""

    def problem(output: NotebookNode) -> str | None:
        if output.get("name") != "stderr" or not output.text:
            return None
        return f"text on standard error, {output.text.strip()[:120]!r}"

    return _findings(notebook, problem)


def picture_problems(notebook: NotebookNode) -> list[str]:
    """Name the cells whose pictures are not PNG or wider than 10 inches at 72 dpi."""

    def problem(output: NotebookNode) -> str | None:
        for kind, value in output.get("data", {}).items():
            if kind == "image/png":
                # A PNG's width stands big-endian behind its signature and the header's name.
                width = int.from_bytes(base64.b64decode(value)[16:20], "big")
                if width > MAX_WIDTH:
                    return f"a picture {width} pixels wide, more than {MAX_WIDTH}"
            elif kind.startswith("image/"):
                return f"a picture of type {kind}, where only PNG is stored"
        return None

    return _findings(notebook, problem)


def error_problems(notebook: NotebookNode) -> list[str]:
    """Name the cells that ended in an error."""

    def problem(output: NotebookNode) -> str | None:
        return f"the error {output.ename}" if output.output_type == "error" else None

    return _findings(notebook, problem)


def count_problems(notebook: NotebookNode) -> list[str]:
    """Say if the code cells' execution counts are not 1, 2, ... in order."""
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts == list(range(1, len(counts) + 1)):
        return []
    return [f"the execution counts are {counts}, not 1 to {len(counts)} in order"]


def size_problems(text: str) -> list[str]:
    """Say if a notebook's file, given as its text, is not under 1 MB."""
    size = len(text.encode())
    return [f"the file has {size:,} bytes, not under {MAX_BYTES:,}"] if size >= MAX_BYTES else []
