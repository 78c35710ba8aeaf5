"""What every test shares: a cache of its own, the demo profile, and the data.

The variables are set when pytest loads this file, before nbval starts a kernel, so that unit tests
and notebooks use the same cache and the demo corpora are made once.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SAMPLE = REPOSITORY.parent / "shared" / "corpora" / "sample"

# pytest-xdist's workers load this file too, and share the cache of the process that started them.
_STARTS = "PYTEST_XDIST_WORKER" not in os.environ
_CACHE = tempfile.mkdtemp(prefix="sercore-test-") if _STARTS else os.environ["SER_CACHE"]

os.environ["SER_CACHE"] = _CACHE
os.environ["SER_PROFILE"] = "demo"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
os.environ["MPLBACKEND"] = "Agg"
for _name in ("SER_DATA", "SER_DPI", "SER_RETRAIN"):
    os.environ.pop(_name, None)


def pytest_unconfigure() -> None:
    """Remove the cache, after the last kernel has ended."""
    if _STARTS:
        shutil.rmtree(_CACHE, ignore_errors=True)


@pytest.fixture(scope="session")
def sample() -> Path:
    """The folder of real clips that stands beside some checkouts."""
    if not SAMPLE.is_dir():
        pytest.skip("the real clips in ../shared/corpora/sample are not here")
    return SAMPLE


@pytest.fixture(scope="session")
def demo_root() -> Path:
    """The demo corpora, made at the first use and shared with the notebooks."""
    from sercore.workspace import open_workspace

    return open_workspace().root
