"""Run the chapters in order: `course` makes pages of them, `store` keeps their outputs.

Each chapter runs in its own kernel, with the interpreter that runs this module. `course` never
writes into the notebooks' folder. `store` writes there once, after all chapters have succeeded.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from sercore.config import REPOSITORY, cache_dir
from sercore.course.notebooks import (
    NOTEBOOKS,
    CourseError,
    chapters_in,
    clean_for_storing,
    describe_pictures,
    read_chapter,
    stored_problems,
    text_of,
)
from sercore.course.pages import CellFailure, ChapterRun, clear, scores_text, write_pages
from sercore.store.files import write_whole
from sercore.workspace import Workspace

BUILD = REPOSITORY / "build" / "course"
Clock = Callable[[], float]
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def run_course(workspace: Workspace, notebooks: Path = NOTEBOOKS, *, build: Path = BUILD) -> Path:
    """Run every chapter, write its page and an index into `build`, and print the scores.

    The index, which is returned, is written after each chapter, so that what was done can be seen
    when a later chapter fails. A failure is a `CourseError`: a cell fails, there are no notebooks,
    or `build` cannot be written, for example because another run writes there.
    """
    paths, runs, index = chapters_in(notebooks), [], build / "index.html"
    with _writing(build):
        build.parent.mkdir(parents=True, exist_ok=True)
        alone = FileLock(f"{build}.lock", timeout=0).acquire()
    with alone:
        with _writing(build):
            clear(build)
        for run in run_notebooks(paths, workspace=workspace):
            describe_pictures(run.notebook, lead="As published: ")
            runs.append(run)
            with _writing(build):
                write_pages(runs, build, chapters=paths, workspace=workspace)
            if run.failure:
                raise CourseError(f"{run.failure.message}\n\nWhat was done so far: {index}")
    print(f"\n{scores_text(runs)}\n\nThe course: {index}")
    return index


def store_outputs(workspace: Workspace, notebooks: Path = NOTEBOOKS) -> list[Path]:
    """Run every chapter and keep its outputs in the notebook itself; return the notebooks.

    Nothing is written if the data is synthetic, if a cell fails, or if an output must not be
    stored: that is a `CourseError` which names every cell concerned.
    """
    if workspace.synthetic:
        raise CourseError(f"{workspace.root} is synthetic: only results on real speech are stored")
    ran, problems = [], []
    for run in run_notebooks(chapters_in(notebooks), workspace=workspace):
        if run.failure:
            raise CourseError(run.failure.message)
        clean_for_storing(run.notebook)
        found = stored_problems(run.notebook, data=workspace.root)
        problems += [f"{run.path.name}, {problem}" for problem in found]
        ran.append(run)
    if problems:
        raise CourseError("nothing was stored:\n" + "\n".join(problems))
    return [write_whole(run.path, text_of(run.notebook)) for run in ran]


@contextmanager
def _writing(build: Path) -> Iterator[None]:
    try:
        yield
    except Timeout:
        raise CourseError(f"another run is writing to {build}; wait until it has ended") from None
    except OSError as error:
        problem = f"{build} cannot be written ({error.strerror})"
        raise CourseError(f"{problem}; make room or get the right to write there") from error


class Progress:
    """Shows where the run is: one line on a terminal that changes, lines now and then in a log.

    The line on a terminal ends with what the running cell printed last. A log shows that only when
    `pause` seconds have passed since its last line.
    """

    def __init__(self, total: int, *, pause: float = 30, clock: Clock = time.monotonic) -> None:
        self.total, self.pause, self.clock = total, pause, clock
        self.on_terminal = sys.stdout.isatty()

    def start(self, index: int, name: str) -> None:
        """Begin a chapter; `index` counts from 1."""
        self.chapter = f"[{index}/{self.total}] {name}"
        self._show(f"{self.chapter} ...")

    def cell(self, number: int, total: int) -> None:
        """Begin a cell; `number` counts the code cells from 1."""
        self.place = f"{self.chapter}: cell {number} of {total}"
        if self.on_terminal:
            self._show(self.place)

    def text(self, text: str) -> None:
        """Show the last line of what a cell has just printed."""
        lines = [line.strip() for line in re.split(r"[\r\n]", _ANSI.sub("", text)) if line.strip()]
        if lines and (self.on_terminal or self.clock() - self.shown >= self.pause):
            self._show(f"{self.place}: {lines[-1]}")

    def finish(self, run: ChapterRun) -> None:
        """End a chapter."""
        result = f"stopped in cell {run.failure.cell}" if run.failure else "done"
        self._show(f"{self.chapter}: {result}, {run.duration}", stays=True)

    def _show(self, line: str, *, stays: bool = False) -> None:
        if self.on_terminal:
            # One column stays free, because some terminals go to the next line after the last.
            width = shutil.get_terminal_size().columns - 1
            # Spaces remove what a longer line has left there.
            line = "\r" + (line if len(line) <= width else line[: width - 3] + "...").ljust(width)
        print(line, end="" if self.on_terminal and not stays else "\n", flush=True)
        self.shown = self.clock()


def run_notebooks(paths: list[Path], *, workspace: Workspace) -> Iterator[ChapterRun]:
    """Run notebooks one after the other, each in a new kernel, and show the progress.

    A run is yielded when its chapter has ended; only the last one can have a failure.
    """
    environment = os.environ | {
        "SER_DATA": str(workspace.root),
        "SER_CACHE": str(cache_dir()),
        "SER_PROFILE": workspace.profile.name,
    }
    # A backend that was chosen for scripts would leave the chapters without pictures.
    environment.pop("MPLBACKEND", None)
    progress = Progress(len(paths))
    for index, path in enumerate(paths, start=1):
        progress.start(index, path.stem)
        notebook, started = read_chapter(path), time.monotonic()
        failure = _execute(notebook, path, environment, progress)
        seconds = time.monotonic() - started
        run = ChapterRun(path=path, notebook=notebook, seconds=seconds, failure=failure)
        progress.finish(run)
        yield run
        if failure:
            return


class _Client(NotebookClient):
    """Runs a notebook's cells in a folder, and passes on what they print."""

    def __init__(self, notebook: NotebookNode, folder: Path, say: Callable[[str], None]) -> None:
        # Without folders to search, python3 is this interpreter, whatever the user installed.
        specs = KernelSpecManager(kernel_dirs=[])
        # Without encryption, the manager would print a warning at every start.
        manager = AsyncKernelManager(kernel_spec_manager=specs, transport_encryption="auto")
        where = {"metadata": {"path": str(folder)}}
        super().__init__(
            notebook, manager, startup_timeout=120, record_timing=False, resources=where
        )
        self.say = say

    def output(self, outs: list[NotebookNode], msg: dict[str, Any], *where: Any) -> Any:
        """Join the pieces of a stream that follow each other.

        nbclient can do that too, but it moves them past what lies between, and a line that says
        which sound a player plays has to stay beside its player.
        """
        new = super().output(outs, msg, *where)
        if msg["msg_type"] == "stream":
            self.say(msg["content"]["text"])
            if new and [output.get("name") for output in outs[-2:]] == [new.name] * 2:
                outs[-2]["text"] += outs.pop()["text"]
        return new


