"""A student's own copies of the chapters, and what JupyterLab may save in the course's."""

import os
from pathlib import Path

import nbformat
import pytest
from jupyter_server.services.contents.filemanager import FileContentsManager
from jupyterlab.labapp import LabApp
from jupyterlab_server.settings_utils import get_settings
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from traitlets.config import PyFileConfigLoader

from sercore import __main__ as command_line
from sercore.config import REPOSITORY
from sercore.course import lab, notebooks
from sercore.course.lab import lay_out_chapters
from sercore.course.notebooks import PLAYER_NOTE, CourseError

SETTINGS = REPOSITORY / "sercore" / "data"
FIRST, SECOND = "01_a.ipynb", "02_b.ipynb"


def write(file: Path, *sources: str) -> None:
    shown = new_output("stream", text="shown")
    code = [new_code_cell(source, execution_count=1, outputs=[shown]) for source in sources]
    notebook = new_notebook(cells=[new_markdown_cell("# Title"), *code])
    notebook.metadata.widgets = {"state": "a sound"}
    nbformat.write(notebook, file)


def read(file: Path) -> nbformat.NotebookNode:
    return nbformat.read(file, as_version=4)


def change(file: Path, changed) -> bytes:
    """Let a student change a notebook; return what the file then holds."""
    notebook = read(file)
    changed(notebook)
    nbformat.write(notebook, file)
    return file.read_bytes()


def edit(notebook: nbformat.NotebookNode) -> None:
    notebook.cells[1].source += "  # my own words"


@pytest.fixture
def course(tmp_path) -> Path:
    """The course's folder with two chapters, which were laid out once."""
    (tmp_path / "notebooks").mkdir()
    write(tmp_path / "notebooks" / FIRST, "1")
    write(tmp_path / "notebooks" / SECOND, "1")
    write(tmp_path / "notebooks" / "Untitled.ipynb", "1")
    assert lay(tmp_path) == [FIRST, SECOND]
    return tmp_path


def lay(course: Path) -> list[str]:
    return [path.name for path in lay_out_chapters(course / "notebooks", course / "work")]


def newer(course: Path, number: int) -> list[str]:
    """Give the course a newer version of its first chapter, and lay it out."""
    write(course / "notebooks" / FIRST, f"version {number}")
    return lay(course)


def version(file: Path) -> str:
    return read(file).cells[1].source


def test_copies_are_without_outputs_and_the_chapters_as_they_were(course):
    copy, chapter = read(course / "work" / FIRST), read(course / "notebooks" / FIRST)
    assert [cell.source for cell in copy.cells] == ["# Title", "1"]
    assert (copy.cells[1].outputs, copy.cells[1].execution_count) == ([], None)
    assert "widgets" not in copy.metadata
    assert (len(chapter.cells[1].outputs), chapter.cells[1].execution_count) == (1, 1)
    assert lay(course) == []


def run_and_save(notebook: nbformat.NotebookNode) -> None:
    """What JupyterLab writes when a student runs each cell with Shift and Enter."""
    notebook.cells[1].update(execution_count=7, outputs=[new_output("stream", text="shown")])
    notebook.cells[1].metadata.trusted = True
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    notebook.cells.append(new_code_cell(""))


def paste_a_picture(notebook: nbformat.NotebookNode) -> None:
    notebook.cells[0].attachments = {"image.png": {"image/png": "AAAA"}}


@pytest.mark.parametrize("harmless", [lambda notebook: None, run_and_save])
def test_a_copy_that_the_student_has_not_changed_is_replaced(course, harmless):
    change(course / "work" / FIRST, harmless)
    assert lay(course) == []
    assert newer(course, 2) == [FIRST]
    assert version(course / "work" / FIRST) == "version 2"


@pytest.mark.parametrize(
    "changed",
    [
        edit,
        paste_a_picture,
        lambda n: n.cells.append(new_markdown_cell("mine")),
        lambda n: n.cells.pop(),
    ],
    ids=["source", "picture", "more", "less"],
)
def test_beside_a_changed_copy_the_newer_version_is_laid_once(course, changed):
    mine = change(course / "work" / FIRST, changed)
    assert lay(course) == []
    assert newer(course, 2) == ["01_a.new.ipynb"]
    assert (course / "work" / FIRST).read_bytes() == mine
    (course / "work" / "01_a.new.ipynb").unlink()
    assert lay(course) == []


def test_of_several_newer_versions_those_that_the_student_changed_are_kept(course):
    mine = {FIRST: change(course / "work" / FIRST, edit)}
    assert newer(course, 2) == newer(course, 3) == ["01_a.new.ipynb"]
    assert version(course / "work" / "01_a.new.ipynb") == "version 3"
    mine["01_a.new.ipynb"] = change(course / "work" / "01_a.new.ipynb", edit)
    assert newer(course, 4) == newer(course, 5) == ["01_a.new2.ipynb"]
    assert version(course / "work" / "01_a.new2.ipynb") == "version 5"
    assert {name: (course / "work" / name).read_bytes() for name in mine} == mine


