"""The rules of the house: who imports whom, what a chapter may name, how large a room may be."""

import ast
import importlib
import re
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from sercore.config import REPOSITORY, SercoreError

# A module imports only from those before it: data flows one way, and there are no circles.
ARROWS = """
    config sounds store.files store.scan corpora functionals encoder heads collection.checksums
    collection.encoder demo.plan demo.speak demo.render
    workspace manifest collection.download collection.check store.fast_mel store.arrays features
    splits models datasets results store.runs modelfile store.shipped training inference evaluation
    article figures course.notebooks course.lab course.pages course.pictures
    course.texts course.publishing course.runner __main__
"""
ORDER = ARROWS.split()
# These may load TensorFlow when they are imported. The others do not, and none loads Kaggle.
SLOW = re.compile(r"datasets|store\.(runs|shipped)|modelfile|training|inference|article|course.*")
FOR_CHAPTERS = re.compile(r"(?!__main__)\w+|(demo|collection)\.\w+")
# Setting a variable for a process that is to be started is no reading.
VARIABLE_READ = re.compile(r"""["'](SER_\w+)["'](?!\]\s*=[^=]|\s*:)""")
FRONT_ROW = "sercore/[!_]*.py sercore/__init__.py"
LINES_AT_MOST = [
    (FRONT_ROW, sum, 3_800),
    (FRONT_ROW, len, 22),  # files
    (FRONT_ROW, max, 320),  # in one file
    ("sercore/demo/*.py sercore/collection/*.py", sum, 1_170),
    ("sercore/store/*.py", sum, 850),
    ("sercore/course/*.py sercore/__main__.py", sum, 1_550),
    ("sercore/**/*.py", sum, 7_250),
    ("tests/*.py", sum, 6_550),
    ("benchmarks/*.py", sum, 800),
]

PACKAGE = REPOSITORY / "sercore"
FILES = [f for f in PACKAGE.rglob("*.py") if f.name != "__init__.py" and f.parent.name != "data"]
MODULES = {
    ".".join(file.relative_to(PACKAGE).with_suffix("").parts): file.read_text(encoding="utf-8")
    for file in FILES
}
CHAPTERS = sorted((REPOSITORY / "notebooks").rglob("[!.]*.ipynb"))


def imports(source: str) -> list[str]:
    """The modules of sercore that a source imports; what is in none of them stays as written."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            names |= {f"{base}.{alias.name}" for alias in node.names}
    own = {name.removeprefix("sercore.") for name in names if re.match(r"sercore\.|\.", name)}
    found = {next((m for m in ORDER if f"{name}.".startswith(f"{m}.")), name) for name in own}
    return sorted(found - {"__version__"})


def from_below(module: str, source: str) -> list[str]:
    """What a module imports that does not stand above it."""
    return [name for name in imports(source) if name not in ORDER[: ORDER.index(module)]]


def behind_the_scenes(notebook: nbformat.NotebookNode) -> list[str]:
    """What a chapter imports or names that is not made for chapters."""
    found = []
    for cell in notebook.cells:
        found += re.findall(r"sercore[./](?:store|course)\b", cell.source)
        if cell.cell_type == "code":
            code = re.sub(r"^\s*[%!].*$", "", cell.source, flags=re.MULTILINE)
            found += [name for name in imports(code) if not FOR_CHAPTERS.fullmatch(name)]
    return found


def stray_errors(module: object) -> list[str]:
    """The error classes of a module that no command knows how to print."""
    classes = [c for c in vars(module).values() if isinstance(c, type)]
    own = [c for c in classes if c.__module__ == module.__name__ and c.__name__.endswith("Error")]
    return [c.__name__ for c in own if not issubclass(c, SercoreError)]


def loads(*modules: str) -> list[str]:
    """What each import has loaded of slow packages and Kaggle's, in a fresh interpreter."""
    script = (
        "import importlib, sys\nfor name in sys.argv[1:]:\n    importlib.import_module(name)\n"
        "    for package in {'tensorflow', 'keras', 'kaggle', 'kagglehub'} & set(sys.modules):\n"
        "        print(name, 'has loaded', package)"
    )
    command = [sys.executable, "-c", script, *modules]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_each_module_has_its_place_and_imports_only_from_above():
    assert sorted(MODULES) == sorted(ORDER)
    below = {module: from_below(module, source) for module, source in MODULES.items()}
    assert [f"{module}: {names}" for module, names in below.items() if names] == []


