"""Demo corpora: synthetic speech in the four real grammars and folder layouts (chapter 1).

Nobody speaks in these clips and nothing measured on them says anything about people. They stand in
for the real corpora where those are not at hand, so that every later step runs just the same.

An emotion becomes a change of pitch, pitch range, rate, level and brightness from the speaker's
neutral voice (`RULES`), drawn with a spread per speaker and per clip (`SPREAD`) so that the classes
overlap. The directions follow three reviews: Murray, Arnott (1993), Toward the simulation of
emotion in synthetic speech, JASA 93(2), doi:10.1121/1.405558; Scherer (2003), Vocal communication
of emotion, Speech Communication 40, doi:10.1016/S0167-6393(02)00084-5; Juslin, Laukka (2003),
Communication of emotions in vocal expression and music performance, Psychological Bulletin 129(5),
doi:10.1037/0033-2909.129.5.770. The sizes are the course's own, chosen so that a small
model lands clearly above chance and clearly below perfect.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import filelock
import numpy as np
import soundfile as sf
import soxr

from sercore.corpora import CORPORA
from sercore.demo import speak

MARKER = "SYNTHETIC.txt"
"""File in the root that says the folder holds demo corpora, how they were made, and which files."""

RECIPE = 1
"""Version of the clips: raise it whenever a change here changes their bytes."""


class DemoError(RuntimeError):
    """Demo corpora cannot be made; the message says what to do about it."""


@dataclass(frozen=True, kw_only=True)
class Prosody:
    """How a voice differs from its speaker's neutral one.

    Attributes
    ----------
    pitch : float
        Semitones added to the mean pitch.
    span : float
        Octaves by which the pitch range is stretched: 1.0 doubles it, -1.0 halves it.
    rate : float
        Octaves by which the speaking rate is raised: 0.25 is a fifth faster.
    level : float
        Decibels added to the level.
    tilt : float
        Decibels per octave by which the spectrum is tilted towards the high frequencies.
    """

    pitch: float = 0.0
    span: float = 0.0
    rate: float = 0.0
    level: float = 0.0
    tilt: float = 0.0


RULES: Mapping[str, Prosody] = {
    # Anger: higher, wider, slightly faster, louder (all three reviews), more high-frequency
    # energy (Scherer; Juslin and Laukka).
    "anger": Prosody(pitch=3.0, span=0.6, rate=0.15, level=10.0, tilt=2.5),
    # Disgust: much slower, much lower, slightly wider, softer (Murray and Arnott).
    "disgust": Prosody(pitch=-3.0, span=0.2, rate=-0.4, level=0.0, tilt=-0.5),
    # Fear: much faster and much higher (all three); the reviews disagree about range and level,
    # and the range here is narrow, as in Juslin and Laukka.
    "fear": Prosody(pitch=5.5, span=-0.6, rate=0.35, level=2.0, tilt=0.5),
    # Happiness: higher, wider, somewhat faster, louder, some more high-frequency energy.
    "happiness": Prosody(pitch=4.0, span=0.8, rate=0.1, level=6.0, tilt=1.0),
    "neutral": Prosody(),
    # Sadness: slightly lower, narrower, slower, softer (all three), less high-frequency energy.
    "sadness": Prosody(pitch=-1.5, span=-0.7, rate=-0.3, level=-5.0, tilt=-2.5),
    # Surprise is in none of the three tables: a high and very wide voice at an even rate is the
    # course's own choice.
    "surprise": Prosody(pitch=6.5, span=1.0, rate=0.0, level=4.0, tilt=-0.5),
    # Calm, which only RAVDESS has, is the course's own choice too: neutral, and a little less.
    "calm": Prosody(pitch=-0.5, span=-0.3, rate=-0.1, level=-2.0, tilt=-0.8),
}
"""What each emotion does to the voice: the centre of its class."""

SPREAD = Prosody(pitch=1.5, span=0.3, rate=0.12, level=2.5, tilt=0.8)
"""Standard deviation of each value from clip to clip."""

HABIT = 0.5
"""Spread of each speaker's own way with each emotion, in units of `SPREAD`."""

