"""Tables of runs: read back as they were written, or refused."""

import gzip
from functools import partial

import pandas as pd
import pytest

from sercore import results as r
from sercore.article import read_article_crnn
from sercore.course.publishing import write_history, write_predictions, write_results
from tests.published import history, predictions

NAME = r.RunName(profile="article", model="cnn_mfcc", seed=2)


def test_tables_are_read_back_as_they_were_written(tmp_path):
    write_history(history() / 3, NAME, tmp_path)
    pd.testing.assert_frame_equal(r.read_history(NAME, tmp_path), history() / 3, rtol=1e-5)
    answers = predictions()
    answers["p_anger"] += 1e-9
    write_predictions(answers, NAME, tmp_path)
    pd.testing.assert_frame_equal(r.read_predictions(NAME, tmp_path), answers, atol=1e-6)
    row = {"profile": ["article"], "model": ["cnn_mel"], "seed": [0], "python": ["3.10"]}
    write_results(pd.DataFrame(row), tmp_path)
    assert r.read_results(tmp_path).to_dict("list") == row  # 3.10 is no number


@pytest.mark.parametrize(
    ("column", "value"), [("speaker", "somebody"), ("corpus", "mine"), ("p_disgust", 0.4 + 1e-9)]
)
def test_predictions_that_would_be_read_back_otherwise_are_refused(tmp_path, column, value):
    """Rounding makes two answers equal; the last row tells disgust then, and not surprise."""
    before = write_predictions(predictions(10), NAME, tmp_path).read_bytes()
    wrong = predictions(10)
    wrong.loc[9, column] = value
    wrong.loc[9, "p_surprise"] += 2e-9
    with pytest.raises(r.ResultsError, match="1 of its clips .*03-01-08-02"):
        write_predictions(wrong, NAME, tmp_path)
    assert NAME.predictions_file(tmp_path).read_bytes() == before


OF_A_RUN = [partial(read, NAME) for read in (r.read_predictions, r.read_history, r.tables_digest)]


@pytest.mark.parametrize("read", [*OF_A_RUN, r.read_results, read_article_crnn])
def test_a_table_that_is_not_there_is_named(tmp_path, read):
    with pytest.raises(r.ResultsError, match=r"^\S+\.csv.*git checkout"):
        read(tmp_path)


UNLABELLED = f"clip,truth,{','.join(r.PROBABILITIES)}\nx.wav,anger,1,0,0,0,0,0,0\n"


@pytest.mark.parametrize(
    ("text", "share", "problem"),
    [
        ("clip,truth\na,b\n", 0, "cnn_mfcc-2"),
        ("clip,truth\na,b\n", 0.5, "cnn_mfcc-2"),
        ("version https://git-lfs\n", 1, "column clip"),
        ("clip,truth\na,b\n", 1, "column p_anger"),
        (UNLABELLED, 1, r"x\.wav"),
    ],
)
def test_what_is_damaged_or_something_else_is_named(tmp_path, text, share, problem):
    content, file = gzip.compress(text.encode()), NAME.predictions_file(tmp_path)
    file.parent.mkdir()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(r.ResultsError, match=problem):
        r.read_predictions(NAME, tmp_path)


def test_the_hash_of_the_tables_changes_with_either(tmp_path):
    found = set()
    for right, factor in ((7, 1), (7, 2), (5, 2)):
        write_predictions(predictions(right), NAME, tmp_path)
        write_history(history() * factor, NAME, tmp_path)
        found.add(r.tables_digest(NAME, tmp_path))
    assert len(found) == 3
