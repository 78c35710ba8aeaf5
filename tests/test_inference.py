"""From a sound file to an answer."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from sercore import inference as i
from sercore.collection.encoder import have_encoder
from sercore.datasets import Standardizer, input_shape
from sercore.encoder import EncoderError
from sercore.features import KINDS, FeatureError, load_clip, mfcc
from sercore.functionals import VOICE, functionals
from sercore.modelfile import ModelFileError, read_model, save_model
from sercore.models import RECIPES
from sercore.results import MODELS, PROBABILITIES, RunName, read_predictions
from tests.published import article_clips, trained
from tests.speech import TINY, tone, write_clip
from tests.test_modelfile import recipe  # noqa: F401 -- a fixture that each test needs

SHIPPED = [name for name in RECIPES if (MODELS / f"{name}.keras").exists()]
HEADS = [name for name in SHIPPED if RECIPES[name].learn]


@pytest.fixture
def clips(tmp_path):
    return [write_clip(tmp_path / f"{f}.wav", tone(f, seconds=0.7)) for f in (200, 900, 2000)]


def untrained(name):
    """A model of the course with weights that mean nothing."""
    kinds, audio = RECIPES[name].kinds, RECIPES[name].audio or TINY
    network = RECIPES[name].build(*(input_shape(KINDS[kind].shape(audio)) for kind in kinds), 7)
    own = {"name": name, "kinds": kinds, "audio": audio, "model": network}
    return trained(**own, standardizers=(Standardizer.of(0, 1),) * len(kinds))


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


def test_a_model_of_whole_clips_hears_them_whole(tmp_path):
    """As it was trained: `extract` reads such a clip whole, too."""
    model = untrained("functionals")
    clip = np.concatenate([tone(200, seconds=6.0), tone(900, seconds=6.0)])
    path = write_clip(tmp_path / "long.wav", clip)
    (features,) = i.clip_features(path, model)
    whole, cut = (load_clip(path, config=VOICE, whole=whole) for whole in (True, False))
    assert (len(whole), len(cut)) == (12 * VOICE.sample_rate, VOICE.n_samples)
    assert np.allclose(features, functionals(whole, config=VOICE))
    assert not np.allclose(features, functionals(cut, config=VOICE))


def test_batches_do_not_change_answers_or_order(clips):
    many = i.predict_files(trained(), clips * 12)  # more than one batch
    assert many["path"].tolist() == [str(path) for path in clips * 12]
    for start in range(0, 36, 3):
        part = many[list(PROBABILITIES)].iloc[start : start + 3]
        assert np.allclose(part, many[list(PROBABILITIES)].iloc[:3], atol=1e-6)


def test_no_files_give_an_empty_table():
    table = i.predict_files(trained(), [])
    assert list(table.columns) == ["path", "predicted", *PROBABILITIES] and table.empty


def sound(samples):
    return lambda path: soundfile.write(path, samples, 8_000, subtype="DOUBLE")


SPOILT = {
    "missing": (lambda path: None, "give the whole path"),
    "a folder": (lambda path: path.mkdir(), "give the whole path"),
    "text": (lambda path: path.write_text("hello"), "cannot be read as sound"),
    "no header": (lambda path: path.write_bytes(b"12" * 4_000), "cannot be read as sound"),
    "empty": (sound(np.zeros(0)), "no sound to speak of"),
    "silence": (sound(np.zeros(4_000)), "no sound to speak of"),
    "dither": (sound(np.full(4_000, 1e-4)), "no sound to speak of"),
    "click": (sound(np.ones(1)), "no sound to speak of"),
    "channels": (sound(np.stack([tone(300), -tone(300)], axis=1)), "no sound to speak of"),
    "not a number": (sound(np.where(np.arange(8_000) == 7, np.nan, tone(300))), "cannot be read"),
    "huge": (sound(np.full(4_000, 1e30)), "too large to compute"),
}


@pytest.mark.filterwarnings("ignore:overflow")  # of the sound that is too large
@pytest.mark.parametrize("what", SPOILT)
def test_what_is_no_sound_is_named_and_not_answered(tmp_path, what):
    spoil, problem = SPOILT[what]
    bad = tmp_path / ("bad.raw" if what == "no header" else "bad.wav")
    spoil(bad)
    with pytest.raises(FeatureError, match=f"{bad.name}.*{problem}"):
        i.predict_files(trained(), [bad])


def test_sound_in_memory_is_answered_like_a_file(tmp_path):
    samples, model = tone(300, seconds=0.7), trained()
    whole = np.round(samples * 2**15).astype(np.int16)
    path = tmp_path / "clip.wav"
    soundfile.write(path, whole, 8_000)
    expected = i.predict_files(model, path)[list(PROBABILITIES)].iloc[0].to_numpy()
    both = np.stack([whole, whole], axis=1)
    for given in (whole, whole / 2**15, both, (whole / 2**15).astype(np.float16)):
        found = i.predict(model, given, 8_000.0)
        assert list(found) == sorted(found, reverse=True)
        assert found[list(model.labels)].to_numpy() == pytest.approx(expected, abs=1e-3)


NO_SOUND = {
    "text": ("hello", 8_000, "shape"),
    "nothing": (None, 8_000, "shape"),
    "three axes": (np.zeros((2, 3, 4)), 8_000, "shape"),
    "channels first": (np.zeros((1, 8_000)), 8_000, "shape"),
    "8 bits": (np.full(8_000, 130, np.uint8), 8_000, "16 or 32 bits"),
    "64 bits": ([1, 2, 3] * 1_000, 8_000, "16 or 32 bits"),
    "too high a rate": (np.ones(8_000), 2**31, "a whole number of samples"),
    "no rate": (np.ones(8_000), 0, "a whole number of samples"),
    "broken rate": (np.ones(8_000), 8_000.5, "a whole number of samples"),
    "no samples": (np.zeros(0), 8_000, "no sound to speak of"),
    "not a number": (np.full(8_000, np.nan), 8_000, "not finite"),
}


@pytest.mark.parametrize("what", NO_SOUND)
def test_what_is_no_sound_in_memory_is_named(what):
    samples, rate, problem = NO_SOUND[what]
    with pytest.raises(FeatureError, match=problem):
        i.predict(trained(), samples, rate)


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Three models that come with the course, and how they did on new speakers."""
    monkeypatch.setattr(i, "MODELS", tmp_path)
    for name in ("crnn_mfcc", "functionals", "encoder"):
        save_model(untrained(name), tmp_path / f"{name}.keras")
    uars = {"cnn_mfcc": 0.9, "crnn_mfcc": 0.4, "functionals": 0.5, "encoder": 0.7}
    rows = [{"model": name, "uar": uar} for name, uar in uars.items()]
    monkeypatch.setattr(i, "read_shown", lambda folder: pd.DataFrame(rows))
    return tmp_path


