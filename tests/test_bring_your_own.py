"""Corpora that are not the course's own: declared in a corpus.toml, or a folder per emotion."""

import contextlib
import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sercore import evaluation, figures
from sercore import manifest as m
from sercore.collection.check import check_data
from sercore.corpora import CORPORA, LABELS, LabelError
from sercore.own import SKIP, DeclarationError, OwnCorpus, corpora_in, read_declaration
from sercore.splits import SplitError, check_disjoint, random_split
from sercore.workspace import NoDataError, open_workspace
from tests.speech import tiny_corpus, tone, write_clip

PATIENT = settings(deadline=None)  # a busy machine is no bug

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


def test_skipped_clips_are_noted_counted_and_in_no_view(root):
    table = m.build_manifest(root)
    clip = of(table, "beeps").loc["beeps/wav/r1_bored_1.wav"]
    assert (clip["emotion"], clip["note"]) == ("", "skipped: its label was declared as 'skip'")
    assert m.check_manifest(table).loc["beeps", "skipped"] == 1
    assert not m.article_view(table)["path"].str.contains("bored").any()


def test_an_undeclared_speaker_is_noted(root):
    note = of(m.build_manifest(root), "beeps").loc["beeps/wav/r9_ang_1.wav", "note"]
    assert "bad speaker code 'r9' in r9_ang_1.wav, expected one of r1, r2, r3" in note


def test_a_folder_per_emotion_needs_no_declaration(root):
    mine = of(m.build_manifest(root), "mine")
    assert mine["emotion"].to_dict() == {
        "mine/Angry/1.wav": "anger",
        "mine/contempt/1.wav": "",
        "mine/sad/1.wav": "sadness",
    }
    assert set(mine["speaker"]) == {""}
    note = mine.loc["mine/contempt/1.wav", "note"]
    assert "bad emotion code 'contempt'" in note and "mine/corpus.toml can add it" in note


def test_a_pattern_with_a_slash_reads_the_folders_too(root):
    text = DECLARATION.replace("r[0-9])_", "r[0-9])/")
    write_clip(declare(root / "nested", text) / "r1" / "ang_7.wav", tone(200))
    clip = of(m.build_manifest(root), "nested").iloc[0]
    assert (clip["speaker"], clip["sentence"], clip["note"]) == ("nested_r1", "7", "")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("declared", ["NFC", "NFD"])
def test_composed_and_decomposed_names_are_the_same_name(root, form, declared):
    text = unicodedata.normalize(declared, DECLARATION.replace("ang =", '"ärger" ='))
    text = text.replace("[a-z]+", "[^_]+")
    name = unicodedata.normalize(form, "r1_ärger_1.wav")
    write_clip(declare(root / "german", text) / name, tone(200))
    assert of(m.build_manifest(root), "german")["emotion"].tolist() == ["anger"]


def test_nothing_is_compared_with_an_index(root):
    check = check_data(root)
    assert check.counts.loc["beeps", "found"] == 4 and check.counts.loc["mine", "found"] == 2
    assert check.counts.loc["beeps", ["complete", "missing", "changed"]].isna().all()
    assert "Added, so there is nothing to compare with: beeps, mine." in check.text()


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
    with pytest.raises(SplitError, match=r"speaker of 2 of 8 clips is not known \(in mine\)"):
        check_disjoint(clips, random_split(clips), by=["speaker"])


# --- What every corpus keeps to -------------------------------------------------------------------

ROBOTS = {
    "folder": "beeps",
    "clip": "beeps/wav/r1_ang_1.wav",
    "others": ("beeps/r1_xxx_1.wav", "beeps/r1.wav", "beeps/r1_ang_1.txt", "beeps"),
}
MINE = {
    "folder": "mine",
    "clip": "mine/Angry/any name.wav",
    "others": ("mine/odd/1.wav", "mine/1.wav", "mine/angry/1.mp3", "mine"),
}
COURSE = [
    {"folder": name, "clip": f"{name}/{corpus.example}", "others": (f"{name}/x.wav", name)}
    for name, corpus in CORPORA.items()
]


@pytest.fixture(params=[*COURSE, ROBOTS, MINE], ids=lambda case: case["folder"])
def case(request, root):
    """A corpus, from a data folder that holds all of them."""
    for name in CORPORA:
        (root / name).mkdir(exist_ok=True)
    return corpora_in(root)[request.param["folder"]], request.param


def test_contract_a_clip_gives_labels(case):
    corpus, names = case
    labels = corpus.parse(names["clip"])
    assert labels.emotion in (*LABELS, SKIP) and labels.corpus == corpus.name
    assert labels.speaker == "" or labels.speaker.startswith(f"{corpus.name}_")
    assert labels.sex in ("female", "male", "") and labels.name.endswith(".wav")


def test_contract_a_clip_in_upper_case_ending_gives_the_same(case):
    corpus, names = case
    clip = names["clip"]
    assert corpus.parse(clip.removesuffix(".wav") + ".WAV") == corpus.parse(clip)


