"""`voxtab transcribe` as a user runs it: what comes out of models and audio of many kinds."""

import json
import re
import shutil

import numpy as np
import pytest
import soundfile

from native.cli.command import CLIP, EXPECTED, GGUF, ORACLE
from voxtab import subtitles
from voxtab.native import cli
from voxtab.transcriber import Transcriber
from voxtab.words import Word

pytestmark = pytest.mark.usefixtures("shared_device")


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


def test_audio_that_goes_bad_in_the_middle(voxtab, tmp_path):
    """NaN after five good seconds: what was read is printed, then the sentence."""
    samples = np.concatenate([np.resize(soundfile.read(CLIP)[0], 80000), [np.nan], np.zeros(1000)])
    path = tmp_path / "late.wav"
    soundfile.write(path, samples, 16000, subtype="FLOAT")
    status, out, err = voxtab("transcribe", "--model", GGUF, path, CLIP)
    assert status == 2 and err.count("\n") == 1 and "late.wav" in err and "5.000" in err
    late, good = out.split(f"\n{CLIP}: ")
    assert late.startswith(f"{path}: ") and good == voxtab("transcribe", "--model", GGUF, CLIP)[1]


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


@pytest.mark.parametrize("command", ["", *cli.COMMANDS])
def test_help(voxtab, command):
    status, out, err = voxtab(*command.split(), "--help")
    assert (status, err) == (0, "") and out.startswith(f"usage: voxtab {command}")
