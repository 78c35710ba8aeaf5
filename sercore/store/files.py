"""Files that are whole at every moment, and their SHA-256."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, content: bytes | str | Callable[[Path], object]) -> Path:
    """Write a file beside its place and move it there, so that nobody sees half of it.

    `content` is bytes, a text (UTF-8, its line endings kept), or a function that writes the file
    it is given. The folder is made if it is not there. After an error the old file is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The ending is kept last: NumPy and Keras add or ask for theirs.
    draft = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        if isinstance(content, str):
            draft.write_text(content, encoding="utf-8", newline="")
        elif isinstance(content, bytes):
            draft.write_bytes(content)
        else:
            content(draft)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
