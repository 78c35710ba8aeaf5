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


def forge(file, *, config=None, **notes):
    """Change a file as an attacker would, who can compute a digest too."""
    with zipfile.ZipFile(file) as archive:
        weights = archive.read("model.weights.h5")
        config = config or archive.read("config.json")
    own = metadata(file)["sercore"]
    del own["sha256"]
    own |= notes
    own = {key: value for key, value in own.items() if value is not None}
    own["sha256"] = m._digest(config, weights, own)
    rewrite(file, **{"config.json": config, "metadata.json": json.dumps({"sercore": own})})


def test_a_forged_file_with_sound_notes_is_read(file):
    forge(file, mean=2.5)
    assert m.read_model(file).mean == 2.5


@pytest.mark.parametrize(
    ("notes", "problem"),
    [
        ({"mean": None}, "its notes hold"),
        ({"more": 1}, "its notes hold"),
        ({"kind": "prosody"}, "reads 'prosody', expected one of mel, mfcc"),
        ({"mean": "x"}, "cannot be used"),
        ({"std": 0.0}, "standardises with"),
        ({"mean": float("nan")}, "standardises with"),
        ({"labels": "abcdefg"}, "expected a list of names"),
        ({"labels": ["anger"]}, "1 labels"),
        ({"audio": {}}, "cannot be used"),
        ({"audio": "x"}, "cannot be used"),
    ],
)
def test_notes_that_make_no_sense_are_refused(file, notes, problem):
    forge(file, **notes)
    with pytest.raises(m.ModelFileError, match=problem):
        m.read_model(file)


def test_features_of_another_shape_are_refused(file):
    forge(file, audio=metadata(file)["sercore"]["audio"] | {"n_mfcc": 5})
    with pytest.raises(m.ModelFileError, match=r"\(16, 32, 1\).*\(5, 32, 1\)"):
        m.read_model(file)


def test_a_layer_too_large_for_memory_is_refused(file):
    with zipfile.ZipFile(file) as archive:
        config = archive.read("config.json").replace(b'"units": 7', b'"units": 40000000')
    forge(file, config=config)
    with pytest.raises(m.ModelFileError, match="a size of 40,000,000, more than 4,096"):
        m.read_model(file)


@pytest.mark.parametrize("config", [b"no json", b"[" * 100_000])
def test_an_architecture_that_cannot_be_parsed_is_refused(file, config):
    forge(file, config=config)
    with pytest.raises(m.ModelFileError, match="damaged"):
        m.read_model(file)


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    model = small_model()
    model.layers[-1].kernel.assign(np.full((4, 7), np.nan))
    file = m.save_model(trained(model=model), tmp_path / "nan.keras")
    with pytest.raises(m.ModelFileError, match="weights are not numbers"):
        m.read_model(file)


def test_a_failed_save_leaves_what_was_there(file):
    before = file.read_bytes()
    with pytest.raises(TypeError):
        m.save_model(trained(settings={"seed": object()}), file)
    assert file.read_bytes() == before and list(file.parent.iterdir()) == [file]


def test_saving_what_was_read_gives_the_same_bytes(file):
    before = file.read_bytes()
    m.save_model(m.read_model(file), file)
    assert file.read_bytes() == before


def test_a_layer_that_could_carry_code_is_refused(file, tmp_path):
    layers = [keras.layers.Input((16, 32, 1)), keras.layers.Lambda(lambda x: x)]
    keras.Sequential(layers).save(tmp_path / "lambda.keras")
    with zipfile.ZipFile(tmp_path / "lambda.keras") as archive:
        config = archive.read("config.json")
    forge(file, config=config)
    with pytest.raises(m.ModelFileError, match="Lambda.* could carry code"):
        m.read_model(file)


def test_labels_and_outputs_must_agree(tmp_path):
    file = m.save_model(trained(labels=EMOTIONS[:6]), tmp_path / "six.keras")
    with pytest.raises(m.ModelFileError, match="6 labels"):
        m.read_model(file)


def test_every_recipe_can_be_saved_and_read(tmp_path):
    from sercore.models import RECIPES

    audio = replace(TINY, n_mels=64, n_mfcc=64, hop_length=127)
    for name, recipe in RECIPES.items():
        own = trained(name=name, kind=recipe.kind, audio=audio)
        own = replace(own, model=recipe.build((64, 63, 1), len(EMOTIONS)))
        file = m.save_model(own, tmp_path / f"{name}.keras")
        x = np.random.default_rng(0).normal(size=(2, 64, 63))
        assert np.array_equal(m.read_model(file)(x), own(x))
        assert file.stat().st_size < 2_000_000
