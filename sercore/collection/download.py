"""Get the corpora from Kaggle into the article's folders (chapter 1).

kagglehub downloads into its own cache and goes on where an interrupted download stopped. This
module says beforehand what will come, compares the clips with the published ones, puts whole
corpora in place and nothing else, and turns what goes wrong into one line that names the next step.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tarfile import TarError
from zipfile import BadZipFile

import filelock

from sercore.collection import checksums
from sercore.config import SercoreError
from sercore.corpora import CORPORA, Corpus

# kagglehub raises a plain ValueError for an archive that is neither zip nor tar.
_BROKEN_ARCHIVE = (BadZipFile, TarError, zlib.error, EOFError, ValueError, NotImplementedError)


class CollectError(SercoreError, RuntimeError):
    """A corpus that could not be collected; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Download:
    """One corpus that Kaggle offers, and the folder that it will come into."""

    corpus: Corpus
    target: Path
    version: int
    size: int
    """Bytes as Kaggle says, 0 where it does not."""


def collect(name: str, root: str | os.PathLike[str]) -> Path:
    """Download a corpus with kagglehub and put it into its folder below `root`, which is returned.

    `name` is a key of `CORPORA`. What will come is printed first. A whole corpus that is there is
    left as it is, and Kaggle is asked nothing. The clips are linked from kagglehub's cache where
    the file system allows it, so that they are not stored twice. `CollectError` if the folder holds
    something else than the whole corpus, or it cannot be downloaded or put in place.
    """
    if download := plan(name, root):
        print(announcement([download]), flush=True)
        return fetch(download)
    return Path(root) / name


def collect_all(names: Sequence[str], root: str | os.PathLike[str], *, yes: bool = False) -> None:
    """Collect several corpora (all four if none is named), after a question unless `yes`.

    `CollectError` as for `collect`, at the first corpus that fails: those before it are in place by
    then. Also if the answer is no, or there is no terminal to ask on.
    """
    plans = {name: plan(name, root) for name in names or CORPORA}
    if downloads := [download for download in plans.values() if download]:
        print(announcement(downloads), flush=True)
        if not yes:
            _confirm()
    for name, download in plans.items():
        folder = fetch(download) if download else Path(root) / name
        print(f"{CORPORA[name].title} is in {folder}: {_count_clips(folder):,} clips", flush=True)


def plan(name: str, root: str | os.PathLike[str]) -> Download | None:
    """Ask Kaggle what it would send; None if the folder holds the whole corpus already."""
    if name not in CORPORA:
        raise CollectError(f"unknown corpus {name!r}, expected one of {', '.join(CORPORA)}")
    corpus, target = CORPORA[name], Path(root) / name
    with _explained(corpus, target):
        if os.path.lexists(target) and not target.is_dir():
            raise CollectError(f"{target} is in the way: it is not a folder. Move it and try again")
        clips = _count_clips(target)
        if clips >= corpus.clips:
            return None
        if target.is_dir() and any(target.iterdir()):  # the reader's to sort out
            raise CollectError(
                f"{target} holds {clips:,} of {corpus.title}'s {corpus.clips:,} clips and was left "
                f"as it is: `python -m sercore check {target.parent}` says what is missing; to "
                "collect the corpus anew, move the folder away first"
            )
        place = next(folder for folder in target.absolute().parents if folder.exists())
        if not place.is_dir() or not os.access(place, os.W_OK):
            raise CollectError(f"{target}: {place} is not a folder that you may write to")
        return _ask_kaggle(corpus, target)


def announcement(downloads: Iterable[Download]) -> str:
    """Say what will come, a paragraph each: source, size, place, licence, whom to cite."""
    return "\n".join(
        f"{d.corpus.title}, {d.corpus.clips:,} clips, "
        + (f"{d.size / 1e6:,.1f} MB\n" if d.size else "of unknown size\n")
        + f"  from     kaggle.com/datasets/{d.corpus.kaggle}, version {d.version}\n"
        f"  into     {d.target}\n"
        f"  licence  {d.corpus.licence}\n"
        f"  home     {d.corpus.homepage}\n"
        f"  cite     {d.corpus.citation}\n"
        for d in downloads
    )


