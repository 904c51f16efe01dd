"""voxtab convert, shard, verify and info, as a user runs them, at tiny size."""

import json
from pathlib import Path

import pytest

from voxtab.errors import DeviceError
from voxtab.native import models
from voxtab.native.gpu.device import NativeDevice

ORACLE = Path(__file__).parents[2] / "oracle" / "delay480"
SOURCE, CLIP = ORACLE / "model.safetensors", ORACLE / "clip.flac"


pytestmark = pytest.mark.usefixtures("shared_device")


def test_from_a_checkpoint_to_shards_and_back(voxtab, tmp_path):
    made, cut, whole, report = (tmp_path / name for name in ("q4/m.gguf", "cut", "whole/m.gguf", "report.json"))
    status, out, err = voxtab("convert", SOURCE, made, "--type", "q4_0", "--audio", CLIP, "--report", report)
    assert (status, err) == (0, "") and out.startswith(f"{made}: {made.stat().st_size:,} bytes\n")
    assert "   30 exact" in out and "layers.*.attention.wq.weight" in out
    told = json.loads(report.read_text())
    assert len(told["tensors"]) == 81 and told["audio"]["positions"] == 53
    assert 0 <= told["audio"]["same_best"] < 53 and told["audio"]["divergence"] > 0
    assert f"source      {told['audio']['source_text']}" in out and f"made        {told['audio']['made_text']}" in out

    assert voxtab("shard", made, cut, "--bytes", "200K", "--piece-bytes", "64k") == (
        0,
        f"{cut}/manifest.json: {made.stat().st_size:,} bytes in 5 shards, 17 pieces\n",
        "",
    )
    status, out, err = voxtab("verify", cut, "--files-only")
    assert (status, err) == (0, "") and f"sums        {cut}/manifest.json: 17 sums of 5 shards are right\n" in out
    assert "structure   all 81 tensors" in out and "values      all finite\n" in out and "speech" not in out
    assert voxtab("verify", cut / "manifest.json", "--files-only") == (0, out, "")
    status, out, err = voxtab("info", cut / "manifest.json")
    assert (status, err) == (0, "") and "made by     voxtab" in out and "fitted scales" in out and "manifest    " in out
    assert voxtab("shard", cut, whole)[0] == 0 and whole.read_bytes() == made.read_bytes()

    (cut / "shard-ac").write_bytes(bytes(200 << 10))
    for command in (["verify", cut, "--files-only"], ["shard", cut, tmp_path / "again"]):
        status, out, err = voxtab(*command)
        assert (status, out) == (2, "") and err.count("\n") == 1 and "shard-ac is damaged in 4 of its 4 pieces" in err
    assert not (tmp_path / "again").exists()


def test_nearly_the_same_values_are_the_same_tokens(voxtab, tmp_path):
    out = voxtab("convert", SOURCE, tmp_path / "f16.gguf", "--type", "f16", "--audio", CLIP)[1]
    assert "same best token at 53 of 53" in out and "0 tokens of the streams differ" in out


def test_the_embedded_model_is_whole(voxtab):
    status, out, err = voxtab("verify")
    assert (status, err) == (0, "")
    assert "speech      'enter sixty two thirty one', 69% pads\n" in out and "sums        none" in out


def test_a_model_that_hears_nothing_is_not(voxtab):
    status, out, err = voxtab("verify", ORACLE / "tiny-q4.gguf")  # random weights
    assert status == 2 and "does not hear speech" in err and err.count("\n") == 1 and "values      all finite" in out
    status, out, err = voxtab("verify", ORACLE / "tiny-q4.gguf", "--audio", "/nowhere.wav")
    assert (status, out) == (2, "") and "/nowhere.wav" in err


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["convert", SOURCE, "out"], "--type"),
        (["convert", SOURCE, "out", "--type", "q4_0"], "out is not the name of a .gguf file"),
        (["convert", SOURCE, "out.gguf", "--type", "q3_k"], "q3_k"),
        (["convert", SOURCE, "out.gguf", "--type", "f16", "--scales", "ggml"], "--scales is for --type q4_0"),
        (["convert", SOURCE, ORACLE / "tiny-q4.gguf", "--type", "f16"], "exists already"),
        (["convert", SOURCE, "out.gguf", "--type", "f16", "--audio", "/nowhere.wav"], "/nowhere.wav"),
        (["convert", "/nowhere", "out.gguf", "--type", "f16"], "/nowhere"),
        (["shard", SOURCE, "out"], "voxtab convert"),
        (["shard", SOURCE, "out", "--bytes", "much"], "'much' is not a number of bytes"),
        (["shard", SOURCE, "out", "--bytes", "0"], "'0' is not a number of bytes"),
        (["shard", ORACLE / "tiny-q4.gguf", "out", "--piece-bytes", "17M"], "17,825,792"),
        (["shard", ORACLE / "tiny-q4.gguf", ORACLE], "exists already"),
        (["verify", "/nowhere"], "/nowhere"),
        (["verify", "/nowhere.json"], "/nowhere.json"),
    ],
)
def test_refused_before_anything_is_made(voxtab, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    status, out, err = voxtab(*arguments)
    assert (status, out) == (2, "") and err.startswith("voxtab") and err.count("\n") == 1 and words in err
    assert not [*tmp_path.iterdir()]


def test_without_a_gpu(voxtab, tmp_path, monkeypatch):
    """The plain rule needs none, and the refusal says so."""

    async def none(**_):
        raise DeviceError("No GPU was found: install a driver.")

    monkeypatch.setattr(NativeDevice, "open", none)
    status, out, err = voxtab("convert", SOURCE, tmp_path / "m.gguf", "--type", "q4_0")
    assert (status, out) == (2, "") and "driver; or use --scales ggml" in err and err.count("\n") == 1
    status, out, err = voxtab("convert", SOURCE, tmp_path / "m.gguf", "--type", "q4_0", "--scales", "ggml")
    assert (status, err) == (0, "") and "plain scales" in models.read_model(tmp_path / "m.gguf").directory.metadata[
        "general.quantized_by"
    ]
