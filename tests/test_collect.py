"""Collecting the corpora: the real clients against a small Kaggle on loopback.

Most tests run the command inside this process, since its imports take seconds; those that are about
a process (exit status, output, sudden death) start one.
"""

import builtins
import errno
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

# Imported here, not inside a test: it keeps the standard output that it finds.
import kagglehub
import pytest
from filelock import FileLock
from kagglesdk.kaggle_env import KaggleEnv, _env_to_endpoint

from sercore.__main__ import main
from sercore.collection import checksums
from sercore.collection.download import CollectError, Download, announcement, collect, plan
from sercore.corpora import CORPORA
from tests.kaggle_server import (
    SECRET,
    KaggleServer,
    closed_port,
    environment,
    make_archive,
    members,
    pack,
)

REPOSITORY = Path(__file__).resolve().parents[1]
SAVEE = CORPORA["savee"].kaggle


@pytest.fixture(scope="module")
def savee() -> bytes:
    return make_archive("savee")


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A home folder with neither key nor cache, for this process and those it starts."""
    variables = environment(tmp_path / "home")
    for name in os.environ.keys() - variables.keys():
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "home"


@pytest.fixture
def kaggle(home, savee, monkeypatch):
    """A Kaggle with a whole SAVEE of noise, to which the clients of this process are sent."""
    with KaggleServer() as server:
        server.add("savee", savee)
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


def launch(address: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run a real command in a process of its own, with Kaggle at this address."""
    command = [sys.executable, "-m", "tests.kaggle_server", address, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)


def files(folder: Path) -> Counter:
    """Count the files below a folder by name, hidden ones included."""
    return Counter(path.name for path in folder.rglob("*") if not path.is_dir())


def names_of(name: str) -> Counter:
    return Counter(Path(member).name for member in members(name))


def assert_refused(capsys, *, says: str) -> None:
    """One line on standard error that says so."""
    lines = capsys.readouterr().err.splitlines()
    # kagglehub's progress comes before it.
    assert sum(line.startswith("sercore collect: ") for line in lines) == 1
    assert says in lines[-1]


# --- All goes well --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CORPORA)
def test_a_corpus_comes_whole_from_an_empty_folder_through_a_cut(name, kaggle, root, capsys):
    handle = CORPORA[name].kaggle
    kaggle.add(name, make_archive(name), cut=1_500_000)

    assert collected(root, name) == 1
    assert_refused(capsys, says="the connection broke off; collect it again to go on from there")
    assert not root.exists()

    kaggle.log.clear()
    assert collected(root, name) == 0
    # kagglehub asks for all, sees what it has, and asks for the rest; it writes whole mebibytes.
    assert kaggle.log[-2:] == [f"storage {handle} all", f"storage {handle} bytes=1048576-"]
    assert files(root / name) == names_of(name)
    assert [path.name for path in root.iterdir()] == [name]
    assert f"{CORPORA[name].clips:,} clips" in capsys.readouterr().out.splitlines()[-1]

    kaggle.log.clear()
    assert collected(root, name) == 0
    assert kaggle.log == []


def test_the_command_collects_in_a_process_of_its_own(kaggle, root):
    done = launch(kaggle.address, "sercore", "collect", "savee", "--root", str(root), "--yes")
    assert done.returncode == 0, done.stderr
    assert files(root / "savee") == names_of("savee")
    assert done.stdout.index("licence") < done.stdout.index("Downloading to")


