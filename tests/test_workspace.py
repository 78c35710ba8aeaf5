"""Where a chapter works."""

import pytest

from sercore.workspace import SYNTHETIC_NOTE, NoDataError, open_workspace
from tests.speech import tiny_corpus


def test_without_data_the_demo_corpora_are_made(demo_root):
    workspace = open_workspace()
    assert workspace.root == demo_root and workspace.synthetic
    assert workspace.profile.name == "demo" and SYNTHETIC_NOTE in str(workspace)


def test_named_data_are_used(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_DATA", str(tiny_corpus(tmp_path, clips=2)))
    workspace = open_workspace()
    assert workspace.root == tmp_path.resolve() and not workspace.synthetic
    banner = str(workspace)
    assert "data      SAVEE\n" in banner and SYNTHETIC_NOTE not in banner
    assert str(tmp_path) not in banner


@pytest.mark.parametrize(("exists", "problem"), [(False, "does not exist"), (True, "holds none")])
def test_no_data_names_the_folder_and_three_ways(tmp_path, exists, problem):
    folder = tmp_path / "speech"
    if exists:
        folder.mkdir()
    with pytest.raises(NoDataError) as error:
        open_workspace(folder)
    message = str(error.value)
    assert str(folder) in message and problem in message
    assert all(way in message for way in ("demo corpora", "chapter 1", "point DATA"))


@pytest.mark.parametrize(("data", "meant"), [(".", "corpora"), ("corpora/tess", "corpora")])
def test_a_folder_one_level_off_is_told_the_right_one(tmp_path, data, meant):
    (tmp_path / "corpora" / "tess").mkdir(parents=True)
    with pytest.raises(NoDataError) as error:
        open_workspace(tmp_path / data)
    assert f"Did you mean {tmp_path / meant}? " in str(error.value)
