"""Model files: whole or refused, and never code."""

import hashlib
import json
import re
import shutil
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from sercore.corpora import EMOTIONS
from sercore.datasets import Standardizer
from sercore.modelfile import ModelFileError, read_model, save_model
from sercore.models import ARTICLE_MODELS, RECIPES
from tests.published import SMALL, small, trained
from tests.speech import TINY


@pytest.fixture(autouse=True)
def recipe(monkeypatch):
    monkeypatch.setitem(RECIPES, "small", SMALL)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "small", SMALL)
        return save_model(trained(), tmp_path_factory.mktemp("saved") / "small.keras")


@pytest.fixture
def file(saved, tmp_path):
    return Path(shutil.copy(saved, tmp_path))


def members(file) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(file, **changes):
    """Put other members into an archive, or leave them out where they are None."""
    parts = members(file) | changes
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            if content is not None:
                archive.writestr(name, content)


def test_what_is_read_is_what_was_saved(file):
    before, after = trained(), read_model(file)
    x = np.random.default_rng(0).normal(size=(3, 16, 32))
    assert np.array_equal(before(x), after(x))
    by_hand = before.model(((x.astype(np.float32) - 1.5) / 2)[..., None], training=False)
    assert np.allclose(after(x), by_hand, atol=1e-6)
    for name in ("name", "kinds", "audio", "labels", "settings", "facts"):
        assert getattr(after, name) == getattr(before, name)
    assert (after.standardizers[0].mean_, after.standardizers[0].std_) == (1.5, 2.0)


def test_an_optimiser_does_not_swell_the_file(tmp_path, file):
    model = trained().model
    model.compile("adam", "sparse_categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    compiled = save_model(trained(model=model), tmp_path / "compiled.keras")
    assert abs(compiled.stat().st_size - file.stat().st_size) < 200


def test_keras_alone_opens_the_file(file):
    assert keras.models.load_model(file).count_params() == trained().model.count_params()


@pytest.mark.parametrize("name", ARTICLE_MODELS)
def test_every_recipe_can_be_saved_and_read_and_saved_again_as_the_same_bytes(tmp_path, name):
    audio = replace(TINY, n_mels=64, n_mfcc=64, hop_length=127)
    network = RECIPES[name].build((64, 63, 1), len(EMOTIONS))
    own = trained(name=name, kinds=RECIPES[name].kinds, audio=audio, model=network)
    file = save_model(own, tmp_path / f"{name}.keras")
    x = np.random.default_rng(0).normal(size=(2, 64, 63))
    assert np.array_equal(read_model(file)(x), own(x))
    before = file.read_bytes()
    assert len(before) < 2_000_000
    save_model(read_model(file), file)
    assert file.read_bytes() == before


def nan_network():
    network = trained().model
    network.layers[-1].kernel.assign(np.full((8, 7), np.nan))
    return network


@pytest.mark.parametrize(
    ("change", "error", "problem"),
    [
        ({"name": "none"}, ModelFileError, "unknown model 'none'"),
        ({"kinds": ("mel",)}, ModelFileError, "reads mfcc, not mel"),
        ({"labels": EMOTIONS[:6]}, ModelFileError, "its labels are"),
        ({"labels": EMOTIONS[::-1]}, ModelFileError, "its labels are"),
        ({"standardizers": (Standardizer.of(0.0, 0.0),)}, ModelFileError, "standardises with"),
        ({"model": small((16, 32, 1), 6)}, ModelFileError, "not the one that the recipe"),
        ({"model": small((5, 32, 1), 7)}, ModelFileError, "not the one that the recipe"),
        ({"settings": {"seed": object()}}, TypeError, ""),
    ],
    ids=["name", "kinds", "six labels", "order", "spread", "outputs", "input", "no JSON"],
)
def test_what_could_not_be_read_back_is_not_saved(file, change, error, problem):
    before = file.read_bytes()
    with pytest.raises(error, match=problem):
        save_model(trained(**change), file)
    assert file.read_bytes() == before and list(file.parent.iterdir()) == [file]


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match="must end in .keras"):
        save_model(trained(), tmp_path / "small.h5")


def cut(share):
    return lambda file: file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def with_member(name, content):
    return lambda file: rewrite(file, **{name: content})


def with_weights_of_another(file):
    other = save_model(trained(model=small((16, 32, 1), 7)), file.with_name("other.keras"))
    with_member("model.weights.h5", members(other)["model.weights.h5"])(file)


def with_metadata(old, new):
    name = "metadata.json"
    return lambda file: rewrite(file, **{name: re.sub(old, new, members(file)[name].decode())})


