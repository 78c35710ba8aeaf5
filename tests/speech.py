"""Small corpora made on the spot, for tests that need files on disk."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from hypothesis import settings

from sercore.config import AudioConfig

SIZES = {"sample_rate": 8_000, "seconds": 1.0, "n_fft": 256, "hop_length": 256}
TINY = AudioConfig(**SIZES, n_mels=16, n_mfcc=16, mel_ref=1.0, dtype="float32")

PATIENT = settings(deadline=None, max_examples=50)  # a busy machine is no bug


def tone(frequency: float, *, rate: int = 8_000, seconds: float = 1.0, level: float = 0.3):
    """Return a sine wave."""
    return level * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)


def write_clip(path: Path, samples: np.ndarray, *, rate: int = 8_000, subtype: str = "PCM_16"):
    """Write a WAV file, its folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def tiny_corpus(root: Path, *, clips: int = 42) -> Path:
    """Write SAVEE-like clips: each emotion a tone of its own, each clip a little different."""
    for i in range(clips):
        code, number = ("a", "d", "f", "h", "n", "sa", "su")[i % 7], i // 7 + 1
        samples = tone(200 + 450 * (i % 7) + 7 * number, seconds=0.6 + 0.05 * number)
        speaker = ("DC", "JE", "JK", "KL")[number % 4]
        write_clip(root / "savee" / "ALL" / f"{speaker}_{code}{number:02}.wav", samples)
    return root


def damage_unseen(clip: Path) -> None:
    """Silence the end of a clip, which keeps its size and time."""
    stamp = clip.stat().st_mtime_ns
    clip.write_bytes(clip.read_bytes()[:-99] + bytes(99))
    os.utime(clip, ns=(stamp, stamp))


def refuse_to_open(monkeypatch, *paths: Path):
    """Let folders be shut, not by permissions, which mean nothing to root; return what refuses."""
    scandir = os.scandir

    def refuse(path) -> None:
        if Path(path) in paths:
            raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", lambda path: refuse(path) or scandir(path))
    return refuse


def predictions(truth: str, predicted: str) -> pd.DataFrame:
    """Return a table of predictions from letters: a anger, d disgust, f fear, h happiness, …"""
    names = {name[0]: name for name in ("anger", "disgust", "fear", "happiness", "neutral")}
    columns = {"emotion": truth, "predicted": predicted}
    table = pd.DataFrame({key: [names[x] for x in letters] for key, letters in columns.items()})
    return table.assign(path=[f"savee/{i}.wav" for i in range(len(truth))], corpus="savee")
