"""The two commands on small notebooks: pages, figures, scores, stored outputs, failures."""

import io
import json
import os
import re
import signal
import sys
from contextlib import redirect_stdout
from pathlib import Path

import nbformat
import pytest
from filelock import FileLock
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from sercore import __main__ as command_line
from sercore.config import PROFILES, retraining
from sercore.course import runner
from sercore.course.notebooks import PLAYER_NOTE, CourseError
from sercore.course.pages import ChapterRun, scores_text, write_index
from sercore.course.runner import Progress, run_course, run_notebooks, store_outputs
from sercore.store import runs
from sercore.workspace import SYNTHETIC_NOTE, Workspace

# A black PNG of one pixel.
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
SHOW = f"""import os, sys
from IPython.display import HTML, display
print(os.path.basename(os.environ["SER_DATA"]), os.environ["SER_PROFILE"], os.environ["SER_DPI"])
print(sys.executable == {sys.executable!r}, "inline" in os.environ["MPLBACKEND"])
display({{"image/png": "{PIXEL}"}}, raw=True)
display(HTML("<audio controls></audio>"))
print("after the player")"""
SCORES = """import pandas as pd
print("nothing about people")
pd.DataFrame({"accuracy": [0.712]}, index=["CNN <mel>"])"""
FAIL = "wanted = {}\nwanted['missing']"


