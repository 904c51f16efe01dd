"""The command on GPUs of many kinds, and on none."""

import json

import pytest

from native.cli.command import CLIP, EXPECTED, GGUF, refused
from voxtab import bench, resources
from voxtab.gpu.variants import LINEAR, Variants
from voxtab.native import known_variants


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
    for spread in (rtf, rate, step, figures["paced_step_ms"]):
        assert 0 < spread["least"] <= spread["median"] <= spread["most"] and spread["count"] > 0
    # 32 silent tokens, 41 of audio and 17 more: 91 a run.
    assert rate["median"] * rtf["median"] == pytest.approx(91 / figures["audio_seconds"], rel=0.01)
    possible = ("plain",) if figures["gpu"]["is_software"] else LINEAR
    assert figures["variants"]["linear"] in possible and figures["wrong_variants"] == []
    # A live step reads less than the file, which also has norms and a header.
    (model,) = resources.embedded_model().glob("*.gguf")
    assert 0.5 < figures["gb_per_s"] * 1e9 * step["median"] / 1e3 / model.stat().st_size < 1


def test_no_adapter(voxtab, monkeypatch):
    monkeypatch.setattr("voxtab.native.gpu.webgpu.adapters", list)
    refused(voxtab("transcribe", "--model", GGUF, CLIP), "No GPU", "driver")


def test_a_driver_that_computes_a_kernel_wrongly(voxtab, monkeypatch, tmp_path):
    """stderr and the bench's JSON say so, and the text is right."""
    monkeypatch.setattr(bench, "LIVE_STEPS", 1)
    monkeypatch.setattr(bench, "FILE_RUNS", 1)
    monkeypatch.setattr(Variants, "of", classmethod(lambda cls, adapter: cls(attention_tiles=1)))  # they are tried
    monkeypatch.setattr(known_variants, "_path", lambda: tmp_path / "variants.json")  # a real one may be known
    shader = resources.shader

    def broken(name):
        text = shader(name).replace("return x.scale *", "return 1.01 * x.scale *")
        return text.replace("kept[2 + first]", "1.01 * kept[2 + first]")

    monkeypatch.setattr(resources, "shader", broken)
    warning = "voxtab: The graphics driver computes some kernels wrong (linear=staged_packed and attention_tile)"
    status, out, err = voxtab("bench", "--model", GGUF, CLIP)
    figures = json.loads(out)
    assert status == 0 and err.startswith(warning) and err.count("\n") == 1
    assert figures["variants"]["linear"] in ("plain", "staged")
    assert figures["wrong_variants"] == ["staged_packed", "attention_tile"]
    assert figures["variants"]["attention_tiles"] == 0
    status, out, err = voxtab("transcribe", "--model", GGUF, "--format", "json", "--tokens", CLIP)
    assert status == 0 and err.startswith(warning) and json.loads(out)["tokens"] == EXPECTED["tokens_q4_0"]


def test_an_adapter_below_the_limits(voxtab, monkeypatch):
    monkeypatch.setitem(
        __import__("voxtab.gpu.device").gpu.device.DEFAULT_LIMITS, "maxStorageBufferBindingSize", 1 << 40
    )
    refused(voxtab("transcribe", "--model", GGUF, CLIP), "maxStorageBufferBindingSize", 1 << 40)