STRENGTHS = {"LO": 0.6, "MD": 1.0, "HI": 1.4, "01": 0.85, "02": 1.25}
"""Factor on the rule for the intensities that CREMA-D and RAVDESS ask of their actors."""


@dataclass(frozen=True, kw_only=True)
class Voice:
    """One synthetic speaker: an espeak-ng variant and how it is used.

    Attributes
    ----------
    variant : str
        File name in `espeak-ng-data/voices/!v`.
    pitch : float
        Semitones added to the variant's own pitch; older women speak lower (chapter 1).
    rate : float
        Octaves of speaking rate, negative for the older speakers.
    level : float
        Decibels added to the corpus's level.
    """

    variant: str
    pitch: float = 0.0
    rate: float = 0.0
    level: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Studio:
    """The recording conditions of one corpus, after measurements on the real clips.

    Attributes
    ----------
    sample_rate : int
        Native rate in Hz.
    language : str
        espeak-ng language.
    words_per_minute : int
        Rate of the neutral voice.
    level : float
        Level of neutral speech without its silences, in dB below full scale.
    noise : float
        Level of the background noise, in dB below full scale.
    slope : float
        Slope of the noise spectrum in dB per octave; 0 is white.
    lead, trail : tuple[float, float]
        Shortest and longest silence before and after the speech, in seconds.
    voices : Mapping[str, Voice]
        From the corpus's speaker code to the voice.
    """

    sample_rate: int
    language: str
    words_per_minute: int
    level: float
    noise: float
    slope: float
    lead: tuple[float, float]
    trail: tuple[float, float]
    voices: Mapping[str, Voice]


STUDIOS: Mapping[str, Studio] = {
    "cremad": Studio(
        sample_rate=16_000,
        language="en-us",
        words_per_minute=140,
        level=-32.0,
        noise=-48.0,
        slope=-5.0,
        lead=(0.15, 0.5),
        trail=(0.2, 0.6),
        voices={
            "1001": Voice(variant="m2", rate=-0.05),
            "1006": Voice(variant="aunty", pitch=-1.0, rate=-0.08, level=-2.0),
            "1011": Voice(variant="m3", pitch=1.0, level=1.0),
            "1013": Voice(variant="f3", pitch=1.0, rate=0.05),
            "1017": Voice(variant="m5", level=2.0),
            "1018": Voice(variant="f2", rate=0.04, level=-1.0),
            "1076": Voice(variant="linda", level=1.0),
            "1087": Voice(variant="grandpa", pitch=-1.0, rate=-0.1, level=-1.0),
        },
    ),
    "ravdess": Studio(
        sample_rate=48_000,
        language="en-us",
        words_per_minute=140,
        level=-42.0,
        noise=-88.0,
        slope=0.0,
        lead=(0.95, 1.05),
        trail=(0.85, 1.1),
        voices={
            "01": Voice(variant="m4"),
            "02": Voice(variant="f1", pitch=1.0, level=2.0),
            "07": Voice(variant="m7", rate=0.05, level=-2.0),
            "08": Voice(variant="f5", rate=-0.04),
            "11": Voice(variant="Alex", pitch=2.0, level=1.0),
            "12": Voice(variant="Annie", pitch=-2.0, level=-1.0),
            "19": Voice(variant="Andy", rate=-0.05, level=3.0),
            "20": Voice(variant="belinda", pitch=-1.0, rate=0.04),
        },
    ),
    "tess": Studio(
        sample_rate=24_414,
        language="en-us",
        words_per_minute=102,
        level=-33.0,
        noise=-60.0,
        slope=-1.0,
        lead=(0.02, 0.06),
        trail=(0.03, 0.1),
        voices={
            "OAF": Voice(variant="grandma", pitch=-1.0, rate=-0.1),
            "YAF": Voice(variant="f4", pitch=2.0, rate=0.05, level=1.0),
        },
    ),
    "savee": Studio(
        sample_rate=44_100,
        language="en",
        words_per_minute=145,
        level=-21.0,
        noise=-50.0,
        slope=-9.0,
        lead=(0.2, 0.45),
        trail=(0.2, 0.5),
        voices={
            "DC": Voice(variant="m1"),
            "JE": Voice(variant="m6", pitch=1.0, rate=0.04),
            "JK": Voice(variant="m8", rate=-0.04, level=1.5),
            # The real KL was recorded some 16 dB lower than the other three.
            "KL": Voice(variant="Mike", pitch=-1.0, level=-14.0),
        },
    ),
}
"""How each corpus was recorded, and by whom: about eight voices where the real one has many."""

