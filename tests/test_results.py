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


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_damaged_file_is_named(tmp_path, share):
    file = write_predictions(predictions(), NAME, tmp_path)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(r.ResultsError, match=file.name):
        r.read_predictions(NAME, tmp_path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("version https://git-lfs\n", "column clip"),
        ("clip,truth\na,b\n", "column p_anger"),
        ("clip,truth,{p}\nx.wav,anger,1,0,0,0,0,0,0\n", r"x\.wav"),
    ],
)
def test_a_table_of_something_else_is_named(tmp_path, text, problem):
    file = NAME.predictions_file(tmp_path)
    file.parent.mkdir()
    file.write_bytes(gzip.compress(text.format(p=",".join(r.PROBABILITIES)).encode()))
    with pytest.raises(r.ResultsError, match=problem):
        r.read_predictions(NAME, tmp_path)


def test_the_hash_of_the_tables_changes_with_either(tmp_path):
    write_predictions(predictions(), NAME, tmp_path)
    write_history(history(), NAME, tmp_path)
    first = r.tables_digest(NAME, tmp_path)
    write_history(history() * 2, NAME, tmp_path)
    second = r.tables_digest(NAME, tmp_path)
    write_predictions(predictions(5), NAME, tmp_path)
    assert len({first, second, r.tables_digest(NAME, tmp_path)}) == 3
