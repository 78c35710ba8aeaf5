"""Putting a downloaded corpus in place. The download itself is faked here."""

import kagglehub
import pytest
import requests

from sercore.collect import CollectError, collect
from tests.speech import tone, write_clip


@pytest.fixture
def downloaded(tmp_path, monkeypatch):
    """A kagglehub that answers with a folder of its cache, and remembers what it was asked."""
    source, asked = tmp_path / "kagglehub", []
    write_clip(source / "ALL" / "DC_a01.wav", tone(300))
    monkeypatch.setattr(kagglehub, "dataset_download", lambda h: asked.append(h) or str(source))
    return asked


def test_a_corpus_comes_into_its_folder(downloaded, tmp_path):
    target = collect("savee", tmp_path / "data")
    assert target == tmp_path / "data" / "savee"
    assert (target / "ALL" / "DC_a01.wav").exists()
    assert downloaded == ["ejlok1/surrey-audiovisual-expressed-emotion-savee"]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["savee"]


def test_a_corpus_that_is_there_is_not_downloaded_again(downloaded, tmp_path):
    collect("savee", tmp_path)
    collect("savee", tmp_path)
    assert len(downloaded) == 1


def test_unknown_corpus_names_the_alternatives(tmp_path):
    with pytest.raises(CollectError, match="unknown corpus 'emodb', expected one of cremad"):
        collect("emodb", tmp_path)


def test_no_network_says_what_to_do_and_leaves_nothing(monkeypatch, tmp_path):
    def fail(handle):
        raise requests.ConnectionError("secret address")

    monkeypatch.setattr(kagglehub, "dataset_download", fail)
    with pytest.raises(CollectError, match="SAVEE could not be downloaded.*Check the network") as e:
        collect("savee", tmp_path / "data")
    assert "secret" not in str(e.value)
    assert not (tmp_path / "data").exists()
