"""The table of clips, and what is found while it is made."""

import io
import os
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from sercore import manifest as m
from sercore.corpora import EMOTIONS
from sercore.store import scan
from sercore.workspace import NoDataError
from tests.speech import tiny_corpus, tone, write_clip


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_CACHE", str(tmp_path / "cache"))
    return tiny_corpus(tmp_path / "data")


def note_of(table, ending):
    return table.loc[table["path"].str.endswith(ending), "note"].item()


def test_columns_order_and_values(root):
    table = m.build_manifest(root)
    assert tuple(table.columns) == m.COLUMNS
    assert table["path"].is_monotonic_increasing and len(table) == 42
    first = table.iloc[0]
    assert first["path"] == "savee/ALL/DC_a04.wav"
    assert (first["speaker"], first["sex"], first["emotion"]) == ("savee_DC", "male", "anger")
    assert first["seconds"] == pytest.approx(0.8) and first["sample_rate"] == 8_000
    assert (table["note"] == "").all()


def test_same_table_from_a_copy_made_in_another_order(root, tmp_path):
    copy = tmp_path / "copy"
    for path in sorted(root.rglob("*.wav"), key=lambda p: p.name[::-1]):
        target = copy / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    assert m.build_manifest(copy).to_csv() == m.build_manifest(root).to_csv()
    assert m.manifest_digest(m.build_manifest(copy)) == m.manifest_digest(m.build_manifest(root))


def test_saved_bytes_are_the_same_from_a_copy_and_read_back_as_they_were(root, tmp_path):
    (root / "savee" / "ALL" / 'odd, "quoted" näme.wav').write_bytes(b"")
    table = m.build_manifest(root)
    first = m.save_manifest(table, tmp_path / "a" / "clips.csv").read_bytes()
    shutil.copytree(root, tmp_path / "copy")
    second = m.save_manifest(m.build_manifest(tmp_path / "copy"), tmp_path / "b.csv").read_bytes()
    assert first == second and b"\r" not in first
    pd.testing.assert_frame_equal(m.read_manifest(tmp_path / "b.csv"), table)


def test_saved_manifest_keeps_ages_and_what_looks_like_a_number_or_nothing(tmp_path):
    row = dict.fromkeys(m.COLUMNS, "") | {"age": 51, "seconds": 0.1 + 0.2, "sample_rate": 8_000}
    rows = [row | {"sentence": "01", "note": "NA"}, row | {"age": None, "speaker": "nan"}]
    table = pd.DataFrame(rows).astype({"age": "Int64"})
    read = m.read_manifest(m.save_manifest(table, tmp_path / "clips.csv"))
    assert read["age"].tolist() == [51, pd.NA] and read["seconds"].tolist() == [0.1 + 0.2] * 2
    assert (read.at[0, "sentence"], read.at[0, "note"], read.at[1, "speaker"]) == (
        "01",
        "NA",
        "nan",
    )


@pytest.mark.parametrize("data", [b"", b"path,note\na,b\n", b"\xff\xfe\x00", b"no table"])
def test_what_is_not_a_manifest_is_refused(tmp_path, data):
    (tmp_path / "clips.csv").write_bytes(data)
    with pytest.raises(m.ManifestError, match="clips.csv is not a manifest"):
        m.read_manifest(tmp_path / "clips.csv")


def test_a_manifest_that_is_not_there_or_cannot_be_saved_says_so(root, tmp_path):
    with pytest.raises(m.ManifestError, match="cannot be opened"):
        m.read_manifest(tmp_path / "none.csv")
    (tmp_path / "folder").mkdir()
    with pytest.raises(m.ManifestError, match="cannot be written"):
        m.save_manifest(m.build_manifest(root), tmp_path / "folder")
    assert not list(tmp_path.glob("*.partial"))


def test_digest_sees_a_changed_label(root):
    table = m.build_manifest(root)
    other = table.assign(emotion=table["emotion"].replace("anger", "fear"))
    assert m.manifest_digest(other) != m.manifest_digest(table)


def test_missing_folder_names_three_ways(tmp_path):
    with pytest.raises(NoDataError, match="nowhere does not exist.*Three ways to get data"):
        m.build_manifest(tmp_path / "nowhere")


def test_folder_without_clips_is_refused(tmp_path):
    (tmp_path / "tess").mkdir()
    with pytest.raises(m.ManifestError, match="hold no .wav file"):
        m.build_manifest(tmp_path)


