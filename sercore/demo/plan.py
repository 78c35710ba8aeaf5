"""Which demo clips there are, who speaks them, and how each emotion sounds (chapter 1).

Voices, sentences, recording conditions and rules stand in `sercore/data/demo.toml`, with the
reviews that the rules follow. An emotion changes the speaker's neutral voice (`RULES`). A spread
for each speaker and each clip (`SPREAD`) is added, so that the classes overlap.
"""

from __future__ import annotations

import tomllib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from importlib import resources

import numpy as np

from sercore.corpora import CORPORA, parse


@dataclass(frozen=True, kw_only=True)
class Prosody:
    """How a voice differs from its speaker's neutral one."""

    pitch: float = 0.0
    """Semitones added to the mean pitch."""
    span: float = 0.0
    """Octaves by which the pitch range is stretched: 1.0 doubles it, -1.0 halves it."""
    rate: float = 0.0
    """Octaves by which the speaking rate is raised: 0.25 is a fifth faster."""
    level: float = 0.0
    """Decibels added to the level."""
    tilt: float = 0.0
    """Decibels per octave by which the spectrum is tilted towards the high frequencies."""


@dataclass(frozen=True, kw_only=True)
class Voice:
    """One synthetic speaker: an espeak-ng variant and how it is used."""

    variant: str
    """File name in `espeak-ng-data/voices/!v`."""
    pitch: float = 0.0
    """Semitones added to the variant's own pitch; older women speak lower (chapter 1)."""
    rate: float = 0.0
    """Octaves of speaking rate, negative for the older speakers."""
    level: float = 0.0
    """Decibels added to the corpus's level."""


@dataclass(frozen=True, kw_only=True)
class Studio:
    """The recording conditions of one corpus."""

    sample_rate: int
    """Native rate in Hz."""
    language: str
    words_per_minute: int
    level: float
    """Level of neutral speech without its silences, in dB below full scale."""
    noise: float
    """Level of the background noise, in dB below full scale."""
    slope: float
    """Slope of the noise spectrum in dB per octave; 0 is white."""
    lead: Sequence[float]
    """Shortest and longest silence before the speech, in seconds; `trail` is after it."""
    trail: Sequence[float]
    voices: Mapping[str, Voice]
    """From the corpus's speaker code to the voice."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One clip to make: who says what, and how."""

    path: str
    """Where it goes below the root, with forward slashes."""
    corpus: str
    speaker: str
    emotion: str
    strength: float
    """Factor on the emotion's rule."""
    text: str


_DATA = tomllib.loads(resources.files("sercore").joinpath("data/demo.toml").read_text("utf-8"))
_TEXTS, _AWKWARD = _DATA["texts"], _DATA["awkward"]

RULES = {emotion: Prosody(**rule) for emotion, rule in _DATA["rules"].items()}
"""What each emotion does to the voice: the centre of its class."""
SPREAD = Prosody(**_DATA["spread"])
"""Standard deviation of each value from clip to clip."""
HABIT: float = _DATA["habit"]
"""How much each speaker differs from the others with each emotion, in units of `SPREAD`."""
STRENGTHS: Mapping[str, float] = _DATA["strengths"]
"""Factor on the rule for the intensities that CREMA-D and RAVDESS ask of their actors."""
STUDIOS = {
    name: Studio(**studio | {"voices": {c: Voice(**v) for c, v in studio["voices"].items()}})
    for name, studio in _DATA["studios"].items()
}
"""How each corpus was recorded, and by whom: about eight voices where the real one has many."""
SILENT, STEREO, ODD_RATE = (_AWKWARD[kind] for kind in ("silent", "stereo", "odd_rate"))
"""The clip without sound, one with two channels, one at 96 kHz: as some of the real ones are."""
COPIES: Mapping[str, str] = _AWKWARD["copies"]
"""Clips that hold the bytes of another, as in the real corpora: copy to original."""
NOTICE: str = _DATA["notice"]
"""The beginning of the file that marks a folder of demo corpora."""


def plan() -> list[Clip]:
    """Return the clips to be spoken, always in the same order; copies are not among them.

    They are balanced as the real corpora are: CREMA-D has no surprise and somewhat less neutral,
    RAVDESS half as many neutral clips, TESS equal classes, SAVEE twice as many neutral ones.
    """
    clips = [*_plan_cremad(), *_plan_ravdess(), *_plan_tess(), *_plan_savee()]
    return [clip for clip in clips if clip.path not in COPIES]


