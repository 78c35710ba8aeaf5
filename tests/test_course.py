"""The two commands on small notebooks: pages, figures, scores, stored outputs, failures."""

import io
import json
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
from sercore.config import PROFILES
from sercore.course import runner as course
from sercore.course.pages import ChapterRun, scores_text, write_index, write_page
from sercore.course.runner import CourseError, Progress, find_notebooks, run_course, store_outputs
from sercore.course.storing import PLAYER_NOTE
from sercore.workspace import SYNTHETIC_NOTE, Workspace

# A black PNG of one pixel.
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)

SHOW = f"""import os, sys
from IPython.display import HTML, display
print(os.environ["SER_DATA"] == {{data!r}}, os.environ["SER_PROFILE"], os.environ["SER_DPI"])
print(sys.executable == {sys.executable!r}, "inline" in os.environ["MPLBACKEND"])
display({{{{"image/png": "{PIXEL}"}}}}, raw=True)
display(HTML("<audio controls></audio>"))"""

SCORES = """import pandas as pd
print("nothing about people")
pd.DataFrame({"accuracy": [0.712]}, index=["CNN <mel>"])"""

SCORES_HTML = "<th>CNN &lt;mel&gt;</th>\n      <td>0.712</td>"
NO_SCORES = "No scores were printed: no cell tagged 'scores' was run and showed something."

FAIL = "wanted = {}\nwanted['missing']"


def write_notebook(folder: Path, name: str, *sources: str, title: str = "A chapter") -> Path:
    cells = [new_markdown_cell(f"# {title}"), *map(new_code_cell, sources)]
    for cell in cells[1:]:
        cell.metadata.tags = ["scores"] * (cell.source == SCORES)
    path = folder / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return path


def make_workspace(root: Path, *, synthetic: bool) -> Workspace:
    return Workspace(root=root, profile=PROFILES["demo"], synthetic=synthetic)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


# --- One run of three chapters, the last of which fails, shared by the tests below -------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run three chapters where another kernel is called python3; return what there is to see."""
    base = tmp_path_factory.mktemp("a course")
    notebooks, build = base / "notebooks", base / "build"
    notebooks.mkdir()
    write_notebook(notebooks, "01_show", SHOW.format(data=str(base)), "1 + 1", title="Show <all>")
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
    log = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(log):
        patch.setenv("JUPYTER_PATH", str(base / "share"))
        with pytest.raises(CourseError) as failure:
            run_course(make_workspace(base, synthetic=True), notebooks, build=build)
    after = {path: path.read_bytes() for path in notebooks.iterdir()}
    return {
        "build": build,
        "error": str(failure.value),
        "log": log.getvalue(),
        "unchanged": before == after,
    }


def test_kernel_knows_data_profile_and_resolution(run):
    assert "True demo 100" in (run["build"] / "01_show.html").read_text()


def test_kernel_is_this_interpreter_and_draws_inline(run):
    assert "True True" in (run["build"] / "01_show.html").read_text()


def test_player_stays_in_the_page(run):
    assert "<audio controls" in (run["build"] / "01_show.html").read_text()


def test_course_writes_no_notebook(run):
    assert run["unchanged"]


def test_error_names_notebook_and_cell_and_shows_source_and_error(run):
    assert "03_fail.ipynb, cell 2 of 3 failed" in run["error"]
    assert "    wanted['missing']" in run["error"]
    assert "KeyError: 'missing'" in run["error"]
    assert "\x1b" not in run["error"]


def test_failed_chapter_has_its_page_and_the_next_has_none(run):
    assert "KeyError" in (run["build"] / "03_fail.html").read_text()
    assert not (run["build"] / "04_later.html").exists()


def test_figures_are_named_after_chapter_and_cell(run):
    assert [p.name for p in (run["build"] / "figures").iterdir()] == ["01_show-01-1.png"]


def test_only_earlier_results_are_cleared(run):
    assert (run["build"] / "own.txt").exists()


def test_index_lists_what_was_run(run):
    index = (run["build"] / "index.html").read_text()
    assert "Show &lt;all&gt;" in index
    assert 'src="figures/01_show-01-1.png"' in index
    assert "stopped in cell 2" in index
    assert SCORES_HTML in index
    assert SYNTHETIC_NOTE in index


