"""The table of clips, and what is found while it is made."""

import io
import os
import shutil
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
import pytest
import soundfile

from sercore import manifest as m
from sercore.corpora import EMOTIONS
from sercore.store.scan import find_files
from sercore.workspace import NoDataError
from tests.speech import damage_unseen, refuse_to_open, tiny_corpus, tone, write_clip


@pytest.fixture
def root(tmp_path, cache):
    return tiny_corpus(tmp_path / "data")


@pytest.fixture
def clip(root):
    return root / "savee" / "ALL" / "DC_a04.wav"


@pytest.fixture
def reading(monkeypatch):
    """What is done before a sound file is read: noting its name in a list, unless replaced."""
    names, read_bytes = [], Path.read_bytes
    seam = SimpleNamespace(names=names, before=lambda path: names.append(path.name))

    def read(path):
        if path.suffix == ".wav":
            seam.before(path)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", read)
    return seam


def note_of(table, ending):
    return table.loc[table["path"].str.endswith(ending), "note"].item()


def test_columns_order_and_values(root):
    table = m.build_manifest(root)
    assert tuple(table.columns) == m.COLUMNS
    assert table["path"].is_monotonic_increasing and len(table) == 42
    first, known = table.iloc[0], ("savee/ALL/DC_a04.wav", "savee_DC", "male", "anger", 8_000)
    assert (*first[["path", "speaker", "sex", "emotion", "sample_rate"]],) == known
    assert first["seconds"] == pytest.approx(0.8) and (table["note"] == "").all()
    other = table.assign(emotion=table["emotion"].replace("anger", "fear"))
    assert m.manifest_digest(other) != m.manifest_digest(table)
    assert m.inspect(root / first["path"])["sha256"] == first["sha256"]


def test_a_copy_has_the_same_manifest(root, tmp_path):
    write_clip(root / "savee" / "ALL" / 'odd, "quoted" näme.wav', tone(300))
    shutil.copytree(root, tmp_path / "copy")
    table, other = m.build_manifest(root), m.build_manifest(tmp_path / "copy")
    pd.testing.assert_frame_equal(other, table)
    assert m.manifest_digest(other) == m.manifest_digest(table)
    assert note_of(table, "näme.wav").startswith(m.UNKNOWN)
    assert len(m.article_view(table)) == 42 and {*m.article_view(table)["emotion"]} == {*EMOTIONS}


def test_a_folder_without_data_or_usable_clips_is_refused(tmp_path):
    with pytest.raises(NoDataError, match="nowhere"):
        m.build_manifest(tmp_path / "nowhere")
    (tmp_path / "cremad").mkdir()
    with pytest.raises(m.ManifestError, match="hold no .wav file"):
        m.build_manifest(tmp_path)
    for name in ("1001_DFA_ANG_XX.wav", "1002_DFA_ANG_XX.wav", "holiday.wav"):
        write_clip(tmp_path / "cremad" / name, np.zeros(0))
    for view in (m.article_view, m.clean_view):
        with pytest.raises(m.ManifestError, match=r"3 .* unusable \(2\), unknown name \(1\)"):
            view(m.build_manifest(tmp_path))


def test_second_copies_count_once_and_the_shallowest_stays(root, clip):
    shutil.copytree(clip.parent, root / "savee" / "A" / "ALL")
    shutil.copy(clip, clip.with_suffix(".WAV"))
    table = m.build_manifest(root)
    kept = m.article_view(table)["path"]
    assert len(table) == 85 and len(kept) == 42 and not kept.str.contains("/A/").any()
    assert note_of(table, "A/ALL/DC_a04.wav") == "copy of savee/ALL/DC_a04.WAV"


def test_silence_and_same_bytes_stay_in_the_articles_view(root, clip):
    write_clip(clip.with_name("DC_a15.wav"), np.zeros(8_000))
    shutil.copy(clip, clip.with_name("DC_f15.wav"))
    shutil.copy(clip.with_name("DC_h04.wav"), clip.with_name("DC_h15.wav"))
    table = m.build_manifest(root)
    notes = table.loc[table["note"] != ""].set_index("path")["note"]
    assert notes.rename(index=lambda path: Path(path).stem).to_dict() == {
        "DC_a04": "same bytes, other label: savee/ALL/DC_f15.wav",
        "DC_f15": "same bytes, other label: savee/ALL/DC_a04.wav",
        "DC_h15": "twin of savee/ALL/DC_h04.wav",
        "DC_a15": m.SILENT,
    }
    assert len(m.article_view(table)) == 45 and len(m.clean_view(table)) == 41


