"""Wrong arguments, models and audio: one sentence that names the thing, before the GPU is opened."""

import shutil
import struct

import numpy as np
import pytest
import soundfile

from native.cli.command import CLIP, GGUF, ORACLE, refused


@pytest.fixture
def model(tmp_path):
    """A folder with a copy of the tiny model and its tokenizer, to be broken."""
    for name in ("tiny-q4.gguf", "tekken.json"):
        shutil.copy(ORACLE / name, tmp_path)
    return tmp_path / "tiny-q4.gguf"


@pytest.mark.parametrize(
    "arguments,words",
    [
        (["transcribe"], ["audio"]),
        (["transcribe", CLIP, "--delay-ms", "100"], ["100", "80"]),
        (["transcribe", CLIP, "--delay-ms", "0"], ["0 ms"]),
        (["transcribe", CLIP, "--delay-ms", "1280"], ["1280"]),
        (["transcribe", CLIP, "--delay-ms", "much"], ["much"]),
        (["transcribe", CLIP, "--left-silence-tokens", "-1"], ["-1"]),
        (["transcribe", CLIP, "--chunk-ms", "0"], ["0"]),
        (["transcribe", CLIP, "--format", "xml"], ["xml"]),
        (["transcribe", CLIP, "--chunk-ms", "9" * 5000], ["999"]),
        (["transcribe", CLIP, "--left-silence-tokens", "31"], ["31"]),
        (["transcribe", "/nowhere/clip.wav"], ["/nowhere/clip.wav"]),
        (["transcribe", "x" * 300], ["xxx"]),
        (["transcribe", "two\nlines"], ["two\\nlines"]),
        (["transcribe", "/dev/null"], ["/dev/null"]),
        (["transcribe", "--model", "", CLIP], ["holds no model"]),
        (["transcribe", "--model", "/nowhere/model.gguf", CLIP], ["/nowhere/model.gguf"]),
        (["transcribe", "--tokenizer", "/nowhere/tekken.json", CLIP], ["/nowhere/tekken.json"]),
        (["info", "/nowhere"], ["/nowhere"]),
    ],
)
def test_wrong_arguments(voxtab, no_gpu, arguments, words):
    refused(voxtab(*arguments), *words)


def patched(data: bytes, at: int, format: str, value) -> bytes:
    return data[:at] + struct.pack(format, value) + data[at + struct.calcsize(format) :]


def renamed(data: bytes, old: bytes, new: bytes) -> bytes:
    assert len(old) == len(new) and old in data
    return data.replace(old, new)


def with_type(data: bytes, name: bytes, type: int) -> bytes:
    """Replace the tensor's type id, which follows its name, dimensions and sizes."""
    at = data.index(struct.pack("<Q", len(name)) + name) + 8 + len(name)
    (dims,) = struct.unpack_from("<I", data, at)
    return patched(data, at + 4 + 8 * dims, "<I", type)


def with_width(data: bytes, name: bytes, width: int) -> bytes:
    at = data.index(struct.pack("<Q", len(name)) + name) + 8 + len(name)
    return patched(data, at + 4, "<Q", width)


BROKEN = {
    "empty": (lambda d: b"", ["empty"]),
    "truncated header": (lambda d: d[:3000], ["cut", "short", "ends", "incomplete", "missing"]),
    "truncated data": (lambda d: d[:-40000], ["shard is missing or short"]),
    "corrupt header": (lambda d: d[:60] + b"\xff" * 400 + d[460:], []),
    "wrong magic": (lambda d: b"LOVE" + d[4:], ["GGUF"]),
    "version 1": (lambda d: patched(d, 4, "<I", 1), ["version 1"]),
    "version 99": (lambda d: patched(d, 4, "<I", 99), ["version 99"]),
    "2^62 tensors": (lambda d: patched(d, 8, "<Q", 1 << 62), []),
    "2^62 keys": (lambda d: patched(d, 16, "<Q", 1 << 62), []),
    "unknown type": (
        lambda d: with_type(d, b"layers.0.attention.wq.weight", 12),
        ["layers.0.attention.wq.weight", "Q4_K"],
    ),
    "missing tensor": (
        lambda d: renamed(d, b"layers.1.attention.wo.weight", b"layers.1.attention.wx.weight"),
        ["layers.1.attention.wo.weight"],
    ),
    "no layers": (
        lambda d: renamed(d, b"layers.0.attention.wq.weight", b"layers.0.attention.wx.weight"),
        ["wq.weight"],
    ),
    "shape that does not fit": (
        lambda d: with_width(d, b"layers.0.feed_forward.w2.weight", 160),
        ["layers.0.feed_forward.w2.weight", "160", "320"],
    ),
    "Q4_0 vector": (lambda d: with_type(d, b"layers.0.ffn_norm.weight", 2), ["layers.0.ffn_norm.weight"]),
}


