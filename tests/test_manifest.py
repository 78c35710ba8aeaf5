"""The table of clips, and what is found while it is made."""

import os
import shutil
import struct

import numpy as np
import pytest

from sercore import manifest as m
from sercore.corpora import EMOTIONS
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
    write_clip(root / "savee" / "ALL" / "DC_a99.wav", np.zeros(8_000))
    table = m.build_manifest(root)
    assert note_of(table, "DC_a99.wav") == "silent"
    assert len(m.article_view(table)) == 43 and len(m.clean_view(table)) == 42


def test_same_bytes_under_two_labels_and_under_one(root):
    folder = root / "savee" / "ALL"
    shutil.copy(folder / "DC_a04.wav", folder / "DC_f90.wav")
    shutil.copy(folder / "DC_h04.wav", folder / "DC_h90.wav")
    table = m.build_manifest(root)
    assert note_of(table, "DC_a04.wav") == "same bytes, other label: savee/ALL/DC_f90.wav"
    assert note_of(table, "DC_f90.wav") == "same bytes, other label: savee/ALL/DC_a04.wav"
    assert note_of(table, "DC_h04.wav") == ""
    assert note_of(table, "DC_h90.wav") == "twin of savee/ALL/DC_h04.wav"
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
    import soundfile

    path = root / "savee" / "ALL" / "DC_a04.wav"
    soundfile.write(path, tone(300), 8_000, format="AIFF")
    assert note_of(m.build_manifest(root), "DC_a04.wav") == ""


def test_files_of_the_operating_system_and_links_are_passed_over(root):
    folder = root / "savee" / "ALL"
    (folder / "._DC_a04.wav").write_bytes(b"resource fork")
    (folder / "Thumbs.db").write_bytes(b"thumbs")
    (folder / "DC_a77.wav").symlink_to(folder / "DC_a04.wav")
    assert len(m.build_manifest(root)) == 42


def test_changed_file_is_inspected_again_and_unchanged_ones_are_not(root, monkeypatch):
    before = m.build_manifest(root)
    inspected = []
    original = m.inspect
    monkeypatch.setattr(m, "inspect", lambda path: inspected.append(path.name) or original(path))
    assert m.build_manifest(root).equals(before) and inspected == []
    path = root / "savee" / "ALL" / "DC_a04.wav"
    write_clip(path, tone(999))
    os.utime(path, ns=(1, 1))
    after = m.build_manifest(root)
    assert inspected == ["DC_a04.wav"]
    assert (after["sha256"] != before["sha256"]).sum() == 1


def test_damaged_memory_of_a_scan_is_rebuilt(root, tmp_path):
    before = m.build_manifest(root)
    (store,) = (tmp_path / "cache" / "scans").glob("*.csv")
    store.write_bytes(b"path,size\n\x00\xff\xfe")
    assert m.build_manifest(root).equals(before)


def test_sample_of_real_clips(sample, tmp_path, monkeypatch):
    monkeypatch.setenv("SER_CACHE", str(tmp_path))
    table = m.build_manifest(sample)
    check = m.check_manifest(table)
    assert check["found"].to_dict() == {"cremad": 195, "ravdess": 45, "tess": 142}
    assert check[m.SILENT].sum() == 1 and check[m.CONFLICT].sum() == 6 and check[m.TWIN].sum() == 1
    assert note_of(table, "1076_MTI_SAD_XX.wav") == "silent"
    assert table.set_index("path")["speaker"].filter(like="OA_bite").item() == "tess_OAF"