def test_files_of_which_none_can_be_used_are_counted_by_reason(tmp_path):
    for name in ("1001_DFA_ANG_XX.wav", "1002_DFA_ANG_XX.wav"):
        path = tmp_path / "cremad" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 8\n")
    write_clip(tmp_path / "cremad" / "holiday.wav", tone(300))
    table = m.build_manifest(tmp_path)
    for view in (m.article_view, m.clean_view):
        with pytest.raises(m.ManifestError) as error:
            view(table)
        found = "none of the 3 sound files can be used: unusable (2), unknown name (1); "
        assert str(error.value).startswith(found)
        assert "python -m sercore check DIR --all" in str(error.value)


def test_unknown_names_are_listed_and_out_of_every_view(root):
    write_clip(root / "savee" / "my recording.wav", tone(300))
    table = m.build_manifest(root)
    assert note_of(table, "my recording.wav").startswith("unknown name: my recording.wav does not")
    assert len(m.article_view(table)) == 42
    assert set(m.article_view(table)["emotion"]) == set(EMOTIONS)


def test_second_copies_count_once_and_the_shallowest_stays(root):
    nested = root / "savee" / "A" / "ALL"
    shutil.copytree(root / "savee" / "ALL", nested)
    table = m.build_manifest(root)
    assert len(table) == 84 and len(m.article_view(table)) == 42
    assert note_of(table, "A/ALL/DC_a04.wav") == "copy of savee/ALL/DC_a04.wav"
    assert not m.article_view(table)["path"].str.contains("/A/").any()


def test_silence_is_found_by_level_and_stays_in_the_articles_view(root):
    write_clip(root / "savee" / "ALL" / "DC_a15.wav", np.zeros(8_000))
    table = m.build_manifest(root)
    assert note_of(table, "DC_a15.wav") == "silent"
    assert len(m.article_view(table)) == 43 and len(m.clean_view(table)) == 42


def test_same_bytes_under_two_labels_and_under_one(root):
    folder = root / "savee" / "ALL"
    shutil.copy(folder / "DC_a04.wav", folder / "DC_f15.wav")
    shutil.copy(folder / "DC_h04.wav", folder / "DC_h15.wav")
    table = m.build_manifest(root)
    assert note_of(table, "DC_a04.wav") == "same bytes, other label: savee/ALL/DC_f15.wav"
    assert note_of(table, "DC_f15.wav") == "same bytes, other label: savee/ALL/DC_a04.wav"
    assert note_of(table, "DC_h04.wav") == ""
    assert note_of(table, "DC_h15.wav") == "twin of savee/ALL/DC_h04.wav"
    assert len(m.article_view(table)) == 44 and len(m.clean_view(table)) == 41


def truncated(path):
    path.write_bytes(path.read_bytes()[:-500])


def empty(path):
    path.write_bytes(b"")


def lfs_stub(path):
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")


def text(path):
    path.write_text("no audio at all")


def not_finite(path):
    samples = tone(300)
    samples[10] = np.nan
    write_clip(path, samples, subtype="FLOAT")


def far_too_loud(path):
    samples = tone(300)
    samples[10] = 1e30
    write_clip(path, samples, subtype="FLOAT")


def endless(path):
    """A FLAC file whose header promises more samples than any memory holds."""
    soundfile.write(path, tone(300), 8_000, format="FLAC")
    data = bytearray(path.read_bytes())
    data[21:26] = bytes([data[21] | 0x0F, 255, 255, 255, 255])
    path.write_bytes(data)


def truncated_aiff(path):
    soundfile.write(path, tone(300), 8_000, format="AIFF")
    path.write_bytes(path.read_bytes()[:-500])


def no_samples(path):
    write_clip(path, np.zeros(0))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (truncated, "truncated, 500 bytes"),
        (empty, "an empty file"),
        (lfs_stub, "a Git LFS pointer"),
        (text, "not audio"),
        (not_finite, "not finite"),
        (no_samples, "no samples"),
        (far_too_loud, "samples up to 1e+30"),
        (endless, "not audio"),
        (truncated_aiff, "truncated, 500 bytes"),
    ],
)
def test_unusable_audio_is_left_out_with_its_reason(root, spoil, reason):
    spoil(root / "savee" / "ALL" / "DC_a04.wav")
    table = m.build_manifest(root)
    note = note_of(table, "DC_a04.wav")
    assert note.startswith("unusable: ") and reason in note
    assert len(m.article_view(table)) == 41
    assert m.check_manifest(table).loc["savee", "unusable"] == 1


