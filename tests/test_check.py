"""A data folder against what was published."""

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from sercore.__main__ import main
from sercore.collection import checksums
from sercore.collection.check import STATUSES, check_data, check_files, check_manifest
from sercore.corpora import CORPORA, parse
from sercore.manifest import build_manifest, manifest_digest, without_calm
from sercore.store.files import sha256
from tests.speech import damage_unseen, tiny_corpus, tone, write_clip


@pytest.fixture
def root(tmp_path, cache, monkeypatch) -> Path:
    """Three clips of SAVEE which, for the tests, are all that was published of it."""
    root = tiny_corpus(tmp_path / "data", clips=3)
    clips = [p.rename(p.with_stem(f"DC{p.stem[2:]}")) for p in (root / "savee" / "ALL").iterdir()]
    index = {path.name: (path.relative_to(root).as_posix(), sha256(path)) for path in clips}
    monkeypatch.setattr(checksums, "published", lambda name: index if name == "savee" else {})
    return root


@pytest.fixture
def folder(root) -> Path:
    return root / "savee" / "ALL"


def into_a_folder_for_each_speaker(folder):
    """Lay SAVEE out as the makers' own archive does."""
    for path in folder.rename(folder.parent / "DC").iterdir():
        path.rename(path.with_name(path.name.removeprefix("DC_")))


CLIP = "DC_a01.wav"
SPOIL = {
    "nothing": ("3 found", lambda folder: None),
    "missing": ("2 found, 1 missing", lambda folder: (folder / CLIP).unlink()),
    "changed": ("2 found, 1 changed", lambda folder: write_clip(folder / CLIP, tone(555))),
    "changed unseen": ("2 found, 1 changed", lambda folder: damage_unseen(folder / CLIP)),
    "unusable": ("2 found, 1 unusable", lambda folder: (folder / CLIP).write_bytes(b"")),
    "renamed": ("2 found, 1 missing, 1 unknown", lambda f: (f / CLIP).rename(f / "first.wav")),
    "a link": (
        "2 found, 1 missing, 2 unknown",
        lambda folder: (folder / CLIP).symlink_to((folder / CLIP).rename(folder / "my.flac")),
    ),
    "bad name": ("3 found, 1 unknown", lambda folder: write_clip(folder / "my.wav", tone(444))),
    "new": ("3 found, 1 unknown", lambda folder: write_clip(folder / "DC_a02.wav", tone(444))),
    "other": ("3 found, 1 unknown", lambda folder: (folder / "Info.txt").touch()),
    "copies": ("3 found, 3 duplicate", lambda folder: shutil.copytree(folder, folder / "again")),
    "own layout": ("3 found", into_a_folder_for_each_speaker),
}


@pytest.mark.parametrize("what", SPOIL)
def test_each_kind_of_difference_is_counted(what, root, folder):
    assert check_data(root).wrong == ""
    expected, spoil = SPOIL[what]
    spoil(folder)
    counts = check_data(root).counts.loc["savee", list(STATUSES)]
    assert ", ".join(f"{n} {status}" for status, n in counts.items() if n) == expected


def test_demo_corpora_are_recognised_and_their_clips_are_not_called_changed(demo_root):
    check = check_data(demo_root)
    assert check.synthetic and check.wrong == "" and "synthetic demo corpora" in check.text()
    assert set(check.counts.index) == set(CORPORA) and check.counts["unknown"].sum() == 0
    assert check.counts[["complete", "missing", "changed"]].isna().all(axis=None)
    assert check.counts[["found", "duplicate"]].sum().gt(0).all()


@pytest.mark.parametrize(
    ("spoil", "status", "says"),
    [
        ("nothing", 0, "Not there: cremad, ravdess, tess."),
        ("missing", 1, "savee, 1 missing:\n  savee/ALL/DC_a01.wav\n"),
        ("changed", 1, "savee, 1 changed:\n  savee/ALL/DC_a01.wav: its bytes"),
        ("unusable", 1, "savee, 1 unusable:\n  savee/ALL/DC_a01.wav: an empty file"),
        ("other", 0, "savee, 1 unknown:\n  savee/ALL/Info.txt: not a .wav file"),
        ("renamed", 1, "(it holds the clip DC_a01.wav)\n"),
    ],
)
def test_what_stands_out_is_named_and_decides_the_status(root, folder, capsys, spoil, status, says):
    SPOIL[spoil][1](folder)
    assert main(["check", str(root)]) == status
    out, error = capsys.readouterr()
    assert says in out and error.startswith("sercore check: 1 ") == bool(status)


