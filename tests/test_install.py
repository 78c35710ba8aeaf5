"""install.py: whatever happens to a new environment, the one that works stays until then.

The installs run in a folder of their own, with a `pip` and a `venv` that need no network and take
no time. Their requirements.txt is one word: what is "installed", or what goes wrong.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sercore.config import REPOSITORY

PIP = """
import os, pathlib, signal, sys
word = pathlib.Path("requirements.txt").read_text()
with open("log", "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
if word == "broken":
    sys.exit("there is no such package")
if word == "killed":
    os.killpg(0, signal.SIGKILL)
pathlib.Path(sys.prefix, "word").write_text(word)
"""
VENV = """
import os, sys
sys.path.remove(os.path.dirname(os.path.abspath(__file__)))
import venv  # the real one
venv.create(sys.argv[-1], symlinks=os.name != "nt")
"""
NO_LINKS = """
import os, runpy
def refuse(*args, **options):
    raise OSError("no right to make links")
os.symlink = refuse
runpy.run_path("install.py", run_name="__main__")
"""
WITH_LINKS, WITHOUT = ["install.py"], ["-c", NO_LINKS]
both_ways = pytest.mark.parametrize("how", [WITH_LINKS, WITHOUT], ids=["linked", "in place"])


class Folder:
    """A clone with no more in it than install.py needs."""

    def __init__(self, root: Path):
        self.root = root
        self.python = root / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def start(self, word: str, how=WITH_LINKS) -> subprocess.Popen:
        (self.root / "requirements.txt").write_text(word)
        return subprocess.Popen(
            [sys.executable, *how],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(self.root / "stubs")},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # "killed" ends the whole group, and so not the tests
        )

    def install(self, word: str, how=WITH_LINKS) -> tuple[int, str]:
        process = self.start(word, how)
        _, said = process.communicate()
        return process.returncode, said

    def installed(self) -> str:
        """What the interpreter that README names finds in its environment."""
        code = "import pathlib, sys; print(pathlib.Path(sys.prefix, 'word').read_text(), end='')"
        return subprocess.check_output([self.python, "-c", code], text=True)

    def pip_calls(self) -> list[str]:
        log = self.root / "log"
        return log.read_text().splitlines() if log.exists() else []

    def environments(self) -> list[Path]:
        return [entry for entry in (self.root / ".venvs").iterdir() if entry.is_dir()]


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "clone"
    (root / "stubs").mkdir(parents=True)
    shutil.copy(REPOSITORY / "install.py", root)
    (root / "stubs" / "pip.py").write_text(PIP)
    (root / "stubs" / "venv.py").write_text(VENV)
    (root / "kernel.py").touch()
    (root / "setup.py").touch()
    copied = '[tool.setuptools.data-files]\n"etc" = ["kernel.py"]\n'
    (root / "pyproject.toml").write_text(copied)
    return Folder(root)


@both_ways
def test_an_environment_is_made_once(folder, how):
    assert folder.install("one", how)[0] == 0
    assert folder.install("one", how)[0] == 0
    assert folder.installed() == "one"
    packages, itself = folder.pip_calls()
    assert "--require-hashes -r requirements.txt" in packages
    assert "--no-build-isolation -e ." in itself


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml", "setup.py", "kernel.py"])
def test_a_changed_file_makes_a_new_one(folder, name):
    folder.install("one")
    with open(folder.root / name, "a") as file:
        file.write("\n# changed\n")
    folder.install((folder.root / "requirements.txt").read_text())
    assert len(folder.pip_calls()) == 4
    assert len(folder.environments()) <= 1


def test_a_moved_folder_makes_a_new_one(folder, tmp_path):
    folder.install("one")
    moved = Folder(folder.root.rename(tmp_path / "moved"))
    assert moved.install("one")[0] == 0
    assert len(moved.pip_calls()) == 4


@both_ways
def test_a_failed_install_leaves_the_old_environment(folder, how):
    folder.install("one", how)
    code, said = folder.install("broken", how)
    assert code != 0
    assert "as it was" in said
    assert folder.installed() == "one"


def test_a_failed_first_install_leaves_nothing(folder):
    assert folder.install("broken")[0] != 0
    assert not folder.python.exists()
    assert folder.environments() == []


@pytest.mark.skipif(os.name == "nt", reason="process groups are killed otherwise on Windows")
@both_ways
def test_a_killed_install_is_cleaned_up(folder, how):
    folder.install("one", how)
    assert folder.install("killed", how)[0] < 0
    assert folder.install("broken", how)[0] > 0
    assert folder.installed() == "one"
    folder.install("killed", how)
    assert folder.install("two", how)[0] == 0
    assert folder.installed() == "two"
    assert len(folder.environments()) == (how is WITH_LINKS)


@both_ways
def test_two_at_once_are_one_install(folder, how):
    processes = [folder.start("one", how) for _ in range(2)]
    assert [process.communicate() and process.returncode for process in processes] == [0, 0]
    assert folder.installed() == "one"
    assert len(folder.pip_calls()) == 2


@pytest.mark.skipif(os.name == "nt", reason="Windows copies the interpreter")
@both_ways
def test_a_deleted_interpreter_is_noticed(folder, how):
    folder.install("one", how)
    folder.python.unlink()
    folder.python.symlink_to("/nowhere/python3")
    assert folder.install("one", how)[0] == 0
    assert folder.installed() == "one"


@both_ways
def test_an_old_folder_is_replaced(folder, how):
    """As `make` made it before there was install.py, or README's commands for Windows."""
    folder.python.parent.mkdir(parents=True)
    folder.python.write_text("old")
    assert folder.install("broken", how)[0] != 0
    assert folder.python.read_text() == "old"
    assert folder.install("one", how)[0] == 0
    assert folder.installed() == "one"


def test_links_and_no_links_follow_one_another(folder):
    for word, how in [
        ("one", WITH_LINKS),
        ("broken", WITHOUT),
        ("two", WITHOUT),
        ("three", WITH_LINKS),
    ]:
        code, _ = folder.install(word, how)
        assert (code == 0) == (word != "broken")
        assert folder.installed() == (word if code == 0 else "one")