def fetch(download: Download) -> Path:
    """Download what `plan` returned and put it in place, whole or not at all."""
    from kagglehub.config import get_cache_folder

    corpus, target, cache = download.corpus, download.target, Path(get_cache_folder())
    with _explained(corpus, target, disk=cache):
        cache.mkdir(parents=True, exist_ok=True)
        # Two downloads at once would write into one archive.
        with filelock.FileLock(cache / f".sercore-{corpus.name}.lock", timeout=0):
            source, changed = _from_kaggle(download)
            _put_in_place(source, corpus, target)
    if changed:
        print(
            f"{corpus.title}: Kaggle now serves other bytes than the published ones in {changed:,} "
            f"of {corpus.clips:,} clips; `python -m sercore check {target.parent}` names them"
        )
    return target


def _count_clips(folder: str | os.PathLike[str]) -> int:
    """Count the clips by name, because Kaggle's RAVDESS holds each one twice."""
    names = {name.lower() for _, _, names in os.walk(folder) for name in names}
    return sum(name.endswith(".wav") and not name.startswith(".") for name in names)


def _ask_kaggle(corpus: Corpus, target: Path) -> Download:
    """Ask for the version and size of the set that Kaggle serves at present."""
    # Imported here, because whoever has the data does not need the clients: they take a second.
    from kagglehub.clients import build_kaggle_client
    from kagglehub.config import get_kaggle_credentials
    from kagglesdk.datasets.types.dataset_api_service import ApiGetDatasetRequest

    try:
        get_kaggle_credentials()
    except (ValueError, OSError):
        raise CollectError(
            "the file kaggle.json with your Kaggle key, in ~/.kaggle or KAGGLE_CONFIG_DIR, cannot "
            "be read. Repair or remove it and try again: these corpora need no account"
        ) from None
    request, dataset = ApiGetDatasetRequest(), None
    request.owner_slug, request.dataset_slug = corpus.kaggle.split("/")
    # The client's errors are explained first; what is no answer of Kaggle's is a plain ValueError.
    with suppress(ValueError), _explained(corpus, target), build_kaggle_client() as client:
        dataset = client.datasets.dataset_api_client.get_dataset(request)
    if dataset is None or not dataset.current_version_number:
        raise CollectError(
            f"{corpus.title}: what answers is not Kaggle. A network that wants you to log in does "
            "that: open any page in a browser, log in, and try again"
        )
    version, size = dataset.current_version_number, dataset.total_bytes
    return Download(corpus=corpus, target=target, version=version, size=size)


def _confirm() -> None:
    if not sys.stdin.isatty():
        raise CollectError(
            "nothing was downloaded: there is no terminal to ask on. Add --yes if all of this "
            "should be downloaded"
        )
    answer = ""
    with suppress(EOFError):
        answer = input("Download this? [y/N] ")
    if answer.strip().lower() not in ("y", "yes"):
        raise CollectError("nothing was downloaded, because you did not answer yes")


def _from_kaggle(download: Download) -> tuple[Path, int]:
    """Return the corpus's folder in kagglehub's cache, and how many clips there are changed.

    A copy in the cache is used only if it has all clips and their published bytes: the clips of
    collected corpora are links to it, and whoever changes one there changes the copy too.
    """
    import kagglehub
    from kagglehub import exceptions as known
    from kagglehub.cache import Cache
    from kagglehub.handle import parse_dataset_handle

    corpus, cache = download.corpus, Cache()
    by_hand = _by_hand(corpus, download.target)
    # With its version in the handle, kagglehub does not ask for it a second time.
    handle = parse_dataset_handle(corpus.kaggle).with_version(download.version)
    cached = cache.load_from_cache(handle)
    if cached is not None and _count_clips(cached) >= corpus.clips:
        changed = len(checksums.changed(corpus.name, Path(cached)))
        if not changed:
            return Path(cached), 0
        print(
            f"{corpus.title}: {changed:,} of {corpus.clips:,} clips in kagglehub's cache have not "
            "their published bytes, so the corpus is downloaded again"
        )
    try:
        with ExitStack() as undo:
            # kagglehub would unpack over one that was half unpacked, and take one that lost clips
            # for whole. What has arrived of the archive stays, so the download can go on.
            cache.delete_from_cache(handle)
            undo.callback(cache.delete_from_cache, handle)
            source = Path(kagglehub.dataset_download(str(handle)))
            undo.pop_all()
    except OSError:  # the network and the disk: explained by `fetch`
        raise
    except (known.BackendError, known.CredentialError, known.KaggleEnvironmentError) as error:
        raise CollectError(
            f"{corpus.title}: kagglehub takes this for a notebook on Kaggle, but finds no data "
            f"there ({type(error).__name__}). Set DISABLE_KAGGLE_CACHE=1 and collect it again"
        ) from None
    except (known.DataCorruptionError, *_BROKEN_ARCHIVE):
        # kagglehub would take it for complete for ever.
        Path(cache.get_archive_path(handle)).unlink(missing_ok=True)
        raise CollectError(
            f"{corpus.title}: the archive that arrived is damaged and was thrown away; collect it "
            f"again, or {by_hand}"
        ) from None
    clips = _count_clips(source)
    if clips < corpus.clips:
        raise CollectError(
            f"{corpus.title} on Kaggle now holds {clips:,} of {corpus.clips:,} clips, so it was "
            f"not put in place and stays in {source}; instead {by_hand}"
        )
    return source, len(checksums.changed(corpus.name, source))


