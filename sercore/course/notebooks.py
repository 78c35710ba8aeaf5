"""The chapters as files: find, read, clean and check them; keep voices out of them."""

from __future__ import annotations

import base64
import io
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbformat.v4.rwbase import rejoin_lines
from PIL import Image
from tornado.web import HTTPError

from sercore.config import REPOSITORY, SercoreError, cache_dir
from sercore.sounds import OWN

NOTEBOOKS = REPOSITORY / "notebooks"
PLAYER_NOTE = "(a player is here when you run this cell)"
MAX_WIDTH = 720
"""Widest picture of a chapter, in a page's pixels; a sharp one has twice as many of its own."""
MAX_BYTES = 1_000_000
MAX_SOUNDS = 8
"""Most sounds of the course's own in one chapter."""

# The two forms of TensorFlow's own log lines, and two lines of it that have neither form.
_LOG_LINE = re.compile(
    r"^(?:[IWE]\d{4} \d\d:\d\d:\d+\.\d+ +\d+ \S+\.cc:\d+\]"
    r"|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWE] (?:tensorflow|external)/"
    r"|WARNING: All log messages before absl::InitializeLog\(\)"
    r"|To enable the following instructions: )"
)
_ABSOLUTE_PATH = (
    r"(?<![\w.~/-])(?:file://)?/(?:home|root|Users|tmp|private|var|mnt|media|usr|opt|srv|data|work|workspace|Volumes)/"
    r"|(?<!\w)[A-Za-z]:\\+\w"
)


class CourseError(SercoreError, RuntimeError):
    """The course cannot go on; the message says why and what to do."""


def chapters_in(folder: Path) -> list[Path]:
    """Return the chapters of a folder in their order, then the appendices.

    A chapter's name begins with its number, so a student's `Untitled.ipynb` is no chapter.
    `CourseError` if there is none.
    """
    paths = sorted([*folder.glob("[0-9][0-9]_*.ipynb"), *folder.glob("appendix_[a-z]_*.ipynb")])
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
    marks = ("<audio", "<video", "data:audio/", "data:video/")
    starts = re.search(r"(?i:uklgr|zkxhq|t2dnu|suqz)[a-z0-9+/]{200}", text)  # WAV, FLAC, Ogg, MP3
    media = any(kind.startswith(("audio/", "video/")) or "ogg" in kind for kind in kinds)
    return media or bool(starts) or any(mark in text for mark in marks)


def is_own(output: NotebookNode) -> bool:
    """Return whether an output says that its sound is the course's own: a tone, or demo speech."""
    return output.get("metadata", {}).get("sercore") == OWN["sercore"]


def remove_sound(notebook: NotebookNode, *, keep: Callable[[NotebookNode], bool]) -> None:
    """Put a note that names it in the place of each player but those to keep.

    The state of widgets is removed, because it may hold sound.
    """
    for cell in code_cells(notebook):
        for place, output in enumerate(cell.get("outputs", [])):
            if holds_sound(output) and not keep(output):
                said = "".join(output.get("data", {}).get("text/plain", ""))
                name = re.fullmatch(r"\(a player: (.{1,200})\)", said)
                note = f"{PLAYER_NOTE[:-1]}: {name[1]})" if name else PLAYER_NOTE
                cell.outputs[place] = new_output("display_data", {"text/plain": note})
    notebook.metadata.pop("widgets", None)


def _sounds_in(path: Path) -> set[str]:
    """Return the texts of the own sounds in a notebook's file; none if it cannot be read."""
    try:
        cells = code_cells(nbformat.read(path, as_version=4))
        return {output_text(output) for c in cells for output in c.outputs if is_own(output)}
    except Exception:  # no file yet, or no notebook: the save shall mend it, and nothing is kept
        return set()


def keep_sound_out(*, model: dict[str, Any], path: str, contents_manager: Any) -> None:
    """Remove sound from a notebook that Jupyter is about to save in `notebooks/`.

    JupyterLab saves every two minutes by itself, and the next commit would publish the voices.
    What a chapter was published with stays: the sounds that its file already holds, byte by byte.
    Notebooks in other folders keep their players. `path` is relative to the manager's `root_dir`.
    """
    file = Path(contents_manager.root_dir, path.strip("/")).resolve()
    if model.get("type") == "notebook" and file.is_relative_to(NOTEBOOKS.resolve()):
        try:
            # A browser may send a text as a list of its lines.
            model["content"] = rejoin_lines(nbformat.from_dict(model["content"]))
            published = _sounds_in(file)
            remove_sound(model["content"], keep=lambda o: is_own(o) and output_text(o) in published)
        except Exception as error:  # Jupyter would only log any other, and save the sound
            raise HTTPError(500, f"sound cannot be taken out of {path}: {error}") from error