def test_a_stream_without_a_length_is_not_truncated(root):
    path = root / "savee" / "ALL" / "DC_a04.wav"
    data = bytearray(path.read_bytes())
    position = data.index(b"data") + 4
    struct.pack_into("<I", data, position, 0xFFFFFFFF)
    path.write_bytes(data)
    assert note_of(m.build_manifest(root), "DC_a04.wav") == ""


def test_aiff_named_wav_is_read(root):
    path = root / "savee" / "ALL" / "DC_a04.wav"
    soundfile.write(path, tone(300), 8_000, format="AIFF")
    assert note_of(m.build_manifest(root), "DC_a04.wav") == ""


def test_files_of_the_operating_system_and_links_are_passed_over(root):
    folder = root / "savee" / "ALL"
    (folder / "._DC_a04.wav").write_bytes(b"resource fork")
    (folder / "Thumbs.db").write_bytes(b"thumbs")
    (folder / "DC_a15.wav").symlink_to(folder / "DC_a04.wav")
    table = m.build_manifest(root)
    assert len(m.article_view(table)) == 42
    assert note_of(table, "DC_a15.wav") == "unknown name: a symbolic link, which is not followed"
    assert len(table) == 43


def test_changed_file_is_inspected_again_and_unchanged_ones_are_not(root, monkeypatch):
    before = m.build_manifest(root)
    inspected = []
    original = scan.inspect_file
    monkeypatch.setattr(
        scan, "inspect_file", lambda path: inspected.append(path.name) or original(path)
    )
    assert m.build_manifest(root).equals(before) and inspected == []
    path = root / "savee" / "ALL" / "DC_a04.wav"
    write_clip(path, tone(999))
    os.utime(path, ns=(1, 1))
    after = m.build_manifest(root)
    assert inspected == ["DC_a04.wav"]
    assert (after["sha256"] != before["sha256"]).sum() == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"\x00\xff\xfe",
        lambda data: b"[]",
        lambda data: b'{"format": 1}',
        lambda data: data[:-9],
        lambda data: data.replace(b'"files":{', b'"files":{"x":1,'),
    ],
)
def test_damaged_memory_of_a_scan_is_rebuilt(root, tmp_path, damage):
    before = m.build_manifest(root)
    (store,) = (tmp_path / "cache" / "scans").glob("*.json")
    store.write_bytes(damage(store.read_bytes()))
    assert m.build_manifest(root).equals(before)


def test_sample_of_real_clips(sample, tmp_path, monkeypatch):
    monkeypatch.setenv("SER_CACHE", str(tmp_path))
    table = m.build_manifest(sample)
    check = m.check_manifest(table)
    assert check["found"].to_dict() == {"cremad": 195, "ravdess": 45, "tess": 142}
    assert check[m.SILENT].sum() == 1 and check[m.CONFLICT].sum() == 6 and check[m.TWIN].sum() == 1
    assert note_of(table, "1076_MTI_SAD_XX.wav") == "silent"
    assert table.set_index("path")["speaker"].filter(like="OA_bite").item() == "tess_OAF"


# --- Odd files and folders ------------------------------------------------------------------------


def test_a_folder_that_cannot_be_opened_is_a_row(root, monkeypatch):
    shut = root / "savee" / "shut"
    shut.mkdir()
    # Not by its permissions, which mean nothing to root.
    scandir = os.scandir

    def refuse(path):
        if os.fspath(path) == os.fspath(shut):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    table = m.build_manifest(root)
    note = "unusable: a folder that cannot be opened (Permission denied)"
    assert note_of(table, "savee/shut") == note
    assert m.check_manifest(table).loc["savee", "unusable"] == 1
    assert len(m.article_view(table)) == 42


def test_a_clip_that_cannot_be_opened_is_unusable(root, monkeypatch):
    read_bytes = Path.read_bytes

    def refuse(path):
        if path.name == "DC_a04.wav":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    note = note_of(m.build_manifest(root), "DC_a04.wav")
    assert note == "unusable: cannot be opened (Permission denied)"