def test_all_four_are_meant_where_none_is_named(kaggle, root, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    for name in CORPORA:
        kaggle.add(name, b"")
    assert main(["collect", "--root", str(root)]) == 1
    assert kaggle.log == [f"GetDataset {corpus.kaggle}" for corpus in CORPORA.values()]


def test_what_was_collected_before_a_failure_stays(kaggle, root, capsys):
    kaggle.add("tess", make_archive("tess"), cut=1_500_000)
    assert collected(root, "savee", "tess") == 1
    assert_refused(capsys, says="TESS: the connection broke off")
    assert files(root) == names_of("savee")


def test_clips_are_linked_not_stored_twice(kaggle, root):
    assert next(collect("savee", root).rglob("*.wav")).stat().st_nlink == 2


def test_clips_are_copied_where_links_cannot_be_made(kaggle, root, monkeypatch):
    monkeypatch.setattr(os, "link", refuse_links)
    target = collect("savee", root)
    assert files(target) == names_of("savee")
    assert next(target.rglob("*.wav")).stat().st_nlink == 1


def test_an_empty_folder_is_filled(kaggle, root):
    (root / "savee").mkdir(parents=True)
    assert files(collect("savee", root)) == names_of("savee")


def test_the_clients_are_not_imported_for_a_corpus_that_is_there(home, root):
    for member in members("savee"):
        (root / "savee" / member).parent.mkdir(parents=True, exist_ok=True)
        (root / "savee" / member).touch()
    script = (
        "import sys; from sercore.collection.download import collect_all; "
        f"collect_all(['savee'], {str(root)!r}); "
        "print({'kaggle', 'kagglehub', 'kagglesdk'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


# --- The published bytes --------------------------------------------------------------------------


@pytest.fixture
def as_served(kaggle, savee, monkeypatch) -> dict[str, tuple[str, str]]:
    """What the small Kaggle serves is what was published."""
    archive = zipfile.ZipFile(io.BytesIO(savee))
    reference = {
        Path(path).name: (f"savee/{path}", hashlib.sha256(archive.read(path)).hexdigest())
        for path in archive.namelist()
    }
    monkeypatch.setattr(checksums, "published", lambda name: reference)
    return reference


def test_a_second_folder_takes_the_clips_from_the_cache(kaggle, as_served, root, tmp_path):
    collect("savee", root)
    kaggle.log.clear()
    assert files(collect("savee", tmp_path / "other")) == names_of("savee")
    assert kaggle.log == [f"GetDataset {SAVEE}"]


def test_a_clip_that_was_damaged_in_place_is_whole_when_collected_again(
    kaggle, as_served, root, capsys
):
    clip = collect("savee", root) / "ALL" / "DC_a01.wav"
    whole = clip.read_bytes()
    with clip.open("r+b") as file:
        file.write(bytes(16))
    assert clip.read_bytes() != whole
    (root / "savee").rename(root / "aside")

    assert collected(root, "savee") == 0
    assert clip.read_bytes() == whole
    assert "1 of 480 clips in kagglehub's cache" in capsys.readouterr().out


def test_other_bytes_on_kaggle_are_collected_and_counted(kaggle, as_served, root, capsys):
    as_served["JE_n30.wav"] = ("savee/ALL/JE_n30.wav", "0" * 64)
    assert collected(root, "savee") == 0
    assert files(root / "savee") == names_of("savee")
    out = capsys.readouterr().out
    assert "in 1 of 480 clips" in out and f"sercore check {root}" in out


def test_the_published_bytes_are_collected_without_a_remark(kaggle, as_served, root, capsys):
    assert collected(root, "savee") == 0
    assert "480 clips;" not in capsys.readouterr().out


# --- Saying what will come, and asking ------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_will_come_is_said_before_a_download(kaggle, root, capsys):
    kaggle.status["DownloadDataset"] = 404
    collected(root, "savee")
    said, corpus = capsys.readouterr().out, CORPORA["savee"]
    for fact in ("480 clips, 3.1 MB", f"{SAVEE}, version 1", str(root / "savee")):
        assert fact in said
    assert all(text in said for text in (corpus.licence, corpus.citation, corpus.homepage))


def test_an_unknown_size_is_said(root):
    download = Download(corpus=CORPORA["tess"], target=root, version=1, size=0)
    assert "2,800 clips, of unknown size" in announcement([download])


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
def test_a_terminal_is_asked(answer, status, kaggle, root, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert main(["collect", "savee", "--root", str(root)]) == status
    assert (f"DownloadDataset {SAVEE}" in kaggle.log) == (status == 0)


def test_without_a_terminal_yes_must_be_said(kaggle, root, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert main(["collect", "savee", "--root", str(root)]) == 1
    assert_refused(capsys, says="Add --yes")
    assert kaggle.log == [f"GetDataset {SAVEE}"]


# --- What is there already ------------------------------------------------------------------------


def test_unknown_corpus_names_the_alternatives(root):
    with pytest.raises(CollectError, match="unknown corpus 'emodb', expected one of cremad"):
        collect("emodb", root)


def part_of_a_corpus(root: Path) -> str:
    (root / "savee" / "ALL").mkdir(parents=True)
    (root / "savee" / "ALL" / "DC_a01.wav").write_bytes(b"mine")
    return "holds 1 of SAVEE's 480 clips"


def copies_of_one_clip(root: Path) -> str:
    for i in range(480):
        (root / "savee" / str(i)).mkdir(parents=True)
        (root / "savee" / str(i) / "DC_a01.wav").touch()
    return "holds 1 of SAVEE's 480 clips"


def file_in_its_place(root: Path) -> str:
    root.mkdir()
    (root / "savee").write_text("mine")
    return "savee is in the way"


def root_that_cannot_be_made(root: Path) -> str:
    root.touch()
    return f"{root} is not a folder"


@pytest.mark.parametrize(
    "spoil", [part_of_a_corpus, copies_of_one_clip, file_in_its_place, root_that_cannot_be_made]
)
def test_what_is_in_the_way_stays_and_kaggle_is_not_asked(spoil, kaggle, root, tmp_path, capsys):
    says = spoil(root)
    before = files(tmp_path)
    assert collected(root, "savee") == 1
    assert_refused(capsys, says=says)
    assert files(tmp_path) == before and kaggle.log == []


def test_a_folder_that_cannot_be_read_is_named(kaggle, root, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    (root / "savee").mkdir(parents=True)
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(CollectError, match=r"savee cannot be read or written \(Permission denied"):
        collect("savee", root)


# --- Kaggle or the network fails ------------------------------------------------------------------

STATUS = {401: "an account", 403: "let you have it", 404: SAVEE, 429: "42 seconds", 503: "later"}


@pytest.mark.parametrize("status", STATUS)
@pytest.mark.parametrize("method", ["GetDataset", "storage"])
def test_a_refusal_says_what_to_do_and_leaves_nothing(method, status, kaggle, root, capsys):
    kaggle.status[method] = status
    assert collected(root, "savee") == 1
    refusal = capsys.readouterr().err.splitlines()[-1]
    assert refusal.startswith("sercore collect: SAVEE: ")
    assert f"({status})" in refusal and STATUS[status] in refusal
    assert not root.exists()


def test_a_key_that_kaggle_does_not_accept_is_to_be_removed(kaggle, root, capsys, monkeypatch):
    monkeypatch.setenv("KAGGLE_API_TOKEN", SECRET)
    kaggle.status["GetDataset"] = 401
    assert collected(root, "savee") == 1
    assert_refused(capsys, says="does not accept your key (401)")


def test_a_damaged_key_file_is_named(kaggle, root, home, capsys):
    (home / ".kaggle").mkdir(parents=True)
    (home / ".kaggle" / "kaggle.json").write_text(SECRET)
    assert collected(root, "savee") == 1
    assert_refused(capsys, says="kaggle.json with your Kaggle key")


def test_an_answer_of_another_than_kaggle_is_recognised(kaggle, root, capsys):
    kaggle.body["GetDataset"] = "<html>Welcome to the hotel"
    assert collected(root, "savee") == 1
    assert_refused(capsys, says="is not Kaggle")


def test_no_key_and_no_signed_address_is_ever_shown(kaggle, root, monkeypatch):
    monkeypatch.setenv("KAGGLE_API_TOKEN", SECRET)
    kaggle.status["storage"] = 403
    done = launch(kaggle.address, "sercore", "collect", "savee", "--root", str(root), "--yes")
    assert done.returncode == 1 and "(403)" in done.stderr
    assert kaggle.keys == {f"Bearer {SECRET}"}
    assert SECRET not in done.stdout + done.stderr


def test_a_notebook_is_shown_no_cause_that_may_hold_an_address(kaggle, root):
    kaggle.status["storage"] = 403
    with pytest.raises(CollectError) as caught:
        collect("savee", root)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_no_network_says_what_to_do_without_a_traceback(home, root):
    done = launch(closed_port(), "sercore", "collect", "savee", "--root", str(root), "--yes")
    (line,) = done.stderr.splitlines()
    assert line.startswith("sercore collect: SAVEE: Kaggle cannot be reached (ConnectionError)")
    assert CORPORA["savee"].homepage in line and str(root / "savee") in line
    assert done.returncode == 1 and not root.exists()


SPOILT = {
    "truncated": lambda archive: {"archive": archive[:-1000]},
    "wrong bytes in a clip": lambda a: {"archive": a[:1000] + bytes(10) + a[1010:]},
    "no archive": lambda archive: {"archive": b"<html>"},
    "wrong checksum": lambda archive: {"archive": archive, "md5": b"0" * 16},
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_damaged_archive_is_thrown_away(how, kaggle, root, savee, home, capsys):
    kaggle.add("savee", **SPOILT[how](savee))
    assert collected(root, "savee") == 1
    assert_refused(capsys, says="damaged and was thrown away")
    assert not root.exists() and not files(home / "kagglehub" / "datasets")
    kaggle.add("savee", savee)
    assert collected(root, "savee") == 0


def test_storage_that_cannot_resume_starts_again(kaggle, root, savee):
    kaggle.add("savee", savee, cut=1_500_000, resumes=False)
    assert [collected(root, "savee"), collected(root, "savee")] == [1, 0]
    assert files(root / "savee") == names_of("savee")


def test_a_set_that_has_lost_clips_is_not_put_in_place(kaggle, root, capsys):
    kaggle.add("savee", pack(dict.fromkeys(members("savee")[10:], b"")), version=2)
    assert collected(root, "savee") == 1
    assert_refused(capsys, says="470 of 480 clips")
    assert not root.exists()


def test_a_notebook_on_kaggle_without_data_is_recognised(kaggle, root, capsys, monkeypatch):
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    monkeypatch.setenv("KAGGLE_DATA_PROXY_URL", kaggle.address)
    assert collected(root, "savee") == 1
    assert_refused(capsys, says="Set DISABLE_KAGGLE_CACHE=1")


# --- The machine fails ----------------------------------------------------------------------------


class FullAfter:
    """A file on a disk that has room for so many more bytes."""

    def __init__(self, file, room: list[int]):
        self._file, self._room = file, room

    def write(self, data) -> int:
        if len(data) > self._room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._room[0] -= len(data)
        return self._file.write(data)

    def close(self) -> None:
        self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self._file.close()


def refuse_links(*_):
    raise OSError(errno.EXDEV, "another file system")


def fill_disk(monkeypatch, *, room: int) -> None:
    """Let every file written in binary share this room, and no file be linked."""
    real, left = builtins.open, [room]

    def limited(path, mode="r", *args, **options):
        file = real(path, mode, *args, **options)
        return FullAfter(file, left) if mode in ("wb", "ab") else file

    monkeypatch.setattr(builtins, "open", limited)
    monkeypatch.setattr(os, "link", refuse_links)


# The archive has 3.1 MB: the disk is full while it arrives, is unpacked, and is copied into place.
# What had arrived is not asked for again.
@pytest.mark.parametrize(
    ("room", "last"),
    [
        (2_000_000, f"storage {SAVEE} bytes=1048576-"),
        (5_000_000, f"storage {SAVEE} all"),
        (8_000_000, f"GetDataset {SAVEE}"),
    ],
)
def test_a_full_disk_leaves_nothing_half_made(room, last, kaggle, root, capsys):
    (root / "tess").mkdir(parents=True)
    (root / "tess" / "mine.wav").write_bytes(b"mine")
    with pytest.MonkeyPatch.context() as patch:
        fill_disk(patch, room=room)
        assert collected(root, "savee") == 1
    assert_refused(capsys, says="is full. Make room")
    assert files(root) == {"mine.wav": 1}

    kaggle.log.clear()
    assert collected(root, "savee") == 0
    assert files(root / "savee") == names_of("savee")
    assert kaggle.log[-1] == last


# Unpacking writes with copyfileobj, putting in place links; both die after a hundred of 480 clips.
@pytest.mark.parametrize("function", ["shutil.copyfileobj", "os.link"])
def test_a_death_while_unpacking_is_not_taken_for_a_whole_corpus(function, kaggle, root):
    command = ["sercore", "collect", "savee", "--root", str(root), "--yes"]
    assert launch(kaggle.address, "--dies-at", function, *command).returncode == 9
    assert not (root / "savee").exists()

    assert files(collect("savee", root)) == names_of("savee")
    assert [path.name for path in root.iterdir()] == ["savee"]


def test_a_cache_that_has_lost_clips_is_downloaded_again(kaggle, root, home):
    collect("savee", root / "first")
    next((home / "kagglehub").rglob("KL_su15.wav")).unlink()
    assert files(collect("savee", root / "second")) == names_of("savee")


def test_an_interrupt_leaves_nothing_in_place(kaggle, root, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", interrupt)
    assert collected(root, "savee") == 130
    assert not files(root)


def test_two_processes_do_not_download_into_one_archive(kaggle, root, home, capsys):
    (home / "kagglehub").mkdir(parents=True)
    with FileLock(home / "kagglehub" / ".sercore-savee.lock"):
        assert collected(root, "savee") == 1
    assert_refused(capsys, says="SAVEE: another process is collecting it")


# --- Nothing outside the folder -------------------------------------------------------------------


def test_members_that_lead_out_stay_inside(kaggle, root, tmp_path):
    extra = {"../../outside.txt": b"x", f"{tmp_path}/absolute.txt": b"x"}
    kaggle.add("savee", make_archive("savee", extra=extra))
    target = collect("savee", root)
    unexpected = files(target) - names_of("savee")
    assert unexpected == {"outside.txt": 1, "absolute.txt": 1}
    assert not files(tmp_path).keys() - files(target).keys() - files(tmp_path / "home").keys()
    assert not (tmp_path / "absolute.txt").exists()


def test_links_are_refused(kaggle, root, capsys):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for member in members("savee"):
            archive.addfile(tarfile.TarInfo(member))
        link = tarfile.TarInfo("ALL/link.wav")
        link.type, link.linkname = tarfile.SYMTYPE, "DC_a01.wav"
        archive.addfile(link)
    kaggle.add("savee", file.getvalue())
    assert collected(root, "savee") == 1
    assert_refused(capsys, says="link.wav is a link")
    assert not files(root)


# --- The article's own way ------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 401])
def test_the_article_s_command_downloads_and_unzips_or_explains(status, kaggle, root):
    kaggle.status["GetDatasetMetadata"] = status
    command = ["kaggle", "datasets", "download", "-d", SAVEE, "--unzip", "-p", str(root / "savee")]
    done = launch(kaggle.address, *command)
    if status == 200:
        assert done.returncode == 0 and plan("savee", root) is None, done.stderr
        assert files(root / "savee") == names_of("savee")
    else:
        assert done.returncode == 1 and not root.exists()
        assert "Authentication required to call the Kaggle API" in done.stdout
