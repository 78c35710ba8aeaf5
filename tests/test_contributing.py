"""CONTRIBUTING.md: what it says about adding things is done here, with its own code blocks."""

import re
import textwrap

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook

from sercore.config import PROFILES, REPOSITORY
from sercore.corpora import CORPORA
from sercore.course.runner import run_course
from sercore.features import KINDS, extract
from sercore.manifest import build_manifest, clean_view
from sercore.models import RECIPES
from sercore.results import PROBABILITIES
from sercore.workspace import Workspace
from tests.speech import TINY, tiny_corpus, tone, write_clip
from tests.test_training import run_small

GUIDE = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", GUIDE, re.MULTILINE))


def block(section: str, language: str = "python") -> str:
    """The code block of a section, without its indentation."""
    return textwrap.dedent(re.search(rf"```{language}\n(.*?)```", SECTIONS[section], re.DOTALL)[1])


@pytest.mark.parametrize("thing", ["corpus", "feature", "model", "chapter"])
def test_it_takes_five_steps_to_add(thing):
    assert re.findall(r"^(\d)\. ", SECTIONS[f"Add a {thing}"], re.MULTILINE) == list("12345")


def test_a_corpus_is_added(tmp_path):
    for pitch, name in enumerate(["r1_ang_02", "r2_hap_01", "r2_bored_01"], start=1):
        write_clip(tmp_path / "mine" / f"{name}.wav", tone(100 * pitch))
    (tmp_path / "mine" / "corpus.toml").write_text(block("Add a corpus", "toml"))
    rows = clean_view(build_manifest(tmp_path))
    assert rows["emotion"].tolist() == ["anger", "happiness"]
    assert rows["speaker"].tolist() == ["mine_r1", "mine_r2"]


def test_a_feature_is_added(tmp_path, monkeypatch):
    monkeypatch.setitem(KINDS, "loudness", None)  # so that it is taken out again
    exec(block("Add a feature"), {})
    clips = build_manifest(tiny_corpus(tmp_path))
    features = extract(clips, tmp_path, config=TINY, kind="loudness", report=None)
    assert features.shape == (len(clips), 1, TINY.n_frames)
    assert features[[0]].max() == pytest.approx(0.3 / 2**0.5, rel=0.02)  # a sine of level 0.3


def test_a_model_is_added(tmp_path, monkeypatch):
    monkeypatch.setitem(RECIPES, "small", None)
    exec(block("Add a model"), {})
    trained = run_small(tiny_corpus(tmp_path), recipe="small")
    assert trained.predictions[list(PROBABILITIES)].sum(axis=1).to_numpy() == pytest.approx(1)


def test_a_chapter_is_added(tmp_path):
    root = tiny_corpus(tmp_path / "data", clips=7)
    workspace = Workspace(root=root, profile=PROFILES["demo"], synthetic=False)
    notebook = new_notebook(cells=[new_code_cell(block("Add a chapter"))])
    name = re.search(r"notebooks/(\w+\.ipynb)", SECTIONS["Add a chapter"])[1]
    nbformat.write(notebook, tmp_path / name)
    run_course(workspace, tmp_path, build=tmp_path / "build")
    page = (tmp_path / "build" / name).with_suffix(".html")
    assert "SAVEE" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:sercore|tests)/[\w./]+)`", GUIDE))))
def test_what_it_names_is_there(path):
    assert (REPOSITORY / path).exists()


def test_the_corpora_are_cited():
    references = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text("utf-8"))["references"]
    dois = [doi for corpus in CORPORA.values() for doi in re.findall(r"doi:(\S+)", corpus.citation)]
    assert [reference["doi"] for reference in references if "doi" in reference] == dois
    assert len(references) == len(CORPORA) + 1  # and the article


def test_the_picture_has_every_room_of_the_library():
    rooms = {file.stem for file in (REPOSITORY / "sercore").glob("*.py")} - {"__init__"}
    assert {room for room in rooms if room not in GUIDE} == set()
