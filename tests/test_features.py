"""From clips to arrays, and the store on disk."""

import hashlib
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import joblib
import librosa
import numpy as np
import pandas as pd
import pytest
from scipy.fft import idct, rfft

from sercore import features as f
from sercore.config import PROFILES, REPOSITORY
from sercore.store import fast_mel
from tests.speech import TINY, tone, write_clip

ARTICLE, LAPTOP = PROFILES["article"].audio, PROFILES["laptop"].audio
SETTINGS = [ARTICLE, LAPTOP, TINY, replace(LAPTOP, hop_length=500), replace(LAPTOP, n_fft=2001)]
CLOSE = 1e-3  # dB

pytestmark = pytest.mark.usefixtures("cache")


def bursts(config, *, seconds=4.0):
    """Return a rising tone in bursts over faint noise, zero-padded at the end."""
    rate, n = config.sample_rate, round(config.sample_rate * seconds)
    chirp = librosa.chirp(fmin=100, fmax=3_500, sr=rate, length=n) * np.sin(np.arange(n) * 9 / rate)
    noise = np.random.default_rng(0).normal(scale=1e-4, size=n)
    return librosa.util.fix_length(np.float32(0.2 * chirp + noise), size=config.n_samples)


def line_in_noise(config, n, place=0.01, noise=1e-5, seed=0):
    """Return a tone, at a part of the rate, over noise too faint for single precision."""
    faint = np.random.default_rng(seed).normal(scale=noise, size=n)
    loud = 0.9 * np.cos(2 * np.pi * place * np.arange(n))
    return librosa.util.fix_length(np.float32(loud + faint), size=config.n_samples)


