"""Corpora that are not the course's own: declared in a corpus.toml, or a folder per emotion."""

import contextlib
import re
import tomllib
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sercore import corpora as c
from sercore import evaluation, figures
from sercore import manifest as m
from sercore.collection.check import check_data
from sercore.config import REPOSITORY
from sercore.splits import SplitError, check_disjoint, random_split
from sercore.workspace import NoDataError, open_workspace
from tests.speech import PATIENT, refuse_to_open, tiny_corpus, tone, write_clip

DECLARED = REPOSITORY / "sercore" / "data" / "corpora"
EXAMPLE = (DECLARED / "example.toml").read_text("utf-8")
SHORT = """\
title = "Robots"
licence = "CC0"
citation = "Nobody: Robots that beep. 2026."
pattern = '(?P<speaker>r[0-9])_(?P<emotion>[^_]+)_(?P<sentence>[0-9]+)'
emotions = { ang = "anger" }
"""


def declare(folder, text=EXAMPLE, **changes):
    """Write a declaration into a folder, with other values of some of its keys."""
    for key, value in changes.items():
        text, found = re.subn(rf"(?m)^{key} = .*$", lambda _, new=f"{key} = {value}": new, text)
        assert found
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "corpus.toml").write_text(text, encoding="utf-8")
    return folder


def robots(tmp_path, text=EXAMPLE, **changes):
    return c.read_declaration(declare(tmp_path / "beeps", text, **changes) / "corpus.toml")


@pytest.fixture
def root(tmp_path, cache):
    """Two clips of SAVEE, six of a declared corpus, three of a plain folder."""
    root = tiny_corpus(tmp_path / "data", clips=2)
    names = ("r1_ang-1_1a", "r1_hap-1_1a", "r2_hap-2_2b", "r3_hap-1_1a", "r1_bored-1_1a")
    for i, name in enumerate((*names, "r9_ang-1_1a")):
        write_clip(declare(root / "beeps") / "wav" / f"{name}.wav", tone(300 + 50 * i))
    for i, folder in enumerate(("Angry", "sad", "contempt")):
        write_clip(root / "mine" / folder / "1.wav", tone(700 + 50 * i))
    return root


def of(table, corpus):
    return table[table["corpus"] == corpus].set_index("path")


def test_declared_clips_are_labelled_skipped_or_refused(root):
    table = m.build_manifest(root)
    clips = of(table, "robots")
    columns = ["speaker", "sex", "age", "emotion", "intensity", "sentence", "note"]
    clip = clips.loc["beeps/wav/r2_hap-2_2b.wav", columns].tolist()
    assert clip == ["robots_r2", "male", 30, "happiness", "strong", "2", ""]
    assert clips.at["beeps/wav/r3_hap-1_1a.wav", "sex"] == ""
    skipped = clips.loc["beeps/wav/r1_bored-1_1a.wav"]
    assert skipped["emotion"] == "" and skipped["note"].startswith(m.SKIPPED)
    refused = clips.loc["beeps/wav/r9_ang-1_1a.wav", "note"]
    assert refused.startswith(m.UNKNOWN)
    assert "'r9' in r9_ang-1_1a.wav, expected one of r1, r2, r3; beeps/corpus.toml" in refused
    assert not m.article_view(table)["path"].str.contains("bored|r9").any()


def test_a_folder_per_emotion_needs_no_declaration(root):
    mine = of(m.build_manifest(root), "mine")
    assert mine.index.tolist() == [f"mine/{name}/1.wav" for name in ("Angry", "contempt", "sad")]
    assert mine["emotion"].tolist() == ["anger", "", "sadness"] and set(mine["speaker"]) == {""}
    note = mine.loc["mine/contempt/1.wav", "note"]
    assert "'contempt'" in note and "mine/corpus.toml" in note
    (root / "savee").rename(root / "other")  # a corpus of your own is enough
    assert set(m.build_manifest(root)["corpus"]) == {"robots", "mine"}


def test_the_rest_of_the_course_takes_added_corpora(root):
    assert "data      SAVEE, Robots, mine\n" in str(open_workspace(root))
    clips = m.article_view(m.build_manifest(root))
    assert figures.counts(clips).patches
    scores = evaluation.per_corpus(clips.assign(predicted="anger"))
    assert scores.index.tolist() == ["savee", "mine", "robots"]
    with pytest.raises(SplitError, match=r"2 of 8 clips .*mine"):
        check_disjoint(clips, random_split(clips), by=["speaker"])
    check = check_data(root)
    assert check.counts["found"].to_dict() == {"savee": 0, "robots": 4, "mine": 2}
    assert check.counts.loc["robots", ["complete", "missing", "changed"]].isna().all()


