"""From a sound file to an answer."""

import numpy as np
import pytest
import soundfile

from sercore import inference as i
from sercore.features import FeatureError, load_clip, mfcc
from sercore.modelfile import ModelFileError, read_model, save_model
from sercore.results import MODELS, PROBABILITIES, RunName, read_predictions
from tests.speech import TINY, tone, write_clip
from tests.test_modelfile import recipe, trained  # noqa: F401 -- a fixture that each test needs

SHIPPED = sorted(file.stem for file in MODELS.glob("*.keras"))


@pytest.fixture
def clips(tmp_path):
    return [write_clip(tmp_path / f"{f}.wav", tone(f, seconds=0.7)) for f in (200, 900, 2000)]


def test_a_model_is_loaded_from_a_path(tmp_path):
    save_model(trained(), tmp_path / "mine.keras")
    assert i.load_pretrained(tmp_path / "mine.keras").name == "small"
    assert i.load_pretrained(str(tmp_path / "mine.keras")).audio == TINY


def test_an_unknown_name_lists_the_models_there_are():
    with pytest.raises(ModelFileError, match=f"'cnn', expected one of {', '.join(SHIPPED)}"):
        i.load_pretrained("cnn")


def test_the_answers_are_those_of_the_model_on_the_features(clips):
    model = trained()
    table = i.predict_files(model, clips)
    features = np.stack([mfcc(load_clip(path, config=TINY), config=TINY) for path in clips])
    assert np.allclose(table[list(PROBABILITIES)], model(features), atol=1e-6)
    assert table["path"].tolist() == [str(path) for path in clips]
    assert table["predicted"].tolist() == [model.labels[k] for k in model(features).argmax(axis=1)]


def test_batches_do_not_change_answers_or_order(clips):
    many = i.predict_files(trained(), clips * 12)  # more than one batch
    assert many["path"].tolist() == [str(path) for path in clips * 12]
    for start in range(0, 36, 3):
        part = many[list(PROBABILITIES)].iloc[start : start + 3]
        assert np.allclose(part, many[list(PROBABILITIES)].iloc[:3], atol=1e-6)


def test_no_files_give_an_empty_table():
    table = i.predict_files(trained(), [])
    assert list(table.columns) == ["path", "predicted", *PROBABILITIES] and table.empty


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FeatureError, match="there is no file .*none.wav; give the whole path"):
        i.predict_files(trained(), [tmp_path / "none.wav"])


def test_a_folder_is_no_recording(tmp_path):
    with pytest.raises(FeatureError, match="there is no file"):
        i.predict_files(trained(), [tmp_path])


def test_a_file_that_is_no_sound_is_named(tmp_path):
    (tmp_path / "text.wav").write_text("hello")
    with pytest.raises(FeatureError, match="text.wav cannot be read as sound"):
        i.predict_files(trained(), [tmp_path / "text.wav"])


@pytest.mark.parametrize(
    ("samples", "problem"),
    [
        (np.zeros(0), "no sound to speak of"),
        (np.zeros(4_000), "no sound to speak of"),
        (np.full(4_000, 1e-4), "no sound to speak of"),
        (np.ones(1), "no sound to speak of"),
        (np.stack([tone(300), -tone(300)], axis=1), "no sound to speak of"),
        (np.where(np.arange(4_000) == 7, np.nan, tone(300)[:4_000]), "cannot be read as sound"),
        (np.full(4_000, 1e30), "too large to compute"),
    ],
    ids=["empty", "silence", "dither", "click", "cancelling channels", "not a number", "huge"],
)
def test_what_holds_no_sound_is_not_answered(tmp_path, samples, problem):
    soundfile.write(tmp_path / "bad.wav", samples, 8_000, subtype="DOUBLE")
    with pytest.raises(FeatureError, match=f"bad.wav .*{problem}"):
        i.predict_files(trained(), [tmp_path / "bad.wav"])


def test_sound_without_a_header_is_named(tmp_path):
    (tmp_path / "x.raw").write_bytes(b"12" * 4_000)
    with pytest.raises(FeatureError, match="x.raw cannot be read as sound"):
        i.predict_files(trained(), [tmp_path / "x.raw"])


def test_one_path_will_do(clips):
    assert i.predict_files(trained(), clips[0]).equals(i.predict_files(trained(), clips[:1]))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_gives_the_published_probabilities(name, sample):
    model = read_model(MODELS / f"{name}.keras")
    run = RunName(profile=model.facts["profile"], model=name, seed=model.settings["seed"])
    published = read_predictions(run).set_index("path")
    paths = [path for path in published.index if (sample / path).exists()]
    assert len(paths) > 40
    found = i.predict_files(i.load_pretrained(name), [sample / path for path in paths])
    difference = found[list(PROBABILITIES)].to_numpy() - published.loc[paths, list(PROBABILITIES)]
    assert np.abs(difference.to_numpy()).max() < 1e-4
    # Another clip's probabilities are not within that bound.
    shifted = found[list(PROBABILITIES)].to_numpy() - np.roll(
        published.loc[paths, list(PROBABILITIES)], 1, axis=0
    )
    assert np.abs(shifted).max() > 1e-2
