"""What every test shares: a cache of its own, the demo profile, and the data.

The variables are set before nbval starts a kernel: unit tests and notebooks share one cache.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

# pytest-xdist's workers load this file too, and share the cache of the process that started them.
STARTS = "PYTEST_XDIST_WORKER" not in os.environ
if STARTS:
    os.environ["SER_CACHE"] = tempfile.mkdtemp(prefix="sercore-test-")
os.environ |= {"SER_PROFILE": "demo", "TF_CPP_MIN_LOG_LEVEL": "2", "MPLBACKEND": "Agg"}
for name in ("SER_DATA", "SER_RETRAIN"):
    os.environ.pop(name, None)
CACHE = os.environ["SER_CACHE"]


def pytest_unconfigure() -> None:
    """Remove the cache, after the last kernel has ended."""
    if STARTS:
        shutil.rmtree(CACHE, ignore_errors=True)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """The folder that is the cache of one test alone."""
    monkeypatch.setenv("SER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def sample() -> Path:
    """The folder of real clips that stands beside some checkouts."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "corpora" / "sample"
    if not folder.is_dir():
        pytest.skip("the real clips in ../shared/corpora/sample are not here")
    return folder


@pytest.fixture(scope="session")
def demo_root() -> Path:
    """The demo corpora, made at the first use and shared with the notebooks."""
    from sercore.workspace import open_workspace

    return open_workspace().root
