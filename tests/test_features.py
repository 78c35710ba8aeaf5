"""From clips to arrays, and the store on disk."""

import hashlib
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
import pytest
from scipy.fft import idct

from sercore import features as f
from sercore.config import PROFILES
from sercore.manifest import article_view, build_manifest
from tests.speech import TINY, tiny_corpus, tone, write_clip

REPOSITORY = Path(__file__).resolve().parents[1]
ARTICLE = PROFILES["article"].audio
LAPTOP = PROFILES["laptop"].audio
CLOSE = 5e-4  # dB, half of what `mel_power` promises


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_CACHE", str(tmp_path / "cache"))
    return tiny_corpus(tmp_path / "data", clips=14)


@pytest.fixture
def clips(root):
    return article_view(build_manifest(root))


def extract(clips, root, kind="mel", config=TINY):
    return f.extract(clips, root, config=config, kind=kind, report=None)


# --- one clip ---


def speechlike(config, *, seconds=4.0, seed=0):
    """Return a voice of many harmonics in bursts, over faint noise, zero-padded at the end."""
    random = np.random.default_rng(seed)
    time = np.arange(round(config.sample_rate * seconds)) / config.sample_rate
    pitch = 150 + 40 * np.sin(2 * np.pi * 0.7 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / config.sample_rate
    voice = sum(np.sin(k * phase) / k**2 for k in range(1, 20))
    bursts = np.clip(np.sin(2 * np.pi * 3 * time), 0, None) ** 2
    samples = 0.2 * bursts * voice + random.normal(scale=1e-4, size=len(time))
    return librosa.util.fix_length(samples.astype(np.float32), size=config.n_samples)


def tone_over_noise(config, *, seconds=4.0):
    """Return a loud tone over noise that is weaker than single precision can tell."""
    loud = tone(440, rate=config.sample_rate, seconds=seconds, level=0.9)
    faint = np.random.default_rng(0).normal(scale=1e-5, size=len(loud))
    return librosa.util.fix_length((loud + faint).astype(np.float32), size=config.n_samples)


SIGNALS = {
    "voice that fills the clip": speechlike,
    "voice, then padding": lambda c: speechlike(c, seconds=2.3),
    "a moment of voice": lambda c: speechlike(c, seconds=0.01),
    "noise": lambda c: np.random.default_rng(0).normal(size=c.n_samples).astype(np.float32),
    "tone": lambda c: tone(440, rate=c.sample_rate, seconds=4).astype(np.float32),
    "loud tone over faint noise": tone_over_noise,
    "loud tone over faint noise, then padding": lambda c: tone_over_noise(c, seconds=2.3),
    "a last sample": lambda c: np.float32(np.arange(c.n_samples) == c.n_samples - 1),
    "silence": lambda c: np.zeros(c.n_samples, dtype=np.float32),
}


def decibels_from_librosa(clip, config):
    """Return how far `mel_spectrogram` is from librosa's, at most."""
    settings = {"n_fft": config.n_fft, "hop_length": config.hop_length, "n_mels": config.n_mels}
    power = librosa.feature.melspectrogram(y=clip, sr=config.sample_rate, **settings)
    reference = np.min if config.mel_ref == "min" else config.mel_ref
    expected = librosa.power_to_db(power, ref=reference)
    return np.abs(f.mel_spectrogram(clip, config=config) - expected).max()


@pytest.mark.parametrize("config", [ARTICLE, LAPTOP, TINY], ids=["article", "laptop", "tiny"])
@pytest.mark.parametrize("signal", SIGNALS)
def test_mel_bands_agree_with_librosa(config, signal):
    assert decibels_from_librosa(SIGNALS[signal](config), config) < CLOSE


@pytest.mark.parametrize("change", [{"hop_length": 500}, {"n_fft": 2000}, {"n_fft": 2001}])
def test_mel_bands_agree_with_librosa_at_odd_settings(change):
    config = replace(LAPTOP, **change)
    for seconds in (1.0, 4.0):
        assert decibels_from_librosa(speechlike(config, seconds=seconds), config) < CLOSE


def test_another_window_is_noticed(monkeypatch):
    _, bands = f._window_and_bands(LAPTOP, np.float32)
    symmetric = np.hanning(LAPTOP.n_fft)[:, np.newaxis]  # librosa's is periodic
    monkeypatch.setattr(f, "_window_and_bands", lambda config, dtype: (symmetric, bands))
    assert decibels_from_librosa(speechlike(LAPTOP), LAPTOP) > CLOSE


def test_weak_cells_beside_a_loud_one_are_computed_again(monkeypatch):
    clip = SIGNALS["loud tone over faint noise, then padding"](ARTICLE)
    monkeypatch.setattr(f, "_WEAK", 0)
    assert decibels_from_librosa(clip, ARTICLE) > CLOSE


def test_the_quietest_cell_of_a_full_clip_needs_double_precision(monkeypatch):
    clip = SIGNALS["loud tone over faint noise"](ARTICLE)
    power = f._band_power
    monkeypatch.setattr(f, "_band_power", lambda frames, c, dtype: power(frames, c, np.float32))
    assert decibels_from_librosa(clip, ARTICLE) > CLOSE


@pytest.mark.parametrize(
    ("config", "frequency", "noise", "seed"),
    [
        (LAPTOP, 7_984, 1e-3, 0),  # above the middle of the last band
        (LAPTOP, 8_000, 1e-3, 0),  # in a bin that no band hears
        (ARTICLE, 21_796.67, 6.3e-3, 3_571),  # one line that outweighs the mean of all bins
    ],
)
def test_a_line_among_noise_counts_as_loud_wherever_it_lies(config, frequency, noise, seed):
    clip = 0.9 * np.cos(2 * np.pi * frequency * np.arange(16_000) / config.sample_rate)
    clip += np.random.default_rng(seed).normal(scale=noise, size=len(clip))
    clip = librosa.util.fix_length(clip.astype(np.float32), size=config.n_samples)
    assert decibels_from_librosa(clip, config) < 1e-3


@pytest.mark.parametrize("seconds", [2.3, 4.0])
def test_double_precision_in_gives_the_same(seconds):
    clip = speechlike(LAPTOP, seconds=seconds)
    double = f.mel_power(clip.astype(np.float64), config=LAPTOP)
    assert np.array_equal(double, f.mel_power(clip, config=LAPTOP))


def test_a_clip_of_two_channels_is_refused():
    with pytest.raises(f.FeatureError, match=r"shape \(2, 8000\).*librosa.to_mono"):
        f.mel_power(np.ones((2, 8_000), dtype=np.float32), config=TINY)


@pytest.mark.parametrize("n_fft", [256, 257])
def test_the_store_has_room_for_every_frame(clips, root, n_fft):
    config = replace(TINY, n_fft=n_fft, hop_length=250)
    stored = extract(clips, root, config=config)
    for i in (0, len(clips) - 1):
        clip = f.load_clip(root / clips["path"][i], config=config)
        assert np.array_equal(stored[i], f.mel_spectrogram(clip, config=config))


def test_a_cache_that_is_read_only_says_what_to_do(clips, root, monkeypatch):
    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(f.FileLock, "acquire", refuse)
    with pytest.raises(f.FeatureError, match="Read-only.*point SER_CACHE elsewhere"):
        extract(clips, root)


def test_a_clip_that_is_not_finite_is_refused():
    clip = speechlike(TINY)
    clip[100] = np.nan
    with pytest.raises(librosa.ParameterError, match="not finite"):
        f.mel_power(clip, config=TINY)


def test_a_pure_tone_lights_its_band():
    for frequency in (440.0, 1_000.0, 5_000.0):
        clip = tone(frequency, rate=44_100, seconds=4).astype(np.float32)
        loudest = f.mel_power(clip, config=ARTICLE).mean(axis=1).argmax()
        centres = librosa.mel_frequencies(n_mels=130, fmax=22_050)[1:-1]
        assert loudest == np.abs(centres - frequency).argmin()


def test_shapes_of_the_article():
    clip = tone(440, rate=44_100, seconds=4).astype(np.float32)
    assert f.mel_spectrogram(clip, config=ARTICLE).shape == (128, 345)
    assert f.mfcc(clip, config=ARTICLE).shape == (128, 345)


@pytest.mark.parametrize("reference", ["min", 1.0])
def test_silence_stays_finite(reference):
    config = replace(ARTICLE, mel_ref=reference)
    silence = np.zeros(config.n_samples, dtype=np.float32)
    assert np.isfinite(f.mel_spectrogram(silence, config=config)).all()
    assert np.isfinite(f.mfcc(silence, config=config)).all()


def test_all_mfccs_invert_to_the_mel_spectrogram():
    clip = np.random.default_rng(0).normal(size=TINY.n_samples).astype(np.float32)
    rebuilt = idct(f.mfcc(clip, config=TINY), axis=0, norm="ortho")
    assert np.abs(rebuilt - f.mel_spectrogram(clip, config=TINY)).max() < 1e-3


def test_mfccs_do_not_depend_on_the_mel_reference():
    clip = tone(300).astype(np.float32)
    other = replace(TINY, mel_ref="min")
    assert np.array_equal(f.mfcc(clip, config=TINY), f.mfcc(clip, config=other))


@pytest.mark.parametrize(("gain", "expected"), [(0.1, 20.0), (0.01, 40.0)])
def test_a_fixed_reference_keeps_loudness_and_the_minimum_loses_it(gain, expected):
    clip = np.random.default_rng(0).normal(scale=0.1, size=TINY.n_samples).astype(np.float32)
    for reference, change in ((1.0, expected), ("min", 0.0)):
        config = replace(TINY, mel_ref=reference)
        quieter = f.mel_spectrogram(gain * clip, config=config)
        assert (f.mel_spectrogram(clip, config=config) - quieter).mean() == pytest.approx(
            change, abs=1e-3
        )


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_any_rate_and_stereo_give_one_length(tmp_path, rate):
    stereo = np.stack([tone(300, rate=rate), tone(300, rate=rate)], axis=1)
    clip = f.load_clip(write_clip(tmp_path / "a.wav", stereo, rate=rate), config=TINY)
    assert clip.shape == (8_000,) and clip.dtype == np.float32
    assert np.abs(np.fft.rfft(clip)).argmax() == 300


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_414, 44_100, 48_000])
@pytest.mark.parametrize("config", [ARTICLE, LAPTOP, TINY], ids=["article", "laptop", "tiny"])
def test_clips_are_resampled_as_librosa_does(tmp_path, rate, config):
    for n_samples in range(7_000, 7_007):
        clip = tone(300, rate=rate, seconds=1)[:n_samples]
        path = write_clip(tmp_path / "a.wav", clip, rate=rate)
        expected, _ = librosa.load(path, sr=config.sample_rate, duration=config.seconds)
        expected = librosa.util.fix_length(expected, size=config.n_samples)
        assert np.array_equal(f.load_clip(path, config=config), expected)


