"""Which clips were published: the names and SHA-256 of all 12,162 (chapter 2)."""

from __future__ import annotations

import csv
import gzip
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import resources
from pathlib import Path, PurePath

from sercore.corpora import CORPORA, LabelError
from sercore.store.files import sha256

Published = dict[str, tuple[str, str]]
"""From a clip's name to its path in Kaggle's archive and its SHA-256."""


@cache
def published(corpus: str) -> Published:
    """Return a corpus's published clips; there are none of a corpus that is not in `CORPORA`."""
    data = resources.files("sercore").joinpath("data/index.csv.gz").read_bytes()
    rows = csv.reader(gzip.decompress(data).decode().splitlines())
    own = ((path, digest) for path, digest in rows if path.startswith(f"{corpus}/"))
    return {clip_name(corpus, path): (path, digest) for path, digest in own}


def clip_name(corpus: str, path: str | PurePath) -> str:
    """Return a clip's name as its corpus spells it, or "" if the corpus has no such name."""
    try:
        return CORPORA[corpus].parse(path).name
    except LabelError:
        return ""


def changed(corpus: str, folder: Path) -> set[str]:
    """Return the names of clips below a folder whose bytes are not the published ones.

    Files with other names are passed over. An `OSError` if a file cannot be read.
    """
    reference = published(corpus)
    names = {path: clip_name(corpus, path) for path in folder.rglob("*.[wW][aA][vV]") if reference}
    clips = [path for path, name in names.items() if name in reference]
    with ThreadPoolExecutor() as pool:  # hashing releases the interpreter's lock
        pairs = zip(clips, pool.map(sha256, clips), strict=True)
    return {names[path] for path, digest in pairs if digest != reference[names[path]][1]}
