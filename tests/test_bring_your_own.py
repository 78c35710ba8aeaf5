"""Corpora that are not the course's own: declared in a corpus.toml, or a folder per emotion."""

import contextlib
import os
import re
import tomllib
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sercore import evaluation, figures
from sercore import manifest as m
from sercore.collection.check import check_data
from sercore.config import REPOSITORY
from sercore.corpora import (
    CORPORA,
    LABELS,
    SKIP,
    Corpus,
    DeclarationError,
    LabelError,
    corpora_in,
    read_declaration,
)
from sercore.splits import SplitError, check_disjoint, random_split
from sercore.workspace import NoDataError, open_workspace
from tests.speech import tiny_corpus, tone, write_clip

DECLARATION = """\
title = "Robots"
licence = "CC0"
citation = "Nobody: Robots that beep. 2026."
pattern = '(?P<speaker>r[0-9])_(?P<emotion>[a-z]+)_(?P<sentence>[0-9]+)'
speakers = { r1 = "female", r2 = "male", r3 = "" }

[emotions]
ang = "anger"
hap = "happiness"
neu = "neutral"
bored = "skip"
"""
EXAMPLE = (REPOSITORY / "sercore" / "data" / "corpora" / "example.toml").read_text("utf-8")


def declare(folder, text=DECLARATION):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "corpus.toml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Two clips of SAVEE, six of a declared corpus, three of a plain folder."""
    monkeypatch.setenv("SER_CACHE", str(tmp_path / "cache"))
    root = tiny_corpus(tmp_path / "data", clips=2)
    robots = declare(root / "beeps")
    names = ("r1_ang_1", "r1_neu_1", "r2_hap_1", "r3_neu_2", "r1_bored_1", "r9_ang_1")
    for i, name in enumerate(names):
        write_clip(robots / "wav" / f"{name}.wav", tone(300 + 50 * i))
    for i, folder in enumerate(("Angry", "sad", "contempt")):
        write_clip(root / "mine" / folder / "1.wav", tone(700 + 50 * i))
    return root


def of(table, corpus):
    return table[table["corpus"] == corpus].set_index("path")


# --- In the table ---------------------------------------------------------------------------------


def test_declared_clips_are_in_the_table(root):
    robots = of(m.build_manifest(root), "beeps")
    clip = robots.loc["beeps/wav/r2_hap_1.wav"]
    assert (clip["speaker"], clip["sex"], clip["emotion"]) == ("beeps_r2", "male", "happiness")
    assert (clip["sentence"], clip["note"]) == ("1", "")
    assert robots.loc["beeps/wav/r3_neu_2.wav", "sex"] == ""


def test_skipped_clips_are_noted_and_in_no_view(root):
    table = m.build_manifest(root)
    clip = of(table, "beeps").loc["beeps/wav/r1_bored_1.wav"]
    assert clip["emotion"] == "" and clip["note"].startswith(m.SKIPPED)
    assert not m.article_view(table)["path"].str.contains("bored").any()


def test_an_undeclared_speaker_is_noted(root):
    note = of(m.build_manifest(root), "beeps").loc["beeps/wav/r9_ang_1.wav", "note"]
    assert note.startswith(m.UNKNOWN)
    assert "'r9' in r9_ang_1.wav, expected one of r1, r2, r3; beeps/corpus.toml" in note


def test_a_folder_per_emotion_needs_no_declaration(root):
    mine = of(m.build_manifest(root), "mine")
    assert mine["emotion"].to_dict() == {
        "mine/Angry/1.wav": "anger",
        "mine/contempt/1.wav": "",
        "mine/sad/1.wav": "sadness",
    }
    assert set(mine["speaker"]) == {""}
    note = mine.loc["mine/contempt/1.wav", "note"]
    assert "'contempt'" in note and "mine/corpus.toml" in note


def test_a_pattern_with_a_slash_reads_the_folders_too(root):
    text = DECLARATION.replace("r[0-9])_", "r[0-9])/")
    write_clip(declare(root / "nested", text) / "r1" / "ang_7.wav", tone(200))
    clip = of(m.build_manifest(root), "nested").iloc[0]
    assert (clip["speaker"], clip["sentence"], clip["note"]) == ("nested_r1", "7", "")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("declared", ["NFC", "NFD"])