def test_short_clips_are_padded_at_the_end_and_long_ones_cut(tmp_path):
    short = f.load_clip(write_clip(tmp_path / "a.wav", tone(300, seconds=0.5)), config=TINY)
    assert np.abs(short[:4_000]).max() > 0.2 and not short[4_000:].any()
    long = f.load_clip(write_clip(tmp_path / "b.wav", tone(300, seconds=2)), config=TINY)
    assert len(long) == 8_000 and np.abs(long[-100:]).max() > 0.2


def test_pitch_and_level_of_a_tone():
    config = PROFILES["demo"].audio
    clip = np.zeros(config.n_samples, dtype=np.float32)
    clip[:32_000] = tone(220, rate=16_000, seconds=2, level=0.1)
    pitch, spread, level, _ = f.prosody(clip, config=config)
    assert pitch == pytest.approx(220, rel=0.02)
    assert spread < 1
    assert level == pytest.approx(20 * np.log10(0.1 / np.sqrt(2)), abs=0.5)


def test_prosody_of_silence_is_not_a_number():
    silence = np.zeros(TINY.n_samples, dtype=np.float32)
    assert np.isnan(f.prosody(silence, config=TINY)).all()


# --- the store ---


def test_rows_belong_to_their_clips_and_agree_with_the_functions(clips, root):
    for kind, function in (("mel", f.mel_spectrogram), ("mfcc", f.mfcc)):
        stored = extract(clips, root, kind)
        assert stored.shape == (14, 16, 32)
        for i in (0, 5, 13):
            clip = f.load_clip(root / clips["path"][i], config=TINY)
            assert np.abs(stored[i] - function(clip, config=TINY)).max() < 1e-3


