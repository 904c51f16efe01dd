"""What a transcription gives: figures that the tests of whole transcriptions cannot know, and every format."""

import json
from types import SimpleNamespace

import pytest

from voxtab import subtitles
from voxtab.result import Result
from voxtab.words import Word

WORDS = [Word("Hello", 0.10004, 0.4), Word("tab.", 0.5, 0.8), Word("It", 2.5, 2.6), Word("works.", 2.7, 3.0)]
TIMINGS = {"load_s": 1.0, "run_s": 0.1, "rtf": 0.1, "step_ms": {"median": 1.0, "p99": 2.0}}
RESULT = Result("Hello tab. It works.", WORDS, [1, 32], 3.5, 480, "test", TIMINGS)


def made(step_seconds, audio_seconds):
    transcriber = SimpleNamespace(
        step_seconds=step_seconds,
        transcript="",
        tokens=[],
        words=[],
        restarts=[],
        audio_seconds=audio_seconds,
        schedule=SimpleNamespace(delay_ms=480),
    )
    return Result.of(transcriber, model="test", load_s=1.23456, run_s=3).timings


def test_timings():
    """The order in which steps were made does not matter."""
    timings = made([n / 1000 for n in range(200, 0, -1)], audio_seconds=12)
    assert timings == {"load_s": 1.235, "run_s": 3, "rtf": 0.25, "step_ms": {"median": 100.5, "p99": 199}}


def test_timings_of_one_step_and_of_no_audio():
    timings = made([0.004], audio_seconds=0.0)
    assert timings["step_ms"] == {"median": 4, "p99": 4} and timings["rtf"] is None


def test_json():
    """Segments and words; token ids, the audio and notes only where there are any, or they are asked for."""
    content = json.loads(RESULT.formatted("json"))
    assert content == {
        "text": "Hello tab. It works.",
        "segments": [{"text": "Hello tab.", "start": 0.1, "end": 0.9}, {"text": "It works.", "start": 2.2, "end": 3.0}],
        "words": [{"text": word.text, "start": round(word.start, 3), "end": word.end} for word in WORDS],
        "audio_seconds": 3.5,
        "delay_ms": 480,
        "model": "test",
        "timings": TIMINGS,
    }
    assert RESULT.as_dict(tokens=True) == content | {"tokens": [1, 32]}
    told = Result("", [], [], 1.0, 480, "test", TIMINGS, "a.wav", ("It is silent.",))
    assert (told.as_dict()["audio"], told.as_dict()["notes"]) == ("a.wav", ["It is silent."])


@pytest.mark.parametrize("name", ["text", *subtitles.FORMATS, "json"])
def test_every_format_is_whole_lines(name):
    content = RESULT.formatted(name)
    assert "Hello" in content and content.endswith("\n")
    if name in subtitles.FORMATS:
        assert content == subtitles.FORMATS[name](RESULT.segments)
    assert str(RESULT) == RESULT.text == RESULT.formatted("text").removesuffix("\n")
