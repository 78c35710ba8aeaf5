"""The arithmetic of the benchmark; what it measures is not judged here."""

import sys

import librosa
import numpy as np
import psutil
import pytest

from benchmarks import article, memory, rows
from benchmarks.__main__ import RESULTS, options
from benchmarks.measure import Row, Times, alternate, at_least, at_most, table
from sercore.manifest import article_view, build_manifest
from tests.speech import tiny_corpus, tone, write_clip


def test_ways_alternate_and_the_first_round_counts_for_nothing():
    now, calls = [0.0], []

    def way(name, *seconds):
        durations = iter(seconds)

        def run():
            calls.append(name)
            now[0] += next(durations, 1_000)

        return run

    ways = {"slow": way("slow", 100, 4, 6, 5), "quick": way("quick", 50, 1, 3, 2)}
    times = alternate(ways, 3, after=way("clear"), clock=lambda: now[0])
    assert calls == ["slow", "clear", "quick", "clear"] * 4
    assert times == {"slow": Times((4, 6, 5)), "quick": Times((1, 3, 2))}


@pytest.mark.parametrize(("ours", "met"), [(1.999, True), (2.001, False)])
def test_the_median_is_held_to_the_bound(ours, met):
    times = Times((ours, 9.0, 0.1))
    assert at_least("x", Times((12.0, 11.0, 90.0)), times, 6).met is met
    assert at_most("x", times, 2).met is met


def test_the_table_names_what_misses():
    lines = table([Row(what="a", met=True), Row(what="b", met=False), Row(what="c")]).splitlines()
    assert [line.split(" | ")[-1] for line in lines[2:]] == ["yes |", "**no** |", " |"]
    assert len({line.count("|") for line in lines}) == 1


def test_sizes_come_from_the_command_line_and_shrink_to_what_is_there(tmp_path):
    chosen = options(["--clips", "30", "--growth", "20", "40", "--parts", "step", "import"])
    assert (chosen.clips, chosen.growth, chosen.parts) == (30, [20, 40], ["step", "import"])
    assert chosen.output is None  # a table with parts left out does not replace the whole one
    assert options([]).output == RESULTS
    with pytest.raises(SystemExit):
        options(["--output", str(tmp_path / "nowhere" / "a.md")])
    sizes = rows.Sizes(clips=1_200, memory=2_000, growth=(500, 1_000, 12_000)).within(700)
    assert (sizes.clips, sizes.memory, sizes.single) == (700, 350, 100)  # memory twice over
    assert sizes.growth == [500, 700]


def test_the_articles_way_is_the_articles(tmp_path):
    path = write_clip(tmp_path / "a.wav", tone(440, seconds=1.0))
    spectrum = librosa.feature.melspectrogram(y=article.load(path), sr=44_100)
    array = article.features([path, path], "mel")
    assert array.shape == (2, 128, 345)
    assert np.array_equal(array[1], librosa.power_to_db(spectrum, ref=spectrum.min()))
    expected = librosa.feature.mfcc(S=librosa.power_to_db(spectrum), n_mfcc=128)
    assert np.array_equal(article.features([path], "mfcc")[0], expected)


def test_the_articles_batches_hold_every_clip_once_standardised():
    array = np.random.default_rng(0).normal(5, 3, size=(100, 4, 6)).astype(np.float32)
    train, test = article.datasets(array, np.arange(100))
    x, y = (np.concatenate(part) for part in zip(*train.as_numpy_iterator(), strict=True))
    assert x.shape == (80, 4, 6, 1) and abs(x.mean()) < 1e-5 and abs(x.std() - 1) < 1e-5
    held_out = np.concatenate([labels for _, labels in test.as_numpy_iterator()])
    assert sorted([*y, *held_out]) == list(range(100))


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_mapped_file_is_no_anonymous_memory_and_an_array_is(tmp_path):
    size, this = 300_000_000, [psutil.Process()]  # far more than what else the process frees
    (tmp_path / "file").write_bytes(bytes(size))
    start = memory.anonymous_of(this)
    mapped = np.memmap(tmp_path / "file", dtype=np.uint8, mode="r")
    assert mapped.sum() == 0 and memory.anonymous_of(this) - start < size / 5
    array = np.ones(size, dtype=np.uint8)
    assert array[0] == 1 and size * 0.9 < memory.anonymous_of(this) - start < size * 1.3


@pytest.mark.parametrize(("wrong", "met"), [(0.0, True), (2e-3, False), (np.nan, False)])
def test_agreement_with_librosa_can_fail(tmp_path, wrong, met):
    root = tiny_corpus(tmp_path / "data", clips=3)
    clips = article_view(build_manifest(root))
    paths = [root / path for path in clips["path"]]
    theirs = {kind: article.features(paths, kind) for kind in article.KINDS}
    theirs["mfcc"][0, 0, 0] += wrong
    assert rows.agreement(clips, root, theirs).met is met
