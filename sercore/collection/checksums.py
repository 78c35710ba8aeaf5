"""Which clips were published: the names and SHA-256 of all 12,162 (chapter 2)."""

from __future__ import annotations

import csv
import gzip
from functools import cache
from importlib import resources

from sercore.corpora import CORPORA


@cache
def published(corpus: str) -> dict[str, tuple[str, str]]:
    """Return the published clips of a corpus.

    Parameters
    ----------
    corpus : str
        A key of `CORPORA`.

    Returns
    -------
    dict
        From a clip's name, as `Labels.name` spells it, to its path in Kaggle's archive and the
        SHA-256 of its bytes. Empty for a corpus that is not one of `CORPORA`.
    """
    if corpus not in CORPORA:
        return {}
    parse = CORPORA[corpus].parse
    return {
        parse(path).name: (path, sha256)
        for path, sha256 in _rows()
        if path.startswith(f"{corpus}/")
    }


@cache
def _rows() -> tuple[tuple[str, str], ...]:
    data = resources.files("sercore").joinpath("data/index.csv.gz").read_bytes()
    _, *rows = csv.reader(gzip.decompress(data).decode().splitlines())
    return tuple((path, sha256) for path, sha256 in rows)
