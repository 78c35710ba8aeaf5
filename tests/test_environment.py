"""One source of dependencies: pyproject.toml, and the files that must agree with it."""

import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sercore.config import REPOSITORY

WORKFLOW = ".github/workflows/tests.yml"
FILES = ("pyproject.toml", "requirements.txt", "environment.yml", "Makefile", ".ci/run", WORKFLOW)
REGISTRY = re.compile(r"(?<!--no-emit-)index-url|find-links|trusted-host|://")
MACHINE_PATH = re.compile(r"(?<!\w)/(?:home|root|Users|tmp|work|mnt|opt)/|[A-Z]:\\")


def text(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def declared() -> list[Requirement]:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["dev"]
    return [Requirement(line) for line in lines]


PYTHON, PIP, CONDA = yaml.safe_load(text("environment.yml"))["dependencies"]


def locked() -> dict[str, list[tuple[str, str]]]:
    """From a package's name to the (version, hashes) of each of its pins."""
    pins: dict[str, list[tuple[str, str]]] = {}
    for block in re.split(r"\n(?=[\w])", text("requirements.txt")):
        if pin := re.match(r"([\w.-]+)==([\w.!+-]+)(.*)", block, re.DOTALL):
            pins.setdefault(canonicalize_name(pin[1]), []).append((pin[2], pin[3]))
    return pins


def leaks(content: str) -> list[str]:
    """Return the lines that hold a registry's address or a path of somebody's machine."""
    lines = content.splitlines()
    return [line for line in lines if REGISTRY.search(line) or MACHINE_PATH.search(line)]


def test_conda_installs_what_the_project_declares():
    *lines, itself = CONDA["pip"]
    assert itself == "-e ."
    assert sorted(str(Requirement(line)) for line in lines) == sorted(map(str, declared()))


def test_conda_supplies_python_and_pip_alone():
    assert re.fullmatch(r"python=3\.1[123]", PYTHON) and PIP == "pip"


@pytest.mark.parametrize("line", CONDA["pip"])
def test_conda_line_says_who_needs_it(line):
    comment = re.search(rf"^ +- {re.escape(line)} # (.+)$", text("environment.yml"), re.MULTILINE)
    assert comment and re.search(r"chapter|make |python -m|next line", comment[1])


@pytest.mark.parametrize("requirement", declared(), ids=str)
def test_dependency_is_locked_within_its_bounds(requirement):
    pins = locked()[canonicalize_name(requirement.name)]
    assert all(requirement.specifier.contains(version) for version, _ in pins)


def test_the_workflow_runs_the_documented_commands():
    documented = text("CONTRIBUTING.md").replace(".venv/bin/", "")
    jobs = yaml.safe_load(text(WORKFLOW))["jobs"].values()
    runs = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    commands = {re.sub(r"PYTHON=python |\.venv\\Scripts\\", "", run) for run in runs}
    assert [command for command in commands if f"\n{command}" not in documented] == []


def test_every_pin_has_hashes():
    bare = [name for name, pins in locked().items() for _, rest in pins if "--hash=" not in rest]
    assert bare == []


def test_librosa_is_locked_for_each_python():
    """librosa 1.0 asks for Python 3.12, so 3.11 keeps 0.11."""
    markers = {version: rest.split("\\")[0] for version, rest in locked()["librosa"]}
    assert "python_full_version < '3.12'" in markers["0.11.0"]


@pytest.mark.parametrize("name", FILES)
def test_file_names_no_registry_and_no_machine(name):
    assert leaks(text(name)) == []


LEAKS = f"""--index-url https:{"//"}example.org/simple
--extra-index-url=mirror
--find-links wheels
#    uv pip compile -o /home/someone/requirements.txt
package @ file:{"//"}/tmp/package"""


@pytest.mark.parametrize("line", LEAKS.splitlines())
def test_a_leak_is_found(line):
    assert leaks(f"numpy==2.0\n{line}\n") == [line]
