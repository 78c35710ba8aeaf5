"""install.py: until a new environment is complete, the old one stays and works.

The installs run in a folder of their own. Their `pip` and `venv` are stubs that need no network and
no time: what requirements.txt says is "installed", or goes wrong.
"""

import os
import shutil
import subprocess
import sys

import pytest

from sercore.config import REPOSITORY

PIP = """
import os, pathlib, signal, sys
word = pathlib.Path("requirements.txt").read_text()
with open("log", "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
if "requirements-encoder.txt" in sys.argv:
    sys.exit("there is no such wheel")
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
LINKED, IN_PLACE = ["install.py"], ["-c", NO_LINKS]
PYTHON = ".venv/Scripts/python.exe" if os.name == "nt" else ".venv/bin/python"
ENCODER = "requirements-encoder.txt"
FILES = ("requirements.txt", ENCODER, "pyproject.toml", "setup.py", "kernel.py")

both_ways = pytest.mark.parametrize("how", [LINKED, IN_PLACE], ids=["linked", "in place"])
not_on_windows = pytest.mark.skipif(os.name == "nt", reason="needs links and signals")


@pytest.fixture
def clone(tmp_path):
    """No more of a clone of the course than install.py needs."""
    root = tmp_path / "clone"
    (root / "stubs").mkdir(parents=True)
    shutil.copy(REPOSITORY / "install.py", root)
    (root / "stubs" / "pip.py").write_text(PIP)
    (root / "stubs" / "venv.py").write_text(VENV)
    for name in FILES:
        (root / name).touch()
    (root / "pyproject.toml").write_text('[tool.setuptools.data-files]\netc = ["kernel.py"]\n')
    return root


def start(root, word, how=LINKED):
    (root / "requirements.txt").write_text(word)
    stubs = {**os.environ, "PYTHONPATH": str(root / "stubs")}
    # "killed" ends the whole session, so it must not be that of the tests.
    return subprocess.Popen([sys.executable, *how], cwd=root, env=stubs, start_new_session=True)


def install(root, word, how=LINKED):
    """Return whether it succeeded, and what then is installed for README's `.venv/bin/python`."""
    succeeded = start(root, word, how).wait() == 0
    code = "import pathlib, sys; print(pathlib.Path(sys.prefix, 'word').read_text())"
    found = (root / PYTHON).exists()
    return succeeded, found and subprocess.check_output([root / PYTHON, "-c", code], text=True)[:-1]


@both_ways
def test_an_environment_is_made_once(clone, how):
    assert install(clone, "one", how) == (True, "one")
    assert install(clone, "one", how) == (True, "one")
    packages, itself, encoder = (clone / "log").read_text().splitlines()
    assert "--require-hashes -r requirements.txt" in packages
    assert "--no-build-isolation -e ." in itself
    assert f"--require-hashes -r {ENCODER}" in encoder  # which failed, and nothing else did


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_makes_a_new_one(clone, name):
    install(clone, "one")
    (clone / name).write_text((clone / name).read_text() + "\n# changed\n")
    install(clone, (clone / "requirements.txt").read_text())
    assert (clone / "log").read_text().count("\n") == 6  # three calls of pip each


def test_a_moved_folder_makes_a_new_one(clone):
    install(clone, "one")
    moved = clone.rename(clone.with_name("moved"))
    assert install(moved, "one") == (True, "one")
    assert (moved / "log").read_text().count("\n") == 6


@both_ways
def test_a_failed_install_leaves_what_was_there(clone, how):
    assert install(clone, "broken", how) == (False, False)
    assert os.listdir(clone / ".venvs") == ["lock"]
    install(clone, "one", how)
    assert install(clone, "broken", how) == (False, "one")


@not_on_windows
@both_ways
def test_a_killed_install_is_cleaned_up(clone, how):
    install(clone, "one", how)
    start(clone, "killed", how).wait()
    assert install(clone, "broken", how) == (False, "one")
    start(clone, "killed", how).wait()
    assert install(clone, "two", how) == (True, "two")
    assert len(os.listdir(clone / ".venvs")) == 1 + (how is LINKED)  # the lock, the environment


@both_ways
def test_two_at_once_are_one_install(clone, how):
    assert [process.wait() for process in [start(clone, "one", how) for _ in "12"]] == [0, 0]
    assert (clone / "log").read_text().count("\n") == 3


@not_on_windows
@both_ways
def test_a_deleted_interpreter_is_noticed(clone, how):
    install(clone, "one", how)
    (clone / PYTHON).unlink()
    (clone / PYTHON).symlink_to("/nowhere/python3")
    assert install(clone, "one", how) == (True, "one")


@both_ways
def test_an_old_folder_is_replaced(clone, how):
    """As `make` made it before there was install.py, without a stamp that counts."""
    (clone / PYTHON).parent.mkdir(parents=True)
    (clone / PYTHON).write_text("old")
    assert start(clone, "broken", how).wait() != 0
    assert (clone / PYTHON).read_text() == "old"
    assert install(clone, "one", how) == (True, "one")


def test_links_and_no_links_follow_one_another(clone):
    assert install(clone, "one", LINKED) == (True, "one")
    assert install(clone, "broken", IN_PLACE) == (False, "one")
    assert install(clone, "two", IN_PLACE) == (True, "two")
    assert install(clone, "three", LINKED) == (True, "three")