def test_composed_and_decomposed_names_are_the_same_name(root, form, declared):
    text = DECLARATION.replace("ang =", '"ärger" =').replace("[a-z]+", "[^_]+")
    folder = declare(root / "german", unicodedata.normalize(declared, text))
    write_clip(folder / unicodedata.normalize(form, "r1_ärger_1.wav"), tone(200))
    assert of(m.build_manifest(root), "german")["emotion"].tolist() == ["anger"]


def test_added_clips_that_can_be_used_are_found(root):
    check = check_data(root)
    assert check.counts.loc["beeps", "found"] == 4 and check.counts.loc["mine", "found"] == 2
    assert check.counts.loc["beeps", ["complete", "missing", "changed"]].isna().all()
    assert "beeps, mine" in check.text()


def test_a_corpus_of_your_own_is_enough(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_CACHE", str(tmp_path / "cache"))
    write_clip(tmp_path / "data" / "mine" / "fear" / "1.WAV", tone(300))
    assert len(m.clean_view(m.build_manifest(tmp_path / "data"))) == 1


# --- In the rest of the course --------------------------------------------------------------------


def test_the_banner_names_added_corpora(root):
    assert "data      SAVEE, Robots, mine\n" in str(open_workspace(root))


def test_pictures_and_scores_take_added_corpora(root):
    clips = m.article_view(m.build_manifest(root))
    assert figures.counts(clips).patches
    scores = evaluation.per_corpus(clips.assign(predicted="anger"))
    assert scores.index.tolist() == ["savee", "beeps", "mine"]


def test_a_split_by_speaker_refuses_clips_of_unknown_speakers(root):
    clips = m.article_view(m.build_manifest(root))
    with pytest.raises(SplitError, match=r"2 of 8 clips .*mine"):
        check_disjoint(clips, random_split(clips), by=["speaker"])


# --- What every corpus keeps to -------------------------------------------------------------------

OTHERS = {
    "beeps": ("wav/r1_ang_1.wav", ["r1_xxx_1.wav", "r1.wav", "r1_ang_1.txt", ""]),
    "mine": ("Angry/any name.wav", ["odd/1.wav", "1.wav", "angry/1.mp3", ""]),
}
CASES = {name: (corpus.example, ["x.wav", ""]) for name, corpus in CORPORA.items()} | OTHERS


@pytest.mark.parametrize("folder", CASES)
def test_every_corpus_labels_its_clips_and_nothing_else(root, folder):
    for name in CORPORA:
        (root / name).mkdir(exist_ok=True)
    corpus, (clip, others) = corpora_in(root)[folder], CASES[folder]
    labels = corpus.parse(f"{folder}/{clip}")
    assert labels.emotion in (*LABELS, SKIP) and labels.corpus == corpus.name
    assert labels.speaker == "" or labels.speaker.startswith(f"{corpus.name}_")
    assert labels.sex in ("female", "male", "") and labels.name.endswith(".wav")
    assert corpus.parse(f"{folder}/{clip.removesuffix('.wav')}.WAV") == labels
    assert set(corpus.emotions.values()) <= {*LABELS, SKIP}
    assert corpus.title and corpus.grammar and isinstance(corpus.licence, str)
    for other in others:
        with pytest.raises(LabelError):
            corpus.parse(f"{folder}/{other}")


@settings(deadline=None, max_examples=50)
@given(st.text())
def test_no_name_crashes_an_added_corpus(text):
    pattern = re.compile(r"(?P<speaker>.*)_(?P<emotion>.*)")
    known = {"grammar": "", "emotions": {"a": "anger"}, "pattern": pattern}
    corpus = Corpus(name="x", title="X", licence="", citation="", folder="x", **known)
    for name in (text, f"x/{text}_a.wav"):
        with contextlib.suppress(LabelError):
            assert corpus.parse(name).emotion == "anger"


# --- All that a declaration may say ---------------------------------------------------------------


def robots(tmp_path, **changes):
    """Return the corpus of the example, after replacing the values of some of its keys."""
    text = EXAMPLE
    for key, value in changes.items():
        text, found = re.subn(rf"(?m)^{key} = .*$", lambda _, new=f"{key} = {value}": new, text)
        assert found
    return read_declaration(declare(tmp_path / "beeps", text) / "corpus.toml")


def test_the_example_uses_every_key_of_the_courses_own_corpora():
    folder = REPOSITORY / "sercore" / "data" / "corpora"
    used = set().union(*(tomllib.loads(f.read_text("utf-8")) for f in folder.glob("*.toml")))
    assert used == set(tomllib.loads(EXAMPLE))


def test_a_declaration_may_say_all_that_the_courses_own_say(tmp_path):
    corpus = robots(tmp_path)
    labels = corpus.parse("beeps/r2_hap-2_1b.wav")
    assert (labels.speaker, labels.sex, labels.age) == ("robots_r2", "male", 30)
    assert (labels.emotion, labels.intensity, labels.sentence) == ("happiness", "strong", "1")
    assert corpus.format(corpus.codes("r1_ang-1_2a.wav")) == "r1_ang-1_2a.wav"
    assert corpus.parse("r1_ang-2_1.wav").name == "r1_ang-2_1a.wav"  # an alias
    assert (corpus.clips, corpus.kaggle) == (480, "nobody/robots")


@pytest.mark.parametrize("key", ["speaker_folders", "ignore_case"])
def test_what_is_allowed_by_a_key_is_refused_without_it(tmp_path, key):
    path = {"speaker_folders": "beeps/r1/ang-2_1a.wav", "ignore_case": "r1_ANG-2_1a.wav"}[key]
    pattern = "'''" + re.search("pattern = '(.*)'", EXAMPLE)[1].replace("[a-z]+", "[A-z]+") + "'''"
    labels = robots(tmp_path, pattern=pattern, **{key: "true"}).parse(path)
    assert (labels.name.lower(), labels.emotion) == ("r1_ang-2_1a.wav", "anger")
    with pytest.raises(LabelError):
        robots(tmp_path, pattern=pattern).parse(path)


@pytest.mark.parametrize(
    "name", ["r1_ang-3_1a.wav", "r1_ang-2_3a.wav", "r1_ang-2_1c.wav", "r4_ang-2_1a.wav"]
)
def test_a_code_that_is_not_in_its_list_is_refused(tmp_path, name):
    with pytest.raises(LabelError, match=f"{name}, expected one of"):
        robots(tmp_path).parse(name)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("clips", '"many"', "clips must be a number, not 'many'"),
        ("speaker_folders", "1", "speaker_folders must be true or false"),
        ("sentences", '"1"', "sentences must be a list"),
        ("takes", '["a", 2]', "takes.2 is 2, expected a text"),
        ("format", '"{speaker}_{word}"', "format .*'word', expected one of speaker, emotion"),
        ("example", '"r1_x-2_1a.wav"', "bad emotion code 'x' in r1_x-2_1a.wav"),
        ("r2", '{ sex = "male", age = "old" }', "speakers.r2 .* expected one of female, male"),
        ("r2", '{ sex = "m" }', "speakers.r2 .* expected one of female, male"),
        ("r2", '{ sex = "male", born = 1990 }', "speakers.r2 .* expected one of female, male"),
        ("2", '"loud"', "intensities.2 is 'loud', expected one of low, medium, high"),
        ("r1_ang-2_1", "7", "aliases.r1_ang-2_1 is 7, expected a text"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(tmp_path, key, value, says):
    with pytest.raises(DeclarationError, match=rf"^beeps/corpus\.toml: .*{says}"):
        robots(tmp_path, **{key: value})


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"anger"', '"angr"', "emotions.ang is 'angr', expected one of anger, disgust, .*, skip"),
        ('"anger"', "5", "emotions.ang is 5, expected one of anger"),
        ('"anger"', '["anger"]', "emotions.ang is .* expected one of anger"),
        ("licence =", "licens =", "unknown key 'licens', expected one of title, licence"),
        ('licence = "CC0"', "", "key 'licence' is missing"),
        ('title = "Robots"', 'title = " "', "title must be a text, not ' '"),
        ('title = "Robots"', "title = 7", "title must be a text, not 7"),
        ("title =", 'name = "tess"\ntitle =', "tess .* own corpora .cremad, ravdess"),
        ("title =", 'name = "a/b"\ntitle =', "name 'a/b'"),
        ("(?P<speaker>", "(?P<who>", "unknown group 'who', expected one of speaker, emotion"),
        ("(?P<emotion>", "(?P<sentence>", "not a regular expression: redefinition"),
        ("(?P<emotion>[a-z]+)", "[a-z]+", "has no named group"),
        ("[0-9]+)", "[0-9]+", "not a regular expression: missing \\)"),
        ('"female"', '"f"', "speakers.r1 is 'f', expected one of female, male, \"\""),
        ('title = "Robots"', "title = Robots", "is not TOML: .*line 1"),
        ("[emotions]", "[[emotions]]", "emotions must be a table"),
        (DECLARATION, "a = " + "[" * 9_999, "is not TOML"),
        ("(?P<speaker>", "(" * 9_999 + ")" * 9_999, "not a regular expression"),
        ("[0-9]+", "a{99999999999}", "not a regular expression"),
    ],
)
def test_the_message_names_file_key_and_alternatives(tmp_path, old, new, says):
    assert old in DECLARATION
    folder = declare(tmp_path / "beeps", DECLARATION.replace(old, new, 1))
    with pytest.raises(DeclarationError, match=rf"^beeps/corpus\.toml:? .*{says}"):
        read_declaration(folder / "corpus.toml")