def test_log_has_a_line_for_start_and_end_of_each_chapter(run):
    log = re.sub(r"\d+ s$", "TIME", run["log"], flags=re.MULTILINE)
    assert log.splitlines() == [
        "[1/4] 01_show ...",
        "[1/4] 01_show: done, TIME",
        "[2/4] 02_scores ...",
        "[2/4] 02_scores: done, TIME",
        "[3/4] 03_fail ...",
        "[3/4] 03_fail: stopped in cell 2, TIME",
    ]


# --- Other ends of a run ------------------------------------------------------------------------


def test_course_ends_with_scores_and_index(tmp_path, capsys):
    write_notebook(tmp_path, "08_scores", "1", SCORES)
    index = run_course(make_workspace(tmp_path, synthetic=True), tmp_path, build=tmp_path / "build")
    end = (
        "\n\nScores on the test set:\nnothing about people\n           accuracy\n"
        f"CNN <mel>     0.712\n\nThe course: {index}\n"
    )
    assert capsys.readouterr().out.endswith(end)


def test_course_without_scores_says_so(tmp_path, capsys):
    write_notebook(tmp_path, "01_none", "1")
    run_course(make_workspace(tmp_path, synthetic=True), tmp_path, build=tmp_path / "build")
    assert f"\n{NO_SCORES}\n" in capsys.readouterr().out


@pytest.fixture
def interruptible():
    """Heed SIGINT even where the tests were started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_the_run(tmp_path, interruptible):
    source = "import os, signal, time\nos.kill(os.getppid(), signal.SIGINT)\ntime.sleep(30)"
    write_notebook(tmp_path, "01_slow", source)
    workspace = make_workspace(tmp_path, synthetic=True)
    with pytest.raises(KeyboardInterrupt):
        run_course(workspace, tmp_path, build=tmp_path / "build")


def test_a_kernel_that_dies_is_said_with_its_last_words(tmp_path):
    write_notebook(tmp_path, "01_die", "import os\nos.write(2, b'out of memory')\nos._exit(1)")
    workspace = make_workspace(tmp_path, synthetic=True)
    with pytest.raises(CourseError, match=r"(?s)cell 1 of 1 failed.*kernel died.*\nout of memory"):
        run_course(workspace, tmp_path, build=tmp_path / "build")


def test_what_native_code_logs_stays_out_of_the_notebooks(tmp_path, monkeypatch):
    """The kernels' settings, sercore/data/ipython_kernel_config.py, are in force here."""
    # A kernel that sees this variable copies no descriptor, whatever its settings.
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    source = (
        "import os, sys, time\nos.write(2, b'native')\nprint('said', file=sys.stderr)\n"
        "time.sleep(1)"
    )
    path = write_notebook(tmp_path, "01_log", source)
    workspace = make_workspace(tmp_path, synthetic=True)
    (run,) = course.run_notebooks([path], workspace=workspace, dpi=72)
    assert run.notebook.cells[1].outputs == [new_output("stream", name="stderr", text="said\n")]


def test_no_notebooks_is_said(tmp_path):
    with pytest.raises(CourseError, match="there are no notebooks in"):
        find_notebooks(tmp_path)


def test_notebooks_come_in_order(tmp_path):
    for name in ("10_b", "02_c", "01_a"):
        write_notebook(tmp_path, name)
    assert [path.stem for path in find_notebooks(tmp_path)] == ["01_a", "02_c", "10_b"]


def test_a_notebook_of_ones_own_is_no_chapter(tmp_path):
    write_notebook(tmp_path, "01_a")
    write_notebook(tmp_path, "Untitled")
    assert [path.stem for path in find_notebooks(tmp_path)] == ["01_a"]


def test_a_file_that_is_no_notebook_is_named(tmp_path):
    (tmp_path / "01_merged.ipynb").write_text("<<<<<<< HEAD\n{}")
    workspace = make_workspace(tmp_path, synthetic=True)
    with pytest.raises(CourseError, match=r"01_merged\.ipynb is no notebook .*git checkout"):
        run_course(workspace, tmp_path, build=tmp_path / "build")


