"""The guard against the rut of spec 8.4, in which the model writes nothing while someone talks."""

import json

import numpy as np
import pytest
import soundfile

from stuck import falls
from voxtab import resources, rut
from voxtab.config import SAMPLES_PER_TOKEN
from voxtab.native import models
from voxtab.rut import AT_HAND, LEAD, VOICED, RutGuard
from voxtab.transcriber import Transcriber

CLIPS = resources.embedded_clips()
PAUSE = np.zeros(SAMPLES_PER_TOKEN * 6, np.float32)
SPOKEN = np.concatenate([part for clip in CLIPS for part in (soundfile.read(clip, dtype="float32")[0], PAUSE)])
SAID = {clip["file"]: clip for clip in json.loads((resources.embedded_model() / "clips/clips.json").read_text())}
TEXT = " ".join(SAID[clip.name]["text"] for clip in CLIPS)


@pytest.fixture(scope="module")
def model(run, device):
    return run(models.read_model().load(device))


def transcribe(run, model, samples, block=16000, **options):
    async def go():
        transcriber = Transcriber(model, **options)
        for start in range(0, len(samples), block):
            transcriber.feed(samples[start : start + block])
        transcriber.finish()
        return transcriber, "".join([text async for text in transcriber.text()])

    return run(go())


@pytest.fixture(scope="module")
def sound(run, model):
    return transcribe(run, model, SPOKEN, block=10**6)[0]


@pytest.mark.parametrize("silence,block", [(32, 1280), (45, 10**6)], ids=["live", "a file, after a longer silence"])
def test_it_is_started_again_where_the_talking_began(run, model, sound, monkeypatch, silence, block):
    monkeypatch.setattr(rut, "VOICED", 20)
    falls(monkeypatch, silence + 7 + 30)  # after 2.4 s
    mended, text = transcribe(run, model, SPOKEN, left_silence_tokens=silence, block=block)
    assert text == mended.transcript == TEXT
    assert [word.text for word in mended.words] == TEXT.split()
    ends = [[word.end for word in transcriber.words] for transcriber in (mended, sound)]
    assert ends[0] == pytest.approx(ends[1], abs=0.1)
    assert len(mended.tokens) == silence + 6 + 11 + -(-len(SPOKEN) // SAMPLES_PER_TOKEN)
    (at,) = mended.restarts
    assert 1.6 <= at <= 3


def test_without_the_guard_the_rest_is_lost(run, model, monkeypatch):
    falls(monkeypatch, 32 + 7 + 30)
    lost, _ = transcribe(run, model, SPOKEN, guard=False, block=10**6)
    assert TEXT.startswith(lost.transcript) and len(lost.transcript) < len(TEXT) / 2 and not lost.restarts


# --- what is a rut. A voice has pauses: here three tokens of eight.

VOICE = np.resize(np.repeat([0.1, 0.1, 0.05, 0.1, 0.08, 0, 0, 0], SAMPLES_PER_TOKEN), 60 * 16000)
VOICE *= np.resize([1, -1], len(VOICE))
SILENCE = np.zeros(20 * 16000)
HUM = 0.1 * np.sin(np.arange(60 * 16000) * 0.05)


def judge(guard, samples, first=0):
    """Where it would start again in a run of blanks over `samples`, and after how many; (None, None) if never."""
    blocks = [block.tobytes() for block in samples.astype(np.float32).reshape(-1, SAMPLES_PER_TOKEN)]
    for end in range(first, len(blocks) + 1):
        start = guard.start(max(first, end - AT_HAND), end, blocks.__getitem__)
        if start is not None:
            return start, end
    return None, None


@pytest.mark.parametrize(
    "samples,starts",
    [
        (VOICE, 0),
        (np.concatenate([SILENCE, VOICE]), 250 - LEAD),
        (np.concatenate([np.resize(SILENCE, 100 * 16000), VOICE]), 1250 - LEAD),
        (VOICE + 0.01 * np.sin(np.arange(len(VOICE)) * 0.3), 0),
        (np.concatenate([VOICE[: 112 * SAMPLES_PER_TOKEN], SILENCE]), None),
        (0.02 * VOICE, None),
        (HUM, None),
        (SILENCE, None),
    ],
    ids=["a voice", "after a silence", "after a long one", "over a noise", "short", "very quiet", "a hum", "silence"],
)
def test_what_is_a_rut(samples, starts):
    start, end = judge(RutGuard(), samples)
    assert start == starts
    if start is not None:
        assert VOICED <= end - (start + LEAD if start else 0) < 2 * VOICED


def test_it_is_more_patient_each_time_until_there_is_text():
    """Music may be loud for hours."""
    guard = RutGuard()
    waited = [judge(guard, VOICE)[1] for _ in range(3)]
    assert waited[1] == pytest.approx(2 * waited[0], abs=10) and waited[2] == pytest.approx(4 * waited[0], abs=20)
    assert judge(guard, VOICE) == (None, None), "no more than what is at hand"
    guard.text_came()
    assert judge(guard, VOICE)[1] == waited[0]
