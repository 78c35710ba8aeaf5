"""Collecting the corpora: the real clients against a small Kaggle on loopback.

Most tests run the command inside this process, because its imports take seconds.
"""

import builtins
import errno
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path
from unittest.mock import Mock

# Imported here, not inside a test: it keeps the standard output that it finds.
import kagglehub
import pytest
from filelock import FileLock
from kagglesdk.kaggle_env import KaggleEnv, _env_to_endpoint

from sercore.__main__ import main
from sercore.collection import checksums
from sercore.collection.download import CollectError, Download, announcement, collect, plan
from sercore.config import REPOSITORY
from sercore.corpora import CORPORA
from tests.kaggle_server import SECRET, KaggleServer, make_archive, members

SAVEE = CORPORA["savee"].kaggle


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A home folder with neither key nor cache, for this process and those it starts."""
    for name in filter(re.compile("(?i)KAGGLE.*|.*_PROXY").fullmatch, list(os.environ)):
        monkeypatch.delenv(name)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "home" / "kagglehub"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "home" / ".kaggle"))
    return tmp_path / "home"


@pytest.fixture
def kaggle(home, monkeypatch):
    """A Kaggle with a whole SAVEE of noise, to which the clients of this process are sent."""
    with KaggleServer() as server:
        server.add("savee", make_archive("savee"))
        monkeypatch.setitem(_env_to_endpoint, KaggleEnv.PROD, server.address)
        # It reads the source of every caller, of which pytest has many: a third of the tests' time.
        monkeypatch.setattr(kagglehub.clients, "get_user_agent", lambda: "kagglehub")
        monkeypatch.setattr(checksums, "published", lambda name: {})
        yield server


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "data"


def collected(root: Path, *names: str) -> int:
    return main(["collect", *names, "--root", str(root), "--yes"])


def launch(*arguments: str) -> subprocess.CompletedProcess:
    """Run Python in a process of its own, in the repository's root."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)


def launch_collect(address: str, root: Path, *options: str) -> subprocess.CompletedProcess:
    """Run the real command with Kaggle at this address."""
    command = ["sercore", "collect", "savee", "--root", str(root), "--yes"]
    return launch("-m", "tests.kaggle_server", address, *options, *command)


def files(folder: Path) -> Counter:
    """Count the files below a folder by name, hidden ones included."""
    return Counter(path.name for path in folder.rglob("*") if not path.is_dir())


def names_of(name: str) -> Counter:
    return Counter(Path(member).name for member in members(name))


@pytest.fixture
def refused(root, capsys):
    """A function that collects and expects one line on standard error, which says so."""

    def refused(says: str, *names: str) -> None:
        assert collected(root, *(names or ["savee"])) == 1
        lines = capsys.readouterr().err.splitlines()
        # kagglehub's progress comes before it.
        assert sum(line.startswith("sercore collect: ") for line in lines) == 1
        assert says in lines[-1]

    return refused


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")


NO_LINKS = Mock(side_effect=OSError(errno.EXDEV, "another file system"))


@pytest.mark.parametrize(("name", "resumes"), [*dict.fromkeys(CORPORA, True).items(), ("savee", 0)])
def test_a_corpus_comes_whole_through_a_cut(name, resumes, kaggle, root, refused, capsys):
    kaggle.add(name, make_archive(name), cut=1_500_000, resumes=resumes)
    refused("the connection broke off", name)
    assert not root.exists()

    kaggle.log.clear()
    assert collected(root, name) == 0
    # kagglehub asks for all, sees what it has, and asks for the rest; it writes whole mebibytes.
    asked = ["all", "bytes=1048576-"] if resumes else ["all"]
    stored = [f"storage {CORPORA[name].kaggle} {what}" for what in asked]
    assert [line for line in kaggle.log if line.startswith("storage")] == stored
    assert files(root / name) == names_of(name)
    assert [path.name for path in root.iterdir()] == [name]
    assert f"{CORPORA[name].clips:,} clips" in capsys.readouterr().out.splitlines()[-1]

    kaggle.log.clear()
    assert collected(root, name) == 0
    assert kaggle.log == []


