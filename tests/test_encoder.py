"""The speech encoder: against published numbers, and weights that are not the published ones."""

import struct

import numpy as np
import pytest

from sercore import encoder
from sercore.collection import encoder as collection
from sercore.config import PROFILES, REPOSITORY
from sercore.encoder import EncoderError
from sercore.functionals import VOICE
from sercore.store.files import write_whole

SHARED = REPOSITORY.parent / "shared" / "whisper"
TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000).astype(np.float32)
# Steps 0, 10 and 49 of 50, numbers 0, 100 and 383 of 384, of the last output for that tone: as
# CTranslate2 4.8.5, the program that the weights were converted for, computes them.
TONE_NORMALISED = [
    [-0.5403, -0.7916, -0.6796],
    [0.9419, -0.4077, -0.0132],
    [-0.1023, 0.0713, 0.4351],
]


@pytest.fixture(scope="module")
def arrays():
    file = SHARED / "tiny_en_encoder.npz"
    if not file.exists():
        pytest.skip("the encoder's weights are not beside the repository")
    return dict(np.load(file))


@pytest.fixture(scope="module")
def whisper(arrays):
    model = encoder.build_encoder()
    model.set_weights(encoder.in_keras_order(arrays))
    return model


def test_its_size_is_the_published_one():
    assert encoder.build_encoder().count_params() == 8_209_920


def test_log_mel_spans_eight_powers_of_ten():
    mel = encoder.log_mel(TONE)
    assert mel.shape == (100, 80) and mel.max() - mel.min() == pytest.approx(2)
    frequencies = encoder.librosa.mel_frequencies(82, fmax=8_000)[1:-1]
    assert abs(frequencies[mel.mean(axis=0).argmax()] - 440) < 30


def test_it_gives_what_another_program_gives_for_a_tone(whisper):
    normalised = whisper(encoder.log_mel(TONE)[np.newaxis], training=False)[-1]
    found = np.asarray(normalised)[0][np.ix_([0, 10, 49], [0, 100, 383])]
    assert found == pytest.approx(np.array(TONE_NORMALISED), abs=1e-4)


def test_every_layer_gives_what_was_published_for_a_clip(whisper):
    check = np.load(SHARED / "check.npz")
    for found, layer in zip(whisper(check["mel"], training=False), check["layers"][0], strict=True):
        assert np.abs(np.asarray(found)[0] - layer).max() < 1e-4 * np.abs(layer).max()


def test_statistics_of_a_long_clip_are_of_all_its_pieces(arrays, tmp_path, monkeypatch):
    monkeypatch.setenv("SER_CACHE", str(tmp_path))
    np.savez(encoder.encoder_file(), **arrays)
    encoder.compiled.cache_clear()
    short = encoder.layer_statistics(TONE, config=VOICE)
    monkeypatch.setattr(encoder, "_LONGEST", 16_000)
    long = encoder.layer_statistics(np.tile(TONE, 3), config=VOICE)
    assert short.shape == long.shape == (encoder.N_STATISTICS,)
    assert long == pytest.approx(short, abs=2e-3 * float(np.abs(short).max()))
    louder = encoder.layer_statistics(0.01 * TONE, config=VOICE)
    assert louder == pytest.approx(short, abs=1e-3 * float(np.abs(short).max()))


def test_another_rate_is_refused():
    with pytest.raises(EncoderError, match="16000 Hz, not 44100"):
        encoder.layer_statistics(TONE, config=PROFILES["article"].audio)


def test_weights_that_are_not_there_or_not_the_published_ones_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_CACHE", str(tmp_path))
    with pytest.raises(EncoderError, match="not there; `python -m sercore collect encoder`"):
        encoder.load_encoder()
    np.savez(encoder.encoder_file(), a=np.arange(99))
    whole = encoder.encoder_file().read_bytes()
    flipped = whole[:200] + bytes([whole[200] ^ 1]) + whole[201:]
    for damaged in (b"", b"PK", whole[:100], whole[:-9], flipped):
        write_whole(encoder.encoder_file(), damaged)
        with pytest.raises(EncoderError, match="cannot be read"):
            encoder.load_encoder()
    write_whole(encoder.encoder_file(), whole)
    with pytest.raises(EncoderError, match="not the published ones"):
        encoder.load_encoder()


@pytest.mark.parametrize("change", ["byte", "shape", "not a number", "name"])
def test_any_change_of_the_weights_changes_their_digest(arrays, change):
    name = "conv1/bias"
    other = dict(arrays) | {name: arrays[name].copy()}
    match change:
        case "byte":
            other[name].view(np.uint8)[7] ^= 1
        case "shape":
            other[name] = other[name].reshape(2, -1)
        case "not a number":
            other[name][0] = np.nan
        case "name":
            other["conv1/bios"] = other.pop(name)
    assert encoder.digest_of(arrays) == encoder.digest_of(dict(reversed(arrays.items())))
    assert encoder.digest_of(arrays) != encoder.digest_of(other)


def test_a_model_file_is_read_by_its_published_format():
    def text(word):
        return struct.pack("<H", len(word) + 1) + word.encode() + b"\0"

    data = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, 2)
    data += text("encoder/a") + struct.pack("<BIIBI", 2, 1, 2, 4, 4) + np.float16([1, 2]).tobytes()
    data += text("decoder/b") + struct.pack("<BBI", 0, 1, 1) + b"\x05"
    found = collection.read_model(data)
    assert {name: array.tolist() for name, array in found.items()} == {
        "encoder/a": [[1, 2]],
        "decoder/b": 5,
    }


def test_a_download_with_other_bytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_CACHE", str(tmp_path))
    monkeypatch.setattr(collection, "WHEEL", "a_wheel_that_is_not_there")
    (tmp_path / "model.bin").write_bytes(b"not the model")
    monkeypatch.setattr(collection, "HUB", (tmp_path / "model.bin").as_uri())
    with pytest.raises(collection.EncoderDownloadError, match="requirements-encoder.txt"):
        collection.collect_encoder()
    assert not encoder.encoder_file().exists()
