"""Speak a list of sentences with espeak-ng, in a process of its own (chapter 1).

`demo` starts this module with `python -m sercore.demo.speak FILE.npz` and writes a JSON object to its
standard input; the module writes the spoken samples to the file. The library is loaded here and
nowhere else, because it keeps global state, is not thread-safe and seeds its noise from the clock:
a fresh process, seeded once, that speaks a fixed list in a fixed order says the same samples at
each run. The order matters even with a seed, since a sentence leaves some state to the next.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path

import numpy as np

SAMPLE_RATE = 22_050
"""Rate in Hz at which espeak-ng speaks."""

# From espeak-ng's speak_lib.h.
_SYNCHRONOUS, _DONT_EXIT, _UTF8 = 2, 0x8000, 1
_PARAMETERS = {"rate": 1, "volume": 2, "pitch": 3, "range": 4}

_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class SpeakError(RuntimeError):
    """espeak-ng cannot be loaded, lacks a voice, or will not speak."""


def list_voices(data: Path) -> tuple[set[str], set[str]]:
    """Return the languages and the variants that an `espeak-ng-data` folder holds.

    Parameters
    ----------
    data : Path
        The folder, as `espeakng_loader.get_data_path` names it.

    Returns
    -------
    tuple[set[str], set[str]]
        File names of the English languages, in lower case (`"en-us"`), and of the variants
        (`"f3"`), whose case counts.
    """
    languages = {path.name.lower() for path in (data / "lang" / "gmw").glob("en*")}
    variants = {path.name for path in (data / "voices" / "!v").iterdir()}
    return languages, variants


def check_voice(voice: str, data: Path) -> None:
    """Refuse a voice that is not among the files, which espeak-ng itself need not do.

    It takes an unknown variant for none at all and reports success.

    Parameters
    ----------
    voice : str
        Language and variant, such as `"en-us+f3"`.
    data : Path
        The `espeak-ng-data` folder.

    Raises
    ------
    SpeakError
        If there is no such language or variant; the message lists those there are.
    """
    languages, variants = list_voices(data)
    language, _, variant = voice.partition("+")
    for what, name, known in (("language", language, languages), ("variant", variant, variants)):
        if name not in known:
            raise SpeakError(
                f"espeak-ng has no {what} {name!r} for the voice {voice!r}, "
                f"expected one of {', '.join(sorted(known))}"
            )


class Speaker:
    """espeak-ng, loaded and seeded.

    Parameters
    ----------
    seed : int
        Seed of espeak-ng's noise and flutter.

    Attributes
    ----------
    data : Path
        The `espeak-ng-data` folder.

    Raises
    ------
    SpeakError
        If the package, its library or its data cannot be loaded.
    """

    def __init__(self, seed: int) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            raise SpeakError(f"the package espeakng-loader is not installed ({error})") from error
        library = Path(espeakng_loader.get_library_path())
        try:
            self._library = ctypes.CDLL(str(library))
        except OSError as error:
            raise SpeakError(f"the library {library} cannot be loaded ({error})") from error
        self.data = Path(espeakng_loader.get_data_path())
        # espeak-ng keeps its data path in 160 bytes, which a deep virtual environment exceeds;
        # seen from the folder itself the path is one dot long.
        os.chdir(self.data.parent)
        rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, b".", _DONT_EXIT)
        if rate != SAMPLE_RATE:
            raise SpeakError(f"espeak-ng answered {rate} when started with the data in {self.data}")
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        self._chunks: list[bytes] = []
        # The library keeps a bare pointer: the callback must live as long as the object does.
        self._callback = _CALLBACK(self._receive)
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples, n_samples: int, _events) -> int:
        if samples and n_samples > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * n_samples))
        return 0

    def say(self, text: str, *, voice: str, **parameters: int) -> np.ndarray:
        """Speak one sentence.

        Parameters
        ----------
        text : str
            What to say.
        voice : str
            Language and variant, such as `"en-us+f3"`.
        **parameters : int
            `rate` in words per minute, 80 to 450; `volume`, 0 to 200; `pitch` and `range`, 0 to 99
            with 50 for the voice's own.

        Returns
        -------
        np.ndarray
            Shape (n_samples,), int16, at `SAMPLE_RATE`.

        Raises
        ------
        SpeakError
            If the voice is unknown or nothing was spoken.
        """
        check_voice(voice, self.data)
        self._require_ok(self._library.espeak_SetVoiceByName(voice.encode()), voice)
        for name, value in parameters.items():
            self._require_ok(
                self._library.espeak_SetParameter(_PARAMETERS[name], value, 0), f"{name}={value}"
            )
        self._chunks.clear()
        encoded = text.encode() + b"\0"
        status = self._library.espeak_Synth(encoded, len(encoded), 0, 1, 0, _UTF8, None, None)
        self._require_ok(status, text)
        samples = np.frombuffer(b"".join(self._chunks), np.int16)
        if not samples.any():
            raise SpeakError(f"espeak-ng spoke nothing for {text!r} as {voice}")
        return samples

    @staticmethod
    def _require_ok(status: int, what: str) -> None:
        if status != 0:
            raise SpeakError(f"espeak-ng answered {status} to {what!r}")


def main(path: str) -> None:
    """Speak the request on standard input into an `.npz` of `samples` and `lengths`."""
    path = Path(path).absolute()
    request = json.load(sys.stdin)
    speaker = Speaker(request["seed"])
    spoken = [speaker.say(**utterance) for utterance in request["utterances"]]
    np.savez(path, samples=np.concatenate(spoken), lengths=[len(x) for x in spoken])


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except SpeakError as error:
        sys.exit(str(error))