@settings(deadline=None, max_examples=50)
@given(st.binary() | st.text().map(str.encode) | st.just(b'title = "\xff"'))
def test_no_file_is_more_than_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("toml") / "corpus.toml"
    path.write_bytes(data)
    with pytest.raises(DeclarationError):
        read_declaration(path)


def test_a_declaration_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DeclarationError, match="^beeps/corpus.toml cannot be opened"):
        read_declaration(tmp_path / "beeps" / "corpus.toml")


# --- Which folders are corpora --------------------------------------------------------------------


def test_the_courses_own_folders_are_not_redeclared(tmp_path):
    declare(tmp_path / "tess")
    with pytest.raises(DeclarationError, match="tess .* own corpora"):
        corpora_in(tmp_path)


def test_two_corpora_of_one_name_are_refused(root):
    declare(root / "twin", 'name = "beeps"\n' + DECLARATION)
    with pytest.raises(DeclarationError, match="name 'beeps' is taken"):
        m.build_manifest(root)


def test_other_folders_are_no_corpora(root):
    write_clip(root / "holidays" / "1.wav", np.zeros(8))
    (root / ".hidden" / "angry").mkdir(parents=True)
    assert list(corpora_in(root)) == ["savee", "beeps", "mine"]


def test_a_folder_of_emotions_itself_is_not_a_data_folder(root):
    with pytest.raises(NoDataError, match="holds none"):
        open_workspace(root / "mine")


@pytest.mark.parametrize("obstacle", ["loop", "dangling", "shut", "tess"])
def test_what_cannot_be_opened_stops_no_other_corpus(root, monkeypatch, obstacle):
    before = m.build_manifest(root)
    bad = root / obstacle
    if obstacle == "shut":
        bad.mkdir()
        scandir = os.scandir  # not by its permissions, which mean nothing to root

        def refuse(path):
            if os.fspath(path) == os.fspath(bad):
                raise PermissionError(13, "Permission denied", os.fspath(path))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refuse)
    else:
        bad.symlink_to(root / "nowhere" if obstacle == "dangling" else bad)
    assert list(corpora_in(root)) == ["savee", "beeps", "mine"]
    assert m.build_manifest(root).equals(before)
    assert "Robots" in str(open_workspace(root))
    assert ("shut" in check_data(root).text()) == (obstacle == "shut")