OTHERS = {
    "beeps": ("wav/r1_ang-1_1a.wav", ["r1_xxx-1_1a.wav", "r1.wav", "r1_ang-1_1a.txt", ""]),
    "mine": ("Angry/any name.wav", ["odd/1.wav", "1.wav", "angry/1.mp3", ""]),
}
CASES = {name: (corpus.example, ["x.wav", ""]) for name, corpus in c.CORPORA.items()} | OTHERS


@pytest.mark.parametrize("folder", CASES)
def test_every_corpus_labels_its_clips_and_nothing_else(root, folder):
    (root / folder).mkdir(exist_ok=True)
    corpus, (clip, others) = c.corpora_in(root)[folder], CASES[folder]
    labels = corpus.parse(f"{folder}/{clip}")
    assert labels.emotion in (*c.LABELS, c.SKIP) and labels.corpus == corpus.name
    assert labels.speaker == "" or labels.speaker.startswith(f"{corpus.name}_")
    assert labels.sex in ("female", "male", "") and labels.name.endswith(".wav")
    assert corpus.parse(f"{folder}/{clip.removesuffix('.wav')}.WAV") == labels
    for other in others:
        with pytest.raises(c.LabelError):
            corpus.parse(f"{folder}/{other}")


@PATIENT
@given(st.text())
def test_no_name_crashes_an_added_corpus(text):
    texts = dict.fromkeys(("name", "title", "licence", "citation", "folder", "grammar"), "x")
    pattern = re.compile(r"(?P<speaker>.*)_(?P<emotion>.*)")
    corpus = c.Corpus(**texts, emotions={"a": "anger"}, pattern=pattern)
    for name in (text, f"x/{text}_a.wav"):
        with contextlib.suppress(c.LabelError):
            assert corpus.parse(name).emotion == "anger"


def test_the_example_uses_every_key_of_the_courses_own_corpora():
    used = set().union(*(tomllib.loads(f.read_text("utf-8")) for f in DECLARED.glob("*.toml")))
    assert used == set(tomllib.loads(EXAMPLE))


def test_names_are_put_together_and_aliases_resolved(tmp_path):
    corpus = robots(tmp_path)
    assert corpus.format(corpus.codes("r1_ang-1_2a.wav")) == "r1_ang-1_2a.wav"
    assert corpus.parse("r1_ang-2_1.wav").name == "r1_ang-2_1a.wav"
    assert (corpus.clips, corpus.kaggle) == (480, "nobody/robots")


def test_without_lists_any_code_is_right(tmp_path):
    labels = robots(tmp_path, SHORT).parse("beeps/x/r7_ang_99.WAV")
    known = ("r7_ang_99.wav", "beeps_r7", "99", "", None)
    assert (labels.name, labels.speaker, labels.sentence, labels.sex, labels.age) == known


def test_a_pattern_with_a_slash_reads_the_folders_too(tmp_path):
    corpus = robots(tmp_path, SHORT.replace("r[0-9])_", "r[0-9])/"))
    labels = corpus.parse("beeps/r1/ang_7.wav")
    assert (labels.speaker, labels.sentence) == ("beeps_r1", "7")
    with pytest.raises(c.LabelError, match="r1_ang_7.wav does not follow"):
        corpus.parse("beeps/r1_ang_7.wav")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_composed_and_decomposed_names_are_the_same_name(tmp_path, form):
    text = unicodedata.normalize(form, SHORT.replace("ang =", '"ärger" ='))
    for name in (unicodedata.normalize(other, "r1_ärger_1.wav") for other in ("NFC", "NFD")):
        assert robots(tmp_path, text).parse(name).emotion == "anger"


@pytest.mark.parametrize(
    ("key", "name"), [("speaker_folders", "r1/ang-2_1a.wav"), ("ignore_case", "r1_ANG-2_1a.wav")]
)
def test_what_a_key_allows_is_refused_without_it(tmp_path, key, name):
    text = EXAMPLE.replace("(?P<emotion>[a-z]+)", "(?P<emotion>[A-z]+)")
    labels = robots(tmp_path, text, **{key: "true"}).parse(f"beeps/{name}")
    assert (labels.speaker, labels.emotion) == ("robots_r1", "anger")
    with pytest.raises(c.LabelError):
        robots(tmp_path, text).parse(f"beeps/{name}")