WRONG = {
    "missing": (Path.unlink, "there is no model file .*small.keras"),
    **{f"cut to {share}": (cut(share), "cut short, damaged") for share in (0, 0.01, 0.5, 0.999)},
    "a bit": (flip_a_bit, "damaged"),
    "weights": (with_weights_of_another, "altered"),
    "network": (with_member("config.json", b"{}"), "altered"),
    "notes": (with_metadata(r"\[1\.5", "[1.25"), "altered"),
    "format": (with_metadata(r'"format": \d+', '"format": 99'), "format 99.* reads format"),
    "Keras alone": (lambda file: trained().model.save(file), "without the course's notes"),
    "more": (with_member("assets/run.py", "print()"), "assets/run.py besides a model"),
    "less": (with_member("model.weights.h5", None), "model.weights.h5"),
    "nested": (with_member("metadata.json", "[" * 100_000), "damaged"),
    "no object": (with_member("metadata.json", "[]"), "damaged"),
    "bomb": (with_member("assets/zeros", bytes(100_000_001)), "more than 100,000,000 bytes"),
}


@pytest.mark.parametrize(("spoil", "problem"), WRONG.values(), ids=WRONG.keys())
def test_a_file_that_is_not_as_it_was_written_is_refused(file, spoil, problem):
    spoil(file)
    with pytest.raises(ModelFileError, match=problem):
        read_model(file)


def forge(file, *, weights=None, config=None, **notes):
    """Change a file and give it the digest that it then must have."""
    parts = members(file)
    weights, config = weights or parts["model.weights.h5"], config or parts["config.json"]
    own = json.loads(parts["metadata.json"])["sercore"]
    changed = json.loads(own["notes"]) | notes
    kept = {key: value for key, value in changed.items() if value is not None}
    own = {"format": own["format"], "notes": json.dumps(kept)}
    texts = [json.dumps(own, sort_keys=True).encode(), config, weights]
    digests = b"".join(hashlib.sha256(text).digest() for text in texts)
    own["sha256"] = hashlib.sha256(digests).hexdigest()
    changes = {"model.weights.h5": weights, "config.json": config}
    rewrite(file, **changes, **{"metadata.json": json.dumps({"sercore": own})})


def test_a_forged_file_with_sound_notes_is_read(file):
    forge(file, standardizers=[[2.5, 1.0]])
    assert read_model(file).standardizers[0].mean_ == 2.5


@pytest.mark.parametrize(
    ("notes", "problem"),
    [
        ({"audio": None}, "its notes hold"),
        ({"more": 1}, "its notes hold"),
        ({"name": "none"}, "unknown model 'none'"),
        ({"kinds": ["prosody"]}, "reads mfcc, not prosody"),
        ({"standardizers": [["1.5", 1.0]]}, "standardises with"),
        ({"standardizers": [[0.0, 0.0]]}, "standardises with"),
        ({"standardizers": [[float("nan"), 1.0]]}, "standardises with"),
        ({"standardizers": [[1e300, 1.0]]}, "standardises with"),
        ({"labels": "abcdefg"}, "its labels are"),
        ({"labels": list(EMOTIONS[::-1])}, "its labels are"),
        ({"audio": {}}, "cannot be used"),
        ({"audio": "x"}, "cannot be used"),
        ({"settings": []}, "cannot be used"),
        ({"audio": asdict(replace(TINY, seconds=1e7))}, "would not fit into memory"),
        ({"audio": asdict(TINY) | {"sample_rate": 10**400}}, "cannot be used"),
    ],
)
def test_notes_that_make_no_sense_are_refused(file, notes, problem):
    forge(file, **notes)
    with pytest.raises(ModelFileError, match=problem):
        read_model(file)


def another():
    return keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(7)])


def weights_of(network):
    return lambda file: network().save_weights(file)


def links_out(file):
    outside = file.with_name("outside.weights.h5")
    weights_of(lambda: trained().model)(outside)
    with h5py.File(outside) as there, h5py.File(file, "w") as here:
        for name in there:
            here[name] = h5py.ExternalLink(str(outside), name)


def packed(file):
    weights_of(lambda: trained().model)(file)
    with h5py.File(file, "a") as archive:
        values = archive.pop("layers/dense/vars/1")[()]
        archive.create_dataset(
            "layers/dense/vars/1", data=values, chunks=values.shape, compression="gzip"
        )


@pytest.mark.parametrize(
    ("write", "problem"),
    [
        (packed, "not those of the network"),
        (weights_of(lambda: small((16, 32, 1), 6)), "not those of the network"),
        (weights_of(another), "not those of the network"),
        (weights_of(nan_network), "weights are not numbers"),
        (links_out, "not those of the network"),
        (lambda file: file.write_bytes(b"no weights"), "cannot be used"),
    ],
    ids=["packed", "shape", "names", "not a number", "links out of the file", "no HDF5"],
)
def test_weights_that_do_not_fit_are_refused(file, tmp_path, write, problem):
    weights = tmp_path / "x.weights.h5"
    write(weights)
    forge(file, weights=weights.read_bytes())
    with pytest.raises(ModelFileError, match=problem):
        read_model(file)


def test_the_architecture_in_the_file_is_never_looked_at(file):
    """A layer that could carry code, or one of 40 GB, is of no consequence."""
    x = np.zeros((1, 16, 32))
    expected = trained()(x)
    forge(file, config=b'{"class_name": "Lambda", "config": {"function": "evil"}}')
    assert np.array_equal(read_model(file)(x), expected)
