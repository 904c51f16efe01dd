"""What voxtab.check finds out about an open model. What the page shows of it: web/page/test_check.py."""

from pathlib import Path

import gguf
import numpy as np
import pytest
import soundfile

from voxtab.check import Clip, check, word_errors
from voxtab.native import models

ORACLE = Path(__file__).parent / "oracle" / "delay480"


def codes_of(path):
    """Shares of the codes of all Q4_0 matrices that a step reads, from the file."""
    counts = np.zeros(16, int)
    for tensor in gguf.GGUFReader(path).tensors:
        if tensor.tensor_type == gguf.GGMLQuantizationType.Q4_0 and "ada_rms_norm" not in tensor.name:
            codes = tensor.data.reshape(-1, 18)[:, 2:]
            counts += np.bincount(codes.ravel() & 15, minlength=16) + np.bincount(codes.ravel() >> 4, minlength=16)
    return counts / counts.sum(), int(counts.sum())


def test_a_model_that_hears_nothing(run, device, monkeypatch):
    """Random weights; all codes are read."""
    monkeypatch.setattr("voxtab.check._READ_BYTES", 1 << 30)
    samples = soundfile.read(ORACLE / "clip.flac", dtype="float32")[0]
    model = run(models.read_model(ORACLE / "tiny-q4.gguf").load(device))
    report = run(check(model, [Clip("clip.flac", samples, "Enter, sixty.")]))
    codes, read = codes_of(ORACLE / "tiny-q4.gguf")
    assert report["codes_read"] == read and report["codes"] == pytest.approx(codes, rel=1e-3)
    assert (
        report["problem"].startswith("The model does not hear speech") and "where enter is spoken" in report["problem"]
    )
    assert report["clips"][0]["word_errors"] >= 2 and {*report["types"]} == {"Q4_0"}
    assert report["kernel_error"] <= report["kernel_error_limit"] and report["model"] == model.name


@pytest.mark.parametrize(
    "reference, text, errors",
    [
        ("enter sixty two", " Enter, sixty-two.", 0),
        ("enter sixty two", "enter sixteen two too", 2),
        ("enter sixty two", "", 3),
        ("", "no one spoke", 3),
        ("नमस्ते दुनिया", "नमस्ते।", 1),
    ],
    ids=["the same", "another and one more", "nothing", "silence", "Devanagari"],
)
def test_words_that_differ(reference, text, errors):
    assert word_errors(reference, text) == errors
