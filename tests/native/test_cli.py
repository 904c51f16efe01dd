"""The command as a user runs it: its output, its exit status, and what it says about wrong input."""

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voxtab import bench, resources, subtitles
from voxtab.gpu.variants import LINEAR, Variants
from voxtab.native import cli
from voxtab.transcriber import Transcriber
from voxtab.words import Word

ORACLE = Path(__file__).parents[1] / "oracle" / "delay480"
EXPECTED = json.loads((ORACLE / "expected.json").read_text())
CLIP, GGUF = str(ORACLE / "clip.flac"), ORACLE / "tiny-q4.gguf"
# Environment of the child process: only paths of packages and drivers.
BARE = {"PATH": "/usr/bin:/bin", "HOME": str(Path.home())} | {
    name: os.environ[name] for name in ("PYTHONPATH", "LD_LIBRARY_PATH", "VK_DRIVER_FILES") if name in os.environ
}


@pytest.fixture
def voxtab(capfd, monkeypatch):
    """Runs the command; returns (status, stdout, stderr), both as the operating system sees them."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["voxtab", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code or 0, *capfd.readouterr()

    return run


def refused(result, *words):
    """Status 2, nothing on stdout, one sentence on stderr that names the thing."""
    status, out, err = result
    assert status == 2 and out == "", result
    assert err.startswith("voxtab") and err.endswith(".\n") and err.count("\n") == 1, err
    for word in words:
        assert str(word) in err, err


@pytest.fixture
def model(tmp_path):
    """A folder with a copy of the tiny model and its tokenizer, to be broken."""
    for name in ("tiny-q4.gguf", "tekken.json"):
        shutil.copy(ORACLE / name, tmp_path)
    return tmp_path / "tiny-q4.gguf"


# --- what comes out


def test_text_of_one_file_and_of_two(voxtab):
    status, out, err = voxtab("transcribe", "--model", GGUF, CLIP)
    assert status == 0 and err == "" and out.count("\n") == 1 and len(out) > 20
    assert voxtab("transcribe", "--model", GGUF, CLIP, CLIP) == (0, 2 * f"{CLIP}: {out}", "")


def test_json_of_one_file(voxtab):
    status, out, err = voxtab("transcribe", "--model", GGUF, "--format", "json", "--tokens", CLIP)
    result = json.loads(out)
    assert status == 0 and err == ""
    assert result["tokens"] == EXPECTED["tokens_q4_0"]
    assert result["audio_seconds"] == pytest.approx(3.285, abs=1e-3) and result["delay_ms"] == 480
    assert result["model"] == str(GGUF) and result["text"].split() == [word["text"] for word in result["words"]]
    assert all(0 <= word["start"] <= word["end"] <= result["audio_seconds"] for word in result["words"])
    timings = result["timings"]
    assert (
        min(
            timings["load_s"], timings["run_s"], timings["rtf"], timings["step_ms"]["median"], timings["step_ms"]["p99"]
        )
        > 0
    )


@pytest.mark.parametrize("format", ["srt", "vtt"])
def test_subtitles_of_one_file(voxtab, format):
    """The subtitles' words are the JSON's words."""
    status, out, err = voxtab("transcribe", "--model", GGUF, "--format", format, CLIP)
    result = json.loads(voxtab("transcribe", "--model", GGUF, "--format", "json", "--tokens", CLIP)[1])
    words = [Word(**word) for word in result["words"]]
    assert status == 0 and err == "" and "-->" in out
    assert out == subtitles.FORMATS[format](subtitles.segments(words, result["text"]))


def test_bench(voxtab, monkeypatch):
    """The embedded model on this machine, with audio that is given."""
    monkeypatch.setattr(bench, "LIVE_STEPS", 20)
    monkeypatch.setattr(bench, "FILE_RUNS", 1)
    status, out, err = voxtab("bench", CLIP)
    figures = json.loads(out)
    assert (status, err) == (0, "")
    assert figures["audio"] == "clip.flac" and figures["audio_seconds"] == pytest.approx(3.285, abs=1e-3)
    assert 1 <= figures["tokens_per_pass"] <= 1 + figures["drafts"]
    assert "self-test" in figures["model"] and figures["gpu"]["backend"] == "Vulkan" and figures["load_s"] > 0
    rtf, rate, step = (figures[name] for name in ("rtf", "tokens_per_s", "live_step_ms"))
    for spread in (rtf, rate, step):
        assert 0 < spread["least"] <= spread["median"] <= spread["most"] and spread["count"] > 0
    # 32 silent tokens, 41 of audio and 17 more: 91 a run.
    assert rate["median"] * rtf["median"] == pytest.approx(91 / figures["audio_seconds"], rel=0.01)
    possible = ("plain",) if figures["gpu"]["is_software"] else LINEAR
    assert figures["variants"]["linear"] in possible and figures["wrong_variants"] == []
    # A live step reads less than the file, which also has norms and a header.
    (model,) = resources.embedded_model().glob("*.gguf")
    assert 0.5 < figures["gb_per_s"] * 1e9 * step["median"] / 1e3 / model.stat().st_size < 1


def test_json_of_several_files_with_a_bad_one(voxtab, tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no audio")
    status, out, err = voxtab("transcribe", "--model", GGUF, "--format", "json", "--tokens", CLIP, bad, CLIP)
    results = json.loads(out)
    assert status == 2 and [result["audio"] for result in results] == [CLIP, CLIP]
    assert err.count("\n") == 1 and str(bad) in err
    assert results[0]["tokens"] == results[1]["tokens"] == EXPECTED["tokens_q4_0"]


def test_safetensors_and_a_tokenizer_in_the_parent(voxtab, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("model.safetensors", "config.json"):
        shutil.copy(ORACLE / name, folder)
    shutil.copy(ORACLE / "tekken.json", tmp_path)
    status, out, _ = voxtab("transcribe", "--model", folder, "--format", "json", "--tokens", CLIP)
    assert status == 0 and json.loads(out)["tokens"] == EXPECTED["tokens_f32"]


@pytest.mark.parametrize("cut", [123457, 7, 300001])
def test_shards_cut_anywhere_equal_the_file(voxtab, tmp_path, cut):
    data = GGUF.read_bytes()
    if cut == 7:  # a very small first shard, then one that ends inside a block
        pieces = [data[:7], data[7:500003], data[500003:]]
    else:
        pieces = [data[i : i + cut] for i in range(0, len(data), cut)]
    folder = tmp_path / "shards"
    folder.mkdir()
    for i, piece in enumerate(pieces):
        (folder / f"shard-a{chr(97 + i)}").write_bytes(piece)
    status, out, err = voxtab(
        "transcribe", "--model", folder, "--tokenizer", ORACLE / "tekken.json", "--format", "json", "--tokens", CLIP
    )
    assert (status, err) == (0, "") and json.loads(out)["tokens"] == EXPECTED["tokens_q4_0"]


@pytest.mark.parametrize("chunk", [10, 37, 80, 1000, 3000])
def test_chunk_length_changes_nothing(voxtab, monkeypatch, chunk):
    fed, original = [], Transcriber.feed
    monkeypatch.setattr(Transcriber, "feed", lambda self, samples: (fed.append(len(samples)), original(self, samples)))
    status, out, _ = voxtab("transcribe", "--model", GGUF, "--chunk-ms", chunk, "--format", "json", "--tokens", CLIP)
    assert status == 0 and json.loads(out)["tokens"] == EXPECTED["tokens_q4_0"]
    assert set(fed[:-1]) == {16 * chunk} and sum(fed) == soundfile.info(CLIP).frames


@pytest.mark.parametrize("kind", ["silent", "10 ms", "clipped", "stereo", "8 kHz", "96 kHz"])
def test_awkward_audio_is_transcribed(voxtab, tmp_path, kind):
    samples, rate = soundfile.read(CLIP)
    samples, rate = {
        "silent": (0 * samples, rate),
        "10 ms": (samples[:160], rate),
        "clipped": (np.clip(50 * samples, -1, 1), rate),
        "stereo": (np.stack([samples, samples], 1), rate),
        "8 kHz": (samples[::2], 8000),
        "96 kHz": (np.repeat(samples, 6), 96000),
    }[kind]
    path = tmp_path / "audio.wav"
    soundfile.write(path, samples, rate, subtype="FLOAT")
    status, out, err = voxtab("transcribe", "--model", GGUF, "--format", "json", "--tokens", path)
    result = json.loads(out)
    told = {"silent": "it is silent", "10 ms": "it is far quieter than speech"}
    assert status == 0 and (told[kind] in err if kind in told else err == "")
    assert len(result["tokens"]) == 32 + -(-round(result["audio_seconds"] * 16000) // 1280) + 6 + 11
    if kind == "stereo":  # equal channels average to the clip, bit for bit
        assert result["tokens"] == EXPECTED["tokens_q4_0"]


def test_info(voxtab):
    status, out, err = voxtab("info", GGUF)
    assert (status, err) == (0, "")
    for words in (
        "Mistral's names in GGUF version 3",
        "51 Q4_0, 30 F32",
        "836,480 bytes",
        "2048 tokens",
        "GB of GPU memory",
        "GPU 0 ",
        "maxStorageBufferBindingSize",
    ):
        assert words in out, out


def test_a_process_of_its_own_says_nothing_but_the_text(voxtab):
    """In a new process, whose drivers write to stderr."""
    process = subprocess.run(
        [sys.executable, "-m", "voxtab", "transcribe", "--model", GGUF, CLIP], capture_output=True, text=True, env=BARE
    )
    assert (process.returncode, process.stdout, process.stderr) == voxtab("transcribe", "--model", GGUF, CLIP)


@pytest.fixture
def long_clip(tmp_path):
    """A minute: more audio than may wait at a time."""
    path = tmp_path / "long.wav"
    soundfile.write(path, np.resize(soundfile.read(CLIP)[0], 60 * 16000), 16000)
    return path


@pytest.mark.parametrize(
    "command",
    [
        "transcribe --model {GGUF} {long} | head -c 1",
        "info {GGUF} | true",
        "transcribe --model {GGUF} --format json {CLIP} | true",
    ],
)
def test_a_reader_that_has_enough(command, long_clip):
    command = f"{sys.executable} -m voxtab {command.format(GGUF=GGUF, CLIP=CLIP, long=long_clip)}"
    command += "; exit ${PIPESTATUS[0]}"
    process = subprocess.run(["bash", "-c", command], capture_output=True, env=os.environ | {"PYTHONUNBUFFERED": ""})
    assert process.returncode == 141 and process.stderr == b"" and len(process.stdout) == ("head" in command)


def test_stdout_on_a_full_disk():
    """The user's arguments are fine, so the status is 1, not 2."""
    with open("/dev/full", "w") as full:
        ended = subprocess.run([sys.executable, "-m", "voxtab", "info", GGUF], stdout=full, stderr=subprocess.PIPE)
    assert ended.returncode == 1 and ended.stderr.count(b"\n") == 1
    assert ended.stderr.startswith(b"voxtab: The system refused a read or a write (No space left on device)")


