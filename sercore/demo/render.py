"""Make the demo corpora: synthetic speech in the four real grammars and folder layouts (chapter 1).

Nobody speaks in these clips, and nothing measured on them says anything about people. They stand in
for the real corpora where those are not at hand, so that every later step runs in the same way.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import filelock
import numpy as np
import soundfile
import soxr

from sercore.demo import plan as planned
from sercore.demo.plan import STUDIOS, Clip, Prosody
from sercore.demo.speak import SAMPLE_RATE, DemoError, speak_all
from sercore.store.files import write_whole

MARKER = "SYNTHETIC.txt"
"""File in the root that says the folder holds demo corpora, how they were made, and which files."""

RECIPE = 1
"""Version of the clips: raise it whenever a change here changes their bytes."""


def is_demo(root: str | os.PathLike[str]) -> bool:
    """Return whether a folder is marked as holding demo corpora."""
    return (Path(root) / MARKER).is_file()


def native_rate(clip: Clip) -> int:
    """Return the sample rate in Hz at which a clip is stored."""
    return 96_000 if clip.path == planned.ODD_RATE else STUDIOS[clip.corpus].sample_rate


def render(clip: Clip, spoken: np.ndarray, *, prosody: Prosody, seed: int = 0) -> np.ndarray:
    """Turn what espeak-ng said into a clip as its corpus would have recorded it.

    `spoken` has shape (n_samples,), int16, at `demo.speak.SAMPLE_RATE`; the level and the tilt of
    `prosody` are still to be applied. The result has shape (n_samples,), or (n_samples, 2) for
    `STEREO`; int16, at the rate of `native_rate`. The seed is that of the silences and the noise.
    """
    studio, sample_rate = STUDIOS[clip.corpus], native_rate(clip)
    rng = planned.random_for(f"{clip.path} recording", seed=seed)
    audible = np.flatnonzero(np.abs(spoken.astype(np.int32)) > 0.01 * np.abs(spoken).max())
    speech = spoken[audible[0] : audible[-1] + 1].astype(np.float32)
    fade = np.minimum(1, np.arange(len(speech), dtype=np.float32) / 100)
    speech = soxr.resample(speech * fade * fade[::-1], SAMPLE_RATE, sample_rate)
    speech = _tilt(speech, prosody.tilt, sample_rate, low=150)
    level = studio.level + studio.voices[clip.speaker].level + prosody.level
    pauses = (studio.lead, studio.trail)
    lead, trail = (round(rng.uniform(low, high) * sample_rate) for low, high in pauses)
    noise = rng.standard_normal(lead + len(speech) + trail, dtype=np.float32)
    recording = _at_level(_tilt(noise, studio.slope, sample_rate, low=40), studio.noise)
    recording[lead : lead + len(speech)] += _at_level(speech, level)
    if clip.path == planned.SILENT:
        recording[:] = 0
    if clip.path == planned.STEREO:
        # Not quite equal channels, as from two microphones, so that taking one is a choice.
        recording = np.stack([recording, 0.8 * recording], axis=1)
    # An angry voice may overload; it is turned down where the real recordings clip.
    recording *= min(1.0, 0.97 / max(np.abs(recording).max(), 1e-9))
    return np.round(recording * 32767).astype(np.int16)


def _tilt(samples: np.ndarray, db_per_octave: float, sample_rate: int, low: float) -> np.ndarray:
    """Tilt a spectrum about 1 kHz, flat below `low` Hz and above 8 kHz."""
    n_fft = -(-len(samples) // 4096) * 4096  # a length without large factors is much faster
    frequencies = np.clip(np.fft.rfftfreq(n_fft, 1 / sample_rate), low, 8000)
    gains = 10 ** (db_per_octave * np.log2(frequencies.astype(np.float32) / 1000) / 20)
    return np.fft.irfft(np.fft.rfft(samples, n_fft) * gains, n_fft)[: len(samples)]


def _at_level(samples: np.ndarray, db: float) -> np.ndarray:
    """Scale samples to a root mean square of `db` relative to full scale."""
    return samples * (10 ** (db / 20) / np.sqrt(np.mean(samples**2)))


def example(emotion: str) -> tuple[np.ndarray, int]:
    """Say one sentence in an emotion, always by the same voice: demo speech for a player.

    Returns float32 of shape (n_samples,) and the sample rate, 16,000 Hz. `DemoError` for an
    emotion that the demo does not have.
    """
    first, rate = "ravdess/Actor_01/03-01-", 16_000
    clips = {clip.emotion: clip for clip in reversed(planned.plan()) if clip.path.startswith(first)}
    if emotion not in clips:
        raise DemoError(f"no demo speech for {emotion!r}; there is {', '.join(sorted(clips))}")
    clip = clips[emotion]
    prosody = planned.draw_prosody(clip)
    recording = render(clip, *speak_all([planned.utterance(clip, prosody)]), prosody=prosody)
    return soxr.resample(recording.astype(np.float32) / 32768, native_rate(clip), rate), rate


def make_demo_corpora(
    root: str | os.PathLike[str], *, seed: int = 0, clips: Sequence[Clip] | None = None
) -> Path:
    """Make the four corpora as synthetic speech; return the absolute path of `root`.

    It ends with one folder per corpus, laid out as Kaggle's archives are, and the file `MARKER`.
    The work happens in a folder beside `root` that takes its name only when all is done, under a
    lock, so that neither a crash nor a second process leaves half a set. A set of another recipe
    or seed is replaced. The same seed, at least 0, gives the same bytes on one machine. `clips` is
    what to make, all of `plan()` without it. `DemoError` if `root` holds anything that this
    function did not make, or speech cannot be made.
    """
    if seed < 0:
        raise DemoError(f"seed must be at least 0, not {seed}")
    root = Path(root).expanduser().resolve()
    clips = planned.plan() if clips is None else clips
    paths = [clip.path for clip in clips]
    copies = {copy: original for copy, original in planned.COPIES.items() if original in paths}
    # One actor's clips lie in two folders, as all of the real RAVDESS do.
    twice, second = "ravdess/Actor_01/", "ravdess/audio_speech_actors_01-24/Actor_01/"
    copies |= {path.replace(twice, second): path for path in paths if path.startswith(twice)}
    files = sorted([*paths, *copies])
    listed = "".join(f"{path}\n" for path in files)
    marker = f"{planned.NOTICE}recipe: {RECIPE}\nseed: {seed}\n\nFiles:\n{listed}"
    # Before the lock too: a finished set may lie where we cannot write, and beside a folder that
    # is not ours we leave nothing, not even a lock.
    if _is_complete(root, marker, files):
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(root.with_name(f".{root.name}.lock")):
        if _is_complete(root, marker, files):  # another process made it while we waited
            return root
        # A fixed name: what a crash left behind is found and cleared by the next run.
        work = root.with_name(f".{root.name}.sercore-work")
        if work.exists():
            shutil.rmtree(work)
        _fill(work / "new", clips, copies, seed)
        write_whole(work / "new" / MARKER, marker)
        if root.exists():
            root.rename(work / "old")
        (work / "new").rename(root)
        shutil.rmtree(work)
    return root


def _is_complete(root: Path, marker: str, files: Sequence[str]) -> bool:
    """Tell whether the set is there; refuse a folder with anything that was not made here."""
    if not root.exists():
        return False
    advice = "Choose another folder for the demo corpora, or move it away; nothing was changed."
    if not root.is_dir():
        raise DemoError(f"{root} is a file. {advice}")
    there = (root / MARKER).read_text("utf-8", errors="replace") if is_demo(root) else ""
    known = {MARKER, *there.partition("\nFiles:\n")[2].splitlines()}
    by_desktops = {".DS_Store", "Thumbs.db", "desktop.ini"}  # files that are nobody's work
    for path in sorted(root.rglob("*")):
        name, is_folder = path.relative_to(root).as_posix(), path.is_dir() and not path.is_symlink()
        if name not in known and path.name not in by_desktops and not is_folder:
            raise DemoError(f"{root} holds {name}, which is not a demo clip. {advice}")
    paths = [root / name for name in files]
    return there == marker and all(path.is_file() and path.stat().st_size for path in paths)


def _fill(folder: Path, clips: Sequence[Clip], copies: Mapping[str, str], seed: int) -> None:
    """Speak, render and write all clips below `folder`."""
    prosodies = [planned.draw_prosody(clip, seed=seed) for clip in clips]
    spoken = speak_all(list(map(planned.utterance, clips, prosodies)), seed=seed)
    for clip, prosody, samples in zip(clips, prosodies, spoken, strict=True):
        path = folder / clip.path
        path.parent.mkdir(parents=True, exist_ok=True)
        recording = render(clip, samples, prosody=prosody, seed=seed)
        # By way of memory, because soundfile waits for the disk after each file it writes.
        buffer = io.BytesIO()
        soundfile.write(buffer, recording, native_rate(clip), subtype="PCM_16", format="WAV")
        path.write_bytes(buffer.getbuffer())
    for copy, original in copies.items():
        (folder / copy).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / original, folder / copy)
