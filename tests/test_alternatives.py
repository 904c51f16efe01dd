"""What else each token might have been, and how sure the model is of a word: exact, and free where nobody asks."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from forward import forward, read_weights
from voxtab.config import FIRST_TEXT_TOKEN
from voxtab.gpu.variants import Variants
from voxtab.native import models
from voxtab.result import Result
from voxtab.transcriber import Transcriber

ORACLE = Path(__file__).parent / "oracle" / "delay480"
CLIP = soundfile.read(ORACLE / "clip.flac", dtype="float32")[0]
TOKENS = json.loads((ORACLE / "expected.json").read_text())["tokens_q4_0"]
PROMPT = 39


@pytest.fixture(scope="module")
def found():
    return models.read_model(ORACLE / "tiny-q4.gguf", ORACLE / "tekken.json")


@pytest.fixture(scope="module")
def opened(run, device, found):
    return run(found.load(device, cache_f16=False))


@pytest.fixture(scope="module")
def probabilities(found):
    """[positions, vocabulary] of the token after each position, in float64."""
    logits = forward(found.config, read_weights(found), CLIP, 6, TOKENS, 32)["logits"]
    exp = np.exp(logits - logits.max(1, keepdims=True))
    return exp / exp.sum(1, keepdims=True)


def transcribe(run, model, block=16000, **options):
    async def go():
        transcriber = Transcriber(model, **options)
        for start in range(0, len(CLIP), block):
            transcriber.feed(CLIP[start : start + block])
        transcriber.finish()
        async for _ in transcriber.text():
            pass
        return transcriber

    return run(go())


def check(transcriber, probabilities):
    schedule, model = transcriber.schedule, transcriber._model
    assert transcriber.tokens == TOKENS
    tokens = {position for word in transcriber.words for position in map(schedule.position_of, word.tokens)}
    assert {p for p in tokens if TOKENS[p] >= FIRST_TEXT_TOKEN} == {
        p for p in range(PROMPT, len(TOKENS)) if TOKENS[p] >= FIRST_TEXT_TOKEN
    }, "every text token belongs to a word, or to two"
    for word in transcriber.words:
        positions = [p for p in map(schedule.position_of, word.tokens) if TOKENS[p] >= FIRST_TEXT_TOKEN]
        for position, token in zip(positions, transcriber.alternatives_of(word), strict=True):
            exact = np.sort(probabilities[position - 1])[::-1][:4]
            assert [probability for _, probability in token] == pytest.approx(exact, rel=5e-3)
            assert token[0][0] == model.tokenizer.token_bytes(TOKENS[position]).decode(errors="replace")


@pytest.mark.parametrize("block", [1280, 10**6], ids=["live", "file"])
def test_they_are_those_of_a_float64_forward(run, opened, probabilities, block):
    check(transcribe(run, opened, block, alternatives=4), probabilities)


def test_with_drafts(run, device, found, probabilities):
    model = run(found.load(device, cache_f16=False, variants=replace(Variants.of(device.adapter), drafts=3)))
    check(transcribe(run, model, alternatives=4), probabilities)


def test_nobody_asks(run, opened, monkeypatch):
    """Then nothing more is read or run."""
    device, reads, runs = opened.device, [], []
    ran = type(device).run

    def run_plan(self, plan, read=None, times=1):
        runs.append(plan)
        reads.append(read and read[0])
        return ran(self, plan, read, times)

    monkeypatch.setattr(type(device), "run", run_plan)
    transcriber = transcribe(run, opened)
    assert transcriber.tokens == TOKENS and not any(map(transcriber.alternatives_of, transcriber.words))
    assert opened.decoder.top not in reads
    usual = len(runs)
    runs.clear()
    transcribe(run, opened, alternatives=4)
    assert opened.decoder.top in reads and len(runs) > usual


def test_in_the_result(run, opened):
    transcriber = transcribe(run, opened, alternatives=2)
    result = Result.of(transcriber, model="tiny", load_s=0, run_s=1)
    words = result.as_dict()["words"]
    assert len(words) == len(transcriber.words) > 3
    for word in words:
        likeliest = [token[0]["probability"] for token in word["alternatives"]]
        assert word["confidence"] == pytest.approx(np.prod(likeliest), abs=1e-3)
        assert all(
            len(token) == 2 and token[0]["probability"] >= token[1]["probability"] for token in word["alternatives"]
        )
    plain = Result.of(transcribe(run, opened), model="tiny", load_s=0, run_s=1).as_dict()["words"]
    assert [word.keys() for word in plain] == [{"text", "start", "end"}] * len(words)


def test_a_transcription_that_goes_on_knows_only_its_own(run, opened):
    transcriber = transcribe(run, opened, alternatives=4, tokens=TOKENS[PROMPT : PROMPT + 30])
    known = [bool(transcriber.alternatives_of(word)) for word in transcriber.words]
    assert transcriber.tokens == TOKENS and known == sorted(known) and not known[0] and known[-1]
