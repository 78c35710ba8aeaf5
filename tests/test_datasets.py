"""Batches of standardised features with their labels."""

import numpy as np
import pandas as pd
import pytest

from sercore.config import TrainConfig
from sercore.datasets import Standardizer, encode, make_dataset, make_datasets
from sercore.features import Features
from sercore.splits import Split

N = 50
LABELS = (np.arange(N) % 7).astype(np.int32)
SHUFFLED = TrainConfig(max_epochs=1, shuffle=True, batch_size=8)


@pytest.fixture
def features():
    """Clip i holds nothing but its own number, stored in reverse order."""
    array = np.arange(N, dtype=np.float16)[::-1, None, None] * np.ones((1, 3, 4), np.float16)
    return Features(array, np.arange(N)[::-1])


def batches(features, positions, **options):
    """Batches of 8 whose features stay as they are."""
    options |= {"standardizers": [Standardizer.of(0.0, 1.0)], "batch_size": 8}
    return make_dataset(features, LABELS, positions, **options)


def clip_numbers(dataset):
    return [int(n) for x, _ in dataset for n in x.numpy()[:, 0, 0, 0]]


def test_mean_and_spread_come_from_training_clips_alone(features):
    positions = np.array([2, 4, 6])
    scaler = Standardizer().fit(features, positions)
    assert scaler.mean_ == pytest.approx(4.0)
    assert scaler.std_ == pytest.approx(np.sqrt(8 / 3))
    features.array[features.rows[40]] = 1_000  # a test clip: nothing may change
    assert Standardizer().fit(features, positions).mean_ == scaler.mean_


def test_fit_in_chunks_equals_numpy_at_once():
    array = np.random.default_rng(0).normal(3, 5, size=(600, 4, 5)).astype(np.float32)
    scaler = Standardizer().fit(Features(array, np.arange(600)), np.arange(600))
    assert scaler.mean_ == pytest.approx(array.astype(float).mean(), abs=1e-9)
    assert scaler.std_ == pytest.approx(array.astype(float).std(), abs=1e-9)
    result = scaler.transform(array)
    assert result.dtype == np.float32 and abs(result.mean()) < 1e-5 > abs(result.std() - 1)


def test_nothing_to_learn_from_is_refused(features):
    with pytest.raises(ValueError, match="at least one training clip"):
        Standardizer().fit(features, np.array([], dtype=int))
    with pytest.raises(ValueError, match="all training cells are 3"):
        Standardizer().fit(features, np.array([3]))


def test_encode_follows_the_order_of_the_classes_and_refuses_others():
    assert encode(pd.Series(["anger", "surprise", "fear"])).tolist() == [0, 6, 2]
    with pytest.raises(ValueError, match="labels calm are none of the seven.*without_calm"):
        encode(pd.Series(["anger", "calm"]))
    with pytest.raises(ValueError, match="1 of 2 clips have no label"):
        encode(pd.Series(["anger", None]))


@pytest.mark.parametrize("seed", [None, 0, 7])
def test_labels_stay_with_their_clips(features, seed):
    positions = np.arange(5, 45)
    data = batches(features, positions, shuffle=seed is not None, seed=seed or 0)
    numbers = []
    for x, y in data:
        assert x.shape[1:] == (3, 4, 1) and x.dtype == "float32"
        own = x.numpy()[:, 0, 0, 0].astype(int)
        assert np.array_equal(LABELS[own], y.numpy())
        numbers += own.tolist()
    assert sorted(numbers) == list(range(5, 45))
    assert (numbers == list(range(5, 45))) == (seed is None)


def test_each_epoch_has_an_order_of_its_own_that_can_be_resumed(features):
    three, third = (
        clip_numbers(batches(features, np.arange(N), epochs=epochs, shuffle=True, seed=3))
        for epochs in (range(3), range(2, 3))
    )
    assert three[:N] != three[N : 2 * N] and three[2 * N :] == third


def test_dataset_knows_how_many_batches_it_has(features):
    data = batches(features, np.arange(N), epochs=range(2))
    assert len(data) == len(list(data)) == 14


def test_validation_clips_are_never_shuffled(features):
    split = Split(np.arange(30), np.arange(30, 40), np.arange(40, 50))
    _, valid, (scaler,) = make_datasets(features, LABELS, split, training=SHUFFLED)
    order = [n for x, _ in valid for n in x.numpy()[:, 0, 0, 0] * scaler.std_ + scaler.mean_]
    assert np.allclose(order, np.arange(30, 40), atol=1e-3)


def test_a_model_with_two_inputs_gets_both_of_each_clip(features):
    other = Features(np.arange(N, dtype=np.float32)[:, None] * np.ones((1, 5)), np.arange(N))
    split = Split(np.arange(40), np.arange(40, 50), np.arange(40, 50))
    train, _, scalers = make_datasets([features, other], LABELS, split, training=SHUFFLED)
    for (first, second), y in train:
        assert first.shape[1:] == (3, 4, 1) and second.shape[1:] == (5,)
        numbers = first.numpy()[:, 0, 0, 0] * scalers[0].std_ + scalers[0].mean_
        assert np.allclose(numbers, second.numpy()[:, 0] * scalers[1].std_ + scalers[1].mean_)
        assert np.array_equal(LABELS[numbers.round().astype(int)], y)


def test_batches_are_changed_each_by_a_seed_of_its_own_that_can_be_resumed(features):
    def seeds(epochs):
        change = {"seed": 5, "augment": lambda inputs, labels, seed: (seed, labels)}
        data = batches(features, np.arange(16), epochs=epochs, **change)
        return [seed.numpy().tolist() for seed, _ in data]

    assert seeds(range(3)) == [[5, step] for step in range(6)]
    assert seeds(range(2, 3)) == [[5, 4], [5, 5]]