SIGNALS = {
    "bursts that fill the clip": bursts,
    "bursts, then padding": lambda c: bursts(c, seconds=0.6),
    "a moment of sound": lambda c: bursts(c, seconds=0.01),
    "loud tone over faint noise": lambda c: line_in_noise(c, c.n_samples),
    "loud tone over faint noise, then padding": lambda c: line_in_noise(c, c.n_samples // 2),
    "a line above the last band's middle": lambda c: line_in_noise(c, 7_000, 0.499, 1e-3),
    "a line in a bin that no band hears": lambda c: line_in_noise(c, 7_000, 0.5, 1e-3),
    "a line above the mean": lambda c: line_in_noise(c, 16_000, 21_796.67 / 44_100, 6.3e-3, 3_571),
    "a last sample": lambda c: np.float32(np.arange(c.n_samples) == c.n_samples - 1),
    "silence": lambda c: np.zeros(c.n_samples, dtype=np.float32),
}


def distance(clip, config, power=fast_mel.mel_power):
    """Return how many dB the power in mel bands is from librosa's, at most."""
    reference = np.min if config.mel_ref == "min" else config.mel_ref
    both = (function(clip, config=config) for function in (power, f.mel_power))
    return np.abs(np.subtract(*(librosa.power_to_db(each, ref=reference) for each in both))).max()


@pytest.mark.parametrize("config", SETTINGS)
@pytest.mark.parametrize("signal", SIGNALS)
def test_fast_mel_bands_agree_with_librosa(config, signal):
    assert distance(SIGNALS[signal](config), config) < CLOSE


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_single_precision_alone_would_be_too_far_from_librosa(dtype):
    def power(clip, *, config):
        frames = librosa.util.frame(np.pad(clip, 1024), frame_length=2048, hop_length=512)
        window = librosa.filters.get_window("hann", 2048).astype(dtype)
        spectrum = rfft(frames.astype(dtype) * window[:, np.newaxis], axis=0)
        return librosa.filters.mel(sr=44_100, n_fft=2048) @ np.abs(spectrum) ** 2

    clip = line_in_noise(ARTICLE, ARTICLE.n_samples)
    assert (distance(clip, ARTICLE, power) < CLOSE) == (dtype is np.float64)


def test_a_clip_that_is_not_finite_is_refused():
    with pytest.raises(librosa.ParameterError, match="not finite"):
        f.compute(np.full(8_000, np.nan), kind="mel", config=TINY)


@pytest.mark.parametrize("frequency", [440.0, 1_000.0, 5_000.0])
def test_a_pure_tone_lights_its_band(frequency):
    clip = tone(frequency, rate=44_100, seconds=4).astype(np.float32)
    loudest = f.mel_power(clip, config=ARTICLE).mean(axis=1).argmax()
    centres = librosa.mel_frequencies(n_mels=130, fmax=22_050)[1:-1]
    assert loudest == np.abs(centres - frequency).argmin()


@pytest.mark.parametrize("function", [f.mel_spectrogram, f.mfcc])
def test_silence_is_finite_and_of_the_articles_shape(function):
    found = function(np.zeros(ARTICLE.n_samples, dtype=np.float32), config=ARTICLE)
    assert found.shape == (128, 345) and np.isfinite(found).all()


def test_all_mfccs_keep_the_energy_of_the_mel_spectrogram_and_invert_to_it():
    clip = np.random.default_rng(0).normal(size=TINY.n_samples).astype(np.float32)
    mfcc, mel = f.mfcc(clip, config=TINY), f.mel_spectrogram(clip, config=TINY)
    assert (mfcc**2).sum() == pytest.approx((mel**2).sum(), rel=1e-5)  # as Parseval says
    assert np.abs(idct(mfcc, axis=0, norm="ortho") - mel).max() < 1e-3
    assert np.array_equal(mfcc, f.mfcc(clip, config=replace(TINY, mel_ref="min")))


@pytest.mark.parametrize(("reference", "change"), [(1.0, 20.0), ("min", 0.0)])
def test_a_fixed_reference_keeps_loudness_and_the_minimum_loses_it(reference, change):
    config = replace(TINY, mel_ref=reference)
    clip = np.random.default_rng(0).normal(scale=0.1, size=TINY.n_samples).astype(np.float32)
    loud, soft = (f.mel_spectrogram(gain * clip, config=config) for gain in (1, np.float32(0.1)))
    assert (loud - soft).mean() == pytest.approx(change, abs=1e-3)


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_414, 44_100])
@pytest.mark.parametrize("seconds", [0.5, 1.0, 2.0])
def test_any_rate_length_and_stereo_give_one_length(tmp_path, rate, seconds):
    stereo = np.stack([tone(300, rate=rate, seconds=seconds)] * 2, axis=1)
    clip = f.load_clip(write_clip(tmp_path / "a.wav", stereo, rate=rate), config=TINY)
    assert clip.shape == (8_000,) and clip.dtype == np.float32
    assert np.abs(np.fft.rfft(clip)).argmax() == 300
    assert abs(np.flatnonzero(np.abs(clip) > 0.2).max() - min(seconds, 1) * 8_000) < 30


def test_pitch_and_level_of_a_tone_and_of_silence():
    clip = np.zeros(LAPTOP.n_samples, dtype=np.float32)
    clip[:32_000] = tone(220, rate=16_000, seconds=2, level=0.1)
    pitch, spread, level, _ = f.prosody(clip, config=LAPTOP)
    assert pitch == pytest.approx(220, rel=0.02) and spread < 1
    assert level == pytest.approx(20 * np.log10(0.1 / np.sqrt(2)), abs=0.5)
    assert np.isnan(f.prosody(np.zeros(8_000, dtype=np.float32), config=TINY)).all()


def table(root):
    """Return a table of all clips, as a manifest has it."""
    paths = sorted(root.rglob("*.wav"))
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    return pd.DataFrame({"path": [path.name for path in paths], "sha256": hashes})


@pytest.fixture
def root(tmp_path):
    for i in range(14):
        write_clip(tmp_path / f"data/{i:02}.wav", tone(200 + 100 * i, seconds=0.6 + 0.03 * i))
    return tmp_path / "data"


