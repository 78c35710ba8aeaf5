"""Speak a list of sentences with espeak-ng, in a process of its own (chapter 1).

`speak_all` starts this module with `python -m sercore.demo.speak FILE.npz`, writes a JSON object to
its standard input, and reads the samples from the file. The library is loaded in that process only,
because it keeps global state, is not thread-safe and seeds its noise from the clock. A fresh
process, seeded once, that speaks a fixed list in a fixed order says the same samples at each run.
The order matters even with a seed, because a sentence leaves some state to the next.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sercore.config import SercoreError

SAMPLE_RATE = 22_050
"""Rate in Hz at which espeak-ng speaks."""

# From espeak-ng's speak_lib.h.
_SYNCHRONOUS, _DONT_EXIT, _UTF8 = 2, 0x8000, 1
_PARAMETERS = {"rate": 1, "volume": 2, "pitch": 3, "range": 4}
_SAMPLES = ctypes.POINTER(ctypes.c_short)
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, _SAMPLES, ctypes.c_int, ctypes.c_void_p)


class DemoError(SercoreError, RuntimeError):
    """Demo corpora cannot be made; the message says what to do about it."""


def speak_all(utterances: Sequence[Mapping[str, object]], *, seed: int = 0) -> list[np.ndarray]:
    """Speak sentences; return for each an array of shape (n_samples,), int16, at `SAMPLE_RATE`.

    An utterance has a `text`, a `voice` (espeak-ng's language and variant, such as `"en-us+f3"`)
    and, if wanted, `rate` in words per minute (80 to 450), `volume` (0 to 200), `pitch` and `range`
    (0 to 99, 50 is the voice's own). The seed is that of espeak-ng's breath and flutter.
    `DemoError` if espeak-ng cannot be loaded, lacks a voice, or ends early.
    """
    package_root = str(Path(__file__).parents[2])
    python_path = os.pathsep.join(filter(None, (package_root, os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryDirectory(prefix="sercore-") as folder:
        path = Path(folder) / "speech.npz"
        # -P: a file in the notebook's folder must not stand in for one of the library's modules.
        done = subprocess.run(
            [sys.executable, "-P", "-m", "sercore.demo.speak", str(path)],
            input=json.dumps({"seed": seed, "utterances": list(utterances)}),
            capture_output=True,
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


class Speaker:
    """espeak-ng, loaded and seeded, in the process that speaks."""

    def __init__(self, seed: int) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            raise DemoError(f"the package espeakng-loader is not installed ({error})") from error
        library = Path(espeakng_loader.get_library_path())
        try:
            self._library = ctypes.CDLL(str(library))
        except OSError as error:
            raise DemoError(f"the library {library} cannot be loaded ({error})") from error
        self._data = Path(espeakng_loader.get_data_path())
        # espeak-ng keeps its data path in 160 bytes, which a deep virtual environment exceeds;
        # seen from the folder itself the path is one dot long.
        os.chdir(self._data.parent)
        rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, b".", _DONT_EXIT)
        if rate != SAMPLE_RATE:
            raise DemoError(f"espeak-ng answered {rate} when started with the data in {self._data}")
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        self._chunks: list[bytes] = []
        # The library keeps a bare pointer: the callback must live as long as the object does.
        self._callback = _CALLBACK(self._receive)
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples: Any, n_samples: int, _events: Any) -> int:
        if samples and n_samples > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * n_samples))
        return 0

    def say(self, text: str, *, voice: str, **parameters: int) -> np.ndarray:
        """Speak one sentence; return shape (n_samples,), int16, at `SAMPLE_RATE`."""
        self._check_voice(voice)
        self._require_ok(self._library.espeak_SetVoiceByName(voice.encode()), voice)
        for name, value in parameters.items():
            status = self._library.espeak_SetParameter(_PARAMETERS[name], value, 0)
            self._require_ok(status, f"{name}={value}")
        self._chunks.clear()
        encoded = text.encode() + b"\0"
        status = self._library.espeak_Synth(encoded, len(encoded), 0, 1, 0, _UTF8, None, None)
        self._require_ok(status, text)
        samples = np.frombuffer(b"".join(self._chunks), np.int16)
        if not samples.any():
            raise DemoError(f"espeak-ng spoke nothing for {text!r} as {voice}")
        return samples

    def _check_voice(self, voice: str) -> None:
        """Refuse an unknown voice: espeak-ng itself takes another one and reports success."""
        known = {
            "language": {path.name.lower() for path in (self._data / "lang" / "gmw").glob("en*")},
            "variant": {path.name for path in (self._data / "voices" / "!v").iterdir()},
        }
        for (what, names), name in zip(known.items(), voice.partition("+")[::2], strict=True):
            if name not in names:
                raise DemoError(
                    f"espeak-ng has no {what} {name!r} for the voice {voice!r}, "
                    f"expected one of {', '.join(sorted(names))}"
                )

    @staticmethod
    def _require_ok(status: int, what: str) -> None:
        if status != 0:
            raise DemoError(f"espeak-ng answered {status} to {what!r}")


if __name__ == "__main__":
    target, request = Path(sys.argv[1]).absolute(), json.load(sys.stdin)
    try:
        speaker = Speaker(request["seed"])
        said = [speaker.say(**utterance) for utterance in request["utterances"]]
    except DemoError as error:
        sys.exit(str(error))
    np.savez(target, samples=np.concatenate(said), lengths=[len(samples) for samples in said])