@pytest.mark.parametrize("config", [TINY, replace(TINY, mel_ref="min")], ids=["1.0", "min"])
@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.5, 0.97, 1.0, 1.5])
def test_the_padding_that_workers_leave_out_is_in_the_row(tmp_path, config, seconds):
    samples = tone(440, seconds=seconds) if seconds else np.zeros(800)
    path = write_clip(tmp_path / "a.wav", samples)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    one = pd.DataFrame({"path": ["a.wav"], "sha256": [sha256]})
    loaded = f.load_clip(path, config=config)
    for kind, function in (("mel", f.mel_spectrogram), ("mfcc", f.mfcc)):
        assert np.array_equal(
            extract(one, tmp_path, kind, config=config)[0], function(loaded, config=config)
        )


def test_another_order_of_clips_reads_other_rows_of_the_same_store(clips, root):
    forward = extract(clips, root)
    backward = extract(clips[::-1].reset_index(drop=True), root)
    assert np.array_equal(forward[0], backward[13])
    assert not np.array_equal(forward[0], backward[0])


def count_loads(monkeypatch):
    loaded = []
    original = f.load_clip
    monkeypatch.setattr(
        f, "load_clip", lambda path, *, config: loaded.append(1) or original(path, config=config)
    )
    return loaded


def test_nothing_is_computed_twice(clips, root, monkeypatch):
    extract(clips, root, "mel")
    loaded = count_loads(monkeypatch)
    extract(clips, root, "mel")
    extract(clips, root, "mfcc")  # comes from the same pass
    assert not loaded


