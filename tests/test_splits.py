"""Which clip is in which set."""

import numpy as np
import pandas as pd
import pytest

from sercore.splits import Split, SplitError, check_disjoint, random_split, shared_share


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