def test_one_name_under_two_labels_is_a_contradiction_and_no_copy(root, clip):
    for folder in ("angry", "angry/again", "sad"):
        (root / "mine" / folder).mkdir(parents=True)
        shutil.copy(clip.with_name("DC_h04.wav"), root / "mine" / folder / "take1.wav")
    clip.with_name("DC_h04.wav").unlink()
    table = m.build_manifest(root)
    assert note_of(table, "angry/take1.wav") == f"{m.CONFLICT}: mine/sad/take1.wav"
    assert note_of(table, "sad/take1.wav") == f"{m.CONFLICT}: mine/angry/take1.wav"
    assert note_of(table, "again/take1.wav") == "copy of mine/angry/take1.wav"
    assert set(m.clean_view(table)["corpus"]) == {"savee"}


def endless(path):
    """A FLAC file whose header promises more samples than any memory holds."""
    soundfile.write(path, tone(300), 8_000, format="FLAC")
    data = path.read_bytes()
    path.write_bytes(data[:21] + bytes([data[21] | 0x0F]) + b"\xff" * 4 + data[26:])


def cut(path, format):
    soundfile.write(path, tone(300), 8_000, format=format)
    path.write_bytes(path.read_bytes()[:-500])


@pytest.mark.parametrize(
    ("reason", "spoil"),
    [
        ("truncated, 500 bytes", lambda path: cut(path, "WAV")),
        ("truncated, 500 bytes", lambda path: cut(path, "AIFF")),
        ("an empty file", lambda path: path.write_bytes(b"")),
        ("a Git LFS pointer", lambda path: path.write_text("version https://git-lfs.github.com/1")),
        ("not audio", lambda path: path.write_text("no audio at all")),
        ("not audio", endless),
        ("no samples", lambda path: write_clip(path, np.zeros(0))),
        ("not finite", lambda path: write_clip(path, np.array([np.nan]), subtype="FLOAT")),
        ("up to 1e+30", lambda path: write_clip(path, np.array([-1e30]), subtype="FLOAT")),
    ],
)
def test_unusable_audio_is_left_out_with_its_reason(root, clip, spoil, reason):
    spoil(clip)
    table = m.build_manifest(root)
    assert note_of(table, clip.name).startswith(m.UNUSABLE) and reason in note_of(table, clip.name)
    assert len(m.article_view(table)) == 41


def test_a_stream_without_a_length_and_an_aiff_are_read(root, clip):
    data = bytearray(clip.read_bytes())
    struct.pack_into("<I", data, data.index(b"data") + 4, 0xFFFFFFFF)
    clip.write_bytes(data)
    soundfile.write(clip.with_name("DC_f04.wav"), tone(300), 8_000, format="AIFF")
    assert len(m.clean_view(m.build_manifest(root))) == 42


def test_a_sample_of_real_clips_holds_the_known_oddities(sample, cache):
    table = m.build_manifest(sample)
    assert table["corpus"].value_counts().to_dict() == {"cremad": 195, "ravdess": 45, "tess": 142}
    kinds = table["note"].str.extract(f"^({m.SILENT}|{m.CONFLICT}|{m.TWIN})")[0].value_counts()
    assert kinds.to_dict() == {m.CONFLICT: 6, m.SILENT: 1, m.TWIN: 1}
    assert (table["note"] != "").sum() == 8 and note_of(table, "1076_MTI_SAD_XX.wav") == m.SILENT


@pytest.mark.parametrize(
    ("name", "make", "note"),
    [
        ("notes.txt", Path.touch, "unknown name: not a .wav file"),
        ("DC_a15.flac", Path.touch, "unknown name: not a .wav file"),
        ("link.wav", lambda path: path.symlink_to(path), "unknown name: a symbolic link"),
        ("again", lambda path: path.symlink_to(path.parent), "unknown name: a symbolic link"),
        ("DC_a15.wav", os.mkfifo, "unknown name: not a file but a device or a pipe"),
        ("._DC_a04.wav", Path.touch, None),
        ("Thumbs.db", Path.touch, None),
    ],
)
def test_what_is_no_clip_is_a_row_or_passed_over_and_never_read(root, reading, name, make, note):
    make(root / "savee" / name)
    table = m.build_manifest(root)
    assert len(m.article_view(table)) == 42 and len(table) == 42 + bool(note)
    assert note is None or note_of(table, f"savee/{name}").startswith(note)
    assert name not in reading.names