def test_errors_are_the_courses_own():
    modules = [importlib.import_module(f"sercore.{module}") for module in MODULES]
    assert [error for module in modules for error in stray_errors(module)] == []


def test_only_config_reads_the_variables():
    found = {module: VARIABLE_READ.findall(source) for module, source in MODULES.items()}
    assert [module for module, variables in found.items() if variables] == ["config"]


def test_benchmarks_do_without_the_press():
    sources = [file.read_text(encoding="utf-8") for file in REPOSITORY.glob("benchmarks/*.py")]
    assert [name for source in sources for name in imports(source) if "course" in name] == []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_imports_only_what_is_made_for_it(path):
    assert behind_the_scenes(nbformat.read(path, as_version=4)) == []


def test_importing_the_package_or_a_light_module_loads_nothing_slow():
    assert loads("sercore", *(f"sercore.{m}" for m in ORDER if not SLOW.fullmatch(m))) == []


@pytest.mark.parametrize(("room", "measure", "bound"), LINES_AT_MOST)
def test_room_is_small(room, measure, bound):
    files = [file for pattern in room.split() for file in REPOSITORY.glob(pattern)]
    assert measure([len(f.read_text(encoding="utf-8").splitlines()) for f in files]) <= bound


ABOVE = "import numpy\nfrom sercore.store.files import sha256\nfrom sercore import config\n"
BELOW = """from sercore.training import train
from sercore import training
import sercore.training
def later(): from sercore import training
from . import files
from sercore.store import arrays
from sercore.unheard_of import anything"""


@pytest.mark.parametrize("source", BELOW.splitlines())
def test_an_import_from_below_is_found(source):
    assert from_below("store.arrays", ABOVE) == []
    assert len(from_below("store.arrays", ABOVE + source)) == 1


def test_a_chapter_that_goes_behind_the_scenes_is_found():
    good = new_code_cell("%time 1\nfrom sercore.demo.plan import RULES\nfrom sercore import splits")
    assert behind_the_scenes(new_notebook(cells=[good])) == []
    codes = ["%matplotlib inline\nfrom sercore import __main__", "import sercore.unheard_of.thing"]
    bad = [*map(new_code_cell, codes), new_markdown_cell("`sercore.store` or `sercore/course`")]
    found = ["__main__", "unheard_of.thing", "sercore.store", "sercore/course"]
    assert behind_the_scenes(new_notebook(cells=[good, *bad])) == found


def test_a_variable_that_is_read_is_found():
    reads = "getenv('SER_A'), environ.get('SER_B', 1), environ['SER_C'], 'SER_D' in environ"
    assert VARIABLE_READ.findall(reads) == ["SER_A", "SER_B", "SER_C", "SER_D"]
    assert VARIABLE_READ.findall("environ['SER_A'] = '1'; run({'SER_B': 2}); 'say SER_C'") == []


def test_a_stray_error_is_found():
    module = type(sys)("here")
    module.OwnError = type("OwnError", (SercoreError,), {"__module__": "here"})
    module.StrayError = type("StrayError", (ValueError,), {"__module__": "here"})
    assert stray_errors(module) == ["StrayError"]


def test_a_loaded_package_is_noticed(tmp_path, monkeypatch):
    (tmp_path / "kaggle.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert loads("json", "kaggle") == ["kaggle has loaded kaggle"]
