"""Audio files: WAV files to the last bit, and what the browser decodes."""

import base64
import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voxtab import resources
from voxtab.transcriber import ROOM_SECONDS
from web.audio.tones import RATE, loudest_hertz, tone
from web.fake_engine import wav

rng = np.random.default_rng(0)


def encoded(samples, rate, **how):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **how)
    return file.getvalue()


def opened(page, data):
    """All samples that openAudio() gives for a file, and the seconds that it promises."""
    samples, seconds = page.evaluate(
        """async data => {
        const { openAudio } = await import("./audio/file.js");
        const audio = await openAudio(new Blob([Uint8Array.fromBase64(data)]), "clip");
        const blocks = [];
        for await (const block of audio.blocks()) blocks.push(block);
        return [new Uint8Array(await new Blob(blocks).arrayBuffer()).toBase64(), audio.seconds];
    }""",
        base64.b64encode(data).decode(),
    )
    return np.frombuffer(base64.b64decode(samples), "float32"), seconds


EXTENSIBLE = (
    struct.pack("<HHIIHHHHIH", 0xFFFE, 1, RATE, 2 * RATE, 2, 16, 22, 16, 4, 1)
    + b"\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x008\x9bq"
)
NOISE = rng.uniform(-1, 1, (ROOM_SECONDS * RATE + 5000, 2)).astype("float32")  # longer than a block


@pytest.mark.parametrize(
    "data",
    [
        encoded(NOISE[:, 0], RATE, format="WAV", subtype="PCM_16"),
        encoded(NOISE, RATE, format="WAV", subtype="PCM_16"),
        encoded(NOISE[:, 0], RATE, format="WAV", subtype="FLOAT"),
        encoded(NOISE[:1000, 0], RATE, format="WAVEX", subtype="PCM_16"),
        b"RIFF\xff\xff\xff\xffWAVEfmt "
        + struct.pack("<I", 40)
        + EXTENSIBLE
        + b"LIST\x03\x00\x00\x00abc\x00data"
        + struct.pack("<I", 4)
        + struct.pack("<hh", -32768, 32767),
    ],
    ids=["int16", "stereo", "float", "extensible", "odd chunk before"],
)
def test_wav_is_taken_as_libsndfile_takes_it(page, data):
    expected, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    got, seconds = opened(page, data)
    assert np.array_equal(got, expected.mean(axis=1))
    assert seconds == len(expected) / RATE


def test_the_first_block_fills_the_engines_room(page):
    first = page.evaluate(
        """async data => {
        const { openAudio } = await import("./audio/file.js");
        const audio = await openAudio(new Blob([Uint8Array.fromBase64(data)]), "clip");
        for await (const block of audio.blocks()) return block.length;
    }""",
        base64.b64encode(encoded(NOISE, RATE, format="WAV", subtype="PCM_16")).decode(),
    )
    assert first == ROOM_SECONDS * RATE


def test_wav_that_was_cut_off(page):
    """A recorder that crashed wrote a size that it never reached, or none; an odd byte is not a sample."""
    whole = wav(struct.pack("<3h", 1, 2, 3))
    assert list(opened(page, whole[:-1])[0]) == [1 / 32768, 2 / 32768]
    endless = whole.replace(b"data\x06\x00\x00\x00", b"data\xff\xff\xff\xff")
    assert list(opened(page, endless)[0]) == [1 / 32768, 2 / 32768, 3 / 32768]


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000])
def test_wav_whose_writer_did_not_know_its_size(page, size):
    """The data go to the end of the file."""
    whole = encoded(NOISE[:1000, 0], RATE, format="WAV", subtype="PCM_16")
    at = whole.index(b"data") + 4
    streamed = whole[:4] + struct.pack("<I", size) + whole[8:at] + struct.pack("<I", size) + whole[at + 4 :]
    got, seconds = opened(page, streamed)
    assert np.array_equal(got, soundfile.read(io.BytesIO(whole), dtype="float32")[0])
    assert seconds == 1000 / RATE


@pytest.mark.parametrize(
    "how",
    [
        {"format": "WAV", "subtype": "PCM_16"},
        {"format": "WAV", "subtype": "PCM_24"},
        {"format": "FLAC"},
        {"format": "OGG", "subtype": "VORBIS"},
        {"format": "OGG", "subtype": "OPUS"},
        {"format": "MP3"},
    ],
    ids=lambda how: "-".join(how.values()),
)
def test_what_the_browser_decodes(page, how):
    rate = 48000 if how.get("subtype") == "OPUS" else 44100
    stereo = np.stack([tone(rate), 0 * tone(rate)], axis=1)
    got, seconds = opened(page, encoded(stereo, rate, **how))
    assert seconds == len(got) / RATE == pytest.approx(2, abs=0.06)
    middle = got[4000:28000]
    assert loudest_hertz(middle) == pytest.approx(440, abs=2)
    assert np.abs(middle).max() == pytest.approx(0.25, rel=0.1)  # channels are averaged


@pytest.mark.parametrize("kind", ["m4a", "webm"])
def test_what_phones_and_browsers_record(page, kind):
    """Containers that libsndfile does not write: kept in clips/, next to their README."""
    got, seconds = opened(page, (Path(__file__).parents[1] / "clips" / f"an110-mdxn-b.{kind}").read_bytes())
    spoken, _ = soundfile.read(resources.embedded_model() / "clips/an110-mdxn-b.flac", dtype="float32")
    assert seconds == len(got) / RATE == pytest.approx(len(spoken) / RATE, abs=0.15)
    length = len(got) + len(spoken)
    alike = np.fft.irfft(np.fft.rfft(got, length) * np.fft.rfft(spoken, length).conj(), length)
    assert alike.max() / (np.linalg.norm(got) * np.linalg.norm(spoken)) > 0.9
    assert min(np.argmax(alike), length - np.argmax(alike)) < 0.05 * RATE  # words have their times
