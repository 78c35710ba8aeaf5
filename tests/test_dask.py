"""Features computed by the workers of a cluster, with the call that computes them here."""

import re
import sys
from types import SimpleNamespace

import joblib
import nbformat
import pytest

from sercore.course.runner import NOTEBOOKS
from sercore.features import FeatureError, extract
from sercore.manifest import article_view, build_manifest
from tests.speech import TINY, tiny_corpus, tone, write_clip

distributed = pytest.importorskip("distributed", reason="needs the extra dask")


@pytest.fixture(scope="module")
def client():
    """A cluster of two worker processes on this machine."""
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    )
    with cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture
def root(tmp_path):
    return tiny_corpus(tmp_path / "data", clips=42)


def workers_that_computed(client) -> list[bool]:
    """Whether each worker has made the filters of its mel bands."""

    def computed() -> bool:
        features = sys.modules.get("sercore.features")
        return features is not None and features._window_and_bands.cache_info().misses > 0

    return list(client.run(computed).values())


def store(clips, root, cache, monkeypatch) -> dict[str, bytes]:
    monkeypatch.setenv("SER_CACHE", str(cache))
    extract(clips, root, config=TINY, kind="mel", report=None)
    (folder,) = (cache / "features").glob("spectral-*/")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_two_workers_give_the_same_bytes(client, root, tmp_path, monkeypatch):
    clips = article_view(build_manifest(root))
    here = store(clips, root, tmp_path / "here", monkeypatch)
    assert workers_that_computed(client) == [False, False]
    with joblib.parallel_config(backend="dask"):
        there = store(clips, root, tmp_path / "there", monkeypatch)
    assert workers_that_computed(client) == [True, True]
    assert there == here


def test_what_a_worker_finds_wrong_is_said_here(client, root, tmp_path, monkeypatch):
    clips = article_view(build_manifest(root))
    write_clip(root / clips["path"][30], tone(123))
    with (
        joblib.parallel_config(backend="dask"),
        pytest.raises(FeatureError, match=r"has changed.*build the manifest again"),
    ):
        store(clips, root, tmp_path / "there", monkeypatch)


def test_chapter_4_runs_as_printed(client, root, tmp_path, monkeypatch):
    notebook = nbformat.read(NOTEBOOKS / "04_preprocessing.ipynb", 4)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    (snippet,) = re.findall(r"```python\n(.+?)```", text, re.DOTALL)
    address = client.scheduler.address
    assert snippet.count("scheduler:8786") == 1
    monkeypatch.setenv("SER_CACHE", str(tmp_path / "cache"))
    names = {
        "clips": article_view(build_manifest(root)),
        "workspace": SimpleNamespace(root=root),
        "audio": TINY,
        "extract": extract,
    }
    exec(snippet.replace("scheduler:8786", address), names)
    assert names["features"].shape == (42, 16, 32)
