"""The JSON of a transcription: figures that the tests of whole transcriptions cannot know."""

from types import SimpleNamespace

from voxtab.result import result


def made(step_seconds, audio_seconds):
    transcriber = SimpleNamespace(
        step_seconds=step_seconds,
        transcript="",
        tokens=[],
        words=[],
        audio_seconds=audio_seconds,
        schedule=SimpleNamespace(delay_ms=480),
    )
    return result(transcriber, model="test", load_s=1.23456, run_s=3)["timings"]


def test_timings():
    """The order in which steps were made does not matter."""
    timings = made([n / 1000 for n in range(200, 0, -1)], audio_seconds=12)
    assert timings == {"load_s": 1.235, "run_s": 3, "rtf": 0.25, "step_ms": {"median": 100.5, "p99": 199}}


def test_timings_of_one_step_and_of_no_audio():
    timings = made([0.004], audio_seconds=0.0)
    assert timings["step_ms"] == {"median": 4, "p99": 4} and timings["rtf"] is None