def test_links_to_corpora_spaces_and_upper_case_endings_are_understood(root, clip, tmp_path):
    (root / "savee" / " my clips é ").mkdir()
    clip.rename(root / "savee" / " my clips é " / "DC_a04.WAV")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "savee").symlink_to(root / "savee", target_is_directory=True)
    assert len(m.clean_view(m.build_manifest(tmp_path / "linked"))) == 42


def test_what_cannot_be_opened_is_a_row(root, clip, reading, monkeypatch):
    (root / "savee" / "shut").mkdir()
    reading.before = refuse_to_open(monkeypatch, root / "savee" / "shut", clip)
    table = m.build_manifest(root)
    assert note_of(table, "DC_a04.wav") == "unusable: cannot be opened (Permission denied)"
    assert note_of(table, "/shut") == "unusable: a folder that cannot be opened (Permission denied)"
    assert len(m.article_view(table)) == 41


def test_names_that_cannot_be_written_are_shown_as_escapes(root):
    for name in (b"caf\xe9.wav", b"a\x1b[2J.wav"):
        Path(os.fsdecode(os.path.join(os.fsencode(root / "savee"), name))).touch()
    table = m.build_manifest(root)
    for shown in (r"caf\udce9.wav", r"a\x1b[2J.wav"):
        assert note_of(table, shown) == "unknown name: a name with signs that cannot be written"
    table.to_csv().encode()


def test_no_file_is_looked_at_twice(root, monkeypatch):
    listed, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))
    for question in ("stat", "lstat"):
        monkeypatch.setattr(os, question, lambda *a, **k: pytest.fail("a second question"))
    assert len(list(find_files(root, "savee"))) == 42 and len(listed) == 2


def test_only_a_changed_file_is_read_again(root, clip, reading):
    before = m.build_manifest(root)
    assert m.build_manifest(root).equals(before) and len(reading.names) == 42
    write_clip(clip, tone(999))
    os.utime(clip, ns=(1, 1))
    after = m.build_manifest(root)
    assert reading.names[42:] == [clip.name] and (after["sha256"] != before["sha256"]).sum() == 1


def test_fresh_sees_a_change_that_left_size_and_time_and_remembers_it(root, clip):
    before = m.build_manifest(root)
    damage_unseen(clip)
    assert m.build_manifest(root).equals(before)
    after = m.build_manifest(root, fresh=True)
    assert (after["sha256"] != before["sha256"]).sum() == 1
    assert m.build_manifest(root).equals(after)


def test_damaged_memory_is_made_anew(root, cache):
    before = m.build_manifest(root)
    (memory,) = (path for path in cache.rglob("*") if path.is_file())
    good = memory.read_bytes()
    other = good.replace(b":{", b':{"x":1,')
    for bad in (b"\x00\xff\xfe", b"[]", b'{"format": 1}', good[:-9], other):
        memory.write_bytes(bad)
        assert m.build_manifest(root).equals(before)


def test_what_was_read_before_an_interruption_is_remembered(root, reading):
    def interrupt(path):
        if len(reading.names) == 10:
            raise KeyboardInterrupt
        reading.names.append(path.name)

    note, reading.before = reading.before, interrupt
    # One after the other, so that it is known what was read.
    with joblib.parallel_config(backend="sequential"), pytest.raises(KeyboardInterrupt):
        m.build_manifest(root)
    reading.before = note
    assert len(m.article_view(m.build_manifest(root))) == 42
    assert len(reading.names) == len(set(reading.names)) == 42


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_on_a_terminal_alone(root, monkeypatch, terminal):
    screen = io.StringIO()
    screen.isatty = lambda: terminal
    monkeypatch.setattr(sys, "stderr", screen)
    m.build_manifest(root)
    assert ("reading" in screen.getvalue()) == terminal
