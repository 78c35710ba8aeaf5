"""Model files: whole or refused, and never code."""

import json
import zipfile
from dataclasses import replace

import keras
import numpy as np
import pytest

from sercore import modelfile as m
from sercore.corpora import EMOTIONS
from tests.speech import TINY


def small_model() -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.layers.Input((16, 32, 1)),
            keras.layers.Conv2D(4, 3, strides=2, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(7, activation="softmax"),
        ]
    )


def trained(**changes) -> m.TrainedModel:
    values = {
        "name": "small",
        "model": small_model(),
        "kind": "mfcc",
        "audio": TINY,
        "mean": 1.5,
        "std": 2.0,
        "labels": EMOTIONS,
        "settings": {"seed": 0},
        "facts": {"epochs": 3, "versions": {"keras": "3.0"}},
    }
    return m.TrainedModel(**values | changes)


@pytest.fixture
def file(tmp_path):
    return m.save_model(trained(), tmp_path / "small.keras")


def rewrite(file, **members):
    """Put other members into an archive, or leave them out where they are None."""
    with zipfile.ZipFile(file) as archive:
        old = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in (old | members).items():
            if content is not None:
                archive.writestr(name, content)


def metadata(file) -> dict:
    with zipfile.ZipFile(file) as archive:
        return json.loads(archive.read("metadata.json"))


def test_what_is_read_is_what_was_saved(file):
    before, after = trained(), m.read_model(file)
    x = np.random.default_rng(0).normal(size=(3, 16, 32))
    assert np.array_equal(before(x), after(x))
    for name in ("name", "kind", "audio", "mean", "std", "labels", "settings", "facts"):
        assert getattr(after, name) == getattr(before, name)


def test_features_are_standardised_before_the_model_sees_them():
    model = trained()
    x = np.random.default_rng(0).normal(size=(2, 16, 32)).astype(np.float32)
    by_hand = model.model(((x - 1.5) / 2)[..., None], training=False)
    assert np.allclose(model(x), by_hand, atol=1e-6)
    assert not np.allclose(replace(model, std=1.0)(x), by_hand, atol=1e-4)


def test_an_optimiser_does_not_swell_the_file(tmp_path, file):
    model = small_model()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    compiled = m.save_model(trained(model=model), tmp_path / "compiled.keras")
    assert abs(compiled.stat().st_size - file.stat().st_size) < 200


def test_keras_alone_opens_the_file(file):
    model = keras.models.load_model(file)
    assert model.count_params() == small_model().count_params()


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(m.ModelFileError, match="must end in .keras"):
        m.save_model(trained(), tmp_path / "small.h5")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(m.ModelFileError, match="there is no model file .*none.keras"):
        m.read_model(tmp_path / "none.keras")


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
def test_a_file_cut_short_is_refused(file, share):
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(m.ModelFileError, match="cut short, damaged or no model file"):
        m.read_model(file)


def test_a_flipped_bit_is_found(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(m.ModelFileError, match="damaged"):
        m.read_model(file)


def test_altered_weights_are_found(file, tmp_path):
    other = m.save_model(
        trained(model=keras.models.clone_model(small_model())), tmp_path / "o.keras"
    )
    with zipfile.ZipFile(other) as archive:
        rewrite(file, **{"model.weights.h5": archive.read("model.weights.h5")})
    with pytest.raises(m.ModelFileError, match="altered"):
        m.read_model(file)


@pytest.mark.parametrize("key", ["mean", "labels", "audio", "settings"])
def test_altered_notes_are_found(file, key):
    notes = metadata(file)
    notes["sercore"][key] = 0.0
    rewrite(file, **{"metadata.json": json.dumps(notes)})
    with pytest.raises(m.ModelFileError, match="altered"):
        m.read_notes(file)


def test_another_format_names_both(file):
    notes = metadata(file)
    notes["sercore"]["format"] = 99
    rewrite(file, **{"metadata.json": json.dumps(notes)})
    with pytest.raises(m.ModelFileError, match="format 99.* reads format 1"):
        m.read_model(file)


def test_a_plain_keras_model_is_told_apart(tmp_path):
    small_model().save(tmp_path / "plain.keras")
    with pytest.raises(m.ModelFileError, match="without the course's notes"):
        m.read_model(tmp_path / "plain.keras")


def test_something_besides_a_model_is_refused(file):
    rewrite(file, **{"assets/run.py": "print('hello')"})
    with pytest.raises(m.ModelFileError, match="assets/run.py besides a model"):
        m.read_model(file)


def test_a_missing_part_is_refused(file):
    rewrite(file, **{"model.weights.h5": None})
    with pytest.raises(m.ModelFileError, match="model.weights.h5"):
        m.read_model(file)


def test_a_file_that_unpacks_to_too_much_is_refused(file, monkeypatch):
    monkeypatch.setattr(m, "MAX_BYTES", 1_000)
    with pytest.raises(m.ModelFileError, match="more than 1,000 bytes"):
        m.read_model(file)


def test_a_layer_that_could_carry_code_is_refused(file, tmp_path):
    layers = [keras.layers.Input((16, 32, 1)), keras.layers.Lambda(lambda x: x)]
    keras.Sequential(layers).save(tmp_path / "lambda.keras")
    with zipfile.ZipFile(tmp_path / "lambda.keras") as archive:
        config = archive.read("config.json")
    with zipfile.ZipFile(file) as archive:
        weights = archive.read("model.weights.h5")
    # As an attacker would, who can compute a digest too.
    notes = metadata(file)["sercore"]
    del notes["sha256"]
    notes["sha256"] = m._digest(config, weights, notes)
    rewrite(file, **{"config.json": config, "metadata.json": json.dumps({"sercore": notes})})
    with pytest.raises(m.ModelFileError, match="Lambda.* could carry code"):
        m.read_model(file)


def test_labels_and_outputs_must_agree(tmp_path):
    file = m.save_model(trained(labels=EMOTIONS[:6]), tmp_path / "six.keras")
    with pytest.raises(m.ModelFileError, match="6 labels"):
        m.read_model(file)


def test_every_recipe_can_be_saved_and_read(tmp_path):
    from sercore.models import RECIPES

    for name, recipe in RECIPES.items():
        model = recipe.build((64, 64, 1), len(EMOTIONS))
        file = m.save_model(trained(name=name, model=model), tmp_path / f"{name}.keras")
        x = np.random.default_rng(0).normal(size=(2, 64, 64))
        assert np.array_equal(m.read_model(file)(x), trained(model=model)(x))
        assert file.stat().st_size < 2_000_000
