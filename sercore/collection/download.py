"""Get the corpora from Kaggle into the article's folders (chapter 1).

kagglehub does the download: into its own cache, with checksums and progress, and it goes on where
an interrupted one stopped. This module says beforehand what will come, puts whole corpora in place
and nothing else, and turns whatever goes wrong into one line that names the next step.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sercore.corpora import CORPORA, Corpus

if TYPE_CHECKING:
    import requests

REGISTRATION = {"savee": "The University of Surrey asks you to register before you use it, at"}
"""What a corpus's owners ask for beyond its licence, to be followed by its homepage."""

PARTIAL = ".sercore-partial"
"""How the name of a folder ends that is being filled and is nobody's corpus yet."""

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
# kagglehub raises a plain ValueError for an archive that is neither zip nor tar.
_BROKEN_ARCHIVE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    EOFError,
    ValueError,
    NotImplementedError,
)


class CollectError(RuntimeError):
    """A corpus that could not be collected; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Download:
    """One corpus that Kaggle offers and whose folder does not hold it yet.

    Attributes
    ----------
    corpus : Corpus
        What it is.
    target : Path
        The folder it will come into.
    version : int
        The version of the set that Kaggle serves at present.
    size : int
        Its size in bytes as Kaggle gives it, 0 where Kaggle does not.
    """

    corpus: Corpus
    target: Path
    version: int
    size: int


def collect(name: str, root: str | os.PathLike) -> Path:
    """Download one corpus with kagglehub and put it into its folder below `root`.

    What will come is printed first. The clips are linked from kagglehub's cache where the file
    system allows it and copied where it does not, so they are not stored twice without need.

    Parameters
    ----------
    name : str
        A key of `corpora.CORPORA`.
    root : path
        Folder that holds, or will hold, the corpora's folders.

    Returns
    -------
    Path
        The corpus's folder. A whole corpus that is there is left as it is, and nothing is asked of
        Kaggle.

    Raises
    ------
    CollectError
        If there is no corpus of that name, its folder holds something else than a whole corpus, or
        it cannot be downloaded or put in place.
    """
    download = plan(name, root)
    if download is None:
        return Path(root) / name
    print(announcement([download]), flush=True)
    return fetch(download)


def collect_all(names: Sequence[str], root: str | os.PathLike, *, yes: bool = False) -> None:
    """Collect several corpora, after saying what will come and asking whether it should.

    Parameters
    ----------
    names : sequence of str
        Keys of `corpora.CORPORA`; all four if it is empty.
    root : path
        Folder that holds, or will hold, the corpora's folders.
    yes : bool
        Do not ask.

    Raises
    ------
    CollectError
        As `collect`, at the first corpus that fails: those before it are in place by then. Also if
        the answer is no, or there is no terminal to ask on.
    """
    downloads = []
    for name in dict.fromkeys(names or CORPORA):
        download = plan(name, root)
        if download is None:
            print(_in_place(CORPORA[name], Path(root) / name))
        else:
            downloads.append(download)
    if not downloads:
        return
    print(announcement(downloads), flush=True)
    if not yes:
        _confirm()
    for download in downloads:
        print(_in_place(download.corpus, fetch(download)), flush=True)


def plan(name: str, root: str | os.PathLike) -> Download | None:
    """Ask Kaggle what it would send, unless the corpus is there already.

    Parameters
    ----------
    name : str
        A key of `corpora.CORPORA`.
    root : path
        Folder that holds, or will hold, the corpora's folders.

    Returns
    -------
    Download or None
        None if the corpus's folder holds a whole corpus.

    Raises
    ------
    CollectError
        If there is no corpus of that name, its folder holds something else, nothing can be written
        there, or Kaggle does not answer as it should.
    """
    if name not in CORPORA:
        raise CollectError(f"unknown corpus {name!r}, expected one of {', '.join(CORPORA)}")
    corpus, target = CORPORA[name], Path(root) / name
    try:
        if _is_there(corpus, target):
            return None
        _require_writable(target)
    except OSError as error:
        raise CollectError(_explain_disk(error, corpus, target)) from None
    version, size = _ask_kaggle(corpus, target)
    return Download(corpus=corpus, target=target, version=version, size=size)


def announcement(downloads: Iterable[Download]) -> str:
    """Say what will come: source, size, place, licence, whom to cite, where to register.

    Parameters
    ----------
    downloads : iterable of Download

    Returns
    -------
    str
        A paragraph for each.
    """
    return "\n\n".join(map(_paragraph, downloads)) + "\n"


def fetch(download: Download) -> Path:
    """Download one corpus and put it in place, whole or not at all.

    Parameters
    ----------
    download : Download
        What `plan` returned.

    Returns
    -------
    Path
        The corpus's folder.

    Raises
    ------
    CollectError
        If it cannot be downloaded or put in place. What has arrived of an interrupted download is
        kept in kagglehub's cache, and the next call goes on from there.
    """
    with _alone(download):
        source = _from_kaggle(download)
        _put_in_place(source, download)
    return download.target


# --- Before the download ------------------------------------------------------------------------


def _is_there(corpus: Corpus, target: Path) -> bool:
    """Tell whether the folder holds the corpus; anything in between is the reader's to sort out."""
    if not target.is_dir():
        if target.exists() or target.is_symlink():
            raise CollectError(f"{target} is in the way: it is no folder. Move it and try again")
        return False
    clips = _count_clips(target)
    if clips < corpus.clips and any(target.iterdir()):
        raise CollectError(
            f"{target} holds {clips:,} of {corpus.title}'s {corpus.clips:,} clips and was left as "
            f"it is: `python -m sercore check {target.parent}` says what is missing; to collect "
            "the corpus anew, move the folder away first"
        )
    return clips >= corpus.clips