@pytest.mark.parametrize(("have", "best"), [(True, "encoder"), (False, "functionals")])
def test_without_a_name_the_best_that_can_run_is_loaded_and_named(shipped, monkeypatch, have, best):
    said = []
    monkeypatch.setattr(i, "have_encoder", lambda: have)
    assert i.load_pretrained(report=said.append).name == best
    assert len(said) == 1 and said[0].startswith(f"{best}:")


def test_a_model_on_the_encoder_is_not_loaded_without_its_weights(shipped, monkeypatch, tmp_path):
    monkeypatch.setenv("SER_CACHE", str(tmp_path))
    monkeypatch.setattr(i, "have_encoder", lambda: False)
    assert i.load_pretrained("functionals").name == "functionals"
    with pytest.raises(EncoderError, match="collect encoder"):
        i.load_pretrained("encoder")


def test_without_a_name_and_without_a_model_it_says_so(shipped, monkeypatch):
    for file in shipped.glob("*.keras"):
        file.unlink()
    monkeypatch.setattr(i, "have_encoder", lambda: True)
    with pytest.raises(ModelFileError, match="no model that was tested"):
        i.load_pretrained(report=None)


def test_one_path_will_do(clips):
    assert i.predict_files(trained(), clips[0]).equals(i.predict_files(trained(), clips[:1]))


@pytest.mark.parametrize("name", HEADS)
def test_a_shipped_head_knows_the_clips_that_it_has_learned_from(name, sample):
    """Nothing else can be asked of it: no clip of the four corpora was left out."""
    if "encoder" in RECIPES[name].kinds and not have_encoder():
        pytest.skip("the encoder's weights are not there: python -m sercore collect encoder")
    silent = "1076_MTI_SAD_XX"
    names = [path for path in article_clips()["path"] if silent not in path]
    paths = [sample / path for path in names if (sample / path).exists()][::4]
    table = i.predict_files(i.load_pretrained(name), paths)
    clips = article_clips().set_index("path")["emotion"]
    truth = clips[[path.relative_to(sample).as_posix() for path in paths]].to_numpy()
    right = (table["predicted"] == truth).mean()
    assert len(paths) > 50 and right > (0.6 if name == "functionals" else 0.85)


@pytest.mark.parametrize("name", [name for name in SHIPPED if name not in HEADS])
def test_a_shipped_model_gives_the_published_probabilities(name, sample):
    model = read_model(MODELS / f"{name}.keras")
    run = RunName(profile=model.facts["profile"], model=name, seed=model.settings["seed"])
    published = read_predictions(run).set_index("path")
    paths = [path for path in published.index if (sample / path).exists()]
    assert len(paths) > 40
    table = i.predict_files(i.load_pretrained(name), [sample / path for path in paths])
    found = table[list(PROBABILITIES)].to_numpy()
    expected = published.loc[paths, list(PROBABILITIES)].to_numpy()
    assert np.abs(found - expected).max() < 1e-4
    assert np.abs(found - np.roll(expected, 1, axis=0)).max() > 1e-2  # those of other clips
