"""Runs: trained once, kept, loaded, resumed."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from sercore import training as t
from sercore.config import TrainConfig
from sercore.corpora import EMOTIONS
from sercore.features import extract
from sercore.manifest import article_view, build_manifest
from sercore.modelfile import TrainedModel, read_model, save_model
from sercore.results import (
    RunName,
    read_history,
    read_predictions,
    tables_digest,
    write_history,
    write_predictions,
)
from sercore.splits import random_split
from tests.speech import TINY, tiny_corpus

RECIPE = TrainConfig(max_epochs=3, shuffle=True, batch_size=8)


def small_model(dropout=0.2):
    return keras.Sequential(
        [
            keras.layers.Input((16, 32, 1)),
            keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
            keras.layers.BatchNormalization(momentum=0.8),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(7, activation="softmax"),
        ]
    )


def run_small(root: Path, *, recipe=RECIPE, build=small_model, **options) -> t.Run:
    """Train the small model on the tiny corpus in `root`."""
    clips = article_view(build_manifest(root))
    features = extract(clips, root, config=TINY, kind="mfcc", report=None)
    settings = {"name": "small", "audio": TINY, "kind": "mfcc", "features": features}
    settings |= {"report": None} | options
    return t.train(
        build,
        clips=clips,
        split=random_split(clips),
        training=recipe,
        **settings,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("data"))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_CACHE", str(tmp_path))
    return tmp_path


def test_a_run_keeps_history_predictions_and_weights(data, cache):
    run = run_small(data)
    assert list(run.history.index) == [1, 2, 3]
    clips = article_view(build_manifest(data))
    test = clips.iloc[random_split(clips).test]
    assert run.predictions["path"].tolist() == test["path"].tolist()
    assert run.predictions["emotion"].tolist() == test["emotion"].tolist()
    shares = run.predictions[list(t.PROBABILITIES)].to_numpy()
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-5)
    expected = [p.removeprefix("p_") for p in np.array(t.PROBABILITIES)[shares.argmax(axis=1)]]
    assert run.predictions["predicted"].tolist() == expected


def test_the_kept_model_gives_the_kept_probabilities(data, cache):
    run = run_small(data)
    clips = article_view(build_manifest(data))
    features = extract(clips, data, config=TINY, kind="mfcc", report=None)
    x = (features[random_split(clips).test] - run.facts["mean"]) / run.facts["std"]
    again = np.asarray(run.model()(x[..., None].astype(np.float32)))
    assert np.allclose(again, run.predictions[list(t.PROBABILITIES)], atol=1e-5)


def test_the_weights_are_those_of_the_epoch_with_the_least_validation_loss(data, cache):
    run = run_small(data, recipe=replace(RECIPE, max_epochs=6, learning_rate=0.05))
    truth = run.predictions["emotion"].map({p[2:]: i for i, p in enumerate(t.PROBABILITIES)})
    shares = run.predictions[list(t.PROBABILITIES)].to_numpy()
    loss = -np.log(shares[np.arange(len(truth)), truth]).mean()
    assert loss == pytest.approx(run.history["val_loss"].min(), abs=1e-3)
    assert run.facts["best_epoch"] == run.history["val_loss"].idxmin()


def test_a_finished_run_is_loaded_and_not_trained_again(data, cache):
    lines = []
    first = run_small(data)
    second = run_small(data, report=lines.append)
    assert len(lines) == 1 and lines[0].startswith("small: already trained, 3 epochs")
    pd.testing.assert_frame_equal(first.predictions, second.predictions)
    pd.testing.assert_frame_equal(first.history, second.history)


def test_retrain_trains_again(data, cache):
    lines = []
    run_small(data)
    run_small(data, retrain=True, report=lines.append)
    assert len(lines) == 3


def test_retrain_keeps_the_old_run_until_the_new_one_is_there(data, cache):
    class Killed(BaseException):
        pass

    def die(line):
        raise Killed

    first = run_small(data)
    with pytest.raises(Killed):
        run_small(data, retrain=True, report=die)
    assert run_small(data).predictions.equals(first.predictions)
    lines = []
    run_small(data, retrain=True, report=lines.append)
    assert lines[0] == "going on after epoch 1" and len(lines) == 3


def test_under_a_mark_each_run_is_trained_once(data, cache, monkeypatch):
    lines = []
    run_small(data)
    monkeypatch.setenv("SER_RETRAIN", "now")
    run_small(data, report=lines.append)
    assert len(lines) == 3
    run_small(data, report=lines.append)
    assert len(lines) == 4 and "already trained" in lines[-1]
    monkeypatch.setenv("SER_RETRAIN", "later")
    run_small(data, report=lines.append)
    assert len(lines) == 7


class TrainingStarts(Exception):
    """Raised in place of training, which takes seconds."""


@pytest.fixture(scope="module")
def published_run(data, tmp_path_factory):
    """A finished run with all that is published of it, and the folder where that lies."""
    folder = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SER_CACHE", str(folder / "cache"))
        run = run_small(data, recipe=replace(RECIPE, max_epochs=1))
    name = RunName(profile="article", model="small", seed=0)
    write_predictions(run.predictions, name, folder / "figures")
    write_history(run.history, name, folder / "figures")
    trained = TrainedModel(
        name="small",
        model=run.model(),
        kind="mfcc",
        audio=TINY,
        mean=run.facts["mean"],
        std=run.facts["std"],
        labels=EMOTIONS,
        settings={key: value for key, value in run.settings.items() if key != "model"},
        facts={key: run.facts[key] for key in ("epochs", "seconds")}
        | {"profile": "article", "tables": tables_digest(name, folder / "figures")},
    )
    save_model(trained, folder / "models" / "small.keras")
    return run, folder


@pytest.fixture
def shipped(published_run, cache, monkeypatch):
    """That run as one which comes with the course; any training raises `TrainingStarts`."""
    run, folder = published_run

    def start(*arguments):
        raise TrainingStarts

    monkeypatch.setattr(t, "FIGURES", folder / "figures")
    monkeypatch.setattr(t, "MODELS", folder / "models")
    monkeypatch.setattr(t._Fit, "run", start)
    return run


def run_shipped(root: Path, **change) -> t.Run:
    """Ask for the very run of `shipped`, or for one with a change."""
    return run_small(root, **({"recipe": replace(RECIPE, max_epochs=1)} | change))


def test_the_run_that_comes_with_the_course_is_taken_and_says_so(data, shipped):
    lines = []
    run = run_shipped(data, report=lines.append)
    assert [line[:27] for line in lines] == ["small: the course's own run"]
    pd.testing.assert_frame_equal(run.predictions, shipped.predictions, atol=1e-6)
    for ours, theirs in zip(run.model().weights, shipped.model().weights, strict=True):
        assert np.array_equal(ours, theirs)
    assert run.facts["mean"] == shipped.facts["mean"]
    run_shipped(data, report=lines.append)  # from the cache now
    assert lines[1] == lines[0]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"recipe": RECIPE},
        {"name": "other"},
        {"retrain": True},
        {"build": lambda: small_model(dropout=0.3)},
        {"audio": replace(TINY, mel_ref=2.0)},
        {"kind": "mel"},
        {"learning_rates": [1e-3]},
    ],
    ids=["seed", "training", "name", "retrain", "model", "audio", "kind", "rates"],
)
def test_another_run_than_the_shipped_one_is_trained(data, shipped, change):
    with pytest.raises(TrainingStarts):
        run_shipped(data, **change)


def test_a_shipped_run_with_a_setting_that_was_not_asked_for_is_not_taken(data, own_copy):
    file = t.MODELS / "small.keras"
    trained = read_model(file)
    save_model(replace(trained, settings=trained.settings | {"devices": 2}), file)
    with pytest.raises(TrainingStarts):
        run_shipped(data)


def test_under_a_mark_the_shipped_run_is_not_taken(data, shipped, monkeypatch):
    monkeypatch.setenv("SER_RETRAIN", "now")
    with pytest.raises(TrainingStarts):
        run_shipped(data)


def test_a_shipped_run_is_never_scored_on_other_clips(shipped, tmp_path):
    """One clip more moves the split: some of its new test clips were trained on."""
    with pytest.raises(TrainingStarts):
        run_shipped(tiny_corpus(tmp_path / "more", clips=43))


def test_a_clip_with_other_bytes_is_another_manifest(shipped, tmp_path):
    root = tiny_corpus(tmp_path / "changed")
    clip = next((root / "savee").rglob("*.wav"))
    clip.write_bytes(clip.read_bytes()[:-2] + b"\x01\x02")
    with pytest.raises(TrainingStarts):
        run_shipped(root)


def test_an_unfinished_run_goes_on_although_one_is_shipped(data, shipped, cache):
    with pytest.raises(TrainingStarts):
        run_shipped(data, retrain=True)
    (folder,) = cache.glob("runs/small-*/")
    (folder / "state.npz").touch()
    with pytest.raises(TrainingStarts):
        run_shipped(data)


def test_other_clips_are_named_as_the_reason(shipped, tmp_path):
    lines = []
    with pytest.raises(TrainingStarts):
        run_shipped(tiny_corpus(tmp_path / "more", clips=43), report=lines.append)
    assert lines == [
        "small: the course's own run was trained on other clips, so this one is trained"
    ]


@pytest.fixture
def own_copy(shipped, tmp_path, monkeypatch):
    """What is shipped, in a folder that a test may spoil."""
    for name in ("FIGURES", "MODELS"):
        copy = shutil.copytree(getattr(t, name), tmp_path / name)
        monkeypatch.setattr(t, name, copy)
    return tmp_path


def test_a_damaged_shipped_model_is_named_and_not_used(data, own_copy):
    file = t.MODELS / "small.keras"
    file.write_bytes(file.read_bytes()[:1000])
    lines = []
    with pytest.raises(TrainingStarts):
        run_shipped(data, report=lines.append)
    assert "small.keras is cut short" in lines[0]


@pytest.mark.parametrize("kind", ["predictions", "history"])
def test_tables_of_another_run_are_not_taken_for_the_shipped_ones(data, own_copy, kind):
    """As after a publication that was cut off: the wrong table is sound in itself."""
    (file,) = (t.FIGURES / kind).iterdir()
    name = RunName(profile="article", model="small", seed=0)
    if kind == "predictions":
        table = read_predictions(name, t.FIGURES)
        write_predictions(table.iloc[:5], name, t.FIGURES)
    else:
        write_history(read_history(name, t.FIGURES) * 2, name, t.FIGURES)
    lines = []
    with pytest.raises(TrainingStarts):
        run_shipped(data, report=lines.append)
    assert "not those that belong to its model file" in lines[0]


def test_predictions_of_training_clips_are_refused_even_with_a_right_hash(data, own_copy):
    name = RunName(profile="article", model="small", seed=0)
    clips = article_view(build_manifest(data))
    train = clips.iloc[random_split(clips).train][["path", "corpus", "speaker", "emotion"]]
    table = train.assign(predicted=train["emotion"])
    for emotion in EMOTIONS:
        table[f"p_{emotion}"] = (table["emotion"] == emotion) * 1.0
    write_predictions(table, name, t.FIGURES)
    file = t.MODELS / "small.keras"
    model = read_model(file)
    tables = {"tables": tables_digest(name, t.FIGURES)}
    save_model(replace(model, facts=model.facts | tables), file)
    lines = []
    with pytest.raises(TrainingStarts):
        run_shipped(data, report=lines.append)
    assert "not those that belong to its model file" in lines[0]


def test_a_model_published_anew_replaces_the_one_that_was_taken(data, own_copy):
    run_shipped(data)
    file = t.MODELS / "small.keras"
    model = read_model(file)
    save_model(replace(model, facts=model.facts | {"epochs": 7}), file)
    assert run_shipped(data).facts["epochs"] == 7


def test_a_retraining_under_another_mark_does_not_go_on_with_this_one(data, cache, monkeypatch):
    class Killed(BaseException):
        pass

    def die(line):
        raise Killed

    monkeypatch.setenv("SER_RETRAIN", "first")
    with pytest.raises(Killed):
        run_small(data, report=die)
    monkeypatch.delenv("SER_RETRAIN")
    lines = []
    run_small(data, report=lines.append)
    assert lines[0].startswith("epoch   1") and not list(cache.glob("runs/*/state*"))


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"kind": "mel"},
        {"audio": replace(TINY, mel_ref=2.0)},
        {"recipe": replace(RECIPE, learning_rate=2e-3)},
        {"build": lambda: small_model(dropout=0.3)},
        {"learning_rates": [1e-3]},
    ],
    ids=["seed", "kind", "audio", "training", "model", "rates"],
)
def test_other_settings_are_another_run(data, cache, change):
    one_epoch = replace(RECIPE, max_epochs=1)
    first = run_small(data, recipe=one_epoch)
    if "recipe" in change:
        change = {"recipe": replace(change["recipe"], max_epochs=1)}
    second = run_small(data, **({"recipe": one_epoch} | change))
    assert first.folder != second.folder


def test_layer_names_do_not_make_another_run(data, cache):
    assert run_small(data).folder == run_small(data).folder  # Keras has counted its names up


def functional(units=4, policy="float32"):
    x = keras.layers.Input((16, 32, 1))
    y = keras.layers.Flatten()(x)
    y = keras.layers.Dense(units, dtype=policy)(y)
    return keras.Model(x, keras.layers.Dense(7, activation="softmax")(y))


def test_the_graph_forgets_counted_names_and_nothing_else():
    graphs = [t._graph(functional(**change)) for change in ({}, {}, {"units": 5})]
    assert graphs[0] == graphs[1] != graphs[2]
    assert t._graph(functional(policy="mixed_float16")) != graphs[0]


def test_features_of_another_table_are_refused(data, cache):
    clips = article_view(build_manifest(data))
    features = extract(clips[:-1], data, config=TINY, kind="mfcc", report=None)
    with pytest.raises(t.TrainingError, match="features of 41 clips, but 42 clips"):
        run_small(data, features=features)


@pytest.mark.parametrize("file", ["run.json", "predictions.csv", "best.weights.h5", "history.csv"])
def test_a_run_cut_off_or_altered_is_made_again(data, cache, file):
    run = run_small(data)
    path = run.folder / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    lines = []
    again = run_small(data, report=lines.append)
    assert len([line for line in lines if line.startswith("epoch")]) == 3
    assert len(again.predictions) == len(run.predictions)


@pytest.mark.parametrize("text", ["[]", '{"facts": [], "files": {}, "settings": 1}'])
def test_a_run_whose_file_holds_something_else_is_made_again(data, cache, text):
    run = run_small(data)
    (run.folder / "run.json").write_text(text)
    assert len(run_small(data).predictions) == len(run.predictions)


def test_a_run_of_other_settings_in_its_folder_is_not_read(data, cache):
    run = run_small(data)
    done = json.loads((run.folder / "run.json").read_text())
    done["settings"]["seed"] = 99
    (run.folder / "run.json").write_text(json.dumps(done))
    lines = []
    run_small(data, report=lines.append)
    assert lines[0].startswith("epoch   1")


def cut_off(path):
    path.write_bytes(path.read_bytes()[:100])


def of_another_model(path):
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez(path, **(arrays | {"variable_0": np.zeros((1, 2))}))


@pytest.mark.parametrize("spoil", [cut_off, of_another_model])
def test_a_damaged_state_starts_again_and_says_so(data, cache, spoil):
    class Killed(BaseException):
        pass

    def die(line):
        raise Killed

    with pytest.raises(Killed):
        run_small(data, report=die)
    (state,) = cache.glob("runs/*/state.npz")
    spoil(state)
    lines = []
    run_small(data, report=lines.append)
    assert lines[0] == "the saved state of this run is damaged; training starts again"
    assert lines[1].startswith("epoch   1")


def test_a_model_of_another_shape_is_refused(data, cache):
    def other():
        return keras.Sequential([keras.layers.Input((8, 8, 1)), keras.layers.Flatten()])

    with pytest.raises(t.TrainingError, match=r"takes \(8, 8, 1\), but .* \(16, 32, 1\)"):
        run_small(data, build=other)


def test_a_model_with_other_outputs_is_refused(data, cache):
    def other():
        layers = [keras.layers.Input((16, 32, 1)), keras.layers.Flatten(), keras.layers.Dense(6)]
        return keras.Sequential(layers)

    with pytest.raises(t.TrainingError, match=r"expected \(7,\): one for each of anger"):
        run_small(data, build=other)


def test_a_model_that_does_not_know_its_input_is_refused(data, cache):
    def other():
        return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(7)])

    with pytest.raises(t.TrainingError, match="begin it with keras.layers.Input"):
        run_small(data, build=other)


def test_unknown_recipe_names_the_alternatives(data):
    with pytest.raises(t.TrainingError, match="unknown model 'rnn', expected one of cnn_mel"):
        t.train_recipe("rnn", pd.DataFrame(), data, profile=None)


def test_rates_can_be_given_instead_of_following_the_loss(data, cache):
    rates = pd.Series([1e-3, 0.02, 1e-4], index=[1, 2, 3])  # as a history has them
    run = run_small(data, recipe=replace(RECIPE, max_epochs=5), learning_rates=rates)
    assert run.history["learning_rate"].tolist() == pytest.approx([*rates, 1e-4, 1e-4])


def test_a_run_with_rates_of_its_own_goes_on_at_the_rate_of_its_epoch(data, cache, monkeypatch):
    class Killed(BaseException):
        pass

    def die(line):
        raise Killed

    given = {"recipe": replace(RECIPE, max_epochs=3), "learning_rates": [1e-3, 0.02, 1e-4]}
    lines = []
    with pytest.raises(Killed):
        run_small(data, report=die, **given)
    resumed = run_small(data, report=lines.append, **given)
    assert lines[0] == "going on after epoch 1"
    monkeypatch.setenv("SER_CACHE", str(cache / "other"))
    whole = run_small(data, **given)
    columns = ["learning_rate", "loss", "val_loss"]
    pd.testing.assert_frame_equal(resumed.history[columns], whole.history[columns], rtol=1e-3)


@pytest.mark.parametrize("rates", [[], [1e-3, 0], [float("nan")], [float("inf")]])
def test_rates_that_are_none_are_refused(data, cache, rates):
    with pytest.raises(t.TrainingError, match="learning_rates must be positive numbers"):
        run_small(data, learning_rates=rates)


def test_the_rates_that_a_course_of_the_loss_leads_to():
    recipe = replace(RECIPE, plateau_patience=2, plateau_factor=0.1, min_learning_rate=5e-6)
    losses = [3.0, 2.0, 2.5, 2.0, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5]
    rates = t.plateau_rates(losses, recipe)
    # Twice no better than 2.0, so a tenth from the fifth epoch on, and again after 1.0.
    assert rates == [1e-3] * 4 + [1e-4] * 3 + [1e-5] * 2 + [5e-6]


RESUME = """
import os, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
import tensorflow as tf
tf.config.experimental.enable_op_determinism()
from tests.test_training import RECIPE, run_small

