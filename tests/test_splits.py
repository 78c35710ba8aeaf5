"""Which clip is in which set."""

import numpy as np
import pandas as pd
import pytest

from sercore.splits import (
    Split,
    SplitError,
    check_disjoint,
    corpus_folds,
    honest_split,
    random_split,
    shared_share,
    speaker_folds,
)
from tests.published import article_clips


def clips(n=100):
    return pd.DataFrame(
        {"speaker": [f"s{i % 10}" for i in range(n)], "sentence": [f"t{i % 3}" for i in range(n)]}
    )


def test_sets_have_the_articles_sizes_and_every_clip_is_in_exactly_one():
    split = random_split(clips(11_970))
    assert (len(split.train), len(split.test)) == (9_576, 2_394)
    assert np.array_equal(split.valid, split.test)
    assert sorted([*split.train, *split.test]) == list(range(11_970))


def test_a_split_is_repeatable_and_its_seed_matters():
    test = random_split(clips()).test
    assert np.array_equal(test, random_split(clips()).test)
    assert not np.array_equal(test, random_split(clips(), random_state=1).test)


def test_one_clip_cannot_be_split():
    with pytest.raises(SplitError, match="1 clips cannot be split"):
        random_split(clips(1))


def test_disjointness_check_rejects_a_random_split_and_names_a_speaker():
    with pytest.raises(SplitError, match=r"\d+ values of speaker occur in both sets, among them s"):
        check_disjoint(clips(), random_split(clips()), by=["speaker"])


def test_disjointness_check_accepts_sets_that_share_nothing():
    own = clips()["speaker"].eq("s0").to_numpy()
    split = Split(np.flatnonzero(~own), np.array([], int), np.flatnonzero(own))
    check_disjoint(clips(), split, by=["speaker"])
    assert shared_share(clips(), split, by=["speaker"]) == 0
    assert shared_share(clips(), split, by=["sentence"]) == 1


def test_disjointness_check_looks_at_the_validation_set_too():
    split = Split(np.array([0, 10]), np.array([20]), np.array([1, 11]))  # speakers s0, s0, s1
    with pytest.raises(SplitError, match="among them s0"):
        check_disjoint(clips(), split, by=["speaker"])
    check_disjoint(clips(), Split(split.train, split.test, split.test), by=["speaker"])


def test_shared_share_counts_combinations():
    table = pd.DataFrame({"speaker": ["a", "a", "b", "b"], "sentence": [1, 2, 1, 2]})
    split = Split(np.array([0, 3]), np.array([1]), np.array([1, 2]))
    assert shared_share(table, split, by=["speaker"]) == 1
    assert shared_share(table, split, by=["speaker", "sentence"]) == 0


@pytest.mark.parametrize("column", ["speaker", "sentence"])
@pytest.mark.parametrize("function", [check_disjoint, shared_share])
def test_an_unknown_speaker_or_sentence_is_refused_with_a_reason(function, column):
    table = clips().assign(corpus=["mine", "tess"] * 50)
    table.loc[[0, 2], column] = ""
    reason = rf"the {column} of 2 of 100 clips is not known \(in mine\)"
    with pytest.raises(SplitError, match=reason):
        function(table, random_split(table), by=[column])


def test_what_is_not_asked_for_may_be_unknown():
    table = clips().assign(speaker="")
    assert shared_share(table, random_split(table), by=["sentence"]) == 1


# --- new voices ---------------------------------------------------------------------------------

FOLDS = {  # first and last speaker of each block, as EMO-SUPERB has them for CREMA-D
    "cremad": ["1001 1018", "1019 1036", "1037 1054", "1055 1072", "1073 1091"],
    "ravdess": ["01 05", "06 10", "11 15", "16 20", "21 24"],
    "savee": ["DC DC", "JE JE", "JK JK", "KL KL", ""],
    "tess": ["OAF OAF", "YAF YAF", "", "", ""],
}


def voices(**speakers):
    """Two corpora's worth of clips: three of each speaker, in anger, fear and sadness."""
    rows = [
        {"corpus": corpus, "speaker": f"{corpus}_{i}", "emotion": emotion}
        for corpus, n in speakers.items()
        for i in range(n)
        for emotion in ("anger", "fear", "sadness")
    ]
    return pd.DataFrame(rows).assign(sha256=lambda table: table.index.astype(str))


def speakers_in(table, positions):
    return set(table["speaker"].iloc[positions])


def test_an_honest_split_has_the_articles_test_clips_and_chooses_on_others():
    split, article = honest_split(clips(11_970)), random_split(clips(11_970))
    assert np.array_equal(split.test, article.test)
    assert np.array_equal(np.union1d(split.train, split.valid), np.sort(article.train))
    assert (len(split.train), len(split.valid)) == (8_379, 1_197)
    with pytest.raises(SplitError, match="2 clips are too few"):
        honest_split(clips(2))


def test_folds_of_the_four_corpora_are_the_published_blocks():
    table = article_clips()
    for i, split in enumerate(speaker_folds(table).values()):
        own = table.iloc[split.test].groupby("corpus")["speaker"].agg(["min", "max"])
        found = {corpus: f"{low} {high}" for corpus, low, high in own.itertuples()}
        found = {corpus: text.replace(f"{corpus}_", "") for corpus, text in found.items()}
        assert found == {corpus: blocks[i] for corpus, blocks in FOLDS.items() if blocks[i]}
        chosen = table.iloc[split.valid].groupby("corpus")["speaker"].nunique().to_dict()
        assert chosen == {"cremad": 9, "ravdess": 2}


def test_each_speaker_is_tested_once_and_stands_on_one_side_only():
    table = voices(big=24, small=3)
    folds = speaker_folds(table)
    assert sorted(np.concatenate([split.test for split in folds.values()])) == list(range(81))
    for split in folds.values():
        sides = [speakers_in(table, part) for part in vars(split).values()]
        assert sum(map(len, sides)) == len(set().union(*sides)) == 27
        assert not any(speaker.startswith("small") for speaker in sides[1])


def test_each_corpus_is_left_out_once():
    table = voices(big=24, small=3)
    folds = corpus_folds(table)
    assert {name: set(table["corpus"].iloc[split.test]) for name, split in folds.items()} == {
        "big": {"big"},
        "small": {"small"},
    }
    assert set(table["corpus"].iloc[folds["small"].train]) == {"big"}
    assert len(speakers_in(table, folds["big"].valid)) == 1  # none of three is one in eight


@pytest.mark.parametrize(
    ("split", "table", "problem"),
    [
        (speaker_folds, voices(one=1), "1 speakers cannot be tested in 5 folds"),
        (speaker_folds, voices(one=3), "3 speakers cannot be tested in 5 folds"),
        (speaker_folds, voices(one=3, two=3), "2 would test nobody; choose n_folds=3"),
        (corpus_folds, voices(one=9), "not of 1"),
        (corpus_folds, voices(one=9, two=1), "one: one speaker is left"),
        (speaker_folds, voices(one=9).assign(speaker=""), "the speaker of 27 of 27 clips"),
        (speaker_folds, voices(one=9).assign(sha256="same"), "1 values of sha256"),
    ],
)
def test_speech_that_cannot_be_split_is_refused_with_a_reason(split, table, problem):
    with pytest.raises(SplitError, match=problem):
        split(table)


def test_an_emotion_of_one_speaker_is_named():
    table = voices(one=9)
    table.loc[0, "emotion"] = "surprise"
    with pytest.raises(SplitError, match="fold 1: surprise is tested, but no training clip"):
        speaker_folds(table)
