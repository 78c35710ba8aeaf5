"""A data folder against what was published."""

import hashlib
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from sercore import __main__ as command_line
from sercore.collection.check import check_data
from sercore.collection.checksums import published
from sercore.corpora import CORPORA
from sercore.demo.make import MARKER
from sercore.manifest import check_files, check_manifest, manifest_digest, without_calm
from tests.speech import tiny_corpus, tone, write_clip


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Three clips of SAVEE which, for the tests, are all that was published of it."""
    monkeypatch.setenv("SER_CACHE", str(tmp_path / "cache"))
    root = tiny_corpus(tmp_path / "data", clips=3)
    names = ("DC_a01.wav", "DC_d01.wav", "DC_f01.wav")
    for path, name in zip(sorted((root / "savee").rglob("*.wav")), names, strict=True):
        path.rename(path.with_name(name))
    index = {
        path.name: (
            path.relative_to(root).as_posix(),
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in (root / "savee" / "ALL").iterdir()
    }
    monkeypatch.setattr("sercore.manifest.published", lambda name: index if name == "savee" else {})
    return root


@pytest.fixture
def folder(root):
    return root / "savee" / "ALL"


def spoil_missing(folder):
    (folder / "DC_a01.wav").unlink()


def spoil_changed(folder):
    write_clip(folder / "DC_a01.wav", tone(555))


def spoil_unknown(folder):
    write_clip(folder / "my recording.wav", tone(444))


def spoil_unpublished(folder):
    write_clip(folder / "DC_a02.wav", tone(444))


def spoil_other(folder):
    (folder / "Info.txt").write_text("read me")


def spoil_duplicate(folder):
    shutil.copytree(folder, folder / "again")


def spoil_unusable(folder):
    (folder / "DC_a01.wav").write_bytes(b"")


COMPLETE = {"found": 3, "missing": 0, "changed": 0, "unknown": 0, "duplicate": 0, "unusable": 0}


def counts(root):
    return check_data(root).counts.loc["savee", list(COMPLETE)].to_dict()


@pytest.mark.parametrize(
    ("spoil", "difference"),
    [
        (lambda folder: None, {}),
        (spoil_missing, {"found": 2, "missing": 1}),
        (spoil_changed, {"found": 2, "changed": 1}),
        (spoil_unknown, {"unknown": 1}),
        (spoil_unpublished, {"unknown": 1}),
        (spoil_other, {"unknown": 1}),
        (spoil_duplicate, {"duplicate": 3}),
        (spoil_unusable, {"found": 2, "unusable": 1}),
    ],
)
def test_each_kind_of_difference_is_counted(root, folder, spoil, difference):
    spoil(folder)
    assert counts(root) == COMPLETE | difference


def test_a_published_clip_under_another_name_is_recognised(root, folder):
    (folder / "DC_a01.wav").rename(folder / "first.wav")
    files = check_data(root).files
    assert counts(root) == COMPLETE | {"found": 2, "missing": 1, "unknown": 1}
    detail = files.loc[files["status"] == "unknown", "detail"].item()
    assert detail.endswith("(it holds the clip DC_a01.wav)")


def test_a_link_does_not_stand_for_a_clip(root, folder):
    (folder / "DC_a01.wav").rename(root / "aside.wav")
    (folder / "DC_a01.wav").symlink_to(root / "aside.wav")
    assert counts(root) == COMPLETE | {"found": 2, "missing": 1, "unknown": 1}


def test_the_makers_own_layout_of_savee_is_complete(root, folder):
    for path in list(folder.iterdir()):
        target = root / "savee" / "AudioData" / "DC" / path.name.removeprefix("DC_")
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    assert counts(root) == COMPLETE


def test_a_second_copy_counts_once_whichever_is_met_first(root, folder):
    shutil.move(folder, root / "savee" / "Z")
    shutil.copytree(root / "savee" / "Z", root / "savee" / "A" / "deep")
    check = check_data(root)
    copies = check.files.loc[check.files["status"] == "duplicate", "path"]
    assert counts(root) == COMPLETE | {"duplicate": 3}
    assert copies.str.startswith("savee/A/deep/").all()


def test_demo_corpora_are_recognised_and_not_called_changed(root, folder):
    spoil_changed(folder)
    (root / MARKER).write_text("synthetic")
    check = check_data(root)
    assert check.counts.loc["savee", "found"] == 3 and check.wrong == ""
    assert check.counts.loc["savee", ["complete", "missing", "changed"]].isna().all()
    assert "These are the synthetic demo corpora" in check.text()


def test_the_demo_corpora_themselves_are_sound(demo_root):
    check = check_data(demo_root)
    assert check.synthetic and check.wrong == ""
    assert set(check.counts.index) == set(CORPORA)
    assert check.counts["unknown"].sum() == 0 and check.counts["duplicate"].sum() > 0


# --- The command line -----------------------------------------------------------------------------


def test_a_complete_corpus_ends_with_status_0(root, capsys):
    assert command_line.main(["check", str(root)]) == 0
    out, error = capsys.readouterr()
    assert out.splitlines()[1].split() == ["savee", "3", "3", "0", "0", "0", "0", "0"]
    assert "Not there: cremad, ravdess, tess." in out and error == ""


@pytest.mark.parametrize(
    ("spoil", "status", "says"),
    [
        (spoil_missing, 1, "savee, 1 missing:\n  savee/ALL/DC_a01.wav\n"),
        (spoil_changed, 1, "savee, 1 changed:\n  savee/ALL/DC_a01.wav: its bytes are not"),
        (spoil_unusable, 1, "savee, 1 unusable:\n  savee/ALL/DC_a01.wav: an empty file"),
        (spoil_other, 0, "savee, 1 unknown:\n  savee/ALL/Info.txt: not a .wav file"),
    ],
)
def test_what_stands_out_is_named_and_decides_the_status(root, folder, capsys, spoil, status, says):
    spoil(folder)
    assert command_line.main(["check", str(root)]) == status
    out, error = capsys.readouterr()
    assert says in out and error.startswith("sercore check: 1 ") == bool(status)


def test_the_first_few_are_named_and_how_to_see_all(root, folder, capsys):
    for i in range(5):
        (folder / f"{i}.txt").touch()
    command_line.main(["check", str(root)])
    out = capsys.readouterr().out
    assert "2.txt" in out and "3.txt" not in out and "  and 2 more\n" in out
    assert out.rstrip().endswith(f"python -m sercore check {root} --all")
    command_line.main(["check", str(root), "--all"])
    out = capsys.readouterr().out
    assert "4.txt" in out and "more" not in out


def test_folders_that_are_no_corpus_are_mentioned(root, capsys):
    (root / "holidays").mkdir()
    command_line.main(["check", str(root)])
    assert "Not looked at, for they hold neither a corpus.toml" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "says"), [("none", "does not exist"), ("data/savee/ALL", "holds none of the folders")]
)
def test_no_data_is_one_line(root, tmp_path, capsys, name, says):
    assert command_line.main(["check", str(tmp_path / name)]) == 1
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_a_reader_that_has_had_enough_is_no_error(root, folder):
    # More than a pipe holds, so that the rest meets a closed one.
    for i in range(1_500):
        (folder / f"{i:050}.txt").touch()
    command = [sys.executable, "-m", "sercore", "check", str(root), "--all"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait() == 1
    process.stderr.close()


# --- The index ------------------------------------------------------------------------------------


def test_index_holds_every_published_clip():
    assert {name: len(published(name)) for name in CORPORA} == {
        name: corpus.clips for name, corpus in CORPORA.items()
    }
    hashes = {sha256 for name in CORPORA for _, sha256 in published(name).values()}
    assert len(hashes) == 12_158 and all(len(sha256) == 64 for sha256 in hashes)


def test_index_of_a_corpus_that_nobody_published_is_empty():
    assert published("mine") == {}


def test_index_is_small():
    from importlib import resources

    data = resources.files("sercore").joinpath("data/index.csv.gz").read_bytes()
    assert len(data) < 600_000


def test_real_clips_are_what_was_published(sample, tmp_path, monkeypatch):
    from sercore.manifest import build_manifest

    monkeypatch.setenv("SER_CACHE", str(tmp_path))
    manifest = build_manifest(sample)
    table = check_manifest(manifest)
    assert table["found"].to_dict() == {"cremad": 195, "ravdess": 45, "tess": 142}
    assert table[["changed", "unknown", "duplicate", "unusable"]].to_numpy().sum() == 0
    assert (table["found"] + table["missing"] == table["complete"]).all()
    spoiled = manifest.assign(sha256="0" * 64)
    assert (check_files(spoiled)["status"] != "found").all()


def test_index_gives_the_digest_that_trained_models_are_kept_under():
    """Another path, hash or label of a single clip would have every model trained anew."""
    clips = [
        (path, sha256, CORPORA[name].parse(path).emotion)
        for name in CORPORA
        for path, sha256 in published(name).values()
    ]
    table = pd.DataFrame(sorted(clips), columns=["path", "sha256", "emotion"])
    assert manifest_digest(without_calm(table)) == (
        "b40fa3771044975d373eaf289f7656bfdfc78bcfd4e4646db59c126f660ddf0b"
    )
    assert manifest_digest(without_calm(table[1:])) != manifest_digest(without_calm(table))
