"""Published tables: read back as they were, or refused."""

import gzip

import pandas as pd
import pytest

from sercore import results as p
from sercore.corpora import EMOTIONS

NAME = p.RunName(profile="article", model="cnn_mfcc", seed=2)
PATHS = [
    "cremad/AudioWAV/1001_DFA_ANG_XX.wav",
    "ravdess/Actor_24/03-01-08-02-01-01-24.wav",
    "savee/ALL/DC_a01.wav",
]


def predictions(*, path=PATHS, answer=(0, 6, 2)) -> pd.DataFrame:
    """Three clips; `answer` says which probability is the largest."""
    table = pd.DataFrame(
        {
            "path": path,
            "corpus": ["cremad", "ravdess", "savee"],
            "speaker": ["cremad_1001", "ravdess_24", "savee_DC"],
            "emotion": ["anger", "surprise", "anger"],
            "predicted": [EMOTIONS[i] for i in answer],
        }
    )
    for i, column in enumerate(p.PROBABILITIES):
        table[column] = [0.4 + 1e-9 if i == best else 0.1 for best in answer]
    return table


def history() -> pd.DataFrame:
    columns = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds")
    table = pd.DataFrame([dict.fromkeys(columns, 1 / 3)] * 2, index=[1, 2])
    return table.rename_axis("epoch")


def test_a_run_has_a_name_that_tells_all_three():
    assert str(NAME) == "article-cnn_mfcc-2"


def test_predictions_are_read_back(tmp_path):
    p.write_predictions(predictions(), NAME, tmp_path)
    pd.testing.assert_frame_equal(
        p.read_predictions(NAME, tmp_path), predictions(), atol=1e-6, check_dtype=False
    )


def test_the_same_predictions_are_the_same_file(tmp_path):
    first = p.write_predictions(predictions(), NAME, tmp_path / "a").read_bytes()
    assert p.write_predictions(predictions(), NAME, tmp_path / "b").read_bytes() == first


def test_a_clip_of_another_corpus_is_refused_and_what_was_there_stays(tmp_path):
    before = p.write_predictions(predictions(), NAME, tmp_path).read_bytes()
    wrong = predictions()
    wrong.loc[1, "speaker"] = "somebody"
    with pytest.raises(p.PublishedError, match="1 of its clips .* 03-01-08|1 of its clips"):
        p.write_predictions(wrong, NAME, tmp_path)
    assert NAME.predictions_file(tmp_path).read_bytes() == before


def test_an_answer_that_rounding_would_change_is_refused(tmp_path):
    close = predictions()
    close.loc[0, "p_disgust"] = close.loc[0, "p_anger"] - 1e-10
    close.loc[0, ["p_anger", "p_disgust"]] = [0.4, 0.4 + 1e-9]
    close.loc[0, "predicted"] = "disgust"
    with pytest.raises(p.PublishedError, match="1001_DFA_ANG_XX"):
        p.write_predictions(close, NAME, tmp_path)


def test_a_history_is_read_back(tmp_path):
    p.write_history(history(), NAME, tmp_path)
    pd.testing.assert_frame_equal(p.read_history(NAME, tmp_path), history(), rtol=1e-5)


def test_results_are_read_back(tmp_path):
    table = pd.DataFrame(
        {"profile": ["article"], "model": ["cnn_mel"], "seed": [0], "python": ["3.10"]}
    )
    p.write_results(table, tmp_path)
    pd.testing.assert_frame_equal(p.read_results(tmp_path), table)  # 3.10 is no number


@pytest.mark.parametrize("read", [p.read_predictions, p.read_history])
def test_a_run_that_is_not_there_is_named(tmp_path, read):
    with pytest.raises(
        p.PublishedError, match="article-cnn_mfcc-2.csv.*it is not there.*git checkout"
    ):
        read(NAME, tmp_path)


def test_missing_answers_of_the_authors_model_are_named(tmp_path):
    with pytest.raises(p.PublishedError, match="crnn_mfcc.csv.gz.*it is not there"):
        p.read_article_crnn(tmp_path)


def test_missing_results_are_named(tmp_path):
    with pytest.raises(p.PublishedError, match="results.csv.*it is not there"):
        p.read_results(tmp_path)


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_damaged_file_is_named(tmp_path, share):
    file = p.write_predictions(predictions(), NAME, tmp_path)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(p.PublishedError, match="cannot be used"):
        p.read_predictions(NAME, tmp_path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("version https://git-lfs\n", "no column clip"),
        ("clip,truth\na,b\n", "no column p_anger"),
        ("clip,truth,{p}\nx.wav,anger,1,0,0,0,0,0,0\n", "x.wav follows none"),
    ],
)
def test_a_table_of_something_else_is_named(tmp_path, text, problem):
    file = NAME.predictions_file(tmp_path)
    file.parent.mkdir()
    with gzip.open(file, "wt") as handle:
        handle.write(text.format(p=",".join(p.PROBABILITIES)))
    with pytest.raises(p.PublishedError, match=problem):
        p.read_predictions(NAME, tmp_path)


def test_the_hash_of_the_tables_changes_with_either(tmp_path):
    p.write_predictions(predictions(), NAME, tmp_path)
    p.write_history(history(), NAME, tmp_path)
    first = p.tables_digest(NAME, tmp_path)
    p.write_history(history() * 2, NAME, tmp_path)
    second = p.tables_digest(NAME, tmp_path)
    p.write_predictions(predictions(answer=(1, 6, 2)), NAME, tmp_path)
    assert len({first, second, p.tables_digest(NAME, tmp_path)}) == 3


def test_the_article_shows_no_curves_of_another_model():
    with pytest.raises(p.PublishedError, match="no curves of 'rnn', but of cnn_mel"):
        p.read_article_curves("rnn")