def _put_in_place(source: Path, corpus: Corpus, target: Path) -> None:
    """Link or copy the clips into a folder beside the target, which takes its name at the end."""
    partial = target.with_name(f".{target.name}.sercore-partial")
    with _explained(corpus, target, disk=target.parent), ExitStack() as undo:
        # A process that was killed left it behind; `fetch` makes sure that no other works here.
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
        undo.callback(shutil.rmtree, partial)
        for path in sorted(source.rglob("*")):  # a folder comes before what it holds
            place = partial / path.relative_to(source)
            if path.is_symlink():
                raise CollectError(
                    f"{path} is a link, which no corpus holds; nothing was put into {target.name}. "
                    "Remove it there and collect the corpus again"
                )
            if path.is_dir():
                place.mkdir()
                continue
            try:
                os.link(path, place)
            except OSError:  # another file system, or one without links
                shutil.copy2(path, place)
        if target.is_dir():
            target.rmdir()  # an empty one: `plan` refused any other
        partial.rename(target)
        undo.pop_all()


@contextmanager
def _explained(corpus: Corpus, target: Path, *, disk: Path | None = None) -> Iterator[None]:
    """Turn an error of the network, Kaggle or the disk into one line that says what to do.

    What the clients' own errors say is left out, and `from None` keeps it out of a notebook's
    output too: it may hold a key or a signed address.
    """
    try:
        yield
    except OSError as error:
        import requests

        if isinstance(error, requests.RequestException):
            said = _explain_network(error, corpus, _by_hand(corpus, target))
        else:
            said = _explain_disk(error, disk or target)
        raise CollectError(f"{corpus.title}: {said}") from None


def _by_hand(corpus: Corpus, target: Path) -> str:
    return f"download it from {corpus.homepage} and unzip it into {target}"


def _explain_disk(error: OSError, folder: Path) -> str:
    if isinstance(error, filelock.Timeout):
        return "another process is collecting it: wait until it is done"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk of {folder} is full. Make room and collect it again; what came is kept"
    place, reason = error.filename or folder, error.strerror or type(error).__name__
    return f"{place} cannot be read or written ({reason}). Correct that and collect it again"


def _explain_network(error: OSError, corpus: Corpus, by_hand: str) -> str:
    from kagglehub.config import get_kaggle_credentials
    from requests.exceptions import ChunkedEncodingError

    response = getattr(error, "response", None)
    if isinstance(error, ChunkedEncodingError):
        return "the connection broke off; collect it again to go on from there"
    if response is None:
        reason = type(error).__name__
        return f"Kaggle cannot be reached ({reason}). Check the network and try again, or {by_hand}"
    status, seconds = response.status_code, response.headers.get("Retry-After", "")
    pause = f"{seconds} seconds" if seconds.isdigit() else "some minutes"
    with_key = (
        "does not accept your key (401). These corpora need none: remove it from ~/.kaggle "
        "and from the variables KAGGLE_API_TOKEN and KAGGLE_KEY, or make a new one"
    )
    without_key = (
        "wants an account for it (401). Make one, store a key as kaggle.com/settings shows, "
        "and collect it again"
    )
    said = {
        401: with_key if get_kaggle_credentials() is not None else without_key,
        403: "does not let you have it (403). Accept what is asked for at "
        f"kaggle.com/datasets/{corpus.kaggle} and collect it again",
        404: f"no longer has {corpus.kaggle} (404). Name the other corpora to collect those",
        429: f"has too many requests from you (429). Wait {pause} and collect it again",
    }.get(status, f"has trouble of its own ({status}). Collect it again later")
    return f"Kaggle {said}, or {by_hand}"
