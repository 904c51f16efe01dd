"""A transcription that goes on from tokens which are known: what a lost GPU or a closed tab costs."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voxtab.errors import UserError
from voxtab.native import models
from voxtab.transcriber import Transcriber

ORACLE = Path(__file__).parent / "oracle" / "delay480"
CLIP = soundfile.read(ORACLE / "clip.flac", dtype="float32")[0]
TOKENS = json.loads((ORACLE / "expected.json").read_text())["tokens_q4_0"]
PROMPT = 39  # 33 + D


@pytest.fixture(scope="module")
def model(run, device):
    """Its windows are 50 states and 60 positions, of 3 layers each."""
    return run(models.read_model(ORACLE / "tiny-q4.gguf", ORACLE / "tekken.json").load(device, cache_f16=False))


def transcribe(run, model, samples, tokens=(), block=16000):
    """(the transcriber at the end, the text that was new), from feeds of `block` samples."""

    async def go():
        transcriber = Transcriber(model, tokens=tokens)
        for start in range(0, len(samples), block):
            transcriber.feed(samples[start : start + block])
        transcriber.finish()
        return transcriber, "".join([text async for text in transcriber.text()])

    return run(go())


@pytest.mark.parametrize("known", [0, 1, 7, 8, 30, len(TOKENS) - PROMPT - 1, len(TOKENS) - PROMPT])
def test_it_ends_as_if_nothing_had_happened(run, model, known):
    whole, text = transcribe(run, model, CLIP)
    assert whole.tokens == TOKENS and text == whole.transcript
    again, new = transcribe(run, model, CLIP, TOKENS[PROMPT : PROMPT + known], block=1280)
    assert again.tokens == TOKENS
    assert again.transcript == whole.transcript and again.words == whole.words
    assert whole.transcript.endswith(new) and (known < 30 or len(new) < len(text))


def test_of_a_long_stream_only_what_the_windows_reach_is_heard_again(run, model, monkeypatch):
    """Exactly so much: the layers' windows one after another. With less, the text would go on otherwise."""
    rng = np.random.default_rng(16)
    samples = np.concatenate([CLIP * rng.uniform(0.3, 1) for _ in range(-(-40 * 16000 // len(CLIP)))])
    whole, _ = transcribe(run, model, samples)
    known = whole.tokens[PROMPT:-60]
    reach = model.reach
    assert reach == 3 * 59 + 37 and len(known) > 1.5 * reach > 256, "the ring of tokens wraps around, too"
    begin, encoded = model.begin_encoding, []
    monkeypatch.setattr(model, "begin_encoding", lambda first, *more: encoded.append(first) or begin(first, *more))
    again, _ = transcribe(run, model, samples, known)
    assert again.tokens == whole.tokens and again.words == whole.words
    assert min(encoded) == len(known) + PROMPT - 1 - reach
    monkeypatch.setattr(type(model), "reach", 30)
    assert transcribe(run, model, samples, known)[0].tokens != whole.tokens


def test_less_audio_than_tokens(run, model):
    """The last block of a recording was lost, and its text was not."""
    shorter, _ = transcribe(run, model, CLIP[:-16000], TOKENS[PROMPT:])
    assert shorter.tokens == TOKENS[: len(shorter.tokens)] and len(shorter.tokens) < len(TOKENS)


@pytest.mark.parametrize("tokens", [[-1], [1 << 20], ["33"], [33.0], [True]])
def test_what_is_no_token(model, tokens):
    with pytest.raises(UserError, match="start again without them"):
        Transcriber(model, tokens=tokens)
