"""The commands `course`, `store` and `lab` on small notebooks: results, failures, own copies."""

import io
import json
import os
import re
import signal
import sys
from base64 import b64decode, b64encode
from contextlib import redirect_stdout
from pathlib import Path

import nbformat
import numpy as np
import pytest
from filelock import FileLock
from jupyter_server.services.contents.filemanager import FileContentsManager
from jupyterlab.labapp import LabApp
from jupyterlab_server.settings_utils import get_settings
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from traitlets.config import PyFileConfigLoader

from sercore import __main__ as command_line
from sercore.config import PROFILES, REPOSITORY, retraining
from sercore.course import lab, runner
from sercore.course.notebooks import PLAYER_NOTE, CourseError, smaller
from sercore.course.pages import ChapterRun, scores_text, write_index
from sercore.course.runner import Progress, run_course, run_notebooks, store_outputs
from sercore.sounds import OWN
from sercore.store import runs
from sercore.workspace import SYNTHETIC_NOTE, Workspace

SHOW = f"""import os, sys
import numpy as np
from IPython.display import HTML, display
import matplotlib.pyplot as plt
from sercore.sounds import Player
print(os.path.basename(os.environ["SER_DATA"]), os.environ["SER_PROFILE"])
print(sys.executable == {sys.executable!r}, "inline" in os.environ["MPLBACKEND"])
plt.subplots(figsize=(2, 1), dpi=80)
plt.show()
display(HTML("<audio controls></audio>"))
display(Player(np.ones(9), 8000, name="A <clip>"))
display(Player(np.ones(9), 8000, name="a click", own=True))
print("after the players")"""
ALT = "An empty picture that shows nothing at all."
SCORES = """import pandas as pd
print("nothing about people")
pd.DataFrame({"accuracy": [0.712]}, index=["CNN <mel>"])"""
FAIL = "wanted = {}\nwanted['missing']"


