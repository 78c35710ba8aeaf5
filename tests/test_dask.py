"""Features computed by the workers of a cluster, with the call that computes them here."""

import os
import re
from pathlib import Path
from types import SimpleNamespace

import joblib
import nbformat
import numpy as np
import pytest

from sercore.features import KINDS, FeatureError, Kind, extract
from sercore.manifest import article_view, build_manifest
from tests.speech import TINY, tiny_corpus, tone, write_clip

distributed = pytest.importorskip("distributed", reason="needs the extra dask")
APPENDIX = Path(__file__).parents[1] / "notebooks" / "appendix_c_more_machines.ipynb"


@pytest.fixture(scope="module")
def client():
    """A cluster of two worker processes on this machine."""
    cluster = distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None)
    with cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture
def root(tmp_path, cache):
    return tiny_corpus(tmp_path / "data", clips=42)


def test_the_workers_compute(client, root, monkeypatch):
    who = Kind(compute=lambda clip, config: np.array([os.getpid()]), shape=lambda config: (1,))
    monkeypatch.setitem(KINDS, "who", who)
    clips = article_view(build_manifest(root))
    with joblib.parallel_config(backend="dask"):
        computed_by = extract(clips, root, config=TINY, kind="who", report=None)[:].ravel()
    assert computed_by[0] == os.getpid()  # the first clip, before the others
    assert set(computed_by[1:]) <= set(client.run(os.getpid).values())


def test_two_workers_give_the_same_bytes(client, root, tmp_path, monkeypatch):
    clips, stores = article_view(build_manifest(root)), []
    for backend in ("threading", "dask"):
        monkeypatch.setenv("SER_CACHE", str(tmp_path / backend))
        with joblib.parallel_config(backend=backend):
            extract(clips, root, config=TINY, kind="mel", report=None)
        stores.append({file.name: file.read_bytes() for file in tmp_path.glob(f"{backend}/*/*/*")})
    assert stores[0] == stores[1] and len(stores[0]) == 3


def test_what_a_worker_finds_wrong_is_said_here(client, root):
    clips = article_view(build_manifest(root))
    write_clip(root / clips["path"][30], tone(123))
    with joblib.parallel_config(backend="dask"), pytest.raises(FeatureError, match="has changed"):
        extract(clips, root, config=TINY, kind="mel", report=None)


def test_appendix_c_runs_as_printed(client, root):
    cells = nbformat.read(APPENDIX, 4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    (snippet,) = re.findall(r"```python\n(.+?)```", text, re.DOTALL)
    assert snippet.count("scheduler:8786") == 1
    names = {"clips": article_view(build_manifest(root)), "audio": TINY, "extract": extract}
    names["workspace"] = SimpleNamespace(root=root)
    exec(snippet.replace("scheduler:8786", client.scheduler.address), names)
    assert names["features"].shape == (42, 16, 32)
