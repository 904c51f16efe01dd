"""The JSON of one transcription: the same from the command line and in the page."""

from statistics import median

from voxtab.transcriber import Transcriber


def result(transcriber: Transcriber, *, model: str, load_s: float, run_s: float) -> dict:
    """After finish() and iteration. All times are in seconds unless a name says ms; `rtf` is run_s per second of audio,
    None without any.

    `step_ms` is the time per token of 80 ms: tokens of a block share the block's time evenly.
    """
    steps = sorted(transcriber.step_seconds)
    p99 = steps[min(len(steps) - 1, len(steps) * 99 // 100)]
    seconds = transcriber.audio_seconds
    return {
        "text": transcriber.transcript,
        "tokens": transcriber.tokens,
        "words": [
            {"text": word.text, "start": round(word.start, 3), "end": round(word.end, 3)} for word in transcriber.words
        ],
        "audio_seconds": seconds,
        "delay_ms": transcriber.schedule.delay_ms,
        "model": model,
        "timings": {
            "load_s": round(load_s, 3),
            "run_s": round(run_s, 3),
            "rtf": round(run_s / seconds, 4) if seconds else None,
            "step_ms": {"median": round(1000 * median(steps), 3), "p99": round(1000 * p99, 3)},
        },
    }