def test_only_a_new_clip_is_computed(clips, root, monkeypatch):
    extract(clips[:-1], root)
    loaded = count_loads(monkeypatch)
    extract(clips, root)
    assert len(loaded) == 1


def test_other_settings_have_another_store(clips, root):
    coarse = extract(clips, root)
    fine = extract(clips, root, config=replace(TINY, hop_length=128))
    assert (coarse.shape[2], fine.shape[2]) == (32, 63)


def store_files(tmp_path):
    (folder,) = (tmp_path / "cache" / "features").glob("spectral-*/")
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["mel.bin", "mfcc.bin", "index.txt"])
def test_what_was_cut_off_is_computed_again_with_the_same_bytes(clips, root, tmp_path, name):
    extract(clips, root)
    files = store_files(tmp_path)
    whole = {key: path.read_bytes() for key, path in files.items()}
    files[name].write_bytes(whole[name][: len(whole[name]) // 2 + 3])
    extract(clips, root)
    assert {key: path.read_bytes() for key, path in files.items()} == whole


@pytest.mark.parametrize("name", ["mel.bin", "mfcc.bin", "index.txt"])
def test_a_deleted_part_is_made_again(clips, root, tmp_path, name):
    extract(clips, root)
    files = store_files(tmp_path)
    whole = {key: path.read_bytes() for key, path in files.items()}
    files[name].unlink()
    extract(clips, root)
    assert {key: path.read_bytes() for key, path in files.items()} == whole


def test_a_damaged_index_never_shifts_rows(clips, root, tmp_path):
    extract(clips, root)
    index = store_files(tmp_path)["index.txt"]
    whole = index.read_bytes()
    index.write_bytes(whole[: 3 * 65] + b" " * 64 + b"\n" + whole[4 * 65 :])
    extract(clips, root)
    assert index.read_bytes() == whole


def test_an_index_with_a_clip_twice_is_made_again(clips, root, tmp_path):
    extract(clips, root)
    index = store_files(tmp_path)["index.txt"]
    whole = index.read_bytes()
    index.write_bytes(whole[:65] + whole[:-65])
    extract(clips, root)
    assert index.read_bytes() == whole


def test_no_clips_have_no_features(clips, root):
    assert extract(clips[:0], root)[:].shape == (0, 16, 32)


@pytest.mark.parametrize("settings", [b'{"audio": "other"}', b"\xff"])
def test_a_store_made_by_other_settings_is_remade(clips, root, tmp_path, settings):
    extract(clips, root)
    files = store_files(tmp_path)
    files["settings.json"].write_bytes(settings)
    files["mel.bin"].write_bytes(bytes(files["mel.bin"].stat().st_size))
    assert extract(clips, root)[0].any()


def test_a_killed_extraction_goes_on(clips, root, monkeypatch, tmp_path):
    class Killed(BaseException):
        pass

    done = []
    original = f.load_clip

    def dies_at_the_sixth(path, *, config):
        done.append(1)
        if len(done) == 6:
            raise Killed
        return original(path, config=config)

    monkeypatch.setattr(f, "load_clip", dies_at_the_sixth)
    with pytest.raises(Killed):
        extract(clips, root)
    monkeypatch.setattr(f, "load_clip", original)
    loaded = count_loads(monkeypatch)
    extract(clips, root)
    assert 0 < len(loaded) < 14
    resumed = {k: p.read_bytes() for k, p in store_files(tmp_path).items()}
    monkeypatch.setenv("SER_CACHE", str(tmp_path / "other" / "cache"))
    extract(clips, root)
    assert resumed == {k: p.read_bytes() for k, p in store_files(tmp_path / "other").items()}


def test_a_clip_that_changed_since_the_manifest_is_refused(clips, root):
    write_clip(root / clips["path"][3], tone(123))
    with pytest.raises(f.FeatureError, match=r"has changed.*build the manifest again"):
        extract(clips, root)


def test_a_clip_that_is_gone_is_named(clips, root):
    (root / clips["path"][3]).unlink()
    with pytest.raises(f.FeatureError, match=clips["path"][3]):
        extract(clips, root)


def test_only_a_changed_clip_is_computed_again(clips, root, monkeypatch):
    before = extract(clips, root)[:].copy()
    write_clip(root / clips["path"][3], tone(123))
    changed = article_view(build_manifest(root))
    loaded = count_loads(monkeypatch)
    after = extract(changed, root)[:]
    assert len(loaded) == 1
    assert np.flatnonzero((before != after).any(axis=(1, 2))).tolist() == [3]


# A process of its own, for what would take the test's down with it.
EXTRACT = """
import os, resource, signal, sys
from pathlib import Path
from sercore import features as f
from sercore.manifest import article_view, build_manifest
from tests.speech import TINY

root = Path(sys.argv[1])
clips = article_view(build_manifest(root))
loads, load_clip, fsync = [], f.load_clip, os.fsync

def counted(path, *, config):
    loads.append(path)
    return load_clip(path, config=config)

f.load_clip = counted
{before}
try:
    f.extract(clips, root, config=TINY, kind="mel", report=None)
except f.FeatureError as error:
    sys.exit(str(error))
print(len(loads))
"""


def start_extraction(root, before=""):
    pytest.importorskip("resource", reason="needs limits and signals, which Windows has not")
    command = [sys.executable, "-c", EXTRACT.format(before=before), str(root)]
    return subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def same_as_in_one_go(clips, root, tmp_path, monkeypatch):
    """Whether extraction goes on to the bytes that it writes where nothing disturbs it."""
    extract(clips, root)
    resumed = {k: p.read_bytes() for k, p in store_files(tmp_path).items()}
    monkeypatch.setenv("SER_CACHE", str(tmp_path / "other" / "cache"))
    extract(clips, root)
    return resumed == {k: p.read_bytes() for k, p in store_files(tmp_path / "other").items()}


KILLED = """
f._COMMIT_EVERY = 4
syncs = []

def dies(file):
    syncs.append(file)
    if len(syncs) == {moment}:
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(file)

os.fsync = dies
"""


# Each commit syncs twice: behind the mel rows, and behind the MFCC rows.
@pytest.mark.parametrize(("moment", "rows"), [(2, 0), (3, 4), (4, 4)])
def test_a_process_killed_while_it_writes_goes_on(clips, root, tmp_path, monkeypatch, moment, rows):
    process = start_extraction(root, KILLED.format(moment=moment))
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    files = store_files(tmp_path)
    assert files["index.txt"].stat().st_size == 65 * rows
    assert files["mel.bin"].stat().st_size > 2_048 * rows  # written, and not yet entered
    assert same_as_in_one_go(clips, root, tmp_path, monkeypatch)


FULL = "resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"


def test_full_disk_keeps_what_was_there(clips, root, tmp_path, monkeypatch):
    whole = extract(clips[:5], root)[:].copy()
    before = {k: p.read_bytes() for k, p in store_files(tmp_path).items()}
    row = len(before["mel.bin"]) // 5
    process = start_extraction(root, FULL.format(size=5 * row + row // 2))
    _, message = process.communicate()
    assert process.returncode == 1
    assert "what was there before is kept: make room, or point SER_CACHE elsewhere" in message
    assert store_files(tmp_path)["mel.bin"].stat().st_size % row  # half a row
    assert np.array_equal(extract(clips[:5], root)[:], whole)
    assert {k: p.read_bytes() for k, p in store_files(tmp_path).items()} == before
    assert same_as_in_one_go(clips, root, tmp_path, monkeypatch)


def test_a_disk_that_is_full_from_the_start_is_explained(clips, root):
    process = start_extraction(root, FULL.format(size=10))
    _, message = process.communicate()
    assert process.returncode == 1 and "make room, or point SER_CACHE elsewhere" in message


def test_a_second_process_waits_and_computes_nothing(clips, root):
    processes = [start_extraction(root) for _ in range(2)]
    assert sorted(int(process.communicate()[0]) for process in processes) == [0, 14]


def test_an_error_that_is_not_the_disks_is_not_called_so(clips, root, monkeypatch):
    def unreachable(*_, **__):
        raise TimeoutError("no worker after 10 seconds")

    monkeypatch.setattr(f, "Parallel", unreachable)
    with pytest.raises(TimeoutError, match="no worker"):
        extract(clips, root)


@pytest.mark.parametrize("ahead", [4 * 4_096, 2**28])  # four clips at a time, or all
def test_processes_write_the_same_bytes(clips, root, tmp_path, monkeypatch, ahead):
    monkeypatch.setattr(f, "_PROCESSES_FROM", 1)
    monkeypatch.setattr(f, "_TASK", 2)
    monkeypatch.setattr(f, "_AHEAD", ahead)
    loaded = count_loads(monkeypatch)
    extract(clips, root)
    assert len(loaded) == 1  # here; the other 13 elsewhere
    monkeypatch.undo()
    monkeypatch.setenv("SER_CACHE", str(tmp_path / "cache"))
    assert same_as_in_one_go(clips, root, tmp_path, monkeypatch)


def test_unknown_kind_names_the_alternatives(clips, root):
    with pytest.raises(f.FeatureError, match="unknown kind 'chroma', expected one of mel, mfcc"):
        extract(clips, root, "chroma")


def test_half_precision_costs_little(clips, root):
    exact = extract(clips, root)
    half = extract(clips, root, config=replace(TINY, dtype="float16"))
    assert half.array.dtype == np.float16
    assert np.abs(exact[:] - half[:].astype(np.float32)).max() < 0.05  # dB


def test_real_clips_agree_with_librosa_from_end_to_end(sample):
    paths = sorted(sample.rglob("*.wav"))[::40]
    for path in paths:
        samples, _ = librosa.load(path, sr=ARTICLE.sample_rate, duration=4)
        samples = np.pad(samples, (0, 176_400 - len(samples)))
        mel = librosa.power_to_db(librosa.feature.melspectrogram(y=samples, sr=44_100), ref=np.min)
        clip = f.load_clip(path, config=ARTICLE)
        assert np.abs(f.mel_spectrogram(clip, config=ARTICLE) - mel).max() < 1e-3
        cepstrum = librosa.feature.mfcc(y=samples, sr=44_100, n_mfcc=128)
        assert np.abs(f.mfcc(clip, config=ARTICLE) - cepstrum).max() < 1e-3
