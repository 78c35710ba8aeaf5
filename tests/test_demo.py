"""The demo corpora: what is made, that it is repeatable, and what is refused."""

import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import asdict
from functools import partial
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

from sercore.config import REPOSITORY, digest
from sercore.corpora import CORPORA, EMOTIONS, parse
from sercore.demo import plan as planned
from sercore.demo.render import MARKER, RECIPE, DemoError, is_demo, make_demo_corpora
from sercore.demo.speak import speak_all
from sercore.store.files import sha256
from tests.speech import write_clip

FEW = planned.plan()[110:120]
"""Ten clips, for speed, by a speaker whose voice has random breath noise."""
make_few = partial(make_demo_corpora, clips=FEW)


def checksums(root: Path) -> dict[str, str]:
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): sha256(path) for path in paths}


def level(path: Path) -> float:
    """Level of the loudest tenth of a second, in dB below full scale."""
    samples, sample_rate = soundfile.read(path, always_2d=True)
    n = sample_rate // 10
    blocks = samples[: len(samples) // n * n, 0].reshape(-1, n)
    return 10 * np.log10(np.mean(blocks**2, axis=1).max() + 1e-12)


def pitch(path: Path) -> float:
    """Median in Hz."""
    samples, sample_rate = soundfile.read(path)
    return np.median(librosa.yin(samples, fmin=70, fmax=500, sr=sample_rate))


def duration(path: Path) -> float:
    return soundfile.info(path).duration


@pytest.fixture(scope="module")
def clips(demo_root) -> dict[str, Path]:
    return {path.relative_to(demo_root).as_posix(): path for path in demo_root.rglob("*.wav")}


def test_classes_are_balanced_as_in_the_real_corpora(clips):
    once = {path.name: parse(name) for name, path in clips.items()}.values()
    assert (len(clips), len(once)) == (280 + 121 + 15 + 196 + 96, 280 + 121 + 196 + 96)
    counts = {name: Counter(x.emotion for x in once if x.corpus == name) for name in CORPORA}
    assert counts == {
        "cremad": {e: 40 if e == "neutral" else 48 for e in EMOTIONS if e != "surprise"},
        # One happy clip more than sixteen: the twin.
        "ravdess": dict.fromkeys((*EMOTIONS, "calm"), 16) | {"neutral": 8, "happiness": 17},
        "tess": dict.fromkeys(EMOTIONS, 28),
        "savee": dict.fromkeys(EMOTIONS, 12) | {"neutral": 24},
    }


def test_each_corpus_has_its_own_rate_and_pcm16(clips):
    rates = {"cremad": 16_000, "ravdess": 48_000, "tess": 24_414, "savee": 44_100}
    for name, path in clips.items():
        info = soundfile.info(path)
        rate = 96_000 if name == planned.ODD_RATE else rates[name.partition("/")[0]]
        channels = 2 if name == planned.STEREO else 1
        assert (info.samplerate, info.channels, info.subtype) == (rate, channels, "PCM_16"), name


def test_clips_last_and_sound_as_speech_does_and_one_is_silent(clips):
    peaks = {name: np.abs(soundfile.read(path)[0]).max() for name, path in clips.items()}
    assert all(1 <= duration(path) <= 8 for path in clips.values())
    assert max(peaks.values()) < 0.98
    assert [name for name, peak in peaks.items() if peak == 0] == [planned.SILENT]


def test_only_the_intended_clips_share_their_bytes(demo_root):
    groups = defaultdict(set)
    for path, checksum in checksums(demo_root).items():
        groups[checksum].add(path)
    twice = (demo_root / "ravdess" / "Actor_01").iterdir()
    folders = ("ravdess/Actor_01", "ravdess/audio_speech_actors_01-24/Actor_01")
    expected = [set(pair) for pair in planned.COPIES.items()]
    expected += [{f"{folder}/{path.name}" for folder in folders} for path in twice]
    shared = [group for group in groups.values() if len(group) > 1]
    assert sorted(map(sorted, shared)) == sorted(map(sorted, expected))


@pytest.mark.parametrize(
    ("measure", "more", "less", "factor"),
    [
        (level, "anger", "sadness", 1.0),
        (level, "happiness", "neutral", 1.0),
        (pitch, "fear", "disgust", 1.0),
        (pitch, "surprise", "sadness", 1.0),
        (duration, "sadness", "fear", 1.2),
    ],
)
def test_rules_are_heard(demo_root, measure, more, less, factor):
    def median(emotion: str) -> float:
        by_yaf = [c for c in planned.plan() if c.speaker == "YAF" and c.emotion == emotion]
        return np.median([measure(demo_root / clip.path) for clip in by_yaf])

    assert median(more) > factor * median(less)


def test_another_plan_is_another_recipe():
    """Whoever changes what is spoken raises `RECIPE`, so that sets made before are replaced."""
    rules = {name: asdict(rule) for name, rule in planned.RULES.items()}
    studios = {name: asdict(studio) for name, studio in planned.STUDIOS.items()}
    spoken = [asdict(clip) for clip in planned.plan()]
    made_of = [spoken, rules, studios, asdict(planned.SPREAD), planned.HABIT]
    assert planned.RULES["neutral"] == planned.Prosody()
    assert (RECIPE, digest(made_of)) == (1, "0e5780c6c2830d21")


def test_a_second_run_makes_the_same_bytes(demo_root, tmp_path):
    assert checksums(make_demo_corpora(tmp_path / "again")) == checksums(demo_root)


def test_another_seed_replaces_a_set_by_other_bytes(tmp_path):
    zero, one = (checksums(make_few(tmp_path / "demo", seed=seed)) for seed in (0, 1))
    assert zero.keys() == one.keys() and not set(zero.values()) & set(one.values())


def test_a_complete_set_is_left_and_a_deleted_clip_comes_back_the_same(tmp_path):
    assert not is_demo(tmp_path)
    root = make_few(tmp_path)  # an empty folder is filled
    before, clip = checksums(root), (root / FEW[0].path)
    made = clip.stat()
    assert is_demo(root) and make_few(root) == root and clip.stat() == made
    clip.unlink()
    assert checksums(make_few(root)) == before


def test_a_crash_leaves_no_root_and_is_cleared(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(soundfile, "write", fail)
        with pytest.raises(OSError, match="disk full"):
            make_few(tmp_path / "demo")
    assert not (tmp_path / "demo").exists()
    (left,) = (path for path in tmp_path.iterdir() if path.is_dir())
    (left / "half.wav").write_bytes(b"RIFF")
    root = make_few(tmp_path / "demo")
    assert not left.exists() and not list(root.rglob("half.wav"))


def test_two_processes_at_once_make_one_whole_set(tmp_path):
    code = "import sys; from tests import test_demo; test_demo.make_few(sys.argv[1])"
    command = [sys.executable, "-c", code, str(tmp_path / "both")]
    pipe = {"stderr": subprocess.PIPE, "text": True, "cwd": REPOSITORY}
    both = [subprocess.Popen(command, **pipe) for _ in range(2)]
    assert [process.communicate()[1] for process in both] == ["", ""]
    assert checksums(tmp_path / "both") == checksums(make_few(tmp_path / "alone"))


FOREIGN = {
    "mine.wav": lambda root: write_clip(root / "cremad" / "mine.wav", np.zeros(9)),
    "cremad/notes.txt": lambda root: (make_few(root) / "cremad" / "notes.txt").touch(),
    "is a file": Path.touch,
}


@pytest.mark.parametrize("says", FOREIGN)
def test_what_is_not_ours_is_refused_and_untouched(says, tmp_path):
    FOREIGN[says](tmp_path / "demo")
    before = checksums(tmp_path)
    with pytest.raises(DemoError, match=says):
        make_few(tmp_path / "demo", seed=1)
    assert checksums(tmp_path) == before


def test_a_negative_seed_is_refused(tmp_path):
    with pytest.raises(DemoError, match="seed .* -1"):
        make_demo_corpora(tmp_path / "demo", seed=-1)


def test_the_marker_names_recipe_seed_licence_and_limits(demo_root):
    text = (demo_root / MARKER).read_text(encoding="utf-8")
    for phrase in (f"recipe: {RECIPE}\n", "seed: 0\n", "Public License", "says nothing"):
        assert phrase in text


HELLO = {"text": "Hello.", "voice": "en-us+f3"}


@pytest.mark.parametrize(
    ("voice", "says"), [("en-us+nobody", "'nobody' .*f3,"), ("en-gb+f3", "'en-gb' .*en-us")]
)
def test_an_unknown_voice_is_refused_by_name(voice, says):
    with pytest.raises(DemoError, match=says):
        speak_all([HELLO | {"voice": voice}])


def test_a_seed_repeats_the_breath_noise_and_another_does_not():
    # Not every variant breathes: this one does.
    one, again, other = (speak_all([HELLO], seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("loader", "message"),
    [("raise ImportError()", "not installed"), ("get_library_path = lambda: 'none.so'", "none.so")],
)
def test_a_missing_synthesiser_names_the_next_step(tmp_path, monkeypatch, loader, message):
    (tmp_path / "espeakng_loader.py").write_text(loader)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(DemoError, match=f"{message}.*pip install espeakng-loader.*SER_DATA"):
        speak_all([HELLO])


def test_importing_loads_neither_librosa_nor_tensorflow_nor_espeak():
    code = "import sys, sercore.demo.render; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"librosa", "tensorflow", "espeakng_loader"} & set(done.stdout.split())
