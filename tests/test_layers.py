"""Data flows one way: a module imports only from the rows above it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sercore

PACKAGE = Path(sercore.__file__).parent

# speak is demo's worker in a process of its own.
ORDER = (
    "config",
    "scan",
    "corpora",
    "own",
    "collect",
    "speak",
    "demo",
    "workspace",
    "index",
    "manifest",
    "check",
    "features",
    "splits",
    "published",
    "datasets",
    "models",
    "modelfile",
    "training",
    "inference",
    "evaluation",
    "figures",
    "slides",
    "cards",
    "publish",
    "stored",
    "pages",
    "course",
    "__main__",
)
HEAVY = {"tensorflow", "keras"}
MAY_BE_HEAVY = ORDER[ORDER.index("datasets") :]
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")


def imports(source: str) -> set[str]:
    """Every module a source imports, at its top or inside a function, by its full name."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, ["sercore" if node.level else None, node.module]))
            names = [base]
            if base == "sercore":
                names = [f"sercore.{alias.name}" for alias in node.names]
            found |= set(names)
    return found


def problems(module: str, source: str) -> list[str]:
    """Say what a module imports that it must not."""
    found = []
    for name in sorted(imports(source)):
        top, *rest = name.split(".")
        below = not rest or rest[0] not in ORDER[: ORDER.index(module)]
        if top == "sercore" and rest != ["__version__"] and below:
            found.append(f"{module} imports {name}, which does not stand above it")
        if top in HEAVY and module not in MAY_BE_HEAVY:
            found.append(f"{module} imports {name}")
    return found


def test_every_module_has_its_row():
    assert set(MODULES) <= set(ORDER)


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_only_from_above(module):
    assert problems(module, (PACKAGE / f"{module}.py").read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "from sercore.training import train",
        "from sercore import training",
        "import sercore.training",
        "from .training import train",
        "from . import training",
        "def later():\n    from sercore.training import train",
        "from sercore.features import extract",
        "import keras",
        "import tensorflow as tf",
        "def later():\n    from keras.layers import Dense",
    ],
)
def test_an_import_from_below_is_found(source):
    assert len(problems("features", source)) == 1


def test_imports_from_above_are_allowed():
    source = (
        "import numpy\nimport keras\nfrom sercore.config import digest\nfrom sercore import splits"
    )
    assert problems("training", source) == []


def loaded_by(modules: list[str]) -> set[str]:
    """The heavy or account-bound packages in a fresh interpreter that has imported `modules`."""
    watched = HEAVY | {"kaggle", "kagglehub"}
    script = f"import sys, {', '.join(modules)}; print(*{watched!r} & set(sys.modules))"
    command = [sys.executable, "-c", script]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_importing_the_package_loads_neither_tensorflow_nor_kaggle():
    assert loaded_by(["sercore"]) == set()


def test_importing_the_light_modules_loads_neither_tensorflow_nor_kaggle():
    light = [name for name in MODULES if name not in MAY_BE_HEAVY]
    assert loaded_by([f"sercore.{name}" for name in light]) == set()


def test_a_loaded_package_is_noticed(tmp_path, monkeypatch):
    (tmp_path / "kaggle.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert loaded_by(["kaggle"]) == {"kaggle"}