root, stop_after = Path(sys.argv[1]), int(sys.argv[2])
recipe = replace(RECIPE, max_epochs=8, learning_rate=0.05, plateau_patience=1, stop_patience=4)

def report(line):
    print(line, flush=True)
    if line.startswith(f"epoch {stop_after:3}"):
        os._exit(9)  # as a killed process ends: no handler runs

run = run_small(root, recipe=recipe, report=report)
run.history.drop(columns="seconds").to_csv(sys.argv[3] + ".csv")
np.savez(sys.argv[3] + ".npz", *run.model().get_weights())
"""


def test_a_killed_run_goes_on_as_if_nothing_had_happened(data, tmp_path):
    """History and weights within 1e-6, with a learning rate cut and patience on the way."""

    def run(cache: str, stop_after: int) -> tuple[int, list[str]]:
        environment = os.environ | {"SER_CACHE": str(tmp_path / cache / "cache")}
        command = [sys.executable, "-c", RESUME, str(data), str(stop_after), str(tmp_path / cache)]
        root = Path(__file__).parents[1]
        done = subprocess.run(command, env=environment, cwd=root, stdout=subprocess.PIPE, text=True)
        return done.returncode, [line[:16].strip() for line in done.stdout.splitlines()]

    epochs = [f"epoch {n:3}" for n in range(1, 9)]
    status, lines = run("whole", 0)
    assert (status, [line[:9] for line in lines]) == (0, epochs)
    status, lines = run("cut", 5)
    assert (status, [line[:9] for line in lines]) == (9, epochs[:5])
    # The fifth epoch was kept before its line was printed.
    status, lines = run("cut", 0)
    assert status == 0 and lines[0] == "going on after e"
    assert [line[:9] for line in lines[1:]] == epochs[5:]
    whole, cut = (
        pd.read_csv(tmp_path / f"{name}.csv", index_col="epoch") for name in ("whole", "cut")
    )
    assert whole["learning_rate"].nunique() > 1  # or the schedule would not have been tested
    pd.testing.assert_frame_equal(whole, cut, atol=1e-6, rtol=0)
    with np.load(tmp_path / "whole.npz") as a, np.load(tmp_path / "cut.npz") as b:
        assert all(np.allclose(a[key], b[key], atol=1e-6, rtol=0) for key in a.files)


DEVICES = """
import sys
from dataclasses import replace
import tensorflow as tf
from sercore.training import TrainingError
from tests.test_training import RECIPE, run_small

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
alone = run_small(sys.argv[1])
with tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"]).scope():
    both = run_small(sys.argv[1])
assert both.folder != alone.folder and both.settings["devices"] == 2, both.settings
try:
    with tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"]).scope():
        run_small(sys.argv[1], recipe=replace(RECIPE, batch_size=13))
except TrainingError as error:
    assert "batches of 13 clips, the last of 1, do not divide" in str(error), error
print(list(both.history.index), len(both.predictions))
"""


def test_two_devices_train_one_model_and_keep_it_apart(cache, tmp_path):
    data = tiny_corpus(tmp_path / "data", clips=50)  # 40 to train on: batches of 8
    command = [sys.executable, "-c", DEVICES, str(data)]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "[1, 2, 3] 10\n"