@pytest.fixture
def clips(root):
    return table(root)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A folder of more clips than wait to be written at once; each begins with its number."""
    folder = tmp_path_factory.mktemp("many")
    for i in range(900):
        write_clip(folder / f"{i:03}.wav", np.full(300, i / 1_000))
    return folder


def extract(clips, root, kind="mel", config=TINY):
    return f.extract(clips, root, config=config, kind=kind, report=None)


@pytest.fixture
def add(monkeypatch):
    """Return a function that adds a kind, and returns a list that grows when it is computed."""

    def add(name, compute=lambda clip: clip[:3], shape=(3,), **options):
        calls = []
        counted = lambda clip, config: calls.append(name) or compute(clip)  # noqa: E731
        kind = f.Kind(compute=counted, shape=lambda config: shape, **options)
        monkeypatch.setitem(f.KINDS, name, kind)
        return calls

    return add


@pytest.mark.parametrize("change", [{"dtype": "float16"}, {"n_fft": 257}, {"mel_ref": "min"}])
@pytest.mark.parametrize(("kind", "function"), [("mel", f.mel_spectrogram), ("mfcc", f.mfcc)])
def test_rows_belong_to_their_clips_and_agree_with_the_functions(root, kind, function, change):
    config = replace(TINY, hop_length=250, **change)
    write_clip(root / "08.wav", tone(500, seconds=1.5))
    write_clip(root / "09.wav", np.zeros(800))
    rows = extract(table(root), root, kind, config)
    assert rows.shape == (14, 16, config.n_frames) and rows.array.dtype == config.dtype
    for i in (0, 8, 9, 13):
        clip = f.load_clip(root / f"{i:02}.wav", config=config)
        found = f.compute(clip, kind=kind, config=config)
        assert np.abs(found - function(clip, config=config)).max() < CLOSE
        assert found.dtype == np.float32 and np.array_equal(rows[i], found.astype(config.dtype))


def test_lengths_count_frames_of_the_clip_and_not_of_the_padding(root):
    for i, seconds in enumerate((0.01, 0.5, 0.97, 1.0, 1.5)):
        write_clip(root / f"{i:02}.wav", tone(440, seconds=seconds))
    clips, config = table(root)[:5], replace(TINY, hop_length=250)
    assert extract(clips, root, config=config).lengths.tolist() == [1, 17, 32, 33, 33]
    assert extract(clips, root, "prosody").lengths.tolist() == [4] * 5  # a vector has no frames


def test_another_order_of_clips_reads_other_rows_of_the_same_store(clips, root):
    forward, backward = extract(clips, root), extract(clips[::-1], root)
    assert np.array_equal(forward[0], backward[13])
    assert not np.array_equal(forward[0], backward[0])
    assert forward.lengths.tolist() == backward.lengths[::-1].tolist()
    assert len(forward) == 14 and extract(clips[:0], root)[:].shape == (0, 16, 32)


def test_unknown_kind_names_the_alternatives(clips, root):
    with pytest.raises(f.FeatureError, match="'chroma'.*mel, mfcc"):
        extract(clips, root, "chroma")


def test_a_new_kind_is_one_entry(clips, root, add):
    add("start", lambda clip: clip[:12].reshape(3, 4), (3, 4))
    rows, expected = extract(clips, root, "start"), tone(400, seconds=0.66)[:12].reshape(3, 4)
    assert rows.shape == (14, 3, 4) and np.allclose(rows[2], expected, atol=1e-4)


def test_a_kind_may_read_each_clip_at_its_own_length(root, add):
    write_clip(root / "13.wav", tone(300, seconds=1.6))  # longer than `config.seconds`
    add("whole", lambda clip: np.stack([clip, -clip]), (2, None), whole=True)
    rows = extract(table(root), root, "whole")
    assert rows.shape == (14, 2, None) and rows.lengths[[0, 13]].tolist() == [4_800, 12_800]
    samples, _ = librosa.load(root / "00.wav", sr=8_000)
    assert np.array_equal(rows[0], [samples, -samples])
    both = rows[[0, 13]]
    assert both.shape == (2, 2, 12_800) and np.array_equal(both[1], rows[13])
    assert np.array_equal(both[0][:, :4_800], rows[0]) and not both[0][:, 4_800:].any()


def test_features_in_memory_have_their_full_length():
    array = np.arange(24.0).reshape(3, 2, 4)
    assert f.Features(array, np.array([2, 0])).lengths.tolist() == [4, 4]
    unequal = f.Features([array[0], array[1][:, :3]], np.array([1, 0, 1]))
    assert unequal.lengths.tolist() == [3, 4, 3] and unequal[:].shape == (3, 2, 4)


def test_kinds_that_share_a_step_are_computed_in_one_pass(clips, root, add):
    passes = []
    halved = lambda clip, config: passes.append(1) or clip / 2  # noqa: E731
    half, alone = add("half", prepare=halved), add("alone")
    whole = add("whole", lambda half: half, shape=(None,), prepare=halved, whole=True)
    negative = add("negative", lambda half: -half[:3], prepare=halved)
    assert np.array_equal(extract(clips, root, "half")[:], -extract(clips, root, "negative")[:])
    assert len(passes) == len(half) == len(negative) == 14
    assert not alone and not whole  # one shares nothing, one reads clips at their own length


def test_another_version_is_computed_again(clips, root, add):
    add("start")
    before = extract(clips, root, "start")[:].copy()
    add("start", lambda clip: 2 * clip[:3], version=2)
    assert before.any() and np.array_equal(extract(clips, root, "start")[:], 2 * before)


@pytest.mark.parametrize("shape", [(3,), (4, 4), (1, 3), (2, 0)])
def test_an_array_that_is_not_of_its_kinds_shape_is_refused(clips, root, add, shape):
    add("odd", lambda clip: np.ones(shape), (2, 3))
    with pytest.raises(f.FeatureError, match="odd"):
        extract(clips, root, "odd")


def test_only_what_is_new_is_computed_and_reported(clips, root, add):
    calls, lines = add("start", lambda clip: clip[:100], (100,)), []
    for n in (13, 14, 14):
        f.extract(clips[:n], root, config=TINY, kind="start", report=lines.append)
        assert len(calls) == n
    assert len(lines) == 2 and "13 of 13" in lines[0] and "1 of 1" in lines[1]
    before = extract(clips, root, "start")[:]
    write_clip(root / "03.wav", tone(123))
    after = extract(table(root), root, "start")[:]
    assert len(calls) == 15 and np.flatnonzero((before != after).any(axis=1)).tolist() == [3]


def test_a_clip_that_is_not_that_of_the_manifest_is_named(clips, root):
    for change in (lambda file: write_clip(file, tone(123)), Path.unlink):
        change(root / "03.wav")
        with pytest.raises(f.FeatureError, match="03.wav.*build the manifest again"):
            extract(clips, root)


def stored(cache, kind="mel"):
    """Return the bytes of the store that holds a kind, by the names of its files."""
    (file,) = cache.glob(f"features/*/{kind}.bin")
    return {path.name: path.read_bytes() for path in file.parent.iterdir()}


@pytest.fixture
def in_one_go(cache, tmp_path, monkeypatch):
    """Whether a store has, at the end, the bytes that it has where nothing disturbs extraction."""

    def check(clips, root, kind="mel"):
        extract(clips, root, kind)
        monkeypatch.setenv("SER_CACHE", str(tmp_path / "undisturbed"))
        extract(clips, root, kind)
        return stored(cache, kind) == stored(tmp_path / "undisturbed", kind)

    return check


DAMAGE = {"cut": lambda whole: whole[: len(whole) // 2], "longer": lambda whole: whole + b" " * 99}


@pytest.mark.parametrize("damage", [*DAMAGE, "gone"])
@pytest.mark.parametrize("name", ["mel.bin", "mfcc.bin", "index.json"])
def test_a_damaged_store_is_made_again(clips, root, cache, in_one_go, name, damage):
    extract(clips[:9], root)
    (file,) = cache.glob(f"features/*/{name}")
    file.unlink() if damage == "gone" else file.write_bytes(DAMAGE[damage](file.read_bytes()))
    assert in_one_go(clips, root)


def test_a_store_of_other_settings_is_made_again(clips, root, cache, in_one_go):
    extract(clips, root)
    (here,) = cache.glob("features/mel*/")
    shutil.rmtree(here)
    extract(clips, root, config=replace(TINY, mel_ref="min"))
    (other,) = cache.glob("features/mel*/")
    other.rename(here)
    assert in_one_go(clips, root)


def test_an_extraction_that_was_stopped_goes_on(many, in_one_go, add):
    def compute(clip):
        assert len(calls) != 899, "stopped"
        return clip[:3]

    clips, calls = table(many), add("start", compute)
    with pytest.raises(AssertionError, match="stopped"):
        extract(clips, many, "start")
    extract(clips, many, "start")
    assert 900 < len(calls) < 1_200 and in_one_go(clips, many, "start")


# A process of its own. Each time that rows are written, the file of each kind is made safe.
KILLED = """
import os, signal, sys
from tests.test_features import Path, extract, table

