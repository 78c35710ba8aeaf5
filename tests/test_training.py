"""Runs: trained once, kept, loaded, resumed, and taken from what comes with the course."""

import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import keras
import numpy as np
import pandas as pd
import pytest

from sercore.config import REPOSITORY, Profile, TrainConfig
from sercore.corpora import EMOTIONS
from sercore.course.publishing import write_history, write_predictions
from sercore.features import extract
from sercore.manifest import article_view, build_manifest
from sercore.modelfile import read_model, save_model
from sercore.models import RECIPES, ModelError
from sercore.results import PROBABILITIES, RunName, read_history, read_predictions, tables_digest
from sercore.splits import Split, random_split
from sercore.store.runs import keep_retrained
from sercore.training import Run, TrainingError, train, train_recipe
from tests.published import SMALL, small, trained
from tests.speech import TINY, tiny_corpus

TRAINING = TrainConfig(max_epochs=3, shuffle=True, batch_size=8)
ONE_EPOCH = replace(TRAINING, max_epochs=1)
NAME = RunName(profile="article", model="small", seed=0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("data"))


def run_small(
    root: Path, *, recipe=SMALL, audio=TINY, training=ONE_EPOCH, report=None, **options
) -> Run:
    """Train the small network, or another, on the tiny corpus in `root`, or load its run."""
    clips = article_view(build_manifest(root))
    profile = Profile(name="article", audio=audio, training=training)
    return train_recipe(recipe, clips, root, profile=profile, report=report, **options)


def told(root: Path, ends: type[Exception] | None = None, **options) -> list[str]:
    """What is reported when a run is asked for, which may end with an error."""
    lines = []
    with pytest.raises(ends) if ends else nullcontext():
        run_small(root, report=lines.append, **options)
    return lines


def epochs(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("epoch")]


def interrupt(line, epoch=1):
    if line.startswith(f"epoch {epoch:3}"):
        raise KeyboardInterrupt


def test_a_run_keeps_its_network_its_history_and_predictions_of_the_test_clips(data, cache):
    run = run_small(data, training=TRAINING)
    assert list(run.history.index) == [1, 2, 3]
    clips = article_view(build_manifest(data))
    test = clips.iloc[random_split(clips).test]
    assert run.predictions["path"].tolist() == test["path"].tolist()
    assert run.predictions["emotion"].tolist() == test["emotion"].tolist()
    shares = run.predictions[list(PROBABILITIES)].to_numpy()
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-5)
    assert run.predictions["predicted"].tolist() == [EMOTIONS[k] for k in shares.argmax(axis=1)]
    # And the kept network gives these probabilities.
    features = extract(clips, data, config=TINY, kind="mfcc", report=None)
    x = run.standardizers[0].transform(features[random_split(clips).test])
    assert np.allclose(run.model()(x[..., None]), shares, atol=1e-5)


def test_the_validation_set_chooses_the_epoch_and_the_test_set_is_predicted(data, cache):
    def three_ways(clips):
        order = np.arange(len(clips))
        return Split(order[:26], order[26:34], order[34:])

    recipe = replace(TRAINING, max_epochs=6, learning_rate=0.05)
    run = run_small(data, training=recipe, splitter=three_ways)
    clips = article_view(build_manifest(data))
    assert run.predictions["path"].tolist() == clips["path"].iloc[34:].tolist()
    features = extract(clips, data, config=TINY, kind="mfcc", report=None)
    x = run.standardizers[0].transform(features[np.arange(26, 34)])[..., None]
    truth = [EMOTIONS.index(emotion) for emotion in clips["emotion"].iloc[26:34]]
    lost = -np.log(np.asarray(run.model()(x))[np.arange(8), truth]).mean()
    assert lost == pytest.approx(run.history["val_loss"].min(), abs=1e-3)
    assert run.facts["best_epoch"] == run.history["val_loss"].idxmin()


def test_a_finished_run_is_loaded_and_not_trained_again(data, cache):
    first, lines = run_small(data, training=TRAINING), told(data, training=TRAINING)
    assert "already trained, 3 epochs" in lines[-1] and not epochs(lines)
    second = run_small(data, training=TRAINING)
    pd.testing.assert_frame_equal(first.predictions, second.predictions)
    pd.testing.assert_frame_equal(first.history, second.history)