_CREMAD_TEXTS = {
    "IEO": "It's eleven o'clock",
    "TIE": "That is exactly what happened",
    "IOM": "I'm on my way to the meeting",
    "IWW": "I wonder what this is about",
    "TAI": "The airplane is almost full",
    "MTI": "Maybe tomorrow it will be cold",
    "IWL": "I would like a new alarm clock",
    "ITH": "I think I have a doctor's appointment",
    "DFA": "Don't forget a jacket",
    "ITS": "I think I've seen this before",
    "TSI": "The surface is slick",
    "WSI": "We'll stop in a couple of minutes",
}
_RAVDESS_TEXTS = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
# fmt: off
_TESS_WORDS = (
    "back", "bar", "base", "bath", "bean", "beg", "bite",
    "boat", "food", "goose", "home", "king", "mouse", "youth",
)
# fmt: on
# In the order of the emotion codes; the real folders differ in case and wording too.
_TESS_FOLDERS = {
    "OAF": ("angry", "disgust", "Fear", "happy", "neutral", "Pleasant_surprise", "Sad"),
    "YAF": ("angry", "disgust", "fear", "happy", "neutral", "pleasant_surprised", "sad"),
}
# As in SAVEE, the first sentence is common to all emotions and the others go with theirs. The
# common one is TIMIT's; the others are the course's own.
_SAVEE_TEXTS = {
    code: ("She had your dark suit in greasy wash water all year", *own)
    for code, own in {
        "a": ("The bus to the harbour leaves at nine", "Two boxes are standing in the hall"),
        "d": ("The kitchen floor was painted in spring", "He keeps the receipts in a tin"),
        "f": ("A man came up the stairs with a parcel", "The gate at the end of the lane is open"),
        "h": ("Her brother bought the house on the hill", "They moved the table to the garden"),
        "sa": ("The letter was left on the window sill", "We walked along the river until six"),
        "su": ("The train from London stops here now", "Someone has put the lamp on the desk"),
        "n": (
            "The meeting begins at half past ten",
            "Most of the books are on the second shelf",
            "The road bends to the left behind the church",
            "She writes the number on the back of the card",
            "A bottle of milk costs about one pound",
        ),
    }.items()
}

SILENT = "cremad/AudioWAV/1076_MTI_SAD_XX.wav"
"""The clip without sound, at the place of the real silent one."""

STEREO = "ravdess/Actor_20/03-01-06-01-01-02-20.wav"
"""The clip with two channels, which is one of the real ones."""

ODD_RATE = "tess/TESS Toronto emotional speech set data/OAF_Fear/OAF_food_fear.wav"
"""The clip at 96 kHz, which is the real one."""

COPIES: Mapping[str, str] = {
    # One recording under two labels.
    "cremad/AudioWAV/1006_TIE_NEU_XX.wav": "cremad/AudioWAV/1006_TIE_HAP_XX.wav",
    # One recording under two names.
    "ravdess/Actor_07/03-01-03-01-02-02-07.wav": "ravdess/Actor_07/03-01-03-01-02-01-07.wav",
}
"""Clips that hold the bytes of another, as in the real corpora: copy to original."""