def _clip(folder: str, stem: str, text: str, *, intensity: str = "") -> Clip:
    """Describe a clip whose corpus, speaker and emotion can be read from its name."""
    labels = parse(f"{stem}.wav")
    return Clip(
        path=f"{labels.corpus}/{folder}/{stem}.wav",
        corpus=labels.corpus,
        speaker=labels.speaker.removeprefix(f"{labels.corpus}_"),
        emotion=labels.emotion,
        strength=STRENGTHS.get(intensity, 1.0),
        text=text,
    )


def _plan_cremad() -> Iterator[Clip]:
    texts = _TEXTS["cremad"]
    first, *others = texts
    for i, speaker in enumerate(STUDIOS["cremad"].voices):
        # Four sentences that move on with the speaker and are the same for all emotions.
        sentences = [(others[(7 * i + 4 + j) % len(others)], "XX") for j in range(4)]
        for j, emotion in enumerate(CORPORA["cremad"].emotions):
            levels = [level for k, level in enumerate(("LO", "MD", "HI")) if k != (i + j) % 3]
            takes = [(first, level) for level in (["XX"] if emotion == "NEU" else levels)]
            for sentence, level in takes + sentences:
                stem = f"{speaker}_{sentence}_{emotion}_{level}"
                yield _clip("AudioWAV", stem, texts[sentence], intensity=level)


def _plan_ravdess() -> Iterator[Clip]:
    for i, actor in enumerate(STUDIOS["ravdess"].voices):
        for emotion in CORPORA["ravdess"].emotions:
            # Intensity, statement and take: both statements, in such an order that the real
            # stereo clip and the real twin are among them.
            odd = int(emotion) % 2
            takes = [("01", 1 + odd, 1 + i % 2), ("02", 2 - odd, 2 - i % 2)]
            if emotion == "01":
                takes = [("01", 1 + i // 2 % 2, 1 + i % 2)]
            for intensity, statement, take in takes:
                stem = f"03-01-{emotion}-{intensity}-{statement:02}-{take:02}-{actor}"
                text = _TEXTS["ravdess"][f"{statement:02}"]
                yield _clip(f"Actor_{actor}", stem, text, intensity=intensity)


def _plan_tess() -> Iterator[Clip]:
    for speaker, folders in _TEXTS["tess"]["folders"].items():
        for code, folder in folders.items():
            for word in _TEXTS["tess"]["words"]:
                # The makers misspelt this one name.
                stem = f"{speaker}_{word}_{code}".replace("OAF_bite_neutral", "OA_bite_neutral")
                place = f"TESS Toronto emotional speech set data/{speaker}_{folder}"
                yield _clip(place, stem, f"Say the word {word}")


def _plan_savee() -> Iterator[Clip]:
    common, own = _TEXTS["savee"]["common"], _TEXTS["savee"]["own"]
    for speaker in STUDIOS["savee"].voices:
        for code, texts in own.items():
            for number, text in enumerate([common, *texts], start=1):
                yield _clip("ALL", f"{speaker}_{code}{number:02}", text)


def random_for(name: str, *, seed: int) -> np.random.Generator:
    """Return a generator that depends on the seed and a name, not on what was drawn before."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def draw_prosody(clip: Clip, *, seed: int = 0) -> Prosody:
    """Draw how a clip is spoken: its rule, the speaker's habit and the clip's own deviation."""
    rule, spread = np.array(astuple(RULES[clip.emotion])), np.array(astuple(SPREAD))
    speaker = f"{clip.corpus}/{clip.speaker}/{clip.emotion}"
    habit = random_for(speaker, seed=seed).standard_normal(5)
    own = random_for(f"{clip.path} prosody", seed=seed).standard_normal(5)
    values = clip.strength * rule + spread * (HABIT * habit + own)
    return Prosody(**dict(zip((f.name for f in fields(Prosody)), values.tolist(), strict=True)))


def utterance(clip: Clip, prosody: Prosody) -> dict[str, object]:
    """Translate a clip into what `demo.speak` takes: text, voice and espeak-ng's parameters."""
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