root, moment, syncs, fsync = Path(sys.argv[1]), int(sys.argv[2]), [], os.fsync

def dies(file):
    syncs.append(file)
    os.kill(os.getpid(), signal.SIGKILL) if len(syncs) == moment else fsync(file)

os.fsync = dies
extract(table(root)[:200], root)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("moment", [2, 3, 4])
def test_a_process_killed_while_it_writes_goes_on(many, cache, in_one_go, moment):
    command = [sys.executable, "-c", KILLED, str(many), str(moment)]
    assert subprocess.run(command, cwd=REPOSITORY).returncode == -signal.SIGKILL
    assert ("index.json" in stored(cache)) == (moment > 2)  # what was written last is not entered
    assert in_one_go(table(many)[:200], many)


def test_a_second_one_at_the_same_time_waits_and_computes_nothing(clips, root, add):
    calls = add("start")
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: extract(clips, root, "start")[:], range(2))
    assert len(calls) == 14 and np.array_equal(first, second)


def test_a_full_disk_keeps_what_was_there(clips, root, cache, in_one_go):
    resource = pytest.importorskip("resource", reason="needs limits, which Windows has not")
    whole, (_, most) = extract(clips[:5], root)[:], resource.getrlimit(resource.RLIMIT_FSIZE)
    row = len(stored(cache)["mel.bin"]) // 5
    with ExitStack() as limits, pytest.raises(f.FeatureError, match="make room"):
        limits.callback(resource.setrlimit, resource.RLIMIT_FSIZE, (most, most))
        resource.setrlimit(resource.RLIMIT_FSIZE, (5 * row + row // 2, most))
        extract(clips, root)
    assert len(stored(cache)["mel.bin"]) % row  # half a row
    assert np.array_equal(extract(clips[:5], root)[:], whole)
    assert in_one_go(clips, root)


def test_a_cache_that_cannot_be_written_says_what_to_do(clips, root, cache):
    cache.mkdir()
    (cache / "features").write_text("in the way")
    with pytest.raises(f.FeatureError, match="SER_CACHE"):
        extract(clips, root)


def test_an_error_that_is_not_the_disks_is_not_called_so(clips, root, add):
    add("none", lambda clip: Path("nowhere").read_text())  # an OSError, as a full disk gives
    with pytest.raises(FileNotFoundError, match="nowhere"):
        extract(clips, root, "none")


def test_processes_write_the_same_bytes_in_order(many, in_one_go, add):
    calls, clips = add("start"), table(many)
    with joblib.parallel_config(backend="loky"):
        rows = extract(clips, many, "start")
    assert len(calls) == 1  # the others in other processes
    assert np.allclose(rows[:][:, 0], np.arange(900) / 1_000, atol=1e-4)
    assert in_one_go(clips, many, "start")