def test_a_second_run_into_the_same_folder_is_refused(tmp_path):
    write_notebook(tmp_path, "01_a", "1")
    build = tmp_path / "build"
    (build / "figures").mkdir(parents=True)
    (build / "index.html").write_text("the first run's")
    workspace = make_workspace(tmp_path, synthetic=True)
    with FileLock(f"{build}.lock"), pytest.raises(CourseError, match="another run is writing to"):
        run_course(workspace, tmp_path, build=build)
    assert (build / "index.html").read_text() == "the first run's"
    run_course(workspace, tmp_path, build=build)
    with FileLock(f"{build}.lock", timeout=0):  # it let go of the folder
        pass


def test_a_file_in_the_place_of_the_results_is_named(tmp_path):
    write_notebook(tmp_path, "01_a", "1")
    (tmp_path / "build").touch()
    workspace = make_workspace(tmp_path, synthetic=True)
    with pytest.raises(CourseError, match="cannot be written"):
        run_course(workspace, tmp_path, build=tmp_path / "build" / "course")


def chapter_run(path: Path, *cells: nbformat.NotebookNode, seconds: float = 1.0) -> ChapterRun:
    notebook = new_notebook(cells=list(cells))
    return ChapterRun(path=path, notebook=notebook, seconds=seconds, failure=None)


def test_terminal_has_one_line_a_chapter_that_is_updated(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    progress = Progress(8)
    progress.start(3, "03_exploration")
    progress.cell(1, 19)
    progress.cell(2, 19)
    progress.finish(chapter_run(Path("03_exploration.ipynb"), seconds=75.2))
    parts = [part.strip() for part in stream.getvalue().split("\r")]
    assert parts == [
        "",
        "[3/8] 03_exploration: cell 1 of 19",
        "[3/8] 03_exploration: cell 2 of 19",
        "[3/8] 03_exploration: done, 1 min 15 s",
    ]
    assert stream.getvalue().count("\n") == 1


# --- Scores -------------------------------------------------------------------------------------


def scores_cell(*outputs: nbformat.NotebookNode, tag: str = "scores") -> nbformat.NotebookNode:
    return new_code_cell("scores", outputs=list(outputs), metadata={"tags": [tag]})


@pytest.mark.parametrize(
    "cell",
    [
        scores_cell(),
        scores_cell(new_output("stream", text="0.712"), tag="other"),
        scores_cell(new_output("display_data", data={"image/png": PIXEL})),
    ],
    ids=["no output", "no tag", "no text"],
)
def test_scores_that_are_not_there_are_said_to_be_missing(cell, tmp_path):
    runs = [chapter_run(tmp_path / "08_evaluation.ipynb", cell)]
    assert scores_text(runs) == NO_SCORES
    index = write_index(runs, tmp_path, workspace=make_workspace(tmp_path, synthetic=False))
    assert "Scores" not in index.read_text(encoding="utf-8")


# --- Pages --------------------------------------------------------------------------------------


@pytest.fixture
def page(tmp_path) -> str:
    """A page made of a notebook that was not run."""
    (tmp_path / "picture.png").write_bytes(b"png")
    text = (
        "# Title\n\nSee [chapter 4](04_preprocessing.ipynb#padding) and ![a picture](picture.png)."
    )
    paths = [tmp_path / f"{name}.ipynb" for name in ("01_a", "02_b", "03_c")]
    chapter = chapter_run(paths[1], new_markdown_cell(text), new_code_cell("import os"))
    return write_page(chapter, tmp_path, chapters=paths).read_text(encoding="utf-8")


def test_page_loads_nothing(page):
    assert re.findall(r"<script|<link|@import|url\(|src=\"(?!data:)", page) == []


def test_picture_is_in_the_page(page):
    assert 'src="data:image/png;base64,cG5n"' in page


def test_links_to_chapters_lead_to_pages(page):
    assert 'href="04_preprocessing.html#padding"' in page
    assert 'href="01_a.html"' in page
    assert 'href="03_c.html"' in page


# --- Storing ------------------------------------------------------------------------------------


def test_store_keeps_outputs_without_players(tmp_path):
    path = write_notebook(tmp_path, "01_show", SHOW.format(data="elsewhere"), "1 + 1")
    ids = [cell.id for cell in nbformat.read(path, as_version=4).cells]
    store_outputs(make_workspace(tmp_path, synthetic=False), tmp_path)
    stored = nbformat.read(path, as_version=4)
    assert [cell.id for cell in stored.cells] == ids
    assert [cell.execution_count for cell in stored.cells[1:]] == [1, 2]
    text, picture, player = stored.cells[1].outputs
    assert text.text == "False demo 72\nTrue True\n"
    assert picture.data["image/png"].strip() == PIXEL
    assert player.data == {"text/plain": PLAYER_NOTE}
    assert "execution" not in stored.cells[1].metadata
    assert [p.name for p in tmp_path.iterdir()] == ["01_show.ipynb"]


def test_store_writes_nothing_if_one_output_is_unfit(tmp_path):
    paths = [
        write_notebook(tmp_path, "01_good", "1 + 1"),
        write_notebook(tmp_path, "02_bad", "import os\nos.getcwd()"),
    ]
    before = [path.read_bytes() for path in paths]
    with pytest.raises(CourseError, match=r"02_bad\.ipynb, cell 1: an absolute path"):
        store_outputs(make_workspace(tmp_path, synthetic=False), tmp_path)
    assert [path.read_bytes() for path in paths] == before


def test_store_refuses_synthetic_speech(tmp_path):
    write_notebook(tmp_path, "01_good", "1 + 1")
    with pytest.raises(CourseError, match="is synthetic"):
        store_outputs(make_workspace(tmp_path, synthetic=True), tmp_path)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("import os\nos.getcwd()", "an absolute path"),
        ("import warnings\nwarnings.warn('soon', FutureWarning)", "text on standard error"),
        ("print('I0000 00:00:1736900000.123456   12345 service.cc:152] XLA')", "a log line"),
    ],
)
def test_store_names_the_cell_that_is_unfit(tmp_path, source, problem):
    write_notebook(tmp_path, "01_bad", "1", source)
    with pytest.raises(CourseError, match=rf"01_bad\.ipynb, cell 2: {problem}"):
        store_outputs(make_workspace(tmp_path, synthetic=False), tmp_path)


