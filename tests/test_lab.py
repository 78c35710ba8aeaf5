"""A student's own copies of the chapters, and what JupyterLab may save in the course's."""

import os
import sys
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
from sercore.course.notebooks import PLAYER_NOTE, CourseError

SETTINGS = REPOSITORY / "sercore" / "data"


def write(file: Path, source: str) -> None:
    code = new_code_cell(source, execution_count=1, outputs=[new_output("stream", text="shown")])
    notebook = new_notebook(cells=[new_markdown_cell("# Title"), code])
    notebook.metadata.widgets = {"state": "a sound"}
    nbformat.write(notebook, file)


def cells(file: Path) -> list[nbformat.NotebookNode]:
    return nbformat.read(file, as_version=4).cells


def lay(course: Path) -> list[str]:
    return [path.name for path in lab.lay_out_chapters(course / "notebooks", course / "work")]


def newer(course: Path, number: int) -> list[str]:
    """Give the course a newer version of its first chapter, and lay it out."""
    write(course / "notebooks" / "01_a.ipynb", f"version {number}")
    return lay(course)


@pytest.fixture
def course(tmp_path) -> Path:
    """The course's folder with two chapters, which were laid out once."""
    (tmp_path / "notebooks").mkdir()
    for name in ("01_a", "02_b", "Untitled"):
        write(tmp_path / "notebooks" / f"{name}.ipynb", "1")
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


@student
def edit(notebook: nbformat.NotebookNode) -> None:
    notebook.cells[1].source += "  # my own words"


def test_copies_are_without_outputs(course):
    code = cells(course / "work" / "01_a.ipynb")[1]
    assert (code.source, code.outputs, code.execution_count) == ("1", [], None)
    assert "a sound" not in (course / "work" / "01_a.ipynb").read_text()


def test_copies_are_made_once_and_when_they_were_deleted(course):
    assert lay(course) == []
    (course / "work" / "01_a.ipynb").unlink()
    assert lay(course) == ["01_a.ipynb"]


@pytest.mark.parametrize("harmless", [Path.touch, run_and_save, Path.unlink])
def test_a_copy_without_changes_of_the_students_is_replaced(course, harmless):
    harmless(course / "work" / "01_a.ipynb")
    assert newer(course, 2) == ["01_a.ipynb"]
    assert cells(course / "work" / "01_a.ipynb")[1].source == "version 2"


@pytest.mark.parametrize(
    "change",
    [
        edit,
        student(
            lambda notebook: notebook.cells[0].update(attachments={"a": {"image/png": "AAAA"}})
        ),
        student(lambda notebook: notebook.cells.append(new_markdown_cell("mine"))),
        student(lambda notebook: notebook.cells.pop()),
        lambda file: file.write_text("[]"),
    ],
    ids=["edited", "picture", "more", "less", "broken"],
)
def test_beside_a_changed_copy_the_newer_version_is_laid_once(course, change):
    change(course / "work" / "01_a.ipynb")
    mine = (course / "work" / "01_a.ipynb").read_bytes()
    assert lay(course) == []
    assert newer(course, 2) == ["01_a.new.ipynb"]
    assert (course / "work" / "01_a.ipynb").read_bytes() == mine
    (course / "work" / "01_a.new.ipynb").unlink()
    assert lay(course) == []


def test_of_several_newer_versions_those_that_the_student_changed_are_kept(course):
    edit(course / "work" / "01_a.ipynb")
    assert newer(course, 2) == newer(course, 3) == ["01_a.new.ipynb"]
    edit(course / "work" / "01_a.new.ipynb")
    assert newer(course, 4) == newer(course, 5) == ["01_a.new2.ipynb"]
    found = {file.name: cells(file)[1].source for file in (course / "work").glob("01*")}
    assert found == {
        "01_a.ipynb": "1  # my own words",
        "01_a.new.ipynb": "version 3  # my own words",
        "01_a.new2.ipynb": "version 5",
    }


@pytest.mark.parametrize("damage", [Path.unlink, lambda record: record.write_bytes(b"\xff{")])
def test_without_its_record_nothing_is_written_over(course, damage):
    (record,) = (course / "work").glob(".*")
    damage(record)
    assert newer(course, 2) == ["01_a.new.ipynb"]
    assert cells(course / "work" / "01_a.ipynb")[1].source == "1"
    assert lay(course) == []


def test_a_folder_that_cannot_be_written_is_named(course):
    (course / "work").rename(course / "elsewhere")
    (course / "work").touch()
    with pytest.raises(CourseError, match="work"):
        lay(course)


@pytest.mark.parametrize(("user", "as_root"), [(0, True), (1000, False)])
def test_lab_lays_out_the_chapters_and_ends_as_jupyterlab_does(course, monkeypatch, user, as_root):
    monkeypatch.setattr(LabApp, "launch_instance", sys.exit)  # exit status: the options it is given
    monkeypatch.setattr(os, "geteuid", lambda: user, raising=False)
    monkeypatch.setattr(lab, "NOTEBOOKS", course / "notebooks")
    monkeypatch.setattr(lab, "WORK", course / "work")
    for name, value in {"SER_DATA": "", "SER_PROFILE": "", "SER_CACHE": "cache"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(course)
    Path("my data", "tess").mkdir(parents=True)
    Path("work", "01_a.ipynb").unlink()
    options = ["--no-browser", "--port", "8890", "--p=1"]
    with pytest.raises(SystemExit) as end:
        command_line.main(["lab", "--data", "my data", "--profile", "article", *options])
    assert Path("work", "01_a.ipynb").exists()
    root, first, *others = end.value.code
    assert root.endswith(f".root_dir={REPOSITORY}")
    assert first.endswith(".default_url=/lab/tree/work/01_a.ipynb")
    assert others == ["--allow-root"] * as_root + options
    told = [os.environ[name] for name in ("SER_PROFILE", "SER_DATA", "SER_CACHE")]
    assert told == ["article", str(course / "my data"), str(course / "cache")]


@pytest.mark.parametrize("folder", ["notebooks", "work"])
def test_jupyter_saves_no_voices_in_the_courses_chapters(course, monkeypatch, folder):
    monkeypatch.setattr(notebooks, "NOTEBOOKS", course / "notebooks")
    config = PyFileConfigLoader("jupyter_server_config.py", path=str(SETTINGS)).load_config()
    manager = FileContentsManager(root_dir=str(course), config=config)
    sent = nbformat.read(course / "notebooks" / "Untitled.ipynb", as_version=4)
    player = {"text/html": ["<audio\n", "controls></audio>"], "text/plain": ["a player"]}
    sent.cells[1].outputs.append(new_output("display_data", player))
    manager.save({"type": "notebook", "content": dict(sent)}, f"{folder}/sent.ipynb")
    saved = (course / folder / "sent.ipynb").read_text()
    assert "shown" in saved
    found = [PLAYER_NOTE in saved, "<audio" in saved, "a sound" in saved]
    assert found == ([True, False, False] if folder == "notebooks" else [False, True, True])


def test_jupyterlab_knows_the_setting_that_switches_its_news_off(tmp_path):
    name, schemas = "@jupyterlab/apputils-extension:notification", LabApp().schemas_dir
    news = [
        get_settings(str(folder), schemas, str(tmp_path), schema_name=name)[0]["schema"]
        for folder in (tmp_path, SETTINGS)
    ]
    assert [schema["properties"]["fetchNews"]["default"] for schema in news] == ["none", "false"]