def _count_clips(folder: str | os.PathLike) -> int:
    """Count the clips by name, since Kaggle's RAVDESS holds each one twice."""
    names = {name.lower() for _, _, names in os.walk(folder) for name in names}
    return sum(name.endswith(".wav") and not name.startswith(".") for name in names)


def _require_writable(target: Path) -> None:
    """Refuse a place that cannot be written before anything is downloaded for it."""
    place = next(folder for folder in target.absolute().parents if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise CollectError(f"{target} cannot be made: {place} is no folder that you may write to")


def _ask_kaggle(corpus: Corpus, target: Path) -> tuple[int, int]:
    """Return the version and size of the set that Kaggle serves at present."""
    # The clients are of no use to anyone who has the data already, and take a second to import.
    import requests
    from kagglehub.clients import build_kaggle_client
    from kagglehub.handle import parse_dataset_handle
    from kagglesdk.datasets.types.dataset_api_service import ApiGetDatasetRequest

    _require_readable_credentials()
    handle = parse_dataset_handle(corpus.kaggle)
    request = ApiGetDatasetRequest()
    request.owner_slug, request.dataset_slug = handle.owner, handle.dataset
    # What the clients' errors say is left out, and `from None` keeps it out of a notebook's
    # output too: it may hold a signed address.
    try:
        with build_kaggle_client() as client:
            dataset = client.datasets.dataset_api_client.get_dataset(request)
    except requests.RequestException as error:
        raise CollectError(_explain(error, corpus, target)) from None
    except ValueError:
        dataset = None
    if dataset is None or not dataset.current_version_number:
        raise CollectError(
            f"{corpus.title}: what answers for Kaggle is not Kaggle. A network that wants you to "
            "log in does that: open any page in a browser, log in, and try again"
        )
    return dataset.current_version_number, dataset.total_bytes


def _require_readable_credentials() -> None:
    """Refuse a damaged key file by name, which would otherwise pass for a damaged answer."""
    from kagglehub.config import get_kaggle_credentials

    try:
        get_kaggle_credentials()
    except (ValueError, OSError):
        raise CollectError(
            "the file kaggle.json with your Kaggle key, in ~/.kaggle or KAGGLE_CONFIG_DIR, cannot "
            "be read. Repair or remove it and try again: these corpora need no account"
        ) from None


def _paragraph(download: Download) -> str:
    corpus = download.corpus
    size = f"{download.size / 1e6:,.1f} MB" if download.size else "of unknown size"
    lines = [
        f"{corpus.title}, {corpus.clips:,} clips, {size}",
        f"  from     kaggle.com/datasets/{corpus.kaggle}, version {download.version}",
        f"  into     {download.target}",
        f"  licence  {corpus.licence}",
        f"  cite     {corpus.citation}",
    ]
    if corpus.name in REGISTRATION:
        lines.append(f"  note     {REGISTRATION[corpus.name]} {corpus.homepage}")
    return "\n".join(lines)


def _in_place(corpus: Corpus, target: Path) -> str:
    return f"{corpus.title} is in {target}: {_count_clips(target):,} clips"


def _confirm() -> None:
    if not sys.stdin.isatty():
        raise CollectError(
            "nothing was downloaded: there is no terminal to ask on. Add --yes if all of this "
            "should be downloaded"
        )
    try:
        answer = input("Download this? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise CollectError("nothing was downloaded, as you did not answer yes")


# --- The download -------------------------------------------------------------------------------


@contextmanager
def _alone(download: Download) -> Iterator[None]:
    """Hold the corpus's place in kagglehub's cache: two downloads would write into one archive."""
    from filelock import FileLock, Timeout
    from kagglehub.config import get_cache_folder

    cache = Path(get_cache_folder())
    lock = FileLock(cache / f".sercore-{download.corpus.name}.lock")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise CollectError(
            f"{download.corpus.title} is being collected by another process: wait until it is done"
        ) from None
    except OSError as error:
        raise CollectError(_explain_disk(error, download.corpus, cache)) from None
    try:
        yield
    finally:
        lock.release()


def _from_kaggle(download: Download) -> Path:
    """Return the corpus's folder in kagglehub's cache, downloaded if need be."""
    import kagglehub
    import requests
    from kagglehub.cache import Cache
    from kagglehub.config import get_cache_folder
    from kagglehub.exceptions import (
        BackendError,
        CredentialError,
        DataCorruptionError,
        KaggleEnvironmentError,
    )
    from kagglehub.handle import parse_dataset_handle

    corpus, cache = download.corpus, Cache()
    # With its version in the handle, kagglehub does not ask for it a second time.
    handle = parse_dataset_handle(corpus.kaggle).with_version(download.version)
    cached = cache.load_from_cache(handle)
    if cached is not None and _count_clips(cached) >= corpus.clips:
        return Path(cached)
    try:
        with ExitStack() as undo:
            # Unpacked by half, or cleaned up since: kagglehub would unpack over the one and take
            # the other for whole. The archive stays, so the download can go on.
            cache.delete_from_cache(handle)
            undo.callback(cache.delete_from_cache, handle)
            source = Path(kagglehub.dataset_download(str(handle)))
            undo.pop_all()
    except requests.RequestException as error:
        raise CollectError(_explain(error, corpus, download.target)) from None
    except DataCorruptionError:
        raise CollectError(
            f"{corpus.title}: what arrived has not Kaggle's checksum and was thrown away; collect "
            f"it again, or {_by_hand(corpus, download.target)}"
        ) from None
    except (BackendError, CredentialError, KaggleEnvironmentError) as error:
        raise CollectError(
            f"{corpus.title}: kagglehub takes this for a notebook on Kaggle, but finds no data "
            f"there ({type(error).__name__}). Set DISABLE_KAGGLE_CACHE=1 and collect it again"
        ) from None
    except OSError as error:
        raise CollectError(_explain_disk(error, corpus, Path(get_cache_folder()))) from None
    except _BROKEN_ARCHIVE:
        # kagglehub would take it for complete for ever.
        Path(cache.get_archive_path(handle)).unlink(missing_ok=True)
        raise CollectError(
            f"{corpus.title}: the archive that arrived is damaged and was thrown away; collect it "
            f"again, or {_by_hand(corpus, download.target)}"
        ) from None
    clips = _count_clips(source)
    if clips < corpus.clips:
        raise CollectError(
            f"{corpus.title} on Kaggle now holds {clips:,} of {corpus.clips:,} clips, so it was "
            f"not put in place and stays in {source}; instead {_by_hand(corpus, download.target)}"
        )
    return source


def _explain(error: Exception, corpus: Corpus, target: Path) -> str:
    """Say in one line what the network or Kaggle did, and what to do."""
    import requests

    response = getattr(error, "response", None)
    by_hand = _by_hand(corpus, target)
    if response is not None:
        return f"{corpus.title}: {_explain_status(response, corpus)}, or {by_hand}"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return f"{corpus.title}: the connection broke off; collect it again to go on from there"
    return (
        f"{corpus.title}: Kaggle cannot be reached ({type(error).__name__}). Check the network and "
        f"collect it again, or {by_hand}"
    )


def _explain_status(response: requests.Response, corpus: Corpus) -> str:
    """Say what a status of HTTP means here; the server's own text may repeat the key it got."""
    from kagglehub.config import get_kaggle_credentials

    status = response.status_code
    if status == 401 and get_kaggle_credentials() is None:
        return (
            "Kaggle wants an account for it (401). Make one, store a key as kaggle.com/settings "
            "shows, and collect it again"
        )
    if status == 401:
        return (
            "Kaggle does not accept your key (401). These corpora need none: remove it from "
            "~/.kaggle and from the variables KAGGLE_API_TOKEN and KAGGLE_KEY, or make a new one "
            "at kaggle.com/settings"
        )
    if status == 403:
        return (
            "Kaggle does not let you have it (403). Accept what is asked for at "
            f"kaggle.com/datasets/{corpus.kaggle} and collect it again"
        )
    if status == 404:
        return (
            f"Kaggle no longer has {corpus.kaggle} (404). Name the other corpora to collect those"
        )
    if status == 429:
        seconds = response.headers.get("Retry-After", "")
        pause = f"{seconds} seconds" if seconds.isdigit() else "some minutes"
        return f"Kaggle has too many requests from you (429). Wait {pause} and collect it again"
    return f"Kaggle has trouble of its own ({status}). Collect it again later"


def _explain_disk(error: OSError, corpus: Corpus, folder: Path) -> str:
    if error.errno in _DISK_FULL:
        return (
            f"{corpus.title}: the disk of {folder} is full. Make room and collect it again; what "
            "has arrived is kept"
        )
    reason = error.strerror or type(error).__name__
    return (
        f"{corpus.title}: {error.filename or folder} cannot be read or written ({reason}). Correct "
        "that and collect it again"
    )


def _by_hand(corpus: Corpus, target: Path) -> str:
    return f"download it from {corpus.homepage} and unzip it into {target}"


# --- From kagglehub's cache into place ----------------------------------------------------------


def _put_in_place(source: Path, download: Download) -> None:
    """Link the clips into a folder beside the target and give it the target's name at the end."""
    root, target = download.target.parent, download.target
    try:
        root.mkdir(parents=True, exist_ok=True)
        # What a process left behind that was killed here; no other is at it, see `_alone`.
        for leftover in root.glob(f".{target.name}-*{PARTIAL}"):
            shutil.rmtree(leftover)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", suffix=PARTIAL, dir=root))
        try:
            _link_tree(source, partial / target.name)
            if target.is_dir():
                target.rmdir()  # an empty one: `_is_there` refused any other
            (partial / target.name).rename(target)
        finally:
            shutil.rmtree(partial)
    except OSError as error:
        raise CollectError(_explain_disk(error, download.corpus, root)) from None


def _link_tree(source: Path, target: Path) -> None:
    """Rebuild a folder with links to its files, or copies; refuse what leads out of it."""
    for folder, folders, files in os.walk(source, onerror=_raise):
        here = target / Path(folder).relative_to(source)
        here.mkdir()
        for name in folders + files:
            if Path(folder, name).is_symlink():
                raise CollectError(
                    f"{Path(folder, name)} is a link, which no corpus holds; nothing was put into "
                    f"{target.name}. Remove it there and collect the corpus again"
                )
        for name in files:
            _link_or_copy(Path(folder, name), here / name)


def _raise(error: OSError) -> None:
    raise error


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