@pytest.mark.parametrize("command", ["", *cli.COMMANDS])
def test_help(voxtab, command):
    status, out, err = voxtab(*command.split(), "--help")
    assert (status, err) == (0, "") and out.startswith(f"usage: voxtab {command}")


def test_interrupted(long_clip):
    # A process that a shell starts in the background ignores Ctrl-C, and so would the tests' own processes.
    process = subprocess.Popen(
        [sys.executable, "-m", "voxtab", "transcribe", "--model", GGUF, long_clip],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout.read(1)  # it is working now
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err == b""


def test_output_that_cannot_show_the_text():
    process = subprocess.run(
        [sys.executable, "-m", "voxtab", "transcribe", "--model", GGUF, CLIP],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert process.returncode == 0 and process.stdout.decode("utf-8").strip() and process.stderr == b""


# --- what is refused


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


@pytest.fixture
def no_gpu(monkeypatch):
    """What can be checked before the GPU opens is checked then: opening the GPU fails the test."""

    async def opened(*_, **__):
        raise AssertionError("the GPU was opened")

    monkeypatch.setattr("voxtab.native.gpu.device.NativeDevice.open", opened)


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


def test_damage_is_told_and_the_rest_is_transcribed(voxtab, tmp_path):
    """What comes before and after is in the text. Decoders write nothing of their own to file descriptor 2."""
    path = tmp_path / "damaged.mp3"
    soundfile.write(path, np.resize(soundfile.read(CLIP)[0], 160000), 16000)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    path.write_bytes(data)
    status, out, err = voxtab("transcribe", "--model", GGUF, "--format", "json", path)
    told = rf"voxtab: {path}: 0\.\d+ s at 4\.\d+ s: damaged or missing, and left out\.\n"
    assert status == 2 and re.fullmatch(told, err), err
    assert 9 < json.loads(out)["audio_seconds"] < 9.9


def test_samples_of_another_scale(voxtab, tmp_path):
    """A float WAV whose samples are int16's, as scipy writes it. The next file is still transcribed."""
    samples, rate = soundfile.read(CLIP, dtype="float32")
    path = tmp_path / "scaled.wav"
    soundfile.write(path, 16384 * samples, rate, subtype="FLOAT")
    text = voxtab("transcribe", "--model", GGUF, CLIP)[1]
    status, out, err = voxtab("transcribe", "--model", GGUF, path, CLIP)
    assert status == 2 and f"{path}: " in err and err.count("\n") == 1 and "divide int16 samples by 32768" in err
    assert out.endswith(text)


def test_no_stdout():
    ended = subprocess.run(f"{sys.executable} -m voxtab info {GGUF} >&-", shell=True, stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (2, "voxtab: stdout is closed: redirect it to a file or a program.\n")


def test_audio_that_goes_bad_in_the_middle(voxtab, tmp_path):
    """NaN after five good seconds: what was read is printed, then the sentence."""
    samples = np.concatenate([np.resize(soundfile.read(CLIP)[0], 80000), [np.nan], np.zeros(1000)])
    path = tmp_path / "late.wav"
    soundfile.write(path, samples, 16000, subtype="FLOAT")
    status, out, err = voxtab("transcribe", "--model", GGUF, path, CLIP)
    assert status == 2 and err.count("\n") == 1 and "late.wav" in err and "5.000" in err
    late, good = out.split(f"\n{CLIP}: ")
    assert late.startswith(f"{path}: ") and good == voxtab("transcribe", "--model", GGUF, CLIP)[1]


@pytest.mark.parametrize("config", [b"", b"[]", b"{}", b'{"text_config": 3, "audio_config": {}}'])
def test_broken_config_json(voxtab, no_gpu, tmp_path, config):
    for name in ("model.safetensors", "tekken.json"):
        shutil.copy(ORACLE / name, tmp_path)
    (tmp_path / "config.json").write_bytes(config)
    refused(voxtab("transcribe", "--model", tmp_path, CLIP), "config.json")


def test_no_adapter(voxtab, monkeypatch):
    monkeypatch.setattr("voxtab.native.gpu.webgpu.adapters", list)
    refused(voxtab("transcribe", "--model", GGUF, CLIP), "No GPU", "driver")


def test_no_adapter_in_a_process_of_its_own():
    """The Vulkan loader finds no driver; its other messages are not shown."""
    process = subprocess.run(
        [sys.executable, "-m", "voxtab", "transcribe", "--model", GGUF, CLIP],
        capture_output=True,
        text=True,
        env=BARE
        | {
            "VK_DRIVER_FILES": "/nowhere",
            "VK_ICD_FILENAMES": "/nowhere",
            "LIBGL_DRIVERS_PATH": "/nowhere",
            "__EGL_VENDOR_LIBRARY_FILENAMES": "/nowhere",
        },
    )
    refused((process.returncode, process.stdout, process.stderr), "No GPU")


def test_a_driver_that_computes_a_kernel_wrongly(voxtab, monkeypatch):
    """stderr and the bench's JSON say so, and the text is right."""
    monkeypatch.setattr(bench, "LIVE_STEPS", 1)
    monkeypatch.setattr(bench, "FILE_RUNS", 1)
    monkeypatch.setattr(Variants, "of", classmethod(lambda cls, adapter: cls()))  # as on a real GPU: they are tried
    shader = resources.shader
    monkeypatch.setattr(
        resources, "shader", lambda name: shader(name).replace("return x.scale *", "return 1.01 * x.scale *")
    )
    warning = "voxtab: The graphics driver computes some kernels wrong (linear=staged_packed)"
    status, out, err = voxtab("bench", "--model", GGUF, CLIP)
    figures = json.loads(out)
    assert status == 0 and err.startswith(warning) and err.count("\n") == 1
    assert figures["variants"]["linear"] in ("plain", "staged")
    assert figures["wrong_variants"] == ["staged_packed"]
    status, out, err = voxtab("transcribe", "--model", GGUF, "--format", "json", "--tokens", CLIP)
    assert status == 0 and err.startswith(warning) and json.loads(out)["tokens"] == EXPECTED["tokens_q4_0"]


def test_an_adapter_below_the_limits(voxtab, monkeypatch):
    monkeypatch.setitem(
        __import__("voxtab.gpu.device").gpu.device.DEFAULT_LIMITS, "maxStorageBufferBindingSize", 1 << 40
    )
    refused(voxtab("transcribe", "--model", GGUF, CLIP), "maxStorageBufferBindingSize", 1 << 40)
