"""File names and what they say."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sercore.corpora import CORPORA, EMOTIONS, LABELS, LabelError, parse
from tests.speech import PATIENT

each_corpus = pytest.mark.parametrize("corpus", CORPORA.values(), ids=list(CORPORA))


@pytest.mark.parametrize(
    ("name", "speaker", "sex", "age", "emotion", "intensity", "sentence"),
    [
        ("1001_DFA_ANG_XX.wav", "cremad_1001", "male", 51, "anger", "", "DFA"),
        ("1091_IEO_HAP_HI.wav", "cremad_1091", "female", 29, "happiness", "high", "IEO"),
        ("1040_ITH_SAD_X.wav", "cremad_1040", "male", 42, "sadness", "", "ITH"),
        ("03-01-05-01-02-01-12.wav", "ravdess_12", "female", None, "anger", "normal", "02"),
        ("03-01-02-02-01-01-01.wav", "ravdess_01", "male", None, "calm", "strong", "01"),
        ("OAF_back_angry.wav", "tess_OAF", "female", 64, "anger", "", "back"),
        ("YAF_neat_ps.wav", "tess_YAF", "female", 26, "surprise", "", "neat"),
        ("OA_bite_neutral.wav", "tess_OAF", "female", 64, "neutral", "", "bite"),
        ("DC_a01.wav", "savee_DC", "male", None, "anger", "", "a01"),
        ("KL_su15.WAV", "savee_KL", "male", None, "surprise", "", "su15"),
    ],
)
def test_known_names(name, speaker, sex, age, emotion, intensity, sentence):
    labels = parse(name)
    assert (labels.speaker, labels.sex, labels.age) == (speaker, sex, age)
    assert (labels.emotion, labels.intensity, labels.sentence) == (emotion, intensity, sentence)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("1001_DFA_XYZ_XX.wav", "emotion code 'XYZ' in 1001_DFA_XYZ_XX.wav, .* one of ANG, DIS"),
        ("1000_DFA_ANG_XX.wav", "bad speaker code '1000' .* one of 1001 to 1091$"),
        ("1001_DFA_ANG_YY.wav", "bad intensity code 'YY'"),
        ("OAF_back_cross.wav", "bad emotion code 'cross'"),
        ("XX_a01.wav", "bad speaker code 'XX' .* DC, JE, JK, KL$"),
        ("1001_XYZ_ANG_XX.wav", "bad sentence code 'XYZ' .* one of DFA, IEO"),
        ("1001_IEO_ANG_XX.wav", "bad combination in 1001_IEO_ANG_XX.wav: sentence IEO has LO"),
        ("1001_DFA_ANG_HI.wav", "bad combination"),
        ("1001_IEO_NEU_LO.wav", "bad combination"),
        ("03-01-05-01-03-01-12.wav", "bad sentence code '03' .* one of 01, 02"),
        ("03-01-05-01-01-00-12.wav", "bad take code '00'"),
        ("03-01-01-02-01-01-12.wav", r"neutral \(01\)"),
        ("03-01-05-01-01-01-25.wav", "bad speaker code '25' .* one of 01 to 24"),
        ("DC_a16.wav", "a has sentences 01 to 15"),
        ("DC_n31.wav", "n has sentences 01 to 30"),
        ("DC_su00.wav", "su has sentences 01 to 15"),
        ("cremad/AudioWAV/DC_a01.wav", "DC_a01.wav does not follow CREMA-D's pattern SPEAKER_S"),
    ],
)
def test_bad_names_are_told_the_alternatives(name, problem):
    with pytest.raises(LabelError, match=problem):
        parse(name)


@pytest.mark.parametrize(
    "name",
    [
        *("recording.wav", "", ".wav", "02-01-05-01-02-01-12.wav", "1040_ITH_ANG_X.wav"),
        *("DC_a01.mp3", "DC_a01 .wav", " DC_a01.wav", "DC_a01 (1).wav", "DC_a01.wav\n"),
        *("dc_a01.wav", "DC_A01.wav", "OA_back_angry.wav"),
        "03-01-05-01-02-01-\N{ARABIC-INDIC DIGIT ONE}\N{ARABIC-INDIC DIGIT TWO}.wav",
        "\N{FULLWIDTH LATIN CAPITAL LETTER D}C_a01.wav",
        *("savee/a01.wav", "savee/XX/a01.wav", "savee/DC/z01.wav"),
    ],
)
def test_names_of_no_grammar_are_refused(name):
    with pytest.raises(LabelError):
        parse(name)


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("tess/OA_bite_neutral.wav", "OAF_bite_neutral.wav"),
        ("cremad/1040_ITH_SAD_X.wav", "1040_ITH_SAD_XX.wav"),
        ("AudioWAV/DC_a01.WAV", "DC_a01.wav"),
        ("savee/DC/a01.wav", "DC_a01.wav"),
        ("savee/DC/DC_a01.WAV", "DC_a01.wav"),
    ],
)
def test_a_name_comes_back_as_the_corpus_spells_it(path, meant):
    assert parse(path).name == meant


@each_corpus
def test_each_corpus_is_declared_in_full(corpus):
    assert corpus.parse(corpus.example).corpus == corpus.name == corpus.folder
    assert set(corpus.emotions.values()) <= set(LABELS)
    assert corpus.licence and corpus.citation and corpus.homepage and corpus.title
    assert corpus.kaggle.count("/") == 1
    stem = Path(corpus.example).stem
    assert sum(bool(other.pattern.fullmatch(stem)) for other in CORPORA.values()) == 1


def test_counts_and_order_of_corpora_and_classes():
    counts = [(name, corpus.clips) for name, corpus in CORPORA.items()]
    assert counts == [("cremad", 7_442), ("ravdess", 1_440), ("tess", 2_800), ("savee", 480)]
    assert list(EMOTIONS) == sorted(EMOTIONS) and len(EMOTIONS) == 7


def codes_of(corpus):
    """Codes that the corpus has, in combinations right and wrong."""
    tables = {
        "speaker": corpus.speakers,
        "emotion": corpus.emotions,
        "intensity": corpus.intensities,
        "take": corpus.takes,
        "sentence": corpus.sentences or ("back", "youth", "a01", "n30", "su15"),
    }
    groups = corpus.pattern.groupindex
    return st.fixed_dictionaries({name: st.sampled_from(list(tables[name])) for name in groups})


@each_corpus
@PATIENT
@given(st.data())
def test_what_is_put_together_is_taken_apart_again(corpus, data):
    name = corpus.format(data.draw(codes_of(corpus)))
    try:
        assert corpus.format(corpus.codes(name)) == name == corpus.parse(name).name
    except LabelError as error:  # codes that the corpus never puts together
        assert name in str(error)


@each_corpus
@PATIENT
@given(st.data())
def test_what_follows_the_pattern_is_parsed_or_told_why(corpus, data):
    stem = data.draw(st.from_regex(corpus.pattern, fullmatch=True))
    try:
        assert corpus.parse(f"{stem}.wav").name == f"{stem}.wav"
    except LabelError as error:
        assert "expected one of" in str(error) or "bad combination" in str(error)


@PATIENT
@given(st.text(), st.sampled_from(list(CORPORA)))
def test_any_other_text_is_refused_with_the_pattern_expected(stem, name):
    corpus = CORPORA[name]
    assume(not corpus.pattern.fullmatch(stem))
    with pytest.raises(LabelError) as error:
        corpus.parse(f"{stem}.wav".replace("/", "_"))
    assert corpus.grammar in str(error.value) or "bad " in str(error.value)
    with contextlib.suppress(LabelError):
        assert parse(stem).emotion in LABELS
