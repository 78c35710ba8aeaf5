"""Players for the chapters: what they play keeps its level, and says what it is (chapter 1)."""

from __future__ import annotations

import html
import io
import re
from typing import Any

import numpy as np
import soundfile
from IPython.display import Audio

from sercore.config import SercoreError

OWN = {"sercore": {"sound": "own"}}
"""Metadata of an output with a sound that the course computed itself, so that it may be kept."""

MOST_BYTES = 100_000
_MOST_HZ = 655_350  # FLAC's


class SoundError(SercoreError, ValueError):
    """A sound cannot be played as it is; the message says what to change."""


class Player(Audio):  # type: ignore[misc]  # IPython has no types
    """A player in a notebook, with a name that stays where the sound is taken out.

    `samples` are floats between -1 and 1, of shape (n_samples,), and are played at that level:
    unlike IPython's player, this one makes nothing louder. `rate` is in Hz. `own` says that nobody
    spoke: a tone, or demo speech. Such a sound is kept in the published chapters, so it must be
    short. Everything else is taken out there, because no recorded voice leaves the machine (chapter
    1). `SoundError` if there is no sample, a sample lies outside the range or is not a
    number, the rate or the name is none, or an own sound is too long.
    """

    def __init__(self, samples: np.ndarray, rate: int, *, name: str, own: bool = False) -> None:
        samples = np.asarray(samples)
        if not re.fullmatch(r".{1,200}", name):
            raise SoundError(f"a sound's name is one line of 1 to 200 characters, not {name!r}")
        if not isinstance(rate, int | float | np.number) or not 1 <= rate <= _MOST_HZ:
            raise SoundError(f"{name}: the rate is a number of Hz up to {_MOST_HZ:,}, not {rate!r}")
        if samples.ndim != 1 or not samples.size or samples.dtype.kind != "f":
            raise SoundError(
                f"{name}: a sound is a row of floats, not {samples.dtype} of shape "
                f"{samples.shape}; librosa.load gives such a row, and so does dividing 16-bit "
                "numbers by 32768"
            )
        peak = np.abs(samples).max()
        if not peak <= 1:  # not a number is not
            raise SoundError(f"{name} has a peak of {peak:.3g}; divide it, so that it is at most 1")
        file = io.BytesIO()
        samples = samples.astype(np.float64)
        soundfile.write(file, samples, int(rate), format="FLAC", subtype="PCM_16")
        if own and len(file.getvalue()) > MOST_BYTES:
            raise SoundError(
                f"{name} takes {len(file.getvalue()):,} bytes, and an own sound {MOST_BYTES:,} at "
                "most: play less of it, or at a lower rate"
            )
        super().__init__(data=file.getvalue())
        self.mimetype, self.name, self.own = "audio/flac", name, own

    def _repr_html_(self) -> str:
        said = html.escape(self.name)
        # Of a notebook that it did not run, JupyterLab keeps an audio's `src`, not a source's.
        return (
            f"<figure><figcaption>{said}</figcaption>"
            f'<audio controls title="{said}" aria-label="{said}" src="{self.src_attr()}"></audio>'
            "</figure>"
        )

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> tuple[dict[str, str], dict[str, Any]]:
        told = {"text/html": self._repr_html_(), "text/plain": f"(a player: {self.name})"}
        return told, OWN if self.own else {}
