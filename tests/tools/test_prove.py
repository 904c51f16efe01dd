"""tools/prove: what needs neither torch nor another GPU."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import soundfile

from lab import assert_close
from voxtab.config import Schedule
from voxtab.native import models

ROOT = Path(__file__).parents[2]
ORACLE = ROOT / "tests" / "oracle" / "delay480"


@pytest.fixture(scope="module")
def prove():
    return runpy.run_path(str(ROOT / "tools" / "prove"))


def test_all_logits_are_those_of_the_tokens(prove, device, run):
    """The oracle's own tokens give its logits; a changed token gives other logits from there on."""
    found = models.read_model(ORACLE / "tiny-q4.gguf")
    model = run(found.load(device, cache_f16=False))
    samples = soundfile.read(ORACLE / "clip.flac", dtype="float32")[0]
    tokens, _ = run(prove["transcribed"](model, samples))
    logits = run(prove["all_logits"](model, samples, tokens))
    want = np.load(ORACLE / "stages.npz")["q4_gen_logits"]
    assert_close("logits", logits[: len(want)], want, 2e-4)  # as tests/test_stages.py allows
    assert logits[:-1].argmax(1).tolist() == tokens[39:]
    other = tokens[:50] + [1234] + tokens[51:]
    changed = np.abs(run(prove["all_logits"](model, samples, other)) - logits).max(1)
    assert not changed[: 50 - 38].any() and changed[50 - 38 :].min() > 0.01


def test_the_summary_counts_what_may_differ_and_what_must_not(prove):
    schedule = Schedule(80)
    tokens = schedule.prompt + [32, 5, 6, 7]
    found = {"best": np.array([32, 5, 9, 8, 0]), "margin": np.array([1, 0.5, 0.05, 0.3, 0])}
    counted = prove["summary"](found, tokens, schedule, 0.1)
    assert counted["tokens_compared"] == 4 and counted["pads"] == 1 and counted["distinct"] == 4
    assert counted["tokens_different"] == 2 and counted["margins_where_different"] == [0.05, 0.3]
    assert counted["tokens_sure"] == 3 and counted["sure_tokens_different"] == 1


def test_the_audio_is_sound_of_that_length(prove):
    sound = prove["speech"](3)
    assert len(sound) == 48_000 and sound.dtype == np.int16 and 1000 < np.abs(sound.astype(int)).max() < 32767
    assert (sound == prove["speech"](3)).all()