def test_a_linked_folder_is_not_entered_but_a_linked_corpus_is(root, tmp_path):
    (root / "savee" / "again").symlink_to(root / "savee", target_is_directory=True)
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "savee").symlink_to(root / "savee", target_is_directory=True)
    table = m.build_manifest(linked)
    assert note_of(table, "savee/again").startswith("unknown name: a symbolic link")
    assert len(m.article_view(table)) == 42


@pytest.mark.parametrize("name", ["notes.txt", "DC_a15.flac", "wav"])
def test_files_that_are_no_clips_are_rows_and_are_not_read(root, name, monkeypatch):
    (root / "savee" / name).write_bytes(b"x")
    table = m.build_manifest(root)
    assert note_of(table, f"/{name}") == "unknown name: not a .wav file"
    assert table.loc[table["path"] == f"savee/{name}", "sha256"].item() == ""


def test_a_pipe_named_wav_is_not_waited_for(root):
    os.mkfifo(root / "savee" / "DC_a15.wav")
    assert "a pipe" in note_of(m.build_manifest(root), "DC_a15.wav")


@pytest.mark.parametrize(
    ("name", "shown"), [(b"caf\xe9.wav", r"caf\udce9.wav"), (b"a\x1b[2J.wav", r"a\x1b[2J.wav")]
)
def test_names_that_cannot_be_written_are_shown_as_escapes(root, name, shown, tmp_path):
    path = os.path.join(os.fsencode(root / "savee"), name)
    with open(path, "wb"):
        pass
    table = m.build_manifest(root)
    assert note_of(table, shown) == "unknown name: a name with signs that cannot be written"
    m.manifest_digest(table)
    m.save_manifest(table, tmp_path / "clips.csv")


def test_upper_case_endings_and_spaces_in_folders_are_understood(root):
    folder = root / "savee" / " my clips é "
    folder.mkdir()
    (root / "savee" / "ALL" / "DC_a04.wav").rename(folder / "DC_a04.WAV")
    table = m.build_manifest(root)
    assert note_of(table, "DC_a04.WAV") == "" and len(m.article_view(table)) == 42


def test_a_copy_with_its_ending_in_upper_case_is_a_copy(root):
    folder = root / "savee" / "ALL"
    shutil.copy(folder / "DC_a04.wav", folder / "DC_a04.WAV")
    assert note_of(m.build_manifest(root), "DC_a04.wav") == "copy of savee/ALL/DC_a04.WAV"


def test_every_file_is_looked_at_once(tmp_path, monkeypatch):
    """A hundred thousand names would take minutes if each were asked for twice."""
    asked = []

    class Listed:
        def __init__(self, name):
            self.name = name

        def is_dir(self, *, follow_symlinks):
            return False

        def is_symlink(self):
            return False

        def stat(self, *, follow_symlinks):
            asked.append(self.name)
            return os.stat_result((0o100644, 0, 0, 1, 0, 0, 5, 0, 0, 0))

    class Listing(list):
        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

    names = [f"{i}.wav" for i in range(1_000)]
    listings = []
    monkeypatch.setattr(
        os, "scandir", lambda path: listings.append(path) or Listing(map(Listed, names))
    )
    monkeypatch.setattr(os, "stat", lambda *a, **k: pytest.fail("a second question"))
    entries = list(scan.find_files(tmp_path, "savee"))
    assert asked == names and len(entries) == 1_000 and len(listings) == 1


def test_what_was_read_before_an_interruption_is_remembered(root, monkeypatch):
    read, original = [], scan.inspect_file

    def interrupt(path):
        if len(read) == 10:
            raise KeyboardInterrupt
        read.append(path.name)
        return original(path)

    # One after the other, so that it is known what was read.
    monkeypatch.setattr(
        scan, "Parallel", lambda **kinds: lambda calls: (f(*a) for f, a, _ in calls)
    )
    monkeypatch.setattr(scan, "inspect_file", interrupt)
    with pytest.raises(KeyboardInterrupt):
        m.build_manifest(root)
    again = []
    monkeypatch.setattr(
        scan, "inspect_file", lambda path: again.append(path.name) or original(path)
    )
    assert len(m.article_view(m.build_manifest(root))) == 42
    assert len(again) == 32 and not set(again) & set(read)


class Screen(io.StringIO):
    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_on_a_terminal_alone(root, monkeypatch, terminal):
    screen = Screen(terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    m.build_manifest(root)
    assert ("reading" in screen.getvalue()) == terminal
