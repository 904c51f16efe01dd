"""tools/tiny: what needs neither torch nor a voice."""

import importlib
import json
import random
import sys
import types
from pathlib import Path

import gguf
import numpy as np
import pytest

from voxtab.native import models
from voxtab.weights import checkpoint

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "tools/tiny"))

import align  # noqa: E402
import drafts  # noqa: E402
import texts  # noqa: E402
import vocabulary  # noqa: E402

TINY = ROOT / "web/models/tiny"


@pytest.mark.parametrize(
    ("n", "words"),
    [
        (0, "zero"),
        (21, "twenty one"),
        (100, "one hundred"),
        (1005, "one thousand five"),
        (34_017, "thirty four thousand seventeen"),
    ],
)
def test_numbers_in_words(n, words):
    assert texts.cardinal(n) == words


def test_ordinals_in_words():
    assert [texts.ordinal(n) for n in (1, 12, 20, 31)] == ["first", "twelfth", "twentieth", "thirty first"]


def test_every_group_writes_plain_words():
    writer = texts.Writer(random.Random(1), ["the cat sat on the mat"])
    for group in texts.SHARES:
        for _ in range(50):
            words = texts.transcript(getattr(writer, group)())
            assert words and all(set(w) <= set("abcdefghijklmnopqrstuvwxyz'") for w in words)


def test_words_survive_the_shipped_vocabulary():
    v = vocabulary.Vocabulary(TINY / "tekken.json")
    for word in ("november", "a", "o'clock", "cappuccino", "xqzj"):
        ids = v.encode(word)
        assert min(ids) >= vocabulary.FIRST and v.decode(ids) == word
    assert len(v.encode("november")) == 1


def test_a_longer_word_end_is_carried_over():
    """the same noise, its second half at half speed: a mark in the middle stays, one at the end moves"""
    r = np.random.default_rng(1)
    first, second = (np.repeat(r.standard_normal(20), 800) * r.standard_normal(16000) for _ in range(2))
    slow = np.repeat(second.reshape(-1, 400), 2, axis=0).ravel()
    ends = align.carry_ends([1.0, 2.0], np.concatenate([first, second]), np.concatenate([first, slow]))
    assert ends == pytest.approx([1.0, 3.0], abs=0.1)


def test_bundled_clips_are_utterances_that_may_be_shown():
    clips = json.loads((TINY / "clips/clips.json").read_text(encoding="utf-8"))
    assert clips and all(c["file"].startswith("an") and (TINY / "clips" / c["file"]).is_file() for c in clips)


def test_passes_with_drafted_pads():
    """Each pass keeps the pads that were drafted right and yields one token more."""
    tokens = [32, 32, 1005, 32, 1007, 1008]
    assert [drafts.passes(tokens, drafted) for drafted in (0, 1, 2, 8)] == [[0] * 6, [1, 0, 1, 0], [2, 1, 0], [2, 1, 0]]


def test_drafts_count_from_the_prompt_to_the_last_word():
    prompt, words = [1] + [32] * 38, [32, 33, 1005, 32, 1007]
    assert drafts.spoken({"tokens": prompt + words + [32] * 11, "delay_ms": 480}) == words
    assert drafts.spoken({"tokens": prompt + [32] * 11, "delay_ms": 480}) == []


def test_exporting_the_shipped_weights_again_gives_the_shipped_file(tmp_path, monkeypatch):
    """As README.md says. export.py imports the training's model, which needs torch and is not used here."""
    monkeypatch.setitem(sys.modules, "model", types.SimpleNamespace(load=None))
    export = importlib.import_module("export")
    shipped = TINY / "voxtab-tiny-q4.gguf"
    named = {
        tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(tensor.shape[::-1])
        for tensor in gguf.GGUFReader(shipped).tensors
    }
    found = models.read_model(shipped)
    metadata = {"general.name": found.directory.metadata["general.name"]} | checkpoint.metadata(found.config)
    export.write_gguf(tmp_path / "again.gguf", named, "Q4_0", metadata)
    assert (tmp_path / "again.gguf").read_bytes() == shipped.read_bytes()
