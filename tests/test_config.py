"""Profiles and their settings."""

from dataclasses import replace

import pytest

from sercore import config as c

ARTICLE = c.PROFILES["article"]


@pytest.mark.parametrize(
    ("name", "bands", "frames"), [("article", 128, 345), ("laptop", 64, 126), ("demo", 64, 126)]
)
def test_features_of_a_profile_have_its_shape(name, bands, frames):
    audio = c.PROFILES[name].audio
    assert (audio.n_mels, audio.n_mfcc, audio.n_frames) == (bands, bands, frames)


def test_article_recipe():
    training = ARTICLE.training
    assert not training.shuffle
    assert (training.batch_size, training.learning_rate, training.max_epochs) == (32, 1e-3, 100)
    assert (training.stop_patience, training.plateau_patience) == (10, 3)
    assert (training.plateau_factor, training.min_learning_rate) == (0.2, 1e-6)


@pytest.mark.parametrize(
    ("settings", "name", "value", "message"),
    [
        ("audio", "n_mels", 0, " must be a positive whole number"),
        ("audio", "n_fft", 2048.0, " must be a positive whole number"),
        ("audio", "n_mfcc", 129, "=129 is more than n_mels=128"),
        ("audio", "mel_ref", "max", " must be a positive power or 'min'"),
        ("audio", "mel_ref", 0.0, " must be"),
        ("audio", "dtype", "float64", ".*float16 or float32"),
        ("audio", "seconds", -1.0, " must be positive"),
        ("training", "batch_size", 0, ""),
        ("training", "max_epochs", True, ""),
        ("training", "learning_rate", 0.0, ""),
        ("training", "plateau_factor", 1.0, ""),
    ],
)
def test_bad_settings_are_refused_by_name(settings, name, value, message):
    with pytest.raises(ValueError, match=name + message):
        replace(getattr(ARTICLE, settings), **{name: value})


def test_default_profile_depends_on_data(monkeypatch):
    monkeypatch.delenv("SER_PROFILE", raising=False)
    monkeypatch.delenv("SER_DATA", raising=False)
    assert c.load_profile().name == "demo"
    monkeypatch.setenv("SER_DATA", "somewhere")
    assert c.load_profile().name == "laptop"
    monkeypatch.setenv("SER_PROFILE", "article")
    assert c.load_profile().name == "article"


def test_unknown_profile_names_the_alternatives():
    with pytest.raises(ValueError, match="unknown profile .big., expected one of demo, laptop"):
        c.load_profile("big")


def test_digest_ignores_key_order_and_sees_values():
    assert c.digest({"a": 1, "b": 2}) == c.digest({"b": 2, "a": 1})
    assert c.digest({"a": 1}) != c.digest({"a": 2})


def test_a_cache_that_cannot_be_made_or_written_to_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SER_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(c.CacheError, match="cannot be made.*point SER_CACHE at a folder"):
        c.cache_dir()
    monkeypatch.setenv("SER_CACHE", str(tmp_path))
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(c.CacheError, match="cannot be written to; point SER_CACHE at a folder"):
        c.cache_dir()


@pytest.mark.parametrize(
    ("value", "name"), [("1", "retraining"), ("0", "runs"), ("", "runs"), (None, "runs")]
)
def test_a_retraining_has_a_folder_of_its_own(monkeypatch, value, name):
    monkeypatch.delenv("SER_RETRAIN", raising=False)
    if value is not None:
        monkeypatch.setenv("SER_RETRAIN", value)
    assert c.runs_folder() == c.cache_dir() / name