def write_notebook(folder: Path, name: str, *sources: str, title: str = "A chapter") -> Path:
    """Write a chapter that holds what an earlier run has left."""
    cells = [new_markdown_cell(f"# {title}")]
    for source in sources:
        left = {"execution_count": 9, "outputs": [new_output("stream", text="shown")]}
        about = {"tags": ["scores"] * (source == SCORES), "alt": [ALT] * (source == SHOW)}
        cells.append(new_code_cell(source, metadata=about, **left))
    notebook = new_notebook(cells=cells, metadata={"widgets": {"state": "a sound"}})
    nbformat.write(notebook, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


def workspace(root: Path, *, synthetic: bool = True) -> Workspace:
    return Workspace(root=root, profile=PROFILES["demo"], synthetic=synthetic)


def run_in(folder: Path, *sources: str) -> Path:
    """Run the chapters of a folder, to which one is added if there are sources."""
    if sources:
        write_notebook(folder, "01_a", *sources)
    return run_course(workspace(folder), folder, build=folder / "build/course")


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
        ("01_show", "speech demo"),  # what the kernels are told
        ("01_show", "True True"),  # this interpreter, and pictures in the notebook
        ("01_show", "<audio controls"),
        ("01_show", f'alt="As published: {ALT}"'),
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
    (ran,) = run_notebooks([path], workspace=workspace(tmp_path))
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


def test_terminal_has_one_line_with_the_last_print(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "61")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    long = "print('hidden\\rshown \\x1b[31m' + 100 * 'x', flush=True)"
    path = write_notebook(tmp_path, "05_cnn", f"print('epoch 1', flush=True)\n{long}")
    list(run_notebooks([path], workspace=workspace(tmp_path)))
    before, *shown, last = capsys.readouterr().out.split("\r")
    assert before == ""
    assert {len(line) for line in shown} == {60}  # so that each covers the one before
    assert [line.strip() for line in shown] == [
        "[1/1] 05_cnn ...",
        "[1/1] 05_cnn: cell 1 of 1",
        "[1/1] 05_cnn: cell 1 of 1: epoch 1",
        "[1/1] 05_cnn: cell 1 of 1: shown xxxxxxxxxxxxxxxxxxxxxxxx...",
    ]
    assert re.fullmatch(r"\[1/1\] 05_cnn: done, \d+ s *\n", last)


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


def test_index_of_a_long_chapter_without_scores(tmp_path):
    text = new_output("stream", text="0.712")
    picture = new_output("display_data", {"image/png": "iVBORw0KGgo="})
    tagged = [("scores", []), ("other", [text]), ("scores", [picture])]
    cells = [new_code_cell(outputs=outputs, metadata={"tags": [tag]}) for tag, outputs in tagged]
    notebook, path = new_notebook(cells=cells), tmp_path / "08_evaluation.ipynb"
    ran = [ChapterRun(path=path, notebook=notebook, seconds=75.2, failure=None)]
    assert "No scores" in scores_text(ran)
    index = write_index(ran, tmp_path, workspace=workspace(tmp_path)).read_text(encoding="utf-8")
    assert "Scores" not in index
    assert "1 min 15 s" in index


def test_store_keeps_outputs_in_their_order_without_voices(tmp_path):
    path = write_notebook(tmp_path, "01_show", SHOW, "1 + 1")
    ids = [cell.id for cell in nbformat.read(path, as_version=4).cells]
    store_outputs(workspace(tmp_path / "speech", synthetic=False), tmp_path)
    stored = nbformat.read(path, as_version=4)
    assert [cell.id for cell in stored.cells] == ids
    assert [cell.execution_count for cell in stored.cells[1:]] == [1, 2]
    text, picture, player, clip, own, after = stored.cells[1].outputs
    assert text.text == "speech demo\nTrue True\n"
    about = picture.metadata["image/png"]
    width = Image.open(io.BytesIO(b64decode(picture.data["image/png"]))).width
    assert (about["alt"], width) == (ALT, 2 * about["width"])
    assert player.data == {"text/plain": PLAYER_NOTE}
    assert clip.data == {"text/plain": PLAYER_NOTE.replace(")", ": A <clip>)")}
    assert "<audio" in own.data["text/html"]
    assert after.text == "after the players\n"
    assert "execution" not in stored.cells[1].metadata
    assert [p.name for p in tmp_path.iterdir()] == ["01_show.ipynb"]


@pytest.mark.parametrize(
    ("source", "problem"),
    [("import os\nos.getcwd()", "cell 2: an absolute path"), (FAIL, "cell 2 of 2 failed")],
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
    """Run a command on a folder of corpora; the variables are put back afterwards."""
    for name in ("SER_CACHE", "SER_DATA", "SER_PROFILE", "SER_RETRAIN"):
        monkeypatch.setenv(name, "cache" if name == "SER_CACHE" else "")
    (tmp_path / "my data" / "tess").mkdir(parents=True)
    monkeypatch.setattr(runner, "run_course", lambda workspace: None)
    monkeypatch.chdir(tmp_path)
    return lambda name, *options: command_line.main([name, "--data", "my data", *options])


@pytest.mark.parametrize(
    ("error", "status", "kept"),
    [(None, 0, ["kept"]), (CourseError("no"), 1, []), (KeyboardInterrupt(), 130, [])],
)
def test_exit_status_and_kept_runs(command, monkeypatch, capsys, error, status, kept):
    def course(workspace):
        assert retraining()
        if error:
            raise error

    done = []
    monkeypatch.setattr(runs, "keep_retrained", lambda: done.append("kept"))
    assert (command("course"), done) == (0, [])
    monkeypatch.setattr(runner, "run_course", course)
    assert command("course", "--retrain") == status
    assert done == kept
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(("options", "profile"), [(["--data", "no such"], ""), ([], "no such")])
def test_a_wrong_choice_is_said_in_one_line(command, capsys, monkeypatch, options, profile):
    monkeypatch.setenv("SER_PROFILE", profile)
    assert command("course", *options) == 1
    assert re.fullmatch(r"sercore course: .*no such.*\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    "arguments",
    [[], ["store"], ["course", "--profile", "huge"], ["course", "--data", ""], ["course", "--x"]],
)
def test_wrong_usage_has_exit_status_2(arguments):
    with pytest.raises(SystemExit, match="2"):
        command_line.main(arguments)


SETTINGS = REPOSITORY / "sercore" / "data"


def cells(file: Path) -> list[nbformat.NotebookNode]:
    return nbformat.read(file, as_version=4).cells


def lay(course: Path) -> list[str]:
    return [path.name for path in lab.lay_out_chapters(course / "notebooks", course / "work")]


def newer(course: Path, number: int) -> list[str]:
    """Give the course a newer version of its first chapter, and lay it out."""
    write_notebook(course / "notebooks", "01_a", f"version {number}")
    return lay(course)


@pytest.fixture
def course(tmp_path) -> Path:
    """The course's folder with two chapters, which were laid out once."""
    (tmp_path / "notebooks").mkdir()
    for name in ("01_a", "02_b", "Untitled"):
        write_notebook(tmp_path / "notebooks", name, "1")
    assert lay(tmp_path) == ["01_a.ipynb", "02_b.ipynb"]
    return tmp_path


def student(change):
    """What a student does to the file of a notebook that holds `change`."""

    def save(file: Path) -> None:
        notebook = nbformat.read(file, as_version=4)
        change(notebook)
        nbformat.write(notebook, file)

    return save


@student
def run_and_save(notebook: nbformat.NotebookNode) -> None:
    """As JupyterLab does when a student runs each cell with Shift and Enter."""
    notebook.cells[1].update(execution_count=7, outputs=[new_output("stream", text="shown")])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    notebook.cells.append(new_code_cell(""))


edit = student(lambda n: n.cells[1].update(source=n.cells[1].source + "  # my own words"))


def test_copies_are_made_once_without_outputs(course):
    code = cells(course / "work" / "01_a.ipynb")[1]
    assert (code.source, code.outputs, code.execution_count) == ("1", [], None)
    assert "a sound" not in (course / "work" / "01_a.ipynb").read_text()
    assert lay(course) == []


@pytest.mark.parametrize("harmless", [Path.touch, run_and_save, Path.unlink])
def test_a_copy_without_changes_of_the_students_is_replaced(course, harmless):
    harmless(course / "work" / "01_a.ipynb")
    assert newer(course, 2) == ["01_a.ipynb"]
    assert cells(course / "work" / "01_a.ipynb")[1].source == "version 2"


MAYBE_MINE = {
    "edited": edit,
    "picture": student(
        lambda n: n.cells[0].update(attachments={"a": {"image/png": "iVBORw0KGgo="}})
    ),
    "more": student(lambda n: n.cells.append(new_markdown_cell("mine"))),
    "less": student(lambda n: n.cells.pop()),
    "broken": lambda file: file.write_text("[]"),
    "no record": lambda file: file.with_name(".laid-out").unlink(),
    "broken record": lambda file: file.with_name(".laid-out").write_bytes(b"\xff{"),
}


@pytest.mark.parametrize("change", MAYBE_MINE.values(), ids=MAYBE_MINE)
def test_beside_what_may_be_the_students_the_newer_version_is_laid_once(course, change):
    change(course / "work" / "01_a.ipynb")
    mine = (course / "work" / "01_a.ipynb").read_bytes()
    assert newer(course, 2) == ["01_a.new.ipynb"]
    assert (course / "work" / "01_a.ipynb").read_bytes() == mine
    (course / "work" / "01_a.new.ipynb").unlink()
    assert lay(course) == []


def test_of_several_newer_versions_those_that_the_student_changed_are_kept(course):
    edit(course / "work" / "01_a.ipynb")
    assert newer(course, 2) == newer(course, 3) == ["01_a.new.ipynb"]
    edit(course / "work" / "01_a.new.ipynb")
    assert newer(course, 4) == newer(course, 5) == ["01_a.new2.ipynb"]
    sources = [cells(file)[1].source for file in sorted((course / "work").glob("01*"))]
    assert sources == ["1  # my own words", "version 3  # my own words", "version 5"]


def test_a_folder_that_cannot_be_written_is_named(course):
    (course / "work").rename(course / "elsewhere")
    (course / "work").touch()
    with pytest.raises(CourseError, match="work"):
        lay(course)


@pytest.mark.parametrize(("user", "as_root"), [(0, True), (1000, False)])
def test_lab_ends_as_jupyterlab_does(course, command, monkeypatch, user, as_root):
    monkeypatch.setattr(LabApp, "launch_instance", sys.exit)  # exit status: the options it is given
    monkeypatch.setattr(os, "geteuid", lambda: user, raising=False)
    monkeypatch.setattr(lab, "NOTEBOOKS", course / "notebooks")
    monkeypatch.setattr(lab, "WORK", course / "work")
    Path("work", "01_a.ipynb").unlink()
    options = ["--no-browser", "--port", "8890", "--p=1"]
    with pytest.raises(SystemExit) as end:
        command("lab", "--profile", "article", *options)
    assert Path("work", "01_a.ipynb").exists()
    root, first, *others = end.value.code
    assert root.endswith(f".root_dir={REPOSITORY}")
    assert first.endswith(".default_url=/lab/tree/work/01_a.ipynb")
    assert others == ["--allow-root"] * as_root + options
    told = [os.environ[name] for name in ("SER_PROFILE", "SER_DATA", "SER_CACHE")]
    assert told == ["article", str(course / "my data"), str(course / "cache")]


@pytest.mark.parametrize("folder", ["notebooks", "work"])
def test_jupyter_saves_no_voices_in_the_courses_chapters(course, monkeypatch, folder):
    monkeypatch.setattr("sercore.course.notebooks.NOTEBOOKS", course / "notebooks")
    config = PyFileConfigLoader("jupyter_server_config.py", path=str(SETTINGS)).load_config()
    manager = FileContentsManager(root_dir=str(course), config=config)
    sent = nbformat.read(course / "notebooks" / "Untitled.ipynb", as_version=4)
    player = {"text/html": ["<audio\n", "controls></audio>"], "text/plain": ["a player"]}
    sent.cells[1].outputs.append(new_output("display_data", player, metadata=OWN))
    manager.save({"type": "notebook", "content": dict(sent)}, f"{folder}/sent.ipynb")
    saved = (course / folder / "sent.ipynb").read_text()
    assert "shown" in saved
    found = [PLAYER_NOTE in saved, "<audio" in saved, "a sound" in saved]
    assert found == ([True, False, False] if folder == "notebooks" else [False, True, True])


def test_jupyter_keeps_the_sounds_that_a_chapter_was_published_with(course, monkeypatch):
    monkeypatch.setattr("sercore.course.notebooks.NOTEBOOKS", course / "notebooks")
    config = PyFileConfigLoader("jupyter_server_config.py", path=str(SETTINGS)).load_config()
    manager = FileContentsManager(root_dir=str(course), config=config)
    path = course / "notebooks" / "01_a.ipynb"
    published, voice = (
        "<audio src='data:audio/flac;base64,AA'>",
        "<audio src='data:audio/flac;base64,BB'>",
    )
    chapter = nbformat.read(path, as_version=4)
    for sound in (published, voice):  # a voice that has got into the file is no sound of its own
        data, mark = {"text/html": sound}, OWN if sound == published else {}
        chapter.cells[1].outputs.append(new_output("display_data", data, metadata=mark))
    nbformat.write(chapter, path)
    forged = new_output("display_data", {"text/html": voice}, metadata=OWN)
    chapter.cells[1].outputs.append(forged)
    manager.save({"type": "notebook", "content": dict(chapter)}, "notebooks/01_a.ipynb")
    saved = path.read_text()
    assert (published in saved, voice in saved) == (True, False)


def test_a_save_mends_a_chapter_whose_file_is_broken(course, monkeypatch):
    monkeypatch.setattr("sercore.course.notebooks.NOTEBOOKS", course / "notebooks")
    path = course / "notebooks" / "01_a.ipynb"
    chapter = nbformat.read(path, as_version=4)
    path.write_text("<<<<<<< HEAD")
    config = PyFileConfigLoader("jupyter_server_config.py", path=str(SETTINGS)).load_config()
    manager = FileContentsManager(root_dir=str(course), config=config)
    manager.save({"type": "notebook", "content": dict(chapter)}, "notebooks/01_a.ipynb")
    assert nbformat.read(path, as_version=4).cells == chapter.cells


def test_a_picture_is_made_smaller_on_white():
    shades = np.indices((64, 64)).sum(axis=0).astype(np.uint8)
    opaque = np.where(np.arange(64) < 32, 255, 0)[np.newaxis].repeat(64, axis=0)
    picture, file = np.dstack([shades, 255 - shades, shades, opaque.astype(np.uint8)]), io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=0)
    made = b64decode(smaller(b64encode(file.getvalue()).decode()))
    found = np.asarray(Image.open(io.BytesIO(made)).convert("RGB")).astype(int)
    assert len(made) < len(file.getvalue()) / 2
    assert (found[:, 32:] == 255).all()
    assert np.abs(found[:, :32] - picture[:, :32, :3].astype(int)).max() <= 8


def test_jupyterlab_knows_the_setting_that_switches_its_news_off(tmp_path):
    name, schemas = "@jupyterlab/apputils-extension:notification", LabApp().schemas_dir
    news = [
        get_settings(str(folder), schemas, str(tmp_path), schema_name=name)[0]["schema"]
        for folder in (tmp_path, SETTINGS)
    ]
    assert [schema["properties"]["fetchNews"]["default"] for schema in news] == ["none", "false"]