def with_number(data: bytes, key: bytes, value: int) -> bytes:
    at = data.index(struct.pack("<Q", len(key)) + key) + 8 + len(key)
    return patched(data, at + 4, "<I", value)


def with_key(data: bytes, key: bytes, type: int, format: str, value) -> bytes:
    """One more key before the others. A second key fills the header up to a multiple of its alignment, 32 bytes."""
    entry = struct.pack("<Q", len(key)) + key + struct.pack("<I", type) + struct.pack(format, value)
    filler = b"filler." + b"x" * ((-len(entry) - 8 - 7 - 4 - 4) % 32)
    entry += struct.pack("<Q", len(filler)) + filler + struct.pack("<II", 4, 0)
    (count,) = struct.unpack_from("<Q", data, 16)
    return data[:16] + struct.pack("<Q", count + 2) + entry + data[24:]


PART = b"voxtral_realtime.decoder.attention."


BROKEN |= {
    "window beyond a binding": (lambda d: with_number(d, PART + b"sliding_window", 1 << 19), ["window"]),
    "no window": (lambda d: with_number(d, PART + b"sliding_window", 0), ["window"]),
    "heads that do not divide": (lambda d: with_number(d, PART + b"head_count", 3), ["3"]),
    "default delay of 100 ms": (lambda d: with_key(d, b"voxtral_realtime.default_delay_ms", 4, "<I", 100), ["100"]),
    "default delay of 480.0": (lambda d: with_key(d, b"voxtral_realtime.default_delay_ms", 6, "<f", 480.0), ["480.0"]),
    "left silence -1": (lambda d: with_key(d, b"voxtral_realtime.left_silence_tokens", 5, "<i", -1), ["-1"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_models(voxtab, no_gpu, model, case):
    damage, words = BROKEN[case]
    model.write_bytes(damage(GGUF.read_bytes()))
    result = voxtab("transcribe", "--model", model, CLIP)
    refused(result)
    assert not words or any(word in result[2] for word in words), result[2]
    assert str(model) in result[2]
    refused(voxtab("info", model))


def test_missing_and_short_shards(voxtab, no_gpu, tmp_path):
    data, folder = GGUF.read_bytes(), tmp_path / "shards"
    folder.mkdir()
    shutil.copy(ORACLE / "tekken.json", tmp_path)
    for i in range(7):
        (folder / f"shard-a{chr(97 + i)}").write_bytes(data[i * 123457 : (i + 1) * 123457])
    (folder / "shard-ac").rename(tmp_path / "away")
    refused(voxtab("transcribe", "--model", folder, CLIP), "shard-ac")
    (tmp_path / "away").rename(folder / "shard-ac")
    (folder / "shard-ag").unlink()
    refused(voxtab("transcribe", "--model", folder, CLIP), "shard is missing or short")
    (folder / "shard-ag").write_bytes(data[6 * 123457 : -1000])
    refused(voxtab("transcribe", "--model", folder, CLIP), "shard is missing or short")


@pytest.mark.parametrize(
    "content",
    [None, b"", b"not json", b'{"config": {}}', b'{"vocab": [{"rank": 0, "token_bytes": "AA=="}]}', b"\xff\xfe{"],
)
def test_no_or_broken_tokenizer(voxtab, no_gpu, model, content):
    tokenizer = model.parent / "tekken.json"
    tokenizer.unlink()
    if content is not None:
        tokenizer.write_bytes(content)
    refused(voxtab("transcribe", "--model", model, CLIP), "tekken.json")


@pytest.mark.parametrize("kind", ["NaN", "empty", "text", "folder"])
def test_bad_audio(voxtab, no_gpu, tmp_path, kind):
    path = tmp_path / "audio.wav"
    if kind == "NaN":
        soundfile.write(path, np.full(4000, np.nan, np.float32), 16000, subtype="FLOAT")
    elif kind == "empty":
        soundfile.write(path, np.zeros(0), 16000)
    elif kind == "text":
        path.write_text("these are words")
    else:
        path.mkdir()
    refused(voxtab("transcribe", path), path)


@pytest.mark.parametrize("config", [b"", b"[]", b"{}", b'{"text_config": 3, "audio_config": {}}'])
def test_broken_config_json(voxtab, no_gpu, tmp_path, config):
    for name in ("model.safetensors", "tekken.json"):
        shutil.copy(ORACLE / name, tmp_path)
    (tmp_path / "config.json").write_bytes(config)
    refused(voxtab("transcribe", "--model", tmp_path, CLIP), "config.json")
