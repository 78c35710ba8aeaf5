"""Get the corpora from Kaggle into the article's folders (chapter 1)."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from sercore.corpora import CORPORA


class CollectError(RuntimeError):
    """A corpus that could not be collected; the message says what to do."""


def collect(name: str, root: str | os.PathLike) -> Path:
    """Download one corpus with kagglehub and put it into its folder below `root`.

    kagglehub keeps its own copy in its own cache; the clips are linked from there where the file
    system allows it and copied where it does not, so they are not stored twice.

    Parameters
    ----------
    name : str
        A key of `corpora.CORPORA`.
    root : path
        Folder that holds, or will hold, the corpora's folders.

    Returns
    -------
    Path
        The corpus's folder. One that is there is left as it is.

    Raises
    ------
    CollectError
        If there is no corpus of that name, or it cannot be downloaded.
    """
    if name not in CORPORA:
        raise CollectError(f"unknown corpus {name!r}, expected one of {', '.join(CORPORA)}")
    corpus, target = CORPORA[name], Path(root) / name
    if target.exists():
        return target
    # Neither client is needed by anyone who already has the data, and importing it takes a second.
    import kagglehub
    import requests

    try:
        source = Path(kagglehub.dataset_download(corpus.kaggle))
    except (requests.RequestException, kagglehub.exceptions.KaggleApiHTTPError, OSError) as error:
        raise CollectError(
            f"{corpus.title} could not be downloaded from Kaggle as {corpus.kaggle} "
            f"({type(error).__name__}). Check the network and try again, or download it from "
            f"{corpus.homepage} and unzip it into {target}; until then the course runs on its "
            "synthetic demo corpora"
        ) from error
    target.parent.mkdir(parents=True, exist_ok=True)
    # Put in place whole or not at all: a folder that is there counts as a corpus.
    partial = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=target.parent))
    try:
        shutil.copytree(source, partial / name, copy_function=_link_or_copy)
        (partial / name).rename(target)
    finally:
        shutil.rmtree(partial)
    return target


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