@pytest.mark.parametrize("name", ["r1_ang-3_1a", "r1_ang-2_3a", "r1_ang-2_1c", "r4_ang-2_1a"])
def test_a_code_that_is_not_in_its_list_is_refused(tmp_path, name):
    with pytest.raises(c.LabelError, match=f"{name}.wav, expected one of"):
        robots(tmp_path).parse(f"{name}.wav")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"anger"', '"angr"', "emotions.ang is 'angr', expected one of anger, disgust, .*, skip"),
        ('"anger"', '["anger"]', "emotions.ang is .* expected one of anger"),
        ("licence =", "licens =", "unknown key 'licens', expected one of title, licence"),
        ('licence = "CC0"', "", "key 'licence' is missing"),
        ('title = "Robots"', 'title = " "', "title must be a text, not ' '"),
        ('title = "Robots"', "title = 7", "title must be a text, not 7"),
        ('title = "Robots"', "title = Robots", "is not TOML: .*line "),
        ('"robots"', '"tess"', "tess .* own corpora .cremad, ravdess"),
        ('"robots"', '"a/b"', "name 'a/b'"),
        ("(?P<speaker>", "(?P<who>", "unknown group 'who', expected one of speaker, emotion"),
        ("(?P<emotion>", "(?P<sentence>", "not a regular expression: redefinition"),
        ("(?P<emotion>[a-z]+)", "[a-z]+", "has no named group"),
        ("(?P<speaker>", "(" * 9_999 + ")" * 9_999, "not a regular expression"),
        ("[a-z]+", "a{99999999999}", "not a regular expression"),
        (EXAMPLE, "a = " + "[" * 9_999, "is not TOML"),
        ("[emotions]", "[[emotions]]", "emotions must be a table"),
        ('"female"', '"f"', "speakers.r1 is 'f', expected one of female, male, \"\""),
        ("age = 30", 'age = "old"', "speakers.r2 .* expected one of female, male"),
        ("age = 30", "born = 1990", "speakers.r2 .* expected one of female, male"),
        ('2 = "strong"', '2 = "loud"', "intensities.2 is 'loud', expected one of low, medium"),
        ('"r1_ang-2_1a"', "7", "aliases.r1_ang-2_1 is 7, expected a text"),
        ("clips = 480", 'clips = "many"', "clips must be a number, not 'many'"),
        ("ignore_case = false", "ignore_case = 1", "ignore_case must be true or false"),
        ('["1", "2"]', '"1"', "sentences must be a list"),
        ('["a", "b"]', '["a", 2]', "takes.2 is 2, expected a text"),
        ('"{speaker}', '"{word}', "format .*'word', expected one of speaker, emotion"),
        ('"r1_ang-2_1a.wav"', '"r1_x-2_1a.wav"', "bad emotion code 'x' in r1_x-2_1a.wav"),
    ],
)
def test_the_message_names_file_key_and_alternatives(tmp_path, old, new, says):
    assert old in EXAMPLE
    with pytest.raises(c.DeclarationError, match=rf"^beeps/corpus\.toml:? .*{says}"):
        robots(tmp_path, EXAMPLE.replace(old, new, 1))


@PATIENT
@given(st.binary() | st.text().map(str.encode) | st.just(b'title = "\xff"'))
def test_no_file_is_more_than_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("toml") / "corpus.toml"
    path.write_bytes(data)
    with pytest.raises(c.DeclarationError, match="corpus.toml"):
        c.read_declaration(path)


@pytest.mark.parametrize(
    ("folder", "says"), [("tess", "^tess/.* own corpora"), ("twin", "name 'robots' is taken")]
)
def test_a_name_that_is_taken_is_refused(root, folder, says):
    declare(root / folder)
    with pytest.raises(c.DeclarationError, match=says):
        m.build_manifest(root)


def test_other_folders_are_no_corpora(root):
    for folder in ("holidays", ".hidden/angry"):
        (root / folder).mkdir(parents=True)
    assert list(c.corpora_in(root)) == ["savee", "beeps", "mine"]
    with pytest.raises(NoDataError, match="holds none"):
        open_workspace(root / "mine")


@pytest.mark.parametrize("obstacle", ["loop", "dangling", "shut", "tess"])
def test_what_cannot_be_opened_stops_no_other_corpus(root, monkeypatch, obstacle):
    before = m.build_manifest(root)
    if obstacle == "shut":
        (root / obstacle).mkdir()
        refuse_to_open(monkeypatch, root / obstacle)
    else:
        target = "nowhere" if obstacle == "dangling" else obstacle
        (root / obstacle).symlink_to(root / target)
    assert list(c.corpora_in(root)) == ["savee", "beeps", "mine"]
    assert m.build_manifest(root).equals(before)
    assert "Robots" in str(open_workspace(root))
    assert ("shut" in check_data(root).text()) == (obstacle == "shut")