def test_all_four_are_meant_where_none_is_named(kaggle, root, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    for name in CORPORA:
        kaggle.add(name, b"")
    assert main(["collect", "--root", str(root)]) == 1
    assert kaggle.log == [f"GetDataset {corpus.kaggle}" for corpus in CORPORA.values()]


def test_what_was_collected_before_a_failure_stays(kaggle, root, refused):
    kaggle.add("tess", make_archive("tess"), cut=1_500_000)
    refused("TESS: the connection broke off", "savee", "tess")
    assert files(root) == names_of("savee")


def test_clips_are_copied_where_links_cannot_be_made(kaggle, root, monkeypatch):
    monkeypatch.setattr(os, "link", NO_LINKS)
    target = collect("savee", root)
    assert files(target) == names_of("savee")
    assert {path.stat().st_nlink for path in target.rglob("*.wav")} == {1}


def test_the_clients_are_not_imported_for_a_corpus_that_is_there(home, root):
    for member in members("savee"):
        write(root / "savee" / member)
    done = launch("-X", "importtime", "-m", "sercore", "collect", "savee", "--root", str(root))
    assert done.returncode == 0 and "sercore.collection.download" in done.stderr
    assert "kagglehub" not in done.stderr and "kagglesdk" not in done.stderr


@pytest.fixture
def as_served(kaggle, monkeypatch) -> dict[str, tuple[str, str]]:
    """What the small Kaggle serves is what was published."""
    paths, archive = members("savee"), zipfile.ZipFile(io.BytesIO(make_archive("savee")))
    noise = hashlib.sha256(archive.read(paths[0])).hexdigest()  # that of every clip
    reference = {Path(path).name: (f"savee/{path}", noise) for path in paths}
    monkeypatch.setattr(checksums, "published", lambda name: reference)
    return reference


def test_a_second_folder_takes_the_clips_from_the_cache(kaggle, as_served, root, tmp_path):
    collect("savee", root)
    kaggle.log.clear()
    (tmp_path / "other" / "savee").mkdir(parents=True)  # an empty one is filled
    assert files(collect("savee", tmp_path / "other")) == names_of("savee")
    assert kaggle.log == [f"GetDataset {SAVEE}"]


@pytest.mark.parametrize("harm", [Path.unlink, lambda clip: clip.write_bytes(b"damaged")])
def test_a_harmed_cache_is_downloaded_again(harm, kaggle, as_served, root, home):
    clip = collect("savee", root) / "ALL" / "DC_a01.wav"
    whole = clip.read_bytes()
    # The collected clip is a link to the one in the cache: who writes to one changes both.
    harm(next((home / "kagglehub").rglob(clip.name)))
    assert (clip.read_bytes() == whole) == (harm is Path.unlink)
    (root / "savee").rename(root / "aside")

    assert collected(root, "savee") == 0
    assert clip.read_bytes() == whole


@pytest.mark.parametrize("other", [0, 1])
def test_other_bytes_on_kaggle_are_collected_and_counted(other, kaggle, as_served, root, capsys):
    for name in list(as_served)[:other]:
        as_served[name] = ("its path", "0" * 64)
    assert collected(root, "savee") == 0
    assert files(root / "savee") == names_of("savee")
    assert (f"1 of 480 clips; `python -m sercore check {root}`" in capsys.readouterr().out) == other


@pytest.mark.parametrize(("size", "said"), [(3_100_000, "3.1 MB"), (0, "unknown size")])
def test_what_will_come_is_said(size, said):
    corpus = CORPORA["tess"]
    text = announcement([Download(corpus=corpus, target=Path("there"), version=7, size=size)])
    facts = (corpus.title, "2,800 clips", said, corpus.kaggle, "version 7", "there")
    for fact in (*facts, corpus.licence, corpus.citation, corpus.homepage):
        assert fact in text


@pytest.mark.parametrize(
    ("terminal", "answer", "status"), [(1, "y\n", 0), (1, "n\n", 1), (1, "", 1), (0, "y\n", 1)]
)
def test_a_terminal_is_asked(terminal, answer, status, kaggle, root, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: terminal)
    assert main(["collect", "savee", "--root", str(root)]) == status
    assert (f"DownloadDataset {SAVEE}" in kaggle.log) == (status == 0)
    assert ("Add --yes" in capsys.readouterr().err) == (not terminal)


def test_unknown_corpus_names_the_alternatives(refused):
    refused("unknown corpus 'emodb', expected one of cremad", "emodb")


IN_THE_WAY = {
    "holds 1 of SAVEE's 480 clips": lambda root: write(root / "savee" / "ALL" / "DC_a01.wav"),
    "holds 2 of": lambda root: [write(root / f"savee/{i}/{i % 2}.wav") for i in range(480)],
    "savee is in the way": lambda root: write(root / "savee"),
    "data is not a folder": write,
}


@pytest.mark.parametrize("says", IN_THE_WAY)
def test_what_is_in_the_way_stays_and_kaggle_is_not_asked(says, kaggle, root, tmp_path, refused):
    IN_THE_WAY[says](root)
    before = files(tmp_path)
    refused(says)
    assert files(tmp_path) == before and kaggle.log == []


def folder_that_cannot_be_read(kaggle, home, patch):
    (home.parent / "data" / "savee").mkdir(parents=True)
    denied = PermissionError(errno.EACCES, "Denied", "savee")
    patch.setattr(Path, "iterdir", Mock(side_effect=denied))


STATUS = {401: "an account", 403: "let you have it", 404: SAVEE, 429: "42 seconds", 503: "later"}


@pytest.mark.parametrize("status", STATUS)
@pytest.mark.parametrize("method", ["GetDataset", "storage"])
def test_a_refusal_says_what_to_do_and_leaves_nothing(method, status, kaggle, root):
    kaggle.status[method] = status
    with pytest.raises(CollectError, match=rf"SAVEE: .*\({status}\)") as caught:
        collect("savee", root)
    for said in (STATUS[status], CORPORA["savee"].homepage, str(root / "savee")):
        assert said in str(caught.value)
    assert not root.exists()
    # A notebook shows the cause, which may hold an address.
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def wrong_key(kaggle, home, patch):
    patch.setenv("KAGGLE_API_TOKEN", SECRET)
    kaggle.status["GetDataset"] = 401


def notebook_on_kaggle(kaggle, home, patch):
    patch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    patch.setenv("KAGGLE_DATA_PROXY_URL", kaggle.address)


def no_network(kaggle, home, patch):
    patch.setitem(_env_to_endpoint, KaggleEnv.PROD, "http://127.0.0.1:9")  # nothing listens there


def archive_with_a_link(kaggle, *_):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for member in members("savee"):
            archive.addfile(tarfile.TarInfo(member))
        link = tarfile.TarInfo("ALL/link.wav")
        link.type, link.linkname = tarfile.SYMTYPE, "DC_a01.wav"
        archive.addfile(link)
    kaggle.add("savee", file.getvalue())


TROUBLE = {
    "SAVEE: Kaggle cannot be reached (ConnectionError)": no_network,
    "savee cannot be read or written (Denied)": folder_that_cannot_be_read,
    "does not accept your key (401)": wrong_key,
    "kaggle.json with your": lambda kaggle, home, patch: write(home / ".kaggle" / "kaggle.json"),
    "is not Kaggle": lambda kaggle, home, patch: kaggle.body.update(GetDataset="<html>"),
    "Set DISABLE_KAGGLE_CACHE=1": notebook_on_kaggle,
    "470 of 480": lambda kaggle, home, patch: kaggle.add("savee", make_archive("savee", lost=10)),
    "link.wav is a link": archive_with_a_link,
}


@pytest.mark.parametrize("says", TROUBLE)
def test_other_trouble_is_named_and_leaves_nothing(says, kaggle, root, home, monkeypatch, refused):
    TROUBLE[says](kaggle, home, monkeypatch)
    refused(says)
    assert not files(root)


def test_no_key_and_no_signed_address_is_ever_shown(kaggle, root, monkeypatch):
    monkeypatch.setenv("KAGGLE_API_TOKEN", SECRET)
    kaggle.status["storage"] = 403
    done = launch_collect(kaggle.address, root)
    assert done.returncode == 1 and "(403)" in done.stderr
    assert kaggle.keys == {f"Bearer {SECRET}"}
    assert SECRET not in done.stdout + done.stderr


SPOILT = {
    "truncated": lambda archive: {"archive": archive[:-1000]},
    "wrong bytes in a clip": lambda a: {"archive": a[:1000] + bytes(10) + a[1010:]},
    "no archive": lambda archive: {"archive": b"<html>"},
    "wrong checksum": lambda archive: {"archive": archive, "md5": b"0" * 16},
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_damaged_archive_is_thrown_away(how, kaggle, root, home, refused):
    kaggle.add("savee", **SPOILT[how](make_archive("savee")))
    refused("damaged and was thrown away")
    assert not root.exists() and not files(home / "kagglehub" / "datasets")
    kaggle.add("savee", make_archive("savee"))
    assert collected(root, "savee") == 0


def fill_disk(monkeypatch, *, room: int) -> None:
    """Let every file written in binary share this room, and no file be linked."""
    real, left = builtins.open, [room]

    class Full(io.FileIO):
        def write(self, data) -> int:
            left[0] -= len(data)
            if left[0] < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

        def fileno(self) -> int:  # nothing is copied past `write`
            raise io.UnsupportedOperation

    def limited(path, mode="r", *args, **options):
        return (Full if mode in ("wb", "ab") else real)(path, mode, *args, **options)

    monkeypatch.setattr(builtins, "open", limited)
    monkeypatch.setattr(os, "link", NO_LINKS)


# The archive has 3.1 MB: the disk is full while it arrives, is unpacked, and is copied into place.
# What had arrived is not asked for again.
FULL = {2_000_000: "storage {} bytes=1048576-", 5_000_000: "storage {} all"}
FULL |= {8_000_000: "GetDataset {}"}


@pytest.mark.parametrize(("room", "last"), FULL.items())
def test_a_full_disk_leaves_nothing_half_made(room, last, kaggle, root, refused):
    write(root / "tess" / "mine.wav")
    with pytest.MonkeyPatch.context() as patch:
        fill_disk(patch, room=room)
        refused("is full. Make room")
    assert files(root) == {"mine.wav": 1}

    kaggle.log.clear()
    assert collected(root, "savee") == 0
    assert files(root / "savee") == names_of("savee")
    assert kaggle.log[-1] == last.format(SAVEE)


# Unpacking writes with copyfileobj, putting in place links; both die after a hundred of 480 clips.
@pytest.mark.parametrize("function", ["shutil.copyfileobj", "os.link"])
def test_a_death_while_unpacking_is_not_taken_for_a_whole_corpus(function, kaggle, root):
    assert launch_collect(kaggle.address, root, "--dies-at", function).returncode == 9
    assert not (root / "savee").exists()

    done = launch_collect(kaggle.address, root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.index("licence") < done.stdout.index("Extracting files")
    assert files(root / "savee") == names_of("savee")
    assert [path.name for path in root.iterdir()] == ["savee"]


def test_an_interrupt_leaves_nothing_in_place(kaggle, root, monkeypatch):
    monkeypatch.setattr(os, "link", Mock(side_effect=KeyboardInterrupt))
    assert collected(root, "savee") == 130
    assert not files(root)


def test_two_processes_do_not_download_into_one_archive(kaggle, home, refused):
    (home / "kagglehub").mkdir(parents=True)
    with FileLock(home / "kagglehub" / ".sercore-savee.lock"):
        refused("SAVEE: another process is collecting it")


def test_members_that_lead_out_stay_inside(kaggle, root, tmp_path):
    extra = ("../../outside.txt", f"{tmp_path}/absolute.txt")
    kaggle.add("savee", make_archive("savee", extra=extra))
    target = collect("savee", root)
    assert files(target) - names_of("savee") == {"outside.txt": 1, "absolute.txt": 1}
    assert not files(tmp_path).keys() - files(target).keys() - files(tmp_path / "home").keys()
    assert not (tmp_path / "absolute.txt").exists()


@pytest.mark.parametrize("status", [200, 401])
def test_the_article_s_command_downloads_and_unzips_or_explains(status, kaggle, root):
    kaggle.status["GetDatasetMetadata"] = status
    command = ["kaggle", "datasets", "download", "-d", SAVEE, "--unzip", "-p", str(root / "savee")]
    done = launch("-m", "tests.kaggle_server", kaggle.address, *command)
    if status == 200:
        assert done.returncode == 0 and plan("savee", root) is None, done.stderr
        assert files(root / "savee") == names_of("savee")
    else:
        assert done.returncode == 1 and not root.exists()
        assert "Authentication required to call the Kaggle API" in done.stdout
