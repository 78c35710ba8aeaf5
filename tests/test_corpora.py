"""File names and what they say."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sercore.corpora import CORPORA, EMOTIONS, LABELS, LabelError, parse


@pytest.mark.parametrize(
    ("name", "speaker", "sex", "emotion", "intensity", "sentence"),
    [
        ("1001_DFA_ANG_XX.wav", "cremad_1001", "male", "anger", "", "DFA"),
        ("1091_IEO_HAP_HI.wav", "cremad_1091", "female", "happiness", "high", "IEO"),
        ("1040_ITH_SAD_X.wav", "cremad_1040", "male", "sadness", "", "ITH"),
        ("03-01-05-01-02-01-12.wav", "ravdess_12", "female", "anger", "normal", "02"),
        ("03-01-02-02-01-01-01.wav", "ravdess_01", "male", "calm", "strong", "01"),
        ("OAF_back_angry.wav", "tess_OAF", "female", "anger", "", "back"),
        ("YAF_neat_ps.wav", "tess_YAF", "female", "surprise", "", "neat"),
        ("OA_bite_neutral.wav", "tess_OAF", "female", "neutral", "", "bite"),
        ("DC_a01.wav", "savee_DC", "male", "anger", "", "a01"),
        ("KL_su15.WAV", "savee_KL", "male", "surprise", "", "su15"),
    ],
)
def test_known_names(name, speaker, sex, emotion, intensity, sentence):
    labels = parse(name)
    assert (labels.speaker, labels.sex, labels.emotion) == (speaker, sex, emotion)
    assert (labels.intensity, labels.sentence) == (intensity, sentence)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "1001_DFA_XYZ_XX.wav",
            "bad emotion code 'XYZ' in 1001_DFA_XYZ_XX.wav, expected one of ANG",
        ),
        ("1000_DFA_ANG_XX.wav", "bad speaker code '1000' .* expected one of 1001 to 1091"),
        ("1001_DFA_ANG_YY.wav", "bad intensity code 'YY'"),
        ("03-01-09-01-01-01-01.wav", "bad emotion code '09'"),
        ("OAF_back_cross.wav", "bad emotion code 'cross'"),
        ("XX_a01.wav", "bad speaker code 'XX' .* DC, JE, JK, KL"),
    ],
)
def test_bad_codes_name_the_file_and_the_alternatives(name, message):
    with pytest.raises(LabelError, match=message):
        parse(name)


@pytest.mark.parametrize("name", ["recording.wav", "", "02-01-05-01-02-01-12.wav", "DC_a01.mp3"])
def test_names_of_no_grammar_are_refused(name):
    with pytest.raises(LabelError):
        parse(name)


def test_the_folder_decides_whose_grammar_is_meant():
    with pytest.raises(LabelError, match="does not follow CREMA-D's pattern SPEAKER_SENTENCE"):
        parse("cremad/AudioWAV/DC_a01.wav")


@pytest.mark.parametrize("corpus", CORPORA.values(), ids=list(CORPORA))
def test_each_corpus_is_declared_in_full(corpus):
    assert corpus.parse(corpus.example).corpus == corpus.name
    assert set(corpus.emotions.values()) <= set(LABELS)
    assert corpus.licence and corpus.citation and corpus.homepage
    assert corpus.kaggle.count("/") == 1


def test_counts_and_order_of_classes():
    assert sum(corpus.clips for corpus in CORPORA.values()) == 12_162
    assert list(EMOTIONS) == sorted(EMOTIONS) and len(EMOTIONS) == 7


def test_no_name_follows_two_grammars():
    for corpus in CORPORA.values():
        stem = Path(corpus.example).stem
        assert sum(bool(other.pattern.fullmatch(stem)) for other in CORPORA.values()) == 1


@given(st.text())
def test_no_text_is_more_than_refused(name):
    with contextlib.suppress(LabelError):
        assert parse(name).emotion in LABELS


def test_real_sample_parses(sample):
    names = list(sample.rglob("*.wav"))
    assert len(names) == 382
    assert {parse(path.relative_to(sample)).corpus for path in names} == {
        "cremad",
        "ravdess",
        "tess",
    }