def test_a_deleted_copy_comes_back(course):
    (course / "work" / FIRST).unlink()
    assert lay(course) == [FIRST]


def test_a_copy_that_cannot_be_read_is_the_students(course):
    (course / "work" / FIRST).write_text("[]")
    assert newer(course, 2) == ["01_a.new.ipynb"]
    assert (course / "work" / FIRST).read_text() == "[]"


@pytest.mark.parametrize("damage", [Path.unlink, lambda record: record.write_bytes(b"\xff{")])
def test_without_its_record_nothing_is_written_over(course, damage):
    before = (course / "work" / FIRST).read_bytes()
    (record,) = (course / "work").glob(".*")
    damage(record)
    assert newer(course, 2) == ["01_a.new.ipynb"]
    assert (course / "work" / FIRST).read_bytes() == before
    assert lay(course) == []
    write(course / "notebooks" / SECOND, "2")
    assert lay(course) == [SECOND]


def test_a_folder_that_cannot_be_written_is_named(tmp_path, course):
    (tmp_path / "file").touch()
    with pytest.raises(CourseError, match="file"):
        lay_out_chapters(course / "notebooks", tmp_path / "file")


# --- JupyterLab ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("user", "as_root"), [(0, True), (1000, False)])
def test_lab_lays_out_the_chapters_and_opens_the_first(course, monkeypatch, user, as_root):
    """JupyterLab's own exit status is that of the command."""
    given = []

    def launch(options):
        given.extend(options)
        raise SystemExit(3)

    monkeypatch.setattr(LabApp, "launch_instance", launch)
    monkeypatch.setattr(os, "geteuid", lambda: user, raising=False)
    monkeypatch.setattr(lab, "NOTEBOOKS", course / "notebooks")
    monkeypatch.setattr(lab, "WORK", course / "work")
    for name in ("SER_DATA", "SER_PROFILE", "SER_CACHE"):
        monkeypatch.setenv(name, "cache" if name == "SER_CACHE" else "")
    monkeypatch.chdir(course)
    (course / "my data" / "tess").mkdir(parents=True)
    (course / "work" / FIRST).unlink()
    options = ["--no-browser", "--port", "8890", "--p=1"]
    with pytest.raises(SystemExit, match="3"):
        command_line.main(["lab", "--data", "my data", "--profile", "article", *options])
    assert (course / "work" / FIRST).exists()
    assert given[-4:] == options
    assert f"--ServerApp.root_dir={REPOSITORY}" in given
    assert f"--LabApp.default_url=/lab/tree/work/{FIRST}" in given
    assert ("--allow-root" in given) == as_root
    assert os.environ["SER_DATA"] == str(course / "my data")
    assert os.environ["SER_CACHE"] == str(course / "cache")
    assert os.environ["SER_PROFILE"] == "article"


@pytest.mark.parametrize(
    ("place", "is_heard"), [("notebooks/03_c.ipynb", False), ("work/03_c.ipynb", True)]
)
def test_voices_stay_out_of_the_chapters_that_jupyter_saves(course, monkeypatch, place, is_heard):
    monkeypatch.setattr(notebooks, "NOTEBOOKS", course / "notebooks")
    config = PyFileConfigLoader("jupyter_server_config.py", path=str(SETTINGS)).load_config()
    manager = FileContentsManager(root_dir=str(course), config=config)
    player = {"text/html": ["<audio\n", "controls></audio>"], "text/plain": ["a player"]}
    write(course / "sent.ipynb", "1")
    notebook = read(course / "sent.ipynb")
    notebook.cells[1].outputs.append(new_output("display_data", player))
    manager.save({"type": "notebook", "content": dict(notebook)}, place)
    saved = read(course / place)
    text, sound = saved.cells[1].outputs
    assert text.text == "shown"
    assert (sound.data == {"text/plain": PLAYER_NOTE}) == (not is_heard)
    assert ("<audio" in str(saved)) == ("widgets" in saved.metadata) == is_heard


def test_jupyterlab_knows_the_setting_that_switches_its_news_off(tmp_path):
    name = "@jupyterlab/apputils-extension:notification"
    schemas = Path(LabApp().schemas_dir)
    answers = [
        get_settings(str(folder), str(schemas), str(tmp_path), schema_name=name)[0]
        for folder in (tmp_path, SETTINGS)
    ]
    news = [answer["schema"]["properties"]["fetchNews"]["default"] for answer in answers]
    assert news == ["none", "false"]
