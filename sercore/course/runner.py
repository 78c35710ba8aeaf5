"""Run the chapters in order: `course` makes pages of them, `store` keeps their outputs.

Each chapter runs in a kernel of its own, on the interpreter that runs this module. `course` never
writes into the notebooks' folder; `store` writes there once, after every chapter has succeeded.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import nbformat
from filelock import FileLock, Timeout
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from sercore.config import REPOSITORY, cache_dir
from sercore.course.pages import (
    CellFailure,
    ChapterRun,
    clear,
    scores_text,
    write_figures,
    write_index,
    write_page,
)
from sercore.course.storing import (
    STORE_DPI,
    clean_for_storing,
    stored_problems,
    write_notebooks,
)
from sercore.workspace import Workspace

NOTEBOOKS = REPOSITORY / "notebooks"
BUILD = REPOSITORY / "build" / "course"
COURSE_DPI = 100
LOG_LINES = 20

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class CourseError(RuntimeError):
    """The course cannot go on, for a reason its reader can mend; the message says which."""


# --- The two commands ------------------------------------------------------------------------


def run_course(workspace: Workspace, notebooks: Path = NOTEBOOKS, *, build: Path = BUILD) -> Path:
    """Run every chapter, write pages, figures and an index, and print the scores.

    Parameters
    ----------
    workspace : Workspace
        Data and profile of the run.
    notebooks : Path
        Folder of the notebooks, which is only read.
    build : Path
        Folder for the results. The index is written anew after each chapter, so what has been
        done stays when a later chapter fails.

    Returns
    -------
    Path
        The index page.

    Raises
    ------
    CourseError
        If there are no notebooks, a cell fails, or `build` cannot be written, for one because
        another run is writing there.
    """
    paths = find_notebooks(notebooks)
    with _alone(build):
        return _run_into(build, paths, workspace)


@contextmanager
def _alone(build: Path) -> Iterator[None]:
    """Clear the folder for the results and keep other runs out of it."""
    lock = FileLock(f"{build}.lock", timeout=0)
    try:
        build.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise CourseError(f"another run is writing to {build}; wait until it has ended") from None
    except OSError as error:
        raise _unwritable(build, error) from error
    try:
        try:
            clear(build)
        except OSError as error:
            raise _unwritable(build, error) from error
        yield
    finally:
        lock.release()


def _unwritable(build: Path, error: OSError) -> CourseError:
    return CourseError(f"{build} cannot be written ({error.strerror}); make room or rights for it")


def _run_into(build: Path, paths: list[Path], workspace: Workspace) -> Path:
    runs, index = [], build / "index.html"
    for run in run_notebooks(paths, workspace=workspace, dpi=COURSE_DPI):
        runs.append(run)
        write_figures(run, build / "figures")
        write_page(run, build, chapters=paths)
        write_index(runs, build, workspace=workspace)
        if run.failure:
            raise CourseError(f"{run.failure.message}\n\nWhat was done so far: {index}")
    print(f"\n{scores_text(runs)}\n\nThe course: {index}")
    return index


def store_outputs(workspace: Workspace, notebooks: Path = NOTEBOOKS) -> list[Path]:
    """Run every chapter and keep the outputs in the notebooks themselves.

    Parameters
    ----------
    workspace : Workspace
        Data and profile of the run.
    notebooks : Path
        Folder of the notebooks. It is written only if all of them run and none of their outputs
        is unfit for the repository.

    Returns
    -------
    list of Path
        The notebooks written.

    Raises
    ------
    CourseError
        If the data is synthetic, a cell fails, or an output must not be stored; the message
        names every cell concerned.
    """
    if workspace.synthetic:
        raise CourseError(f"{workspace.root} is synthetic: only results on real speech are stored")
    ran, problems = {}, []
    for run in run_notebooks(find_notebooks(notebooks), workspace=workspace, dpi=STORE_DPI):
        if run.failure:
            raise CourseError(run.failure.message)
        clean_for_storing(run.notebook)
        ran[run.path] = run.notebook
        found = stored_problems(run.notebook, data=workspace.root)
        problems += [f"{run.path.name}, {problem}" for problem in found]
    if problems:
        raise CourseError("nothing was stored:\n" + "\n".join(problems))
    write_notebooks(ran)
    return list(ran)


# --- Running ---------------------------------------------------------------------------------


class Progress:
    """Say where the run is: one line that is updated on a terminal, plain lines elsewhere.

    Parameters
    ----------
    total : int
        Number of chapters.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.chapter = ""

    def start(self, index: int, name: str) -> None:
        """Begin a chapter; `index` counts from 1."""
        self.chapter = f"[{index}/{self.total}] {name}"
        if not sys.stdout.isatty():
            print(f"{self.chapter} ...", flush=True)

    def cell(self, number: int, total: int) -> None:
        """Begin a cell; `number` counts the code cells from 1."""
        if sys.stdout.isatty():
            self._update(f"{self.chapter}: cell {number} of {total}", end="")

    def finish(self, run: ChapterRun) -> None:
        """End a chapter."""
        result = f"stopped in cell {run.failure.cell}" if run.failure else "done"
        self._update(f"{self.chapter}: {result}, {run.duration}", end="\n")

    def _update(self, line: str, *, end: str) -> None:
        # Padding instead of an escape sequence clears the longer line of before on any terminal.
        print(f"\r{line:<78}" if sys.stdout.isatty() else line, end=end, flush=True)