OTHER_SETTINGS = {
    "seed": {"seed": 1},
    "audio": {"audio": replace(TINY, mel_ref=2.0)},
    "training": {"training": replace(ONE_EPOCH, learning_rate=2e-3)},
    "kinds": {"recipe": replace(SMALL, kinds=("mel",))},
    "network": {"recipe": replace(SMALL, build=partial(small, dropout=0.3))},
    "schedule": {"recipe": replace(SMALL, schedule=None)},
    "name": {"recipe": replace(SMALL, name="other")},
}


def test_functions_of_ones_own_are_known_by_what_they_do(data, cache):
    steep = lambda rate: lambda *_: keras.optimizers.SGD(rate)  # noqa: E731
    runs = [run_small(data, recipe=replace(SMALL, optimizer=steep(r))) for r in (0.5, 1e-4, 0.5)]
    assert runs[0].folder == runs[2].folder != runs[1].folder


@pytest.mark.parametrize("change", OTHER_SETTINGS.values(), ids=OTHER_SETTINGS.keys())
def test_other_settings_are_another_run(data, cache, change):
    assert run_small(data, **change).folder != run_small(data).folder


def cut_off(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def of_something_else(path):
    path.write_text('{"facts": [], "files": {}, "settings": 1}')


RUN_FILES = ("run.json", "predictions.csv", "best.weights.h5", "history.csv")


@pytest.mark.parametrize(
    ("file", "spoil"), [*((file, cut_off) for file in RUN_FILES), ("run.json", of_something_else)]
)
def test_a_run_cut_off_or_altered_is_made_again(data, cache, file, spoil):
    run = run_small(data)
    spoil(run.folder / file)
    assert len(epochs(told(data))) == 1
    assert len(run_small(data).predictions) == len(run.predictions)


def of_another_model(path):
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez(path, **(arrays | {"variable_0": np.zeros((1, 2))}))


@pytest.mark.parametrize("spoil", [cut_off, of_another_model])
def test_a_damaged_state_starts_again_and_says_so(data, cache, spoil):
    with pytest.raises(KeyboardInterrupt):
        run_small(data, training=TRAINING, report=interrupt)
    (state,) = cache.glob("runs/*/state.npz")
    spoil(state)
    lines = told(data, training=TRAINING)
    assert any("damaged" in line for line in lines) and len(epochs(lines)) == 3


@pytest.mark.parametrize(
    ("build", "problem"),
    [
        (lambda shape, n: small((8, 8, 1), n), r"takes \(8, 8, 1\), but .* \(16, 32, 1\)"),
        (lambda shape, n: small(shape, 6), r"expected \(7,\): one for each of anger"),
        (lambda shape, n: keras.Sequential([keras.layers.Dense(n)]), "begin it with keras.layers"),
    ],
    ids=["input", "outputs", "no input"],
)
def test_a_network_that_does_not_fit_is_refused(data, cache, build, problem):
    with pytest.raises(TrainingError, match=problem):
        run_small(data, recipe=replace(SMALL, build=build))


def test_features_of_another_table_are_refused(data, cache):
    clips = article_view(build_manifest(data))
    features = extract(clips[:-1], data, config=TINY, kind="mfcc", report=None)
    common = {"clips": clips, "split": random_split(clips), "audio": TINY, "training": TRAINING}
    with pytest.raises(TrainingError, match="features of 41 clips, but 42 clips"):
        train(SMALL, features=features, **common)


def test_an_unknown_recipe_names_the_alternatives(data):
    with pytest.raises(ModelError, match="unknown model 'rnn', expected one of cnn_mel"):
        run_small(data, recipe="rnn")


def test_a_retraining_trains_once_in_a_fresh_place_and_then_replaces(data, cache, monkeypatch):
    old = run_small(data)
    stamp = (old.folder / "run.json").stat().st_mtime_ns
    monkeypatch.setenv("SER_RETRAIN", "1")
    assert len(epochs(told(data) + told(data))) == 1  # the chapters share models
    monkeypatch.delenv("SER_RETRAIN")
    assert (run_small(data).folder / "run.json").stat().st_mtime_ns == stamp  # the old one still
    keep_retrained()
    assert (run_small(data).folder / "run.json").stat().st_mtime_ns != stamp


def test_an_interrupted_retraining_goes_on_when_asked_for_again(data, cache, monkeypatch):
    old = run_small(data, training=TRAINING)
    monkeypatch.setenv("SER_RETRAIN", "1")
    with pytest.raises(KeyboardInterrupt):
        run_small(data, training=TRAINING, report=interrupt)
    keep_retrained()  # of a course that had nothing finished to keep
    lines = told(data, training=TRAINING)
    assert "going on after epoch 1" in lines and len(epochs(lines)) == 2
    monkeypatch.delenv("SER_RETRAIN")
    assert run_small(data, training=TRAINING).predictions.equals(old.predictions)


@pytest.fixture(scope="module")
def published(data, tmp_path_factory):
    """A finished run with all that is published of it, and the folder where that lies."""
    folder = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SER_CACHE", str(folder / "cache"))
        patch.setitem(RECIPES, "small", SMALL)
        run = run_small(data)
        write_predictions(run.predictions, NAME, folder / "figures")
        write_history(run.history, NAME, folder / "figures")
        facts = {key: run.facts[key] for key in ("epochs", "seconds")}
        facts |= {"profile": "article", "tables": tables_digest(NAME, folder / "figures")}
        settings = {key: value for key, value in run.settings.items() if key != "network"}
        own = {"standardizers": run.standardizers, "settings": settings, "facts": facts}
        save_model(trained(model=run.model(), **own), folder / "models" / "small.keras")
    return run, folder


class TrainingStarts(Exception):
    """Raised in place of training."""


@pytest.fixture
def shipped(published, cache, tmp_path, monkeypatch):
    """That run as one which comes with the course; any training raises `TrainingStarts`."""
    run, folder = published
    for name in ("figures", "models"):
        copy = shutil.copytree(folder / name, tmp_path / name)  # which a test may spoil
        monkeypatch.setattr(f"sercore.store.shipped.{name.upper()}", copy)
    monkeypatch.setitem(RECIPES, "small", SMALL)
    monkeypatch.setattr(keras.Model, "fit", Mock(side_effect=TrainingStarts))
    return run


def test_the_run_that_comes_with_the_course_is_taken_and_says_so(data, shipped):
    assert "the course's own run" in told(data)[-1]
    run = run_small(data)  # from the cache now
    pd.testing.assert_frame_equal(run.predictions, shipped.predictions, atol=1e-6)
    for ours, theirs in zip(run.model().weights, shipped.model().weights, strict=True):
        assert np.array_equal(ours, theirs)
    assert run.standardizers[0].mean_ == shipped.standardizers[0].mean_
    assert "the course's own run" in told(data)[-1]


@pytest.mark.parametrize("change", OTHER_SETTINGS.values(), ids=OTHER_SETTINGS.keys())
def test_another_run_than_the_shipped_one_is_trained(data, shipped, change):
    told(data, TrainingStarts, **change)


def test_while_retraining_the_shipped_run_is_not_taken(data, shipped, monkeypatch):
    monkeypatch.setenv("SER_RETRAIN", "1")
    told(data, TrainingStarts)


def test_a_shipped_run_is_never_scored_on_other_clips(shipped, tmp_path):
    """One clip more moves the split: some of its new test clips were trained on."""
    more = tiny_corpus(tmp_path / "more", clips=43)
    assert "other clips" in told(more, TrainingStarts)[-1]


def test_an_unfinished_run_goes_on_although_one_is_shipped(data, shipped):
    run = run_small(data)
    (run.folder / "run.json").unlink()
    (run.folder / "state.npz").touch()
    told(data, TrainingStarts)


def change_notes(folder: Path, notes: str, **changes) -> None:
    """Put other values into the `settings` or `facts` of the shipped model."""
    file = folder / "models" / "small.keras"
    model = read_model(file)
    save_model(replace(model, **{notes: getattr(model, notes) | changes}), file)


def test_a_model_published_anew_replaces_the_one_that_was_taken(data, shipped, tmp_path):
    run_small(data)
    change_notes(tmp_path, "facts", epochs=7)
    assert run_small(data).facts["epochs"] == 7


def cut_model(folder):
    cut_off(folder / "models" / "small.keras")


def other_predictions(folder):
    table = read_predictions(NAME, folder / "figures")
    write_predictions(table.iloc[:5], NAME, folder / "figures")


def other_history(folder):
    write_history(read_history(NAME, folder / "figures") * 2, NAME, folder / "figures")


def other_clips_with_a_right_hash(folder):
    table = read_predictions(NAME, folder / "figures").iloc[::-1]
    write_predictions(table, NAME, folder / "figures")
    change_notes(folder, "facts", tables=tables_digest(NAME, folder / "figures"))


@pytest.mark.parametrize(
    "spoil", [cut_model, other_predictions, other_history, other_clips_with_a_right_hash]
)
def test_what_does_not_belong_together_is_named_and_not_used(data, shipped, tmp_path, spoil):
    """As after a publication that was cut off: each file may be sound in itself."""
    spoil(tmp_path)
    assert "cannot be used" in told(data, TrainingStarts)[-1]


def test_a_shipped_run_with_a_setting_that_was_not_asked_for_is_not_taken(data, shipped, tmp_path):
    change_notes(tmp_path, "settings", devices=2)
    told(data, TrainingStarts)


RESUME = """
import os, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
import tensorflow as tf
tf.config.experimental.enable_op_determinism()
from tests.test_training import TRAINING, run_small

root, stop_after = Path(sys.argv[1]), int(sys.argv[2])
training = replace(TRAINING, max_epochs=8, learning_rate=0.05, plateau_patience=1, stop_patience=4)

def report(line):
    print(line, flush=True)
    if line.startswith(f"epoch {stop_after:3}"):
        os._exit(9)  # as a killed process ends: no handler runs

run = run_small(root, training=training, report=report)
run.history.drop(columns="seconds").to_csv(sys.argv[3] + ".csv")
np.savez(sys.argv[3] + ".npz", *run.model().get_weights())
"""


def python(script: str, *arguments: object, cache: Path) -> tuple[int, list[str]]:
    """Run a script in a process of its own; return its status and what it printed."""
    environment = os.environ | {"SER_CACHE": str(cache)}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    options = {"env": environment, "cwd": REPOSITORY, "stdout": subprocess.PIPE, "text": True}
    done = subprocess.run(command, **options)
    return done.returncode, done.stdout.splitlines()


def test_a_killed_run_goes_on_as_if_nothing_had_happened(data, tmp_path):
    """History and weights within 1e-6, with a learning rate cut and patience on the way."""

    def run(name: str, stop_after: int) -> tuple[int, list[str], list[str]]:
        place = tmp_path / name
        status, lines = python(RESUME, data, stop_after, place, cache=place / "cache")
        return status, lines, [line[:9] for line in epochs(lines)]

    numbers = [f"epoch {n:3}" for n in range(1, 9)]
    status, _, found = run("whole", 0)
    assert (status, found) == (0, numbers)
    status, _, found = run("cut", 5)
    assert (status, found) == (9, numbers[:5])
    status, lines, found = run("cut", 0)  # the fifth epoch was kept before its line was printed
    assert (status, found) == (0, numbers[5:]) and "going on after epoch 5" in lines
    whole, cut = (pd.read_csv(tmp_path / f"{n}.csv", index_col="epoch") for n in ("whole", "cut"))
    assert whole["learning_rate"].nunique() > 1  # or the schedule would not have been tested
    pd.testing.assert_frame_equal(whole, cut, atol=1e-6, rtol=0)
    with np.load(tmp_path / "whole.npz") as a, np.load(tmp_path / "cut.npz") as b:
        assert all(np.allclose(a[key], b[key], atol=1e-6, rtol=0) for key in a.files)


def test_an_epoch_that_was_best_before_an_interruption_is_kept(data, tmp_path, monkeypatch):
    training, answers = replace(TRAINING, max_epochs=4, learning_rate=10.0), []
    for name in ("whole", "cut"):
        monkeypatch.setenv("SER_CACHE", str(tmp_path / name))
        if name == "cut":
            with pytest.raises(KeyboardInterrupt):
                run_small(data, training=training, report=partial(interrupt, epoch=3))
        run = run_small(data, training=training)
        assert run.facts["best_epoch"] < len(run.history) == 4
        answers.append(run.predictions["p_anger"])
    assert np.allclose(*answers, atol=1e-6)


DEVICES = """
import sys
from dataclasses import replace
import tensorflow as tf
from sercore.training import TrainingError
from tests.test_training import TRAINING, run_small

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
alone = run_small(sys.argv[1], training=TRAINING)
with tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"]).scope():
    both = run_small(sys.argv[1], training=TRAINING)
assert both.folder != alone.folder and both.settings["devices"] == 2, both.settings
try:
    with tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"]).scope():
        run_small(sys.argv[1], training=replace(TRAINING, batch_size=13))
except TrainingError as error:
    assert "batches of 13 clips" in str(error), error
print(list(both.history.index), len(both.predictions))
"""


def test_two_devices_train_one_model_and_keep_it_apart(tmp_path):
    data = tiny_corpus(tmp_path / "data", clips=50)  # 40 to train on: batches of 8
    status, lines = python(DEVICES, data, cache=tmp_path / "cache")
    assert (status, lines) == (0, ["[1, 2, 3] 10"])