_TWICE = "ravdess/Actor_01/"
_SECOND_COPIES = "ravdess/audio_speech_actors_01-24/Actor_01/"


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One clip to fabricate.

    Attributes
    ----------
    path : str
        Where it goes below the root, with forward slashes.
    corpus, speaker : str
        Keys of `STUDIOS` and of its voices.
    emotion : str
        Key of `RULES`.
    strength : float
        Factor on the rule.
    text : str
        What is said.
    """

    path: str
    corpus: str
    speaker: str
    emotion: str
    strength: float
    text: str


def plan() -> list[Clip]:
    """Return the clips to be spoken, always in the same order; copies are not among them.

    Returns
    -------
    list[Clip]
        Balanced as the real corpora are: CREMA-D has no surprise and somewhat less neutral,
        RAVDESS half as many neutral clips, TESS equal classes, SAVEE twice as many neutral ones.
    """
    clips = [*_plan_cremad(), *_plan_ravdess(), *_plan_tess(), *_plan_savee()]
    return [clip for clip in clips if clip.path not in COPIES]


def _clip(folder: str, stem: str, text: str, *, corpus: str, intensity: str = "") -> Clip:
    """Describe a clip whose speaker and emotion the corpus's own grammar reads from its name."""
    labels = CORPORA[corpus].parse(f"{stem}.wav")
    return Clip(
        path=f"{corpus}/{folder}/{stem}.wav",
        corpus=corpus,
        speaker=labels.speaker.removeprefix(f"{corpus}_"),
        emotion=labels.emotion,
        strength=STRENGTHS.get(intensity, 1.0),
        text=text,
    )


def _plan_cremad() -> Iterator[Clip]:
    first, *others = _CREMAD_TEXTS
    for i, speaker in enumerate(STUDIOS["cremad"].voices):
        # A window of four sentences that moves with the speaker, the same for all emotions.
        sentences = [others[(7 * i + 4 + j) % len(others)] for j in range(4)]
        for j, emotion in enumerate(CORPORA["cremad"].emotions):
            levels = [level for k, level in enumerate(("LO", "MD", "HI")) if k != (i + j) % 3]
            takes = [(first, level) for level in (["XX"] if emotion == "NEU" else levels)]
            takes += [(sentence, "XX") for sentence in sentences]
            for sentence, level in takes:
                stem = f"{speaker}_{sentence}_{emotion}_{level}"
                text = _CREMAD_TEXTS[sentence]
                yield _clip("AudioWAV", stem, text, corpus="cremad", intensity=level)