def test_the_first_few_are_named_and_how_to_see_all(root, folder, capsys):
    for i in range(5):
        (folder / f"{i}.txt").touch()
    main(["check", str(root)])
    few = capsys.readouterr().out
    assert "2.txt" in few and "3.txt" not in few and "  and 2 more\n" in few
    assert few.rstrip().endswith(f"python -m sercore check {root} --all")
    main(["check", str(root), "--all"])
    out = capsys.readouterr().out
    assert "4.txt" in out and "more" not in out


def test_folders_that_are_not_a_corpus_are_mentioned(root, capsys):
    (root / "holidays").mkdir()
    (root / "loop").symlink_to(root / "loop")
    assert main(["check", str(root)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(": holidays.")


@pytest.mark.parametrize(
    ("name", "says"), [("none", "does not exist"), ("data/savee/ALL", "holds none")]
)
def test_no_data_is_one_line(root, tmp_path, capsys, name, says):
    assert main(["check", str(tmp_path / name)]) == 1
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_a_reader_that_has_had_enough_is_no_error(root, folder):
    # More than a pipe holds, so that the rest meets a closed one.
    for i in range(1_500):
        (folder / f"{i:050}.txt").touch()
    command = [sys.executable, "-m", "sercore", "check", str(root), "--all"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == "" and process.wait() == 1


def test_index_holds_every_published_clip():
    published = [checksums.published(name) for name in CORPORA]
    assert [len(clips) for clips in published] == [c.clips for c in CORPORA.values()]
    hashes = {sha256 for clips in published for _, sha256 in clips.values()}
    assert len(hashes) == 12_158 and {len(sha256) for sha256 in hashes} == {64}
    assert checksums.published("mine") == {}


def test_real_clips_are_what_was_published(sample, cache):
    manifest = build_manifest(sample)
    table = check_manifest(manifest)
    assert table["found"].to_dict() == {"cremad": 195, "ravdess": 45, "tess": 142}
    assert table[["changed", "unknown", "duplicate", "unusable"]].to_numpy().sum() == 0
    assert (table["found"] + table["missing"] == table["complete"]).all()
    assert (check_files(manifest.assign(sha256="0" * 64))["status"] != "found").all()
    assert not any(checksums.changed(name, sample / name) for name in CORPORA)


def test_changed_clips_are_named_once_as_their_corpus_spells_them(tmp_path):
    for path in ("a/OA_bite_neutral.wav", "b/OAF_bite_neutral.wav", "mine.wav", "notes.txt"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(b"damaged")
    assert checksums.changed("tess", tmp_path) == {"OAF_bite_neutral.wav"}
    assert checksums.changed("mine", tmp_path) == set()


def test_index_gives_the_digest_that_trained_models_are_kept_under():
    """Another path, hash or label of a single clip would have every model trained anew."""
    clips = sorted(clip for name in CORPORA for clip in checksums.published(name).values())
    table = pd.DataFrame(clips, columns=["path", "sha256"])
    table["emotion"] = [parse(path).emotion for path in table["path"]]
    digest = "b40fa3771044975d373eaf289f7656bfdfc78bcfd4e4646db59c126f660ddf0b"
    assert manifest_digest(without_calm(table)) == digest
    assert manifest_digest(without_calm(table[1:])) != digest


def test_the_same_bytes_under_two_emotions_are_wrong_in_an_added_corpus(tmp_path):
    for emotion in ("angry", "sad"):
        write_clip(tmp_path / "mine" / emotion / "take1.wav", tone(300))
    check = check_data(tmp_path)
    assert check.wrong.startswith("2 with the same bytes")
    assert "mine/sad/take1.wav" in check.text()
    (tmp_path / "mine" / "sad" / "take1.wav").unlink()
    assert check_data(tmp_path).wrong == ""
