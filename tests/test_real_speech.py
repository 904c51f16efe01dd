"""The embedded model on recordings of people: correct to the last word, natively, however the audio comes."""

import json

import numpy as np
import pytest
import soundfile

from voxtab import resources
from voxtab.native import models
from voxtab.transcriber import Transcriber

CLIPS = resources.embedded_clips()
SPOKEN = {clip["file"]: clip for clip in json.loads((resources.embedded_model() / "clips/clips.json").read_text())}


@pytest.fixture(scope="module")
def model(run, device):
    found = models.read_model()
    return run(found.load(device))


def transcribe(run, model, *feeds, **options):
    async def go():
        transcriber = Transcriber(model, **options)
        for feed in feeds:
            transcriber.feed(feed)
        transcriber.finish()
        return [word async for word in transcriber], transcriber

    return run(go())


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.stem)
def test_every_word_is_right_and_in_its_place(run, model, clip):
    """The text as spoken, and as PyTorch writes it with these weights; each word ends where it was heard to end."""
    spoken, (samples, rate) = SPOKEN[clip.name], soundfile.read(clip, dtype="float32")
    words, transcriber = transcribe(run, model, *np.array_split(samples, 7))
    assert rate == 16000 and transcriber.transcript == spoken["reference"] == spoken["text"]
    assert [word.text for word in words] == spoken["reference"].split()
    for word, end in zip(words, spoken["reference_ends"], strict=True):
        assert abs(word.end - end) <= 0.24, (word, end)
        assert 0 <= word.start <= word.end


def test_shards_of_the_model(run, device, tmp_path):
    """The file cut at an odd byte, as a folder of shards."""
    (path,) = resources.embedded_model().glob("*.gguf")
    data, clip = path.read_bytes(), CLIPS[0]
    for name, piece in (
        ("shard-aa", data[:1_234_567]),
        ("shard-ab", data[1_234_567:3_000_001]),
        ("shard-ac", data[3_000_001:]),
    ):
        (tmp_path / name).write_bytes(piece)
    found = models.read_model(tmp_path, resources.embedded_model() / "tekken.json")
    model = run(found.load(device))
    _, transcriber = transcribe(run, model, soundfile.read(clip, dtype="float32")[0])
    assert transcriber.transcript == SPOKEN[clip.name]["reference"]


def test_speech_after_speech_in_one_stream(run, model):
    """A flush after each recording, as in a microphone's pauses, gives the text that the recording has alone."""

    async def go():
        transcriber, texts = Transcriber(model), []
        for clip in CLIPS:
            transcriber.feed(soundfile.read(clip, dtype="float32")[0])
            transcriber.flush()
        transcriber.finish()
        async for text in transcriber.text():
            texts.append(text)
        return "".join(texts)

    assert run(go()).split() == " ".join(SPOKEN[clip.name]["reference"] for clip in CLIPS).split()


@pytest.mark.parametrize("milliseconds", [20, 40, 60, 1000])
def test_silence_in_front(run, model, milliseconds):
    """Speech begins anywhere in an 80 ms token. The model transcribes the bundled clips correctly at any offset."""
    samples, rate = soundfile.read(CLIPS[-1], dtype="float32")
    _, transcriber = transcribe(run, model, np.zeros(rate * milliseconds // 1000, np.float32), samples)
    assert transcriber.transcript == SPOKEN[CLIPS[-1].name]["reference"]


@pytest.mark.parametrize("noise", ["silence", "hiss", "hum"])
def test_no_words_where_none_are_spoken(run, model, noise):
    n = np.arange(10 * 16000)
    samples = {
        "silence": 0.0 * n,
        "hiss": 0.01 * np.random.default_rng(1).standard_normal(len(n)),
        "hum": 0.02 * np.sin(2 * np.pi * 50 * n / 16000),
    }[noise]
    words, _ = transcribe(run, model, samples.astype(np.float32))
    assert len(words) == 0


def test_speech_it_was_not_trained_for_does_not_hang(run, model):
    """Three voices at once, backwards: the text may be anything, but it ends."""
    clips = [soundfile.read(clip, dtype="float32")[0][::-1] for clip in CLIPS]
    length = min(map(len, clips))
    _, transcriber = transcribe(run, model, np.ascontiguousarray(sum(clip[:length] for clip in clips)))
    assert len(transcriber.tokens) == 32 + -(-length // 1280) + 6 + 11