def write_notebook(folder: Path, name: str, *sources: str, title: str = "A chapter") -> Path:
    cells = [new_markdown_cell(f"# {title}"), *map(new_code_cell, sources)]
    for cell in cells[1:]:
        cell.metadata.tags = ["scores"] * (cell.source == SCORES)
    nbformat.write(new_notebook(cells=cells), folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


def workspace(root: Path, *, synthetic: bool = True) -> Workspace:
    return Workspace(root=root, profile=PROFILES["demo"], synthetic=synthetic)


def run_in(folder: Path, *sources: str) -> Path:
    """Run the chapters of a folder, to which one is added if there are sources."""
    if sources:
        write_notebook(folder, "01_a", *sources)
    return run_course(workspace(folder), folder, build=folder / "build/course")


def chapter_run(path: Path, *cells: nbformat.NotebookNode, seconds: float = 1.0) -> ChapterRun:
    notebook = new_notebook(cells=list(cells))
    return ChapterRun(path=path, notebook=notebook, seconds=seconds, failure=None)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run three chapters where another kernel is called python3; return what there is to see."""
    base = tmp_path_factory.mktemp("a course")
    notebooks, build = base / "notebooks", base / "build"
    notebooks.mkdir()
    title = "Show <all>\n\nSee [chapter 4](04_later.ipynb#a) and ![a picture](picture.png)."
    write_notebook(notebooks, "01_show", SHOW, "1 + 1", title=title)
    (notebooks / "picture.png").write_bytes(b"png")
    write_notebook(notebooks, "02_scores", SCORES)
    write_notebook(notebooks, "03_fail", "1", FAIL, "never")
    write_notebook(notebooks, "04_later", "1")
    kernel = base / "share" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    spec = {"argv": ["no-such-python"], "display_name": "Other", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    (build / "figures").mkdir(parents=True)
    (build / "figures" / "01_old-01-1.png").touch()
    (build / "own.txt").touch()
    before = {path: path.read_bytes() for path in notebooks.iterdir()}
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as log:
        patch.setenv("JUPYTER_PATH", str(base / "share"))
        with pytest.raises(CourseError) as failure:
            run_course(workspace(base / "speech"), notebooks, build=build)
    pages = {path.stem: path.read_text(encoding="utf-8") for path in build.glob("*.html")}
    files = sorted(path.name for path in build.rglob("*.*"))
    unchanged = before == {path: path.read_bytes() for path in notebooks.iterdir()}
    return pages | {"error": str(failure.value), "log": log.getvalue()}, files, unchanged


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("01_show", "speech demo 100"),  # what the kernels are told
        ("01_show", "True True"),  # this interpreter, and pictures in the notebook
        ("01_show", "<audio controls"),
        ("01_show", 'src="data:image/png;base64,cG5n"'),
        ("01_show", 'href="04_later.html#a"'),
        ("02_scores", 'href="01_show.html"'),
        ("02_scores", 'href="03_fail.html"'),
        ("03_fail", "KeyError"),
        ("index", "Show &lt;all&gt;"),
        ("index", 'src="figures/01_show-01-1.png"'),
        ("index", "stopped in cell 2"),
        ("index", "<th>CNN &lt;mel&gt;</th>\n      <td>0.712</td>"),
        ("index", SYNTHETIC_NOTE),
        ("error", "03_fail.ipynb, cell 2 of 3 failed"),
        ("error", "\n    wanted['missing']\n"),
        ("error", "\nKeyError: 'missing'"),  # without colours
    ],
)
def test_course_shows(run, text, part):
    assert part in run[0][text]


def test_pages_load_nothing_and_stand_alone(run):
    loads = r"<script|<link|@import|url\(|src=\"(?!data:|figures/01)"
    assert [re.findall(loads, run[0][page]) for page in ("01_show", "03_fail", "index")] == [[]] * 3


def test_only_results_are_written_and_only_earlier_ones_are_removed(run):
    texts, files, notebooks_unchanged = run
    pages = ["01_show.html", "02_scores.html", "03_fail.html", "index.html"]
    assert files == ["01_show-01-1.png", *pages, "own.txt"]
    assert notebooks_unchanged


def test_log_has_a_line_for_start_and_end_of_each_chapter(run):
    assert re.sub(r"\d+ s\n", "T\n", run[0]["log"]) == (
        "[1/4] 01_show ...\n[1/4] 01_show: done, T\n"
        "[2/4] 02_scores ...\n[2/4] 02_scores: done, T\n"
        "[3/4] 03_fail ...\n[3/4] 03_fail: stopped in cell 2, T\n"
    )


DIE = "import os\nos.write(2, b'out of memory')\nos._exit(1)"
BLOCK = "import os\nos.mkdir('build/course/01_a.html')"


@pytest.mark.parametrize(
    ("file", "source", "message"),
    [
        ("no.txt", "", "no notebooks"),
        ("01_bad.ipynb", "", r"01_bad\.ipynb.*git checkout"),
        ("no.txt", DIE, r"cell 1 of 1 failed.*kernel died.*\nout of memory"),
        ("build", "1", "cannot be written"),
        ("build/course", "1", "cannot be written"),
        ("no.txt", BLOCK, "cannot be written"),
    ],
)
def test_what_ends_the_course_is_said(tmp_path, file, source, message):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("<<<<<<< HEAD\n{}")
    with pytest.raises(CourseError, match=f"(?s){message}"):
        run_in(tmp_path, *filter(None, [source]))


def test_course_ends_with_scores_and_index(tmp_path, capsys):
    index = run_in(tmp_path, "1", SCORES)
    assert capsys.readouterr().out.endswith(
        "\n\nScores on the test set:\nnothing about people\n           accuracy\n"
        f"CNN <mel>     0.712\n\nThe course: {index}\n"
    )


def test_ctrl_c_ends_the_run(tmp_path):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored
    kill = "import os, signal, time\nos.kill(os.getppid(), signal.SIGINT)\ntime.sleep(30)"
    with pytest.raises(KeyboardInterrupt):
        run_in(tmp_path, kill)


def test_what_native_code_logs_stays_out_of_the_notebooks(tmp_path, monkeypatch):
    """The kernels' settings, sercore/data/ipython_kernel_config.py, are in force here."""
    # A kernel that sees this variable copies no descriptor, whatever its settings.
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    source = "import os, sys, time\nos.write(2, b'native')\nprint('said', file=sys.stderr)"
    path = write_notebook(tmp_path, "01_log", f"{source}\ntime.sleep(1)")
    (ran,) = run_notebooks([path], workspace=workspace(tmp_path), dpi=72)
    assert ran.notebook.cells[1].outputs == [new_output("stream", name="stderr", text="said\n")]


def test_a_second_run_into_the_same_folder_is_refused(tmp_path):
    build = tmp_path / "build" / "course"
    build.mkdir(parents=True)
    (build / "index.html").write_text("the first run's")
    with FileLock(f"{build}.lock"), pytest.raises(CourseError, match="another run"):
        run_in(tmp_path, "1")
    assert (build / "index.html").read_text() == "the first run's"
    for _ in range(2):  # the first of them lets go of the folder
        run_in(tmp_path, "1")


def test_terminal_shows_what_the_running_cell_prints_in_one_line_a_chapter(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "61")
    source = (
        "print('epoch 1', flush=True)\nprint('hidden\\rshown \\x1b[31m' + 100 * 'x', flush=True)"
    )
    path = write_notebook(tmp_path, "05_cnn", source)
    with redirect_stdout(Terminal()) as terminal:
        list(run_notebooks([path], workspace=workspace(tmp_path), dpi=72))
    before, *shown, last = terminal.getvalue().split("\r")
    assert before == ""
    assert {len(line) for line in shown} == {60}  # so that each covers the one before
    assert [line.strip() for line in shown] == [
        "[1/1] 05_cnn ...",
        "[1/1] 05_cnn: cell 1 of 1",
        "[1/1] 05_cnn: cell 1 of 1: epoch 1",
        "[1/1] 05_cnn: cell 1 of 1: shown xxxxxxxxxxxxxxxxxxxxxxxx...",
    ]
    assert re.fullmatch(r"\[1/1\] 05_cnn: done, \d+ s *\n", last)


def test_duration_is_in_minutes_when_it_is_long():
    durations = [chapter_run(Path("01_a.ipynb"), seconds=s).duration for s in (59.4, 75.2)]
    assert durations == ["59 s", "1 min 15 s"]


def test_a_log_has_a_line_of_a_long_cell_now_and_then(capsys):
    now = 0
    progress = Progress(1, pause=30, clock=lambda: now)
    progress.start(1, "05_cnn")
    progress.cell(7, 9)
    for now in (29, 30, 31, 59, 60):
        progress.text(f"second {now}\n")
    assert capsys.readouterr().out.splitlines() == [
        "[1/1] 05_cnn ...",
        "[1/1] 05_cnn: cell 7 of 9: second 30",
        "[1/1] 05_cnn: cell 7 of 9: second 60",
    ]


@pytest.mark.parametrize(
    ("tag", "outputs"),
    [
        ("scores", []),
        ("other", [new_output("stream", text="0.712")]),
        ("scores", [new_output("display_data", data={"image/png": PIXEL})]),
    ],
)
def test_scores_that_are_not_there_are_said_to_be_missing(tag, outputs, tmp_path):
    cell = new_code_cell("scores", outputs=outputs, metadata={"tags": [tag]})
    ran = [chapter_run(tmp_path / "08_evaluation.ipynb", cell)]
    assert "No scores" in scores_text(ran)
    index = write_index(ran, tmp_path, workspace=workspace(tmp_path))
    assert "Scores" not in index.read_text(encoding="utf-8")


def test_store_keeps_outputs_in_their_order_without_players(tmp_path):
    path = write_notebook(tmp_path, "01_show", SHOW, "1 + 1")
    ids = [cell.id for cell in nbformat.read(path, as_version=4).cells]
    store_outputs(workspace(tmp_path / "speech", synthetic=False), tmp_path)
    stored = nbformat.read(path, as_version=4)
    assert [cell.id for cell in stored.cells] == ids
    assert [cell.execution_count for cell in stored.cells[1:]] == [1, 2]
    text, picture, player, after = stored.cells[1].outputs
    assert text.text == "speech demo 72\nTrue True\n"
    assert picture.data["image/png"].strip() == PIXEL
    assert player.data == {"text/plain": PLAYER_NOTE}
    assert after.text == "after the player\n"
    assert "execution" not in stored.cells[1].metadata
    assert [p.name for p in tmp_path.iterdir()] == ["01_show.ipynb"]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("import os\nos.getcwd()", "cell 2: an absolute path"),
        ("import warnings\nwarnings.warn('soon', FutureWarning)", "cell 2: text on standard error"),
        ("print('I0000 00:00:1736900000.123456   12345 service.cc:152] XLA')", "cell 2: a log"),
        (FAIL, "cell 2 of 2 failed"),
    ],
)
def test_store_names_the_cell_that_is_unfit_and_writes_nothing(tmp_path, source, problem):
    write_notebook(tmp_path, "01_good", "1 + 1")
    write_notebook(tmp_path, "02_bad", "1", source)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CourseError, match=rf"02_bad\.ipynb, {problem}"):
        store_outputs(workspace(tmp_path, synthetic=False), tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_store_refuses_synthetic_speech(tmp_path):
    with pytest.raises(CourseError, match="is synthetic"):
        store_outputs(workspace(tmp_path), tmp_path)


@pytest.fixture
def command(monkeypatch, tmp_path):
    """`course` on a folder of corpora, with another course; variables are put back afterwards."""
    monkeypatch.setenv("SER_CACHE", os.environ["SER_CACHE"])
    for name in ("SER_DATA", "SER_PROFILE", "SER_RETRAIN"):
        monkeypatch.setenv(name, "")
    (tmp_path / "my data" / "tess").mkdir(parents=True)

    def run(*options: str, course=lambda workspace: None) -> int:
        monkeypatch.setattr(runner, "run_course", course)
        return command_line.main(["course", "--data", str(tmp_path / "my data"), *options])

    return run


@pytest.mark.parametrize(
    ("error", "status", "kept"),
    [(None, 0, ["kept"]), (CourseError("no"), 1, []), (KeyboardInterrupt(), 130, [])],
)
def test_exit_status_is_told_and_new_runs_are_kept_when_all_went_well(
    command, monkeypatch, capsys, error, status, kept
):
    def course(workspace):
        assert retraining()
        if error:
            raise error

    done = []
    monkeypatch.setattr(runs, "keep_retrained", lambda: done.append("kept"))
    assert (command(), done) == (0, [])
    assert command("--retrain", course=course) == status
    assert done == kept
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(("options", "profile"), [(["--data", "no such"], ""), ([], "no such")])
def test_a_wrong_choice_is_said_in_one_line(command, capsys, monkeypatch, options, profile):
    monkeypatch.setenv("SER_PROFILE", profile)
    assert command(*options) == 1
    assert re.fullmatch(r"sercore course: .*no such.*\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    "arguments",
    [[], ["store"], ["course", "--profile", "huge"], ["course", "--data", ""], ["course", "--x"]],
)
def test_wrong_usage_has_exit_status_2(arguments):
    with pytest.raises(SystemExit, match="2"):
        command_line.main(arguments)