def test_contract_anything_else_is_refused(case):
    corpus, names = case
    for other in names["others"]:
        with pytest.raises(LabelError):
            corpus.parse(other)


def test_contract_declarations_use_the_common_labels(case):
    corpus, _ = case
    assert set(corpus.emotions.values()) <= {*LABELS, SKIP}
    assert corpus.title and corpus.grammar and isinstance(corpus.licence, str)


@PATIENT
@given(st.text())
def test_no_name_crashes_an_added_corpus(text):
    corpus = OwnCorpus(
        name="x",
        title="X",
        licence="",
        citation="",
        folder="x",
        grammar="",
        pattern=re.compile(r"(?P<speaker>.*)_(?P<emotion>.*)"),
        emotions={"a": "anger"},
    )
    for name in (text, f"x/{text}_a.wav"):
        with contextlib.suppress(LabelError):
            assert corpus.parse(name).emotion == "anger"


# --- Declarations that cannot be used -------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"anger"', '"angr"', "emotions.ang is 'angr', expected one of anger, disgust, .*, skip"),
        ('"anger"', "5", "emotions.ang is 5, expected one of anger"),
        ('"anger"', '["anger"]', "emotions.ang is .* expected one of anger"),
        ("licence =", "licens =", "unknown key 'licens', expected one of title, licence"),
        ('licence = "CC0"', "", "the key 'licence' is missing"),
        ('title = "Robots"', 'title = " "', "title must be a text, not ' '"),
        ('title = "Robots"', "title = 7", "title must be a text, not 7"),
        ("title =", 'name = "tess"\ntitle =', "tess is one of the course's own corpora"),
        ("title =", 'name = "a/b"\ntitle =', "name 'a/b' has signs other than"),
        ("(?P<speaker>", "(?P<who>", "unknown group 'who', expected one of speaker, emotion"),
        ("(?P<emotion>", "(?P<sentence>", "not a regular expression: redefinition"),
        ("(?P<emotion>[a-z]+)", "[a-z]+", "has no named group"),
        ("[0-9]+)", "[0-9]+", "not a regular expression: missing \\)"),
        ('"female"', '"f"', "speakers.r1 is 'f', expected one of female, male, \"\""),
        ('title = "Robots"', "title = Robots", "is not TOML: .*line 1"),
        ("[emotions]", "[[emotions]]", "emotions must be a table"),
    ],
)
def test_the_message_names_file_key_and_alternatives(tmp_path, old, new, says):
    assert old in DECLARATION
    folder = declare(tmp_path / "beeps", DECLARATION.replace(old, new, 1))
    with pytest.raises(DeclarationError, match=rf"^beeps/corpus\.toml:? .*{says}"):
        read_declaration(folder / "corpus.toml")


@pytest.mark.parametrize("text", ["a = " + "[" * 9_999, "a = " + "{a=" * 9_999])
def test_a_declaration_nested_without_end_is_refused(tmp_path, text):
    declare(tmp_path, text)
    with pytest.raises(DeclarationError, match="is not TOML"):
        read_declaration(tmp_path / "corpus.toml")


@pytest.mark.parametrize("pattern", ["(" * 9_999 + ")" * 9_999, "a{99999999999}"])
def test_a_pattern_beyond_all_bounds_is_refused(tmp_path, pattern):
    text = re.sub("pattern = .*", lambda _: f"pattern = '{pattern}'", DECLARATION)
    with pytest.raises(DeclarationError, match="pattern is not a regular expression"):
        read_declaration(declare(tmp_path, text) / "corpus.toml")


def test_a_declaration_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "corpus.toml").write_bytes(b'title = "\xff"')
    with pytest.raises(DeclarationError, match="is not TOML: 'utf-8'"):
        read_declaration(tmp_path / "corpus.toml")


def test_the_courses_own_folders_are_not_redeclared(tmp_path):
    declare(tmp_path / "tess")
    with pytest.raises(DeclarationError, match="tess is one of the course's own corpora"):
        corpora_in(tmp_path)


def test_two_corpora_of_one_name_are_refused(root):
    declare(root / "twin", 'name = "beeps"\n' + DECLARATION)
    with pytest.raises(DeclarationError, match="name 'beeps' is taken by another folder"):
        m.build_manifest(root)


def test_a_declaration_takes_at_most_twenty_lines():
    assert len(DECLARATION.splitlines()) <= 20


@PATIENT
@given(st.binary() | st.text().map(str.encode))
def test_no_file_is_more_than_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("toml") / "corpus.toml"
    path.write_bytes(data)
    with pytest.raises(DeclarationError):
        read_declaration(path)


def test_other_folders_are_no_corpora(root):
    write_clip(root / "holidays" / "1.wav", np.zeros(8))
    (root / ".hidden" / "angry").mkdir(parents=True)
    assert list(corpora_in(root)) == ["savee", "beeps", "mine"]


def test_a_folder_of_emotions_itself_is_not_a_data_folder(root):
    with pytest.raises(NoDataError, match="holds none of the folders"):
        open_workspace(root / "mine")