# --- The command line ---------------------------------------------------------------------------


@pytest.fixture
def commands(monkeypatch):
    """The command line with the work itself left out; its variables are put back afterwards."""
    for name in ("SER_DATA", "SER_PROFILE"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(course, "run_course", lambda workspace: None)
    return command_line.main


def test_course_takes_data_with_a_space_and_a_profile(commands, monkeypatch, tmp_path):
    root = tmp_path / "my data"
    (root / "tess").mkdir(parents=True)
    seen = []
    monkeypatch.setattr(course, "run_course", seen.append)
    assert commands(["course", "--data", str(root), "--profile", "article"]) == 0
    assert (seen[0].root, seen[0].profile.name) == (root, "article")


def test_missing_data_is_one_line_and_no_traceback(commands, capsys, tmp_path):
    assert commands(["course", "--data", str(tmp_path / "none")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"sercore course: the data folder {tmp_path / 'none'} does not exist")
    assert error.count("\n") == 1


def test_unknown_profile_in_the_environment_is_one_line(commands, capsys, monkeypatch):
    monkeypatch.setenv("SER_PROFILE", "huge")
    assert commands(["course"]) == 1
    assert capsys.readouterr().err == (
        "sercore course: SER_PROFILE: unknown profile 'huge', expected one of demo, laptop, "
        "article\n"
    )


@pytest.mark.parametrize(
    "arguments", [[], ["store"], ["course", "--profile", "huge"], ["course", "--data", ""]]
)
def test_wrong_usage_has_exit_status_2(commands, arguments):
    with pytest.raises(SystemExit) as end:
        commands(arguments)
    assert end.value.code == 2


def test_ctrl_c_has_exit_status_130(commands, monkeypatch, capsys, tmp_path):
    def interrupt(workspace):
        raise KeyboardInterrupt

    (tmp_path / "tess").mkdir()
    monkeypatch.setattr(course, "run_course", interrupt)
    assert commands(["course", "--data", str(tmp_path)]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_results_go_below_the_repository():
    assert course.BUILD == course.REPOSITORY / "build" / "course"