def _execute(
    notebook: NotebookNode, path: Path, environment: dict[str, str], progress: Progress
) -> CellFailure | None:
    """Run a notebook's cells in place and return the failure that ended it, if any."""
    cells = [found for found in enumerate(notebook.cells) if found[1].cell_type == "code"]
    client = _Client(notebook, path.parent, progress.text)
    # TensorFlow's log would break the line of progress: it is shown only if the kernel dies.
    with (
        tempfile.TemporaryFile() as log,
        client.setup_kernel(env=environment, stderr=log, cleanup_kc=True),
    ):
        for number, (place, cell) in enumerate(cells, start=1):
            progress.cell(number, len(cells))
            # Not client.execute(), which takes Ctrl-C for the death of the kernel.
            try:
                client.execute_cell(cell, place, execution_count=number)
            except (CellExecutionError, DeadKernelError) as error:
                head = f"{path.name}, cell {number} of {len(cells)} failed:"
                source = textwrap.indent(cell.source, "    ")
                return CellFailure(number, "\n\n".join([head, source, _reason(error, cell, log)]))
            except KeyboardInterrupt:
                # A busy kernel that is asked to stop would first print a traceback of its own.
                client.shutdown_kernel = "immediate"
                raise
    return None


def _reason(error: Exception, cell: NotebookNode, log: BinaryIO) -> str:
    """Return the cell's traceback without colours; if the kernel died, what it wrote last."""
    if isinstance(error, DeadKernelError):
        log.seek(0)
        lines = log.read().decode(errors="replace").splitlines()[-20:]
        lines.insert(0, "The kernel died, probably because memory ran out. It wrote last:")
    else:
        lines = [line for output in cell.outputs for line in output.get("traceback", [])]
    return _ANSI.sub("", "\n".join(lines)) or "no traceback; was .venv changed meanwhile?"