# --- what may be stored ---------------------------------------------------------------------------


def describe_pictures(notebook: NotebookNode, *, lead: str = "") -> None:
    """Give pictures their alternative texts, which each cell lists in its metadata, after `lead`.

    The texts say what is to be seen as published, so on other data `lead` has to tell so.
    """
    for cell in code_cells(notebook):
        texts = cell.metadata.get("alt", [])
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise CourseError(f"alternative texts are a list of texts, not {texts!r}")
        pictures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        for picture, text in zip(pictures, texts, strict=False):
            picture.metadata = picture.get("metadata", NotebookNode())
            about = picture.metadata.setdefault("image/png", NotebookNode())
            about["alt"] = lead + text


def clean_for_storing(notebook: NotebookNode) -> None:
    """Remove voices and what differs from machine to machine, and make pictures small, in place."""
    remove_sound(notebook, keep=is_own)
    describe_pictures(notebook)
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = smaller(output.data["image/png"])
        cell.metadata.pop("execution", None)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    notebook.metadata = nbformat.from_dict(metadata)


def smaller(png: str) -> str:
    """Return a picture with 256 colours, which is enough for charts; base64 in and out."""
    picture, file = Image.open(io.BytesIO(base64.b64decode(png))), io.BytesIO()
    # On white, because the palette would spend its colours on what is transparent.
    white = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA"))
    few = white.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    few.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def stored_problems(notebook: NotebookNode, *, data: Path) -> list[str]:
    """Return one line for each reason not to store a notebook, for `store` and the tests.

    Its cells must have been run once each and in order, and its file be under 1 MB. Its outputs
    must not hold voices, more than a few sounds of the course's own, errors, log lines, wide
    pictures or some without alternative text, or the names of folders of this machine, of which
    `data` is one.
    """
    folders = [Path.home(), REPOSITORY, Path(sys.prefix), Path(tempfile.gettempdir()), cache_dir()]
    # A container's home folder may be /, which is a part of every URL.
    private = [str(folder) for folder in folders if folder.parent != folder] + [str(data)]
    private_path = re.compile("|".join([_ABSOLUTE_PATH, *map(re.escape, private)]))
    cells = code_cells(notebook)
    problems = [
        f"cell {number}: {problem}"
        for number, cell in enumerate(cells, start=1)
        for output in cell.outputs
        for problem in _output_problems(output, private_path)
    ]
    for number, cell in enumerate(cells, start=1):
        shown = sum("image/png" in output.get("data", {}) for output in cell.outputs)
        if (told := len(cell.metadata.get("alt", []))) > shown:
            problems.append(f"cell {number}: {told} alternative texts for {shown} pictures")
    own = sum(holds_sound(output) and is_own(output) for c in cells for output in c.outputs)
    if own > MAX_SOUNDS:
        problems.append(f"there are {own} sounds, not {MAX_SOUNDS} at most")
    counts = [cell.execution_count for cell in cells]
    if counts != list(range(1, len(counts) + 1)):
        problems.append(f"the execution counts are {counts}, not 1 to {len(counts)}")
    if (size := len(text_of(notebook).encode())) >= MAX_BYTES:
        problems.append(f"the file has {size:,} bytes, not under {MAX_BYTES:,}")
    return problems


def _output_problems(output: NotebookNode, private_path: re.Pattern[str]) -> Iterator[str]:
    """Say what must not be stored of an output: each kind of text once, by its first line."""
    if holds_sound(output) and not is_own(output):
        yield "audio"  # the corpora's licences do not let us pass clips on
    # A sound in base64 may hold "/tmp" by chance.
    lines = re.sub(r"base64,[\w+/=]+", "base64,", output_text(output)).splitlines()
    if named := [line for line in lines if private_path.search(line)]:
        yield f"an absolute path in {named[0].strip()[:120]!r}"
    if logged := [line for line in lines if _LOG_LINE.match(line)]:
        yield f"a log line {logged[0][:80]!r}"
    if output.get("name") == "stderr" and output.text:  # Python's warnings, for example
        yield f"text on standard error, {output.text.strip()[:120]!r}"
    for kind, value in output.get("data", {}).items():
        if kind == "image/png":
            about = output.get("metadata", {}).get("image/png", {})
            # In a PNG file, bytes 16 to 19 are the width, the most significant byte first.
            width = int.from_bytes(base64.b64decode(value)[16:20], "big")
            if (width := about.get("width", width)) > MAX_WIDTH:
                yield f"a picture {width} pixels wide, more than {MAX_WIDTH}"
            if len(about.get("alt", "")) < 30:
                yield "a picture without alternative text: the cell's metadata `alt` lists one each"
        elif kind.startswith("image/"):
            yield f"a picture of type {kind}; only PNG is stored"
    if output.output_type == "error":
        yield f"the error {output.ename}"