def find_notebooks(folder: Path) -> list[Path]:
    """Return the chapters of a folder in the order of their names; `CourseError` without any.

    Their names begin with a number; a student's `Untitled.ipynb` beside them is no chapter.
    """
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise CourseError(f"there are no notebooks in {folder}: run this in a clone of the course")
    return paths


def run_notebooks(paths: list[Path], *, workspace: Workspace, dpi: int) -> Iterator[ChapterRun]:
    """Run notebooks one after the other, each in a fresh kernel, and show the progress.

    Parameters
    ----------
    paths : list of Path
        The notebooks; the files are only read.
    workspace : Workspace
        Data and profile, named to the kernels as `SER_DATA` and `SER_PROFILE`.
    dpi : int
        Resolution of the figures, `SER_DPI`.

    Yields
    ------
    ChapterRun
        As soon as the chapter has ended. Only the last one can have a failure.
    """
    # A backend chosen for scripts would leave the chapters without pictures.
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    environment["SER_DATA"] = str(workspace.root)
    # The kernels run in the notebooks' folder, where a relative name would mean another one.
    environment["SER_CACHE"] = str(cache_dir())
    environment["SER_PROFILE"] = workspace.profile.name
    environment["SER_DPI"] = str(dpi)
    progress = Progress(len(paths))
    for index, path in enumerate(paths, start=1):
        progress.start(index, path.stem)
        notebook = _read(path)
        started = time.monotonic()
        failure = _execute(notebook, path, environment=environment, on_cell=progress.cell)
        seconds = time.monotonic() - started
        run = ChapterRun(path=path, notebook=notebook, seconds=seconds, failure=failure)
        progress.finish(run)
        yield run
        if failure:
            return


def _read(path: Path) -> NotebookNode:
    try:
        return nbformat.read(path, as_version=4)
    except (ValueError, nbformat.ValidationError) as error:
        raise CourseError(
            f"{path} is no notebook ({str(error).splitlines()[0]}); `git checkout {path.name}` in "
            "its folder brings back the course's own"
        ) from error


def _client(notebook: NotebookNode, folder: Path) -> NotebookClient:
    """Return what runs a notebook's cells in `folder`."""
    # Without folders to search, python3 is the running interpreter, whatever the user installed.
    specs = KernelSpecManager(kernel_dirs=[])
    # Encrypted, or the manager would warn of eavesdroppers at every start.
    manager = AsyncKernelManager(kernel_spec_manager=specs, transport_encryption="auto")
    return NotebookClient(
        notebook,
        manager,
        timeout=None,
        startup_timeout=120,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )


def _execute(
    notebook: NotebookNode,
    path: Path,
    *,
    environment: dict[str, str],
    on_cell: Callable[[int, int], None],
) -> CellFailure | None:
    """Run a notebook's cells in place and return the failure that ended it, if any."""
    code = [(place, cell) for place, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    for _, cell in code:
        cell.outputs, cell.execution_count = [], None
    client = _client(notebook, path.parent)
    # TensorFlow's log would break the line of progress: it is shown only if the kernel dies.
    with (
        tempfile.TemporaryFile() as log,
        client.setup_kernel(env=environment, stderr=log, cleanup_kc=True),
    ):
        # Not client.execute(), whose own handler turns Ctrl-C into a dead kernel.
        for number, (place, cell) in enumerate(code, start=1):
            on_cell(number, len(code))
            try:
                client.execute_cell(cell, place, execution_count=number)
                cell.outputs = _joined(cell.outputs)
            except (CellExecutionError, DeadKernelError) as error:
                reason = _last_words(log) if isinstance(error, DeadKernelError) else _error(cell)
                head = f"{path.name}, cell {number} of {len(code)} failed:"
                source = textwrap.indent(cell.source, "    ")
                return CellFailure(cell=number, message=f"{head}\n\n{source}\n\n{reason}")
            except KeyboardInterrupt:
                # Asked politely, a busy kernel would first print a traceback of its own.
                client.shutdown_kernel = "immediate"
                raise
    return None


def _joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join neighbouring pieces of one stream; nbclient would also move them past what lies between.

    A line that says which sound a player plays has to stay beside its player.
    """
    joined: list[NotebookNode] = []
    for output in outputs:
        last = joined[-1] if joined else {}
        stream = output.get("output_type") == last.get("output_type") == "stream"
        if stream and output["name"] == last["name"]:
            last["text"] += output["text"]
        else:
            joined.append(output)
    return joined


def _error(cell: NotebookNode) -> str:
    """Return the traceback that a failed cell shows, without its colours."""
    lines = [line for output in cell.outputs for line in output.get("traceback", [])]
    return _ANSI.sub("", "\n".join(lines)) or "no error was reported"


def _last_words(log: BinaryIO) -> str:
    """Return what a kernel that died wrote last, after the likely reason."""
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines()[-LOG_LINES:]
    return "\n".join(["The kernel died, most likely for want of memory. It wrote last:", *lines])
