"""Tests of the demo corpora: what is made, that it is repeatable, and what is refused."""

import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from sercore.corpora import CORPORA, EMOTIONS, parse
from sercore.demo import make as demo

SHRINK = "few = demo.plan()[110:120]; demo.plan = lambda: few; demo.COPIES = {}"
"""Code that leaves ten clips to make, of a speaker whose voice has random breath noise."""


def checksums(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def level(path: Path) -> float:
    """Level of the loudest tenth of a second, in dB below full scale."""
    samples, sample_rate = sf.read(path, always_2d=True)
    n = sample_rate // 10
    blocks = samples[: len(samples) // n * n, 0].reshape(-1, n)
    return float(10 * np.log10(np.mean(blocks**2, axis=1).max() + 1e-12))


def pitch(path: Path) -> float:
    """Median pitch in Hz by autocorrelation, over the louder frames of 50 ms."""
    samples, sample_rate = sf.read(path)
    n, shortest, longest = sample_rate // 20, sample_rate // 500, sample_rate // 70
    frames = samples[: len(samples) // n * n].reshape(-1, n)
    frames = frames[np.std(frames, axis=1) > 0.5 * np.std(frames, axis=1).max()]
    lags = [
        shortest + np.argmax(np.correlate(frame, frame, "full")[n - 1 + shortest : n - 1 + longest])
        for frame in frames
    ]
    return float(sample_rate / np.median(lags))


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return demo.make_demo_corpora(tmp_path_factory.mktemp("demo") / "corpora")


@pytest.fixture(scope="module")
def clips(root) -> list[Path]:
    return sorted(root.rglob("*.wav"))


@pytest.fixture
def shrunk(monkeypatch) -> None:
    """Make only ten clips, for speed; the code that makes them is the same."""
    few = demo.plan()[110:120]
    monkeypatch.setattr(demo, "plan", lambda: few)
    monkeypatch.setattr(demo, "COPIES", {})


def test_counts_are_known(root, clips):
    folders = Counter(path.relative_to(root).parts[0] for path in clips)
    assert folders == {"cremad": 280, "ravdess": 121 + 15, "tess": 196, "savee": 96}


def test_classes_are_balanced_as_in_the_real_corpora(root, clips):
    once = {path.name: parse(path.relative_to(root)) for path in clips}
    counts = {
        corpus: Counter(labels.emotion for labels in once.values() if labels.corpus == corpus)
        for corpus in CORPORA
    }
    six = {emotion: 48 for emotion in EMOTIONS if emotion != "surprise"}
    assert counts["cremad"] == {**six, "neutral": 40}
    # One happy clip more than sixteen: the twin.
    assert counts["ravdess"] == {
        **dict.fromkeys((*EMOTIONS, "calm"), 16),
        "neutral": 8,
        "happiness": 17,
    }
    assert counts["tess"] == dict.fromkeys(EMOTIONS, 28)
    assert counts["savee"] == {**dict.fromkeys(EMOTIONS, 12), "neutral": 24}


def test_speakers_are_those_of_the_studios(root, clips):
    speakers = {parse(path.relative_to(root)).speaker for path in clips}
    expected = {f"{name}_{code}" for name, s in demo.STUDIOS.items() for code in s.voices}
    assert speakers == expected


def test_each_corpus_has_its_own_rate_and_pcm16(root, clips):
    formats = {
        (path.relative_to(root).parts[0], sf.info(path).samplerate, sf.info(path).subtype)
        for path in clips
        if path != root / demo.ODD_RATE
    }
    rates = {"cremad": 16_000, "ravdess": 48_000, "tess": 24_414, "savee": 44_100}
    assert formats == {(name, rate, "PCM_16") for name, rate in rates.items()}


def test_every_clip_lasts_between_one_and_eight_seconds(clips):
    assert all(1 <= sf.info(path).duration <= 8 for path in clips)


def test_no_clip_reaches_full_scale(clips):
    assert max(np.abs(sf.read(path)[0]).max() for path in clips) < 0.98


def test_one_clip_is_silent(root, clips):
    silent = [path for path in clips if not sf.read(path)[0].any()]
    assert silent == [root / demo.SILENT]


def test_one_clip_is_stereo(root, clips):
    assert [path for path in clips if sf.info(path).channels == 2] == [root / demo.STEREO]


def test_one_clip_has_an_odd_rate(root, clips):
    assert [path for path in clips if sf.info(path).samplerate == 96_000] == [root / demo.ODD_RATE]


def test_only_the_intended_clips_share_their_bytes(root):
    groups: dict[str, set[str]] = {}
    for path, checksum in checksums(root).items():
        groups.setdefault(checksum, set()).add(path)
    shared = [group for group in groups.values() if len(group) > 1]
    expected = [{copy, original} for copy, original in demo.COPIES.items()]
    for path in (root / "ravdess" / "Actor_01").iterdir():
        second = f"ravdess/audio_speech_actors_01-24/Actor_01/{path.name}"
        expected.append({f"ravdess/Actor_01/{path.name}", second})
    assert sorted(map(sorted, shared)) == sorted(map(sorted, expected))


def test_tess_has_the_real_folders_and_the_misspelt_name(root):
    tess = root / "tess" / "TESS Toronto emotional speech set data"
    assert {"OAF_Fear", "OAF_Pleasant_surprise", "YAF_pleasant_surprised", "YAF_sad"} <= {
        path.name for path in tess.iterdir()
    }
    assert (tess / "OAF_neutral" / "OA_bite_neutral.wav").is_file()


@pytest.mark.parametrize(
    ("measure", "more", "less"),
    [
        pytest.param(level, "anger", "sadness", id="anger is louder than sadness"),
        pytest.param(level, "happiness", "neutral", id="happiness is louder than neutral"),
        pytest.param(pitch, "fear", "disgust", id="fear is higher than disgust"),
        pytest.param(pitch, "surprise", "sadness", id="surprise is higher than sadness"),
    ],
)
def test_rules_are_heard(root, measure, more, less):
    def median(emotion: str) -> float:
        clips = [c for c in demo.plan() if c.corpus == "tess" and c.emotion == emotion]
        return float(np.median([measure(root / c.path) for c in clips if c.speaker == "YAF"]))

    assert median(more) > median(less)


def test_sadness_is_slower_than_fear(root):
    def median(emotion: str) -> float:
        clips = [c for c in demo.plan() if c.corpus == "tess" and c.emotion == emotion]
        return float(np.median([sf.info(root / c.path).duration for c in clips]))

    assert median("sadness") > 1.2 * median("fear")


def test_pitch_measure_knows_a_buzz_of_200_hz(tmp_path):
    times = np.arange(24_000) / 24_000
    sf.write(tmp_path / "buzz.wav", 0.1 * np.sign(np.sin(2 * np.pi * 200 * times)), 24_000)
    assert pitch(tmp_path / "buzz.wav") == pytest.approx(200, rel=0.02)


def test_every_rule_moves_from_neutral_and_neutral_does_not():
    still = [emotion for emotion, rule in demo.RULES.items() if rule == demo.Prosody()]
    assert still == ["neutral"]


def test_a_second_run_makes_the_same_bytes(root, tmp_path):
    assert checksums(demo.make_demo_corpora(tmp_path / "again")) == checksums(root)


def test_another_seed_makes_other_bytes(shrunk, tmp_path):
    zero = checksums(demo.make_demo_corpora(tmp_path / "zero", seed=0))
    one = checksums(demo.make_demo_corpora(tmp_path / "one", seed=1))
    assert zero.keys() == one.keys()
    assert not set(zero.values()) & set(one.values())


def test_a_deleted_clip_comes_back_the_same(shrunk, tmp_path):
    root = demo.make_demo_corpora(tmp_path / "demo")
    before = checksums(root)
    (root / demo.plan()[3].path).unlink()
    assert checksums(demo.make_demo_corpora(root)) == before


def test_a_complete_set_is_not_made_again(root, monkeypatch):
    monkeypatch.setattr(demo, "speak_all", lambda *a, **k: pytest.fail("spoke again"))
    assert demo.make_demo_corpora(root) == root


def test_a_set_of_another_seed_is_replaced(shrunk, tmp_path):
    root = demo.make_demo_corpora(tmp_path / "demo", seed=1)
    demo.make_demo_corpora(root, seed=2)
    assert "seed: 2\n" in (root / demo.MARKER).read_text(encoding="utf-8")


def test_a_crash_leaves_no_root(shrunk, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(demo.shutil, "copyfile", fail)
    monkeypatch.setattr(demo.sf, "write", fail)
    with pytest.raises(OSError, match="disk full"):
        demo.make_demo_corpora(tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


def test_what_a_crash_left_is_cleared(shrunk, tmp_path):
    leftover = tmp_path / ".demo.sercore-new" / "cremad" / "half.wav"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"RIFF")
    root = demo.make_demo_corpora(tmp_path / "demo")
    assert not list(root.rglob("half.wav"))
    assert not leftover.exists()


def test_two_processes_at_once_make_one_whole_set(shrunk, tmp_path):
    code = f"import sys; from sercore import demo; {SHRINK}; demo.make_demo_corpora(sys.argv[1])"
    command = [sys.executable, "-c", code, str(tmp_path / "both")]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[1] for process in both] == ["", ""]
    alone = demo.make_demo_corpora(tmp_path / "alone")
    assert checksums(tmp_path / "both") == checksums(alone)


def test_a_foreign_folder_is_refused_and_untouched(tmp_path):
    foreign = tmp_path / "mine"
    (foreign / "cremad" / "AudioWAV").mkdir(parents=True)
    (foreign / "cremad" / "AudioWAV" / "1001_DFA_ANG_XX.wav").write_bytes(b"real")
    before = checksums(tmp_path)
    with pytest.raises(demo.DemoError, match="1001_DFA_ANG_XX.wav, which is not a demo clip"):
        demo.make_demo_corpora(foreign)
    assert checksums(tmp_path) == before


def test_a_foreign_file_among_demo_clips_is_refused_and_kept(shrunk, tmp_path):
    root = demo.make_demo_corpora(tmp_path / "demo")
    (root / "cremad" / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(demo.DemoError, match="cremad/notes.txt"):
        demo.make_demo_corpora(root, seed=1)
    assert (root / "cremad" / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_file_in_the_place_of_the_root_is_refused(tmp_path):
    (tmp_path / "demo").write_text("mine", encoding="utf-8")
    with pytest.raises(demo.DemoError, match="is a file"):
        demo.make_demo_corpora(tmp_path / "demo")


def test_an_empty_folder_is_filled(shrunk, tmp_path):
    assert demo.is_demo(demo.make_demo_corpora(tmp_path))


def test_a_negative_seed_is_refused(tmp_path):
    with pytest.raises(ValueError, match="seed must be at least 0"):
        demo.make_demo_corpora(tmp_path / "demo", seed=-1)


def test_only_a_marked_folder_is_a_demo(root, tmp_path):
    assert demo.is_demo(root)
    assert not demo.is_demo(tmp_path)


def test_the_marker_names_recipe_seed_licence_and_limits(root):
    text = (root / demo.MARKER).read_text(encoding="utf-8")
    for phrase in (
        f"recipe: {demo.RECIPE}\n",
        "seed: 0\n",
        "General Public License",
        "says nothing",
    ):
        assert phrase in text


@pytest.mark.parametrize(
    ("voice", "message"),
    [
        ("en-us+nobody", r"no variant 'nobody' .*\bf3\b"),
        ("en-gb+f3", r"no language 'en-gb' .*en-us"),
    ],
)
def test_an_unknown_voice_is_refused_by_name(voice, message):
    with pytest.raises(demo.DemoError, match=message):
        demo.speak_all([{"text": "Hello.", "voice": voice}])


def test_a_seed_repeats_the_breath_noise():
    one, two = (demo.speak_all([{"text": "Hello.", "voice": "en-us+f3"}])[0] for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_another_seed_draws_other_breath_noise():
    """Not every variant breathes: this one does, so the repetition above is not for free."""
    utterances = [{"text": "Hello.", "voice": "en-us+f3"}]
    one, two = (demo.speak_all(utterances, seed=seed)[0] for seed in (1, 2))
    assert not np.array_equal(one, two)


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        pytest.param("raise ImportError('none')", "is not installed", id="no package"),
        pytest.param(
            "get_library_path = lambda: '/nowhere.so'", "cannot be loaded", id="no library"
        ),
    ],
)
def test_a_missing_synthesiser_names_the_next_step(tmp_path, monkeypatch, loader, message):
    (tmp_path / "espeakng_loader.py").write_text(loader, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(demo.DemoError, match=f"{message}.*pip install espeakng-loader.*SER_DATA"):
        demo.speak_all([{"text": "Hello.", "voice": "en-us+f3"}])


def test_importing_loads_neither_librosa_nor_tensorflow_nor_espeak():
    code = "import sys, sercore.demo.make; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"librosa", "tensorflow", "espeakng_loader"} & set(done.stdout.split())
