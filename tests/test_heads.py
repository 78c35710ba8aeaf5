"""Functionals of sounds with known answers, and the models on numbers of whole clips."""

from functools import partial

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sercore.functionals import N_FUNCTIONALS, VOICE, functionals
from sercore.heads import learn_mixed, linear, mlp, solve

RATE = VOICE.sample_rate
# Where the numbers stand: after five statistics of 24 cepstra and of 20 bands.
PITCH = 5 * (24 + 20)
MEAN, SPREAD, MEDIAN, SLOPE, VOICED = PITCH, PITCH + 1, PITCH + 4, PITCH + 7, PITCH + 8
PEAKS, SECONDS = PITCH + 14, PITCH + 15


def voice(pitch, seconds=2.0):
    """A buzz whose pitch in Hz is a number, or a function of the time in seconds."""
    times = np.arange(round(seconds * RATE)) / RATE
    hertz = pitch(times) if callable(pitch) else np.full(len(times), pitch)
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    return sum(np.sin(k * phase) / k for k in range(1, 9)).astype(np.float32) / 4


def test_a_steady_voice_has_its_pitch_no_spread_and_no_slope():
    numbers = functionals(voice(200.0), config=VOICE)
    assert numbers.shape == (N_FUNCTIONALS,) and np.isfinite(numbers).all()
    assert numbers[[MEAN, MEDIAN]] == pytest.approx([12, 12], abs=0.2)  # an octave above 100 Hz
    assert numbers[SPREAD] < 0.5 and abs(numbers[SLOPE]) < 0.3 and numbers[VOICED] > 0.9
    assert np.exp(numbers[SECONDS]) == pytest.approx(2, abs=0.1)


def test_a_glide_of_an_octave_a_second_has_this_slope():
    numbers = functionals(voice(lambda t: 100 * 2**t), config=VOICE)
    assert numbers[SLOPE] == pytest.approx(12, abs=0.5)
    assert numbers[MEAN] == pytest.approx(12, abs=0.5)


def test_loudness_of_the_recording_changes_nothing():
    clip = voice(150.0)
    assert functionals(clip / 50, config=VOICE) == pytest.approx(
        functionals(clip, config=VOICE), abs=0.01
    )


def test_bursts_are_counted_a_second():
    clip = voice(150.0, 3.0)
    clip *= 0.02 + (np.sin(2 * np.pi * 4 * np.arange(len(clip)) / RATE) > 0)
    assert functionals(clip, config=VOICE)[PEAKS] == pytest.approx(4, abs=0.5)


@pytest.mark.parametrize("seconds", [0.02, 0.1])
def test_noise_and_short_clips_have_finite_numbers_and_no_pitch(seconds):
    noise = np.random.default_rng(0).normal(size=round(seconds * RATE)).astype(np.float32)
    numbers = functionals(noise, config=VOICE)
    assert np.isfinite(numbers).all() and numbers[VOICED] < 0.5


def test_the_network_gives_scikit_learns_probabilities():
    random = np.random.default_rng(0)
    x, labels = random.normal(3, 2, (300, 5)).astype(np.float32), random.integers(0, 7, 300)
    x[:, 0] += labels
    network = linear((2,), (3,), 7)
    solve(network, [x[:, :2], x[:, 2:]], labels, seed=0, c=0.5)
    found = np.asarray(network([x[:, :2], x[:, 2:]]))
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    model = LogisticRegression(C=0.5, class_weight="balanced", max_iter=1_000).fit(scaled, labels)
    assert found == pytest.approx(model.predict_proba(scaled), abs=1e-4)


@pytest.mark.parametrize("build", [linear, mlp])
def test_of_the_first_input_the_cut_alone_is_read(build):
    network = build((5,), (2,), 7, cut=slice(1, 3))
    learn = learn_mixed if build is mlp else partial(solve, c=1.0)
    random = np.random.default_rng(0)
    x, y = (random.normal(size=(70, n)).astype(np.float32) for n in (5, 2))
    learn(network, [x, y], np.arange(70) % 7, seed=0)
    answers = np.asarray(network([x, y]))
    for place in range(5):
        other = x.copy()
        other[:, place] += 1
        same = np.allclose(network([other, y]), answers)
        assert same == (place not in (1, 2))


def test_the_small_network_does_not_mind_in_which_unit_a_number_comes():
    random = np.random.default_rng(0)
    x, labels = random.normal(size=(70, 3)).astype(np.float32), np.arange(70) % 7
    answers = []
    for unit in (1, 1e-3):
        keras.utils.set_random_seed(0)
        network = mlp((3,), 7)
        learn_mixed(network, [x * np.float32([1, unit, 1])], labels, seed=0)
        answers.append(np.asarray(network(x * np.float32([1, unit, 1]))))
    assert answers[1] == pytest.approx(answers[0], abs=1e-3)


@pytest.mark.parametrize("classes", [(2, 5), (0, 1, 6)])
def test_an_emotion_without_a_training_clip_is_never_answered(classes):
    random = np.random.default_rng(0)
    labels = np.repeat(classes, 20)
    x = (random.normal(size=(len(labels), 3)) + labels[:, np.newaxis]).astype(np.float32)
    network = linear((3,), 7)
    solve(network, [x], labels, seed=0, c=1.0)
    found = np.asarray(network(x))
    assert (found.argmax(axis=1) == labels).mean() > 0.8
    assert found[:, [i for i in range(7) if i not in classes]].max() < 1e-6


def recalls(build, learn, x, labels, n):
    """Recall of each of two classes, on what comes after the first n."""
    keras.utils.set_random_seed(0)
    network = build((x.shape[1],), 2)
    learn(network, [x[:n]], labels[:n], seed=0)
    found = np.asarray(network(x[n:])).argmax(axis=1)
    return [(found[labels[n:] == k] == k).mean() for k in (0, 1)]


def test_the_small_network_learns_what_no_linear_model_can():
    random = np.random.default_rng(0)
    hidden = random.normal(size=(6_000, 1))
    x = (1e4 + 300 * (hidden + random.normal(0, 0.3, (6_000, 16)))).astype(np.float32)
    labels = (np.abs(hidden[:, 0]) > 0.7).astype(int)  # on both sides of the others
    assert min(recalls(mlp, learn_mixed, x, labels, 5_000)) > 0.8
    assert min(recalls(linear, partial(solve, c=1.0), x, labels, 5_000)) < 0.6


def test_the_small_network_weighs_emotions_the_same():
    random = np.random.default_rng(0)
    labels = random.permutation(np.repeat([0, 1], [10_800, 1_200]))
    x = random.normal(labels[:, np.newaxis], 2, (12_000, 16)).astype(np.float32)
    often, rare = recalls(mlp, learn_mixed, x, labels, 10_000)
    assert abs(often - rare) < 0.2 and often > 0.7  # unweighted: half of the rare ones are missed
