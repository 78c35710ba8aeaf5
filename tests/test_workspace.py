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
    assert "data      SAVEE\n" in banner
    assert SYNTHETIC_NOTE not in banner and str(tmp_path) not in banner


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("none", "none does not exist"),
        ("corpora/tess", "tess holds none"),
        # A folder one level off is told the right one.
        (".", "Did you mean {root}/corpora? "),
        ("corpora/tess", "Did you mean {root}/corpora? "),
    ],
)
def test_no_data_names_the_folder_and_three_ways(tmp_path, data, says):
    (tmp_path / "corpora" / "tess").mkdir(parents=True)
    with pytest.raises(NoDataError) as error:
        open_workspace(tmp_path / data)
    message = str(error.value)
    assert str(tmp_path / data) in message and says.format(root=tmp_path) in message
    assert all(way in message for way in ("demo corpora", "chapter 1", "point DATA"))