def _plan_ravdess() -> Iterator[Clip]:
    for i, actor in enumerate(STUDIOS["ravdess"].voices):
        for emotion in CORPORA["ravdess"].emotions:
            # Intensity, statement and take: both statements, in the order that makes the real
            # stereo clip and the real twin be among them.
            odd = int(emotion) % 2
            takes = [("01", 1 + odd, 1 + i % 2), ("02", 2 - odd, 2 - i % 2)]
            if emotion == "01":
                takes = [("01", 1 + i // 2 % 2, 1 + i % 2)]
            for intensity, statement, take in takes:
                stem = f"03-01-{emotion}-{intensity}-{statement:02}-{take:02}-{actor}"
                text = _RAVDESS_TEXTS[f"{statement:02}"]
                yield _clip(f"Actor_{actor}", stem, text, corpus="ravdess", intensity=intensity)


def _plan_tess() -> Iterator[Clip]:
    for speaker, folders in _TESS_FOLDERS.items():
        codes = ("angry", "disgust", "fear", "happy", "neutral", "ps", "sad")
        for folder, code in zip(folders, codes, strict=True):
            for word in _TESS_WORDS:
                stem = f"{speaker}_{word}_{code}".replace("OAF_bite_neutral", "OA_bite_neutral")
                place = f"TESS Toronto emotional speech set data/{speaker}_{folder}"
                yield _clip(place, stem, f"Say the word {word}", corpus="tess")


def _plan_savee() -> Iterator[Clip]:
    for speaker in STUDIOS["savee"].voices:
        for code, texts in _SAVEE_TEXTS.items():
            for number, text in enumerate(texts, start=1):
                yield _clip("ALL", f"{speaker}_{code}{number:02}", text, corpus="savee")


def _all_copies(clips: Sequence[Clip]) -> dict[str, str]:
    """Return every copy and its original: the awkward ones and one actor's second copies."""
    second = {
        clip.path.replace(_TWICE, _SECOND_COPIES): clip.path
        for clip in clips
        if clip.path.startswith(_TWICE)
    }
    return {**COPIES, **second}


def _random(seed: int, name: str) -> np.random.Generator:
    """Return a generator that depends on the seed and a name, not on what was drawn before."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def draw_prosody(clip: Clip, *, seed: int = 0) -> Prosody:
    """Draw how a clip is spoken: its rule, the speaker's habit and the clip's own deviation.

    Parameters
    ----------
    clip : Clip
        The clip to speak.
    seed : int
        Seed of all demo corpora.

    Returns
    -------
    Prosody
        Difference from the speaker's neutral voice.
    """
    rule, spread = np.array(astuple(RULES[clip.emotion])), np.array(astuple(SPREAD))
    habit = _random(seed, f"{clip.corpus}/{clip.speaker}/{clip.emotion}").standard_normal(5)
    own = _random(seed, f"{clip.path} prosody").standard_normal(5)
    values = clip.strength * rule + spread * (HABIT * habit + own)
    return Prosody(**dict(zip(Prosody.__dataclass_fields__, values.tolist(), strict=True)))


def _utterance(clip: Clip, prosody: Prosody) -> dict[str, object]:
    """Translate a clip into espeak-ng's parameters."""
    studio = STUDIOS[clip.corpus]
    voice = studio.voices[clip.speaker]
    rate = studio.words_per_minute * 2 ** (voice.rate + prosody.rate)
    # Measured on its voices: one unit of pitch is about 1 / 5.3 semitones.
    pitch = 50 + 5.3 * (voice.pitch + prosody.pitch)
    return {
        "text": clip.text + ".",
        "voice": f"{studio.language}+{voice.variant}",
        "rate": int(np.clip(rate, 80, 400)),
        "pitch": int(np.clip(pitch, 0, 99)),
        "range": int(np.clip(50 * 2**prosody.span, 5, 99)),
        # Half the usual volume, because some variants clip at it; the level is set afterwards.
        "volume": 50,
    }


def speak_all(utterances: Sequence[Mapping[str, object]], *, seed: int = 0) -> list[np.ndarray]:
    """Speak sentences with espeak-ng in a process of its own.

    Parameters
    ----------
    utterances : sequence of mappings
        Arguments of `sercore.demo.speak.Speaker.say`.
    seed : int
        Seed of espeak-ng's noise.

    Returns
    -------
    list of np.ndarray
        One array of shape (n_samples,), int16, at `sercore.demo.speak.SAMPLE_RATE` per sentence.

    Raises
    ------
    DemoError
        If espeak-ng cannot be loaded, lacks a voice, or ends early.
    """
    package_root = str(Path(speak.__file__).parents[2])
    python_path = os.pathsep.join(filter(None, (package_root, os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryDirectory(prefix="sercore-") as folder:
        path = Path(folder) / "speech.npz"
        # -P: a file in the notebook's folder must not stand in for one of the library's modules.
        done = subprocess.run(
            [sys.executable, "-P", "-m", "sercore.demo.speak", str(path)],
            input=json.dumps({"seed": seed, "utterances": list(utterances)}),
            capture_output=True,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": python_path},
        )
        if done.returncode != 0:
            said = done.stderr.strip() or f"the process ended with code {done.returncode}"
            raise DemoError(
                f"No demo speech: {said}. Install the synthesiser with "
                "'pip install espeakng-loader', or set SER_DATA to a folder with the real corpora."
            )
        with np.load(path) as spoken:
            samples, ends = spoken["samples"], np.cumsum(spoken["lengths"])
    return np.split(samples, ends[:-1])


def _tilt(samples: np.ndarray, db_per_octave: float, sample_rate: int, low: float) -> np.ndarray:
    """Tilt a spectrum about 1 kHz, flat below `low` Hz and above 8 kHz."""
    n_fft = -(-len(samples) // 4096) * 4096  # a length without large factors is much faster
    frequencies = np.clip(np.fft.rfftfreq(n_fft, 1 / sample_rate), low, 8000)
    gains = 10 ** (db_per_octave * np.log2(frequencies.astype(np.float32) / 1000) / 20)
    return np.fft.irfft(np.fft.rfft(samples, n_fft) * gains, n_fft)[: len(samples)]


def _at_level(samples: np.ndarray, db: float) -> np.ndarray:
    """Scale samples to a root mean square of `db` relative to full scale."""
    return samples * (10 ** (db / 20) / np.sqrt(np.mean(samples**2)))


def render(clip: Clip, spoken: np.ndarray, *, prosody: Prosody, seed: int = 0) -> np.ndarray:
    """Turn what espeak-ng said into a clip as its corpus would have recorded it.

    Parameters
    ----------
    clip : Clip
        The clip to make.
    spoken : np.ndarray
        Shape (n_samples,), int16, at `sercore.demo.speak.SAMPLE_RATE`.
    prosody : Prosody
        Whose level and tilt are still to be applied.
    seed : int
        Seed of the silences and the noise.

    Returns
    -------
    np.ndarray
        Shape (n_samples,), or (n_samples, 2) for `STEREO`; int16, at the rate of `native_rate`.
    """
    studio, sample_rate = STUDIOS[clip.corpus], native_rate(clip)
    rng = _random(seed, f"{clip.path} recording")
    audible = np.flatnonzero(np.abs(spoken.astype(np.int32)) > 0.01 * np.abs(spoken).max())
    speech = spoken[audible[0] : audible[-1] + 1].astype(np.float32)
    fade = np.minimum(1, np.arange(len(speech), dtype=np.float32) / 100)
    speech = soxr.resample(speech * fade * fade[::-1], speak.SAMPLE_RATE, sample_rate)
    speech = _tilt(speech, prosody.tilt, sample_rate, low=150)
    level = studio.level + studio.voices[clip.speaker].level + prosody.level
    lead, trail = (round(rng.uniform(*span) * sample_rate) for span in (studio.lead, studio.trail))
    noise = rng.standard_normal(lead + len(speech) + trail, dtype=np.float32)
    recording = _at_level(_tilt(noise, studio.slope, sample_rate, low=40), studio.noise)
    recording[lead : lead + len(speech)] += _at_level(speech, level)
    if clip.path == SILENT:
        recording[:] = 0
    if clip.path == STEREO:
        # Not quite equal channels, as from two microphones, so that taking one is a choice.
        recording = np.stack([recording, 0.8 * recording], axis=1)
    # An angry voice may overload; we turn it down where the real recordings clip.
    recording *= min(1.0, 0.97 / max(np.abs(recording).max(), 1e-9))
    return np.round(recording * 32767).astype(np.int16)


def native_rate(clip: Clip) -> int:
    """Return the sample rate in Hz at which a clip is stored."""
    return 96_000 if clip.path == ODD_RATE else STUDIOS[clip.corpus].sample_rate


def is_demo(root: str | os.PathLike[str]) -> bool:
    """Return whether a folder is marked as holding demo corpora."""
    return (Path(root) / MARKER).is_file()


def _marker_head(seed: int) -> str:
    return (
        "SYNTHETIC SPEECH: nobody speaks in these clips.\n\n"
        "They were computed by sercore.demo with the speech synthesiser espeak-ng, which is free\n"
        "software under the GNU General Public License 3 or later\n"
        "(https://github.com/espeak-ng/espeak-ng). Its voices were changed by rules of thumb for\n"
        "each emotion. Folders and file names follow CREMA-D, RAVDESS, TESS and SAVEE; no\n"
        "recording of theirs is among them. A result obtained here shows that a program runs. It\n"
        "says nothing about people, about emotions, or about the real corpora.\n\n"
        "A few clips are awkward on purpose: one is silent, one stereo, one at 96 kHz, one stands\n"
        "under two labels, one under two names, and one actor's clips lie in two folders.\n\n"
        f"recipe: {RECIPE}\nseed: {seed}\n\nFiles:\n"
    )


def _marker_text(seed: int, files: Sequence[str]) -> str:
    return _marker_head(seed) + "".join(f"{path}\n" for path in sorted(files))


def _is_complete(root: Path, marker: str, files: Sequence[str]) -> bool:
    return (
        is_demo(root)
        and (root / MARKER).read_text(encoding="utf-8", errors="replace") == marker
        and all((root / path).is_file() and (root / path).stat().st_size > 0 for path in files)
    )


def _refuse_foreign(root: Path) -> None:
    """Raise unless everything in `root` is known to have been made by this module."""
    if not root.exists():
        return
    advice = "Choose another folder for the demo corpora, or move it away; nothing was changed."
    if not root.is_dir():
        raise DemoError(f"{root} is a file. {advice}")
    known = {MARKER}
    if is_demo(root):
        text = (root / MARKER).read_text(encoding="utf-8", errors="replace")
        known.update(text.partition("\nFiles:\n")[2].splitlines())
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        # Files that desktops leave behind are nobody's work.
        if path.name in {".DS_Store", "Thumbs.db", "desktop.ini"}:
            continue
        if path.is_dir() and not path.is_symlink():
            continue
        if name not in known:
            raise DemoError(f"{root} holds {name}, which is not a demo clip. {advice}")


def _fill(folder: Path, clips: Sequence[Clip], copies: Mapping[str, str], seed: int) -> None:
    """Speak, render and write all clips below `folder`."""
    prosodies = [draw_prosody(clip, seed=seed) for clip in clips]
    utterances = [_utterance(*pair) for pair in zip(clips, prosodies, strict=True)]
    spoken = speak_all(utterances, seed=seed)
    for clip, prosody, samples in zip(clips, prosodies, spoken, strict=True):
        path = folder / clip.path
        path.parent.mkdir(parents=True, exist_ok=True)
        recording = render(clip, samples, prosody=prosody, seed=seed)
        # By way of memory, because soundfile waits for the disk after each file it writes.
        buffer = io.BytesIO()
        sf.write(buffer, recording, native_rate(clip), subtype="PCM_16", format="WAV")
        path.write_bytes(buffer.getbuffer())
    for copy, original in copies.items():
        (folder / copy).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / original, folder / copy)


def make_demo_corpora(root: str | os.PathLike[str], *, seed: int = 0) -> Path:
    """Fabricate the four corpora as synthetic speech (chapter 1).

    The work happens in a folder beside `root` that takes its name only when all is done, under a
    lock, so neither a crash nor a second process leaves half a set. A set of another recipe or
    seed is replaced.

    Parameters
    ----------
    root : path
        Folder to make. It ends with one folder per corpus, laid out as Kaggle's archives are,
        and the file `MARKER`.
    seed : int
        Seed of everything random, at least 0. The same seed gives the same bytes on one machine.

    Returns
    -------
    Path
        The absolute path of `root`.

    Raises
    ------
    ValueError
        If `seed` is negative.
    DemoError
        If `root` holds anything that this function did not make, or speech cannot be made.
    """
    if seed < 0:
        raise ValueError(f"seed must be at least 0, not {seed}")
    root = Path(root).expanduser().resolve()
    clips = plan()
    copies = _all_copies(clips)
    files = [*(clip.path for clip in clips), *copies]
    marker = _marker_text(seed, files)
    # Before the lock too: a finished set may lie where we cannot write, and beside a folder that
    # is not ours we leave nothing, not even a lock.
    _refuse_foreign(root)
    if _is_complete(root, marker, files):
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(root.with_name(f".{root.name}.lock")):
        _refuse_foreign(root)
        if _is_complete(root, marker, files):  # another process made it while we waited
            return root
        # Fixed names: what a crash left behind is found and cleared by the next run.
        fresh, stale = (root.with_name(f".{root.name}.sercore-{end}") for end in ("new", "old"))
        for leftover in (fresh, stale):
            if leftover.exists():
                shutil.rmtree(leftover)
        _fill(fresh, clips, copies, seed)
        (fresh / MARKER).write_text(marker, encoding="utf-8", newline="\n")
        if root.exists():
            root.rename(stale)
        fresh.rename(root)
        if stale.exists():
            shutil.rmtree(stale)
    return root
