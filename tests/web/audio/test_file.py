"""Audio files of every kind that users have: WAV to the last bit, and what mediabunny and the browser decode."""

import base64
import io
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recordings import encoded, tripled
from voxtab import resources
from voxtab.transcriber import ROOM_SECONDS
from web.audio.tones import RATE, loudest_hertz, tone
from web.fake_engine import wav

rng = np.random.default_rng(0)
DAMAGED = "Damaged or missing, and left out: {}. To have what was said there, get the file again from where it came."
READ = """async ({ data, name }) => {
  const { openAudio } = await import("./modules/audio/file.js");
  try {
    const audio = await openAudio(new Blob([Uint8Array.fromBase64(data)]), name);
    const expected = audio.seconds;
    const blocks = [];
    let failure = null;
    try {
      for await (const block of audio.blocks()) blocks.push(block);
    } catch (error) {
      failure = error.message;
    }
    const samples = new Uint8Array(await new Blob(blocks).arrayBuffer()).toBase64();
    return { samples, expected, seconds: audio.seconds, notes: audio.notes, failure };
  } catch ({ message }) {
    return { failure: message };
  }
}"""


def read(page, data, name="clip"):
    """What openAudio() makes of a file: {samples, expected, seconds, notes, failure}."""
    found = page.evaluate(READ, {"data": base64.b64encode(data).decode(), "name": name})
    if "samples" in found:
        found["samples"] = np.frombuffer(base64.b64decode(found["samples"]), "float32")
        if found["failure"] is None:
            assert found["seconds"] == pytest.approx(len(found["samples"]) / RATE, abs=0.001)
    return found


def heard(page, data):
    """(samples, notes) of a file that is read to its end."""
    found = read(page, data)
    assert found["failure"] is None
    return found["samples"], found["notes"]


def written(samples, rate, **how):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **how)
    return file.getvalue()


@pytest.fixture(scope="module")
def speech():
    """[samples] at 16 kHz: the bundled clips, joined; 7.2 s."""
    return np.concatenate([soundfile.read(clip, dtype="float32")[0] for clip in resources.embedded_clips()])


# --- WAV


EXTENSIBLE = (
    struct.pack("<HHIIHHHHIH", 0xFFFE, 1, RATE, 2 * RATE, 2, 16, 22, 16, 4, 1)
    + b"\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x008\x9bq"
)
ODD_CHUNK = (
    b"RIFF\xff\xff\xff\xffWAVEfmt "
    + struct.pack("<I", 40)
    + EXTENSIBLE
    + b"LIST\x03\x00\x00\x00abc\x00data"
    + struct.pack("<I", 4)
    + struct.pack("<hh", -32768, 32767)
)
NOISE = rng.uniform(-1, 1, (ROOM_SECONDS * RATE + 5000, 2)).astype("float32")  # longer than a block


def test_wav_is_taken_as_libsndfile_takes_it(page):
    for data in [
        written(NOISE[:, 0], RATE, format="WAV", subtype="PCM_16"),
        written(NOISE, RATE, format="WAV", subtype="PCM_16"),
        written(NOISE[:1000, 0], RATE, format="WAV", subtype="PCM_U8"),
        written(NOISE[:1000, 0], RATE, format="WAV", subtype="PCM_24"),
        written(NOISE[:1000, 0], RATE, format="WAV", subtype="PCM_32"),
        written(NOISE[:1000, 0], RATE, format="WAV", subtype="DOUBLE"),
        written(NOISE[:, 0], RATE, format="WAV", subtype="FLOAT"),
        written(NOISE[:1000, 0], RATE, format="WAVEX", subtype="PCM_16"),
        ODD_CHUNK,
    ]:
        expected, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
        found = read(page, data)
        assert np.array_equal(found["samples"], expected.mean(axis=1)) and not found["notes"]
        assert found["expected"] == len(expected) / RATE


def test_the_first_block_fills_the_engines_room(page):
    first = page.evaluate(
        """async data => {
        const { openAudio } = await import("./modules/audio/file.js");
        const audio = await openAudio(new Blob([Uint8Array.fromBase64(data)]), "clip");
        for await (const block of audio.blocks()) return block.length;
    }""",
        base64.b64encode(written(NOISE, RATE, format="WAV", subtype="PCM_16")).decode(),
    )
    assert first == ROOM_SECONDS * RATE


def test_blocks_can_be_read_again_and_be_closed(page):
    data = written(NOISE, RATE, format="WAV", subtype="PCM_16")
    lengths = page.evaluate(
        """async data => {
        const { openAudio } = await import("./modules/audio/file.js");
        const audio = await openAudio(new Blob([Uint8Array.fromBase64(data)]), "clip");
        const lengths = [];
        for (const closes of [false, true, false]) {
            let length = 0;
            try {
                for await (const block of audio.blocks()) {
                    length += block.length;
                    if (closes) audio.close();
                }
            } catch ({ kind }) {
                length = kind;
            }
            lengths.push(length);
        }
        return lengths;
    }""",
        base64.b64encode(data).decode(),
    )
    assert lengths == [len(NOISE), "aborted", len(NOISE)]


def test_wav_that_was_cut_off(page):
    """An odd byte is not a sample; what is missing is told."""
    whole = wav(struct.pack("<3h", 1, 2, 3))
    assert list(read(page, whole[:-1])["samples"]) == [1 / 32768, 2 / 32768]
    samples, notes = heard(page, written(NOISE[:32000, 0], RATE, format="WAV", subtype="PCM_16")[: 44 + 32000])
    assert len(samples) == 16000 and notes == [DAMAGED.format("1.00 s at 1.00 s")]


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000])
def test_wav_whose_writer_did_not_know_its_size(page, size):
    """The data go to the end of the file."""
    whole = written(NOISE[:1000, 0], RATE, format="WAV", subtype="PCM_16")
    at = whole.index(b"data") + 4
    streamed = whole[:4] + struct.pack("<I", size) + whole[8:at] + struct.pack("<I", size) + whole[at + 4 :]
    samples, notes = heard(page, streamed)
    assert np.array_equal(samples, soundfile.read(io.BytesIO(whole), dtype="float32")[0]) and not notes


def test_channels_that_cancel_each_other_and_levels(page, speech):
    samples, (note,) = heard(page, written(np.stack([speech, -speech], 1), RATE, format="WAV", subtype="FLOAT"))
    assert np.array_equal(samples, speech)
    assert note == (
        "Its channels cancel each other out for 7.2 of 7.2 s, as if one is inverted. One of them is transcribed there: "
        "if words are missing, export the audio again in mono."
    )
    samples, notes = heard(page, written(np.stack([speech, 0 * speech], 1), RATE, format="WAV", subtype="FLOAT"))
    assert np.array_equal(samples, speech / 2) and not notes
    for scale, offset, words in [
        (0, 0, "It is silent (the loudest sample is 0.00000 of full scale)"),
        (0.005, 0, "It is far quieter than speech (the loudest sample is 0.00500 of full scale), so text may be"),
        (0.005, 0.9, "is 0.00500 of full scale from a constant 0.90)"),
    ]:
        wave = scale * np.sin(np.arange(RATE)) + offset
        (note,) = heard(page, written(wave, RATE, format="WAV", subtype="FLOAT"))[1]
        assert words in note


def test_what_is_no_sample_is_told_with_its_time(page):
    samples = np.full(14 * RATE, 0.1, "float32")
    samples[13 * RATE + 4000] = np.nan
    found = read(page, written(samples, RATE, format="WAV", subtype="FLOAT"))
    assert found["failure"] == "clip holds a sample that is not a finite number at 13.250 s: export the audio again."
    assert len(found["samples"]) == 13.2 * RATE  # what came before is good
    samples[13 * RATE + 4000] = -16384
    found = read(page, written(samples, RATE, format="WAV", subtype="FLOAT"))
    assert found["failure"].startswith("clip is far too loud: its samples go far beyond full scale.")
    low = wav(bytes(3200), rate=1)
    assert read(page, low)["failure"].startswith("clip says that its rate is 1 Hz, where 1000 is the least")


# --- what mediabunny and the browser decode


@pytest.mark.parametrize("suffix", [".aac", ".flac", ".m4a", ".mka", ".mp3", ".oga", ".opus", ".webm"])
def test_kinds(built, suffix):
    """In the right length and place, the channels averaged; lossless 16 kHz untouched."""
    for rate in (16000, 48000):
        wave = np.stack([tone(rate), 0 * tone(rate)], axis=1)
        samples, notes = heard(built, encoded(wave, rate, suffix))
        assert len(samples) / RATE == pytest.approx(2, abs=0.13) and not notes
        middle = samples[4000:28000]
        assert loudest_hertz(middle) == pytest.approx(440, abs=2)
        assert np.abs(middle).max() == pytest.approx(0.25, rel=0.1)


def test_lossless_speech_passes_untouched(built, speech):
    for suffix in (".flac", ".mka"):
        assert np.array_equal(heard(built, encoded(speech, RATE, suffix))[0], speech), suffix
    data = written(speech, RATE, format="OGG", subtype="VORBIS")
    assert len(heard(built, data)[0]) / RATE == pytest.approx(7.2, abs=0.1)


@pytest.mark.parametrize("kind", ["m4a", "webm"])
def test_what_phones_and_browsers_record(built, kind):
    """Kept in clips/, next to their README."""
    got, notes = heard(built, (Path(__file__).parents[1] / "clips" / f"an110-mdxn-b.{kind}").read_bytes())
    spoken, _ = soundfile.read(resources.embedded_model() / "clips/an110-mdxn-b.flac", dtype="float32")
    assert len(got) / RATE == pytest.approx(len(spoken) / RATE, abs=0.15) and not notes
    length = len(got) + len(spoken)
    alike = np.fft.irfft(np.fft.rfft(got, length) * np.fft.rfft(spoken, length).conj(), length)
    assert alike.max() / (np.linalg.norm(got) * np.linalg.norm(spoken)) > 0.9
    assert min(np.argmax(alike), length - np.argmax(alike)) < 0.05 * RATE  # words have their times


def test_headers_that_promise_too_much_or_too_little(built, speech):
    vbr = {"container": {"write_xing": "0", "id3v2_version": "0"}, "codec": {"b": "0", "q": "9"}}
    quiet_first = np.concatenate([np.zeros(90000), speech])
    piped = bytearray(encoded(speech, RATE, ".flac"))
    piped[21] &= 0xF0  # the 36 bits that count samples, in the block that a FLAC file starts with
    piped[22:26] = bytes(4)
    for data, seconds in [
        (encoded(speech, RATE, ".mp3", **vbr), 7.2),
        (encoded(quiet_first, RATE, ".mp3", **vbr), 5.625 + 7.2),
        (tripled(encoded(speech, RATE, ".mp3")), 7.2),
        (bytes(piped), 7.2),
        (encoded(speech, RATE, ".mp3") + b"APETAGEX" + rng.bytes(30000), 7.2),
        (encoded(speech, RATE, ".flac") + b"TAG" + b"title".ljust(125, b"\0"), 7.2),
    ]:
        samples, notes = heard(built, data)
        assert len(samples) / RATE == pytest.approx(seconds, abs=0.12) and not notes


@pytest.mark.parametrize("suffix", [".mp3", ".opus", ".aac"])
def test_joined_files(built, speech, suffix):
    """As `cat a b` joins them. The tags between them are no damage."""
    joined = encoded(speech[:48000], RATE, suffix) + encoded(speech[48000:], RATE, suffix)
    samples, notes = heard(built, joined)
    assert len(samples) / RATE == pytest.approx(7.2, abs=0.25) and not notes


def damaged(data, seconds, filling):
    """In its middle, `seconds` of 7.2 s are overwritten."""
    at, size = len(data) // 2, round(len(data) * seconds / 7.2)
    filling = np.random.default_rng(1).bytes(size) if filling is None else bytes([filling]) * size
    return data[:at] + filling + data[at + size :]


@pytest.mark.parametrize("filling", [None, 0])
@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".aac", ".m4a", ".mka", ".opus", ".webm"])
def test_damage_is_left_out_and_told(built, speech, suffix, filling):
    """What comes before and after is read."""
    whole, _ = heard(built, encoded(speech, RATE, suffix))
    samples, (note,) = heard(built, damaged(encoded(speech, RATE, suffix), 0.4, filling))
    lost = (len(whole) - len(samples)) / RATE
    seconds, at = re.fullmatch(DAMAGED.format(r"([\d.]+) s at ([\d.]+) s"), note).groups()
    assert float(seconds) == pytest.approx(lost, abs=0.25) and 1.3 < float(at) < 4.2
    last = whole[-16000:-8000]
    ends = (samples[-16000 - padding : len(samples) - 8000 - padding] for padding in range(2000))
    assert any(np.abs(part - last).max() < 0.02 for part in ends)


@pytest.mark.parametrize("suffix", [".flac", ".mp3", ".mka", ".webm"])
def test_a_file_that_is_cut_off(built, speech, suffix):
    clusters = {"cluster_time_limit": "1000"} if suffix in (".mka", ".webm") else {}  # ms; else all is one of them
    whole = encoded(speech, RATE, suffix, container=clusters)
    samples, (note,) = heard(built, whole[: len(whole) // 2])
    assert 2 < len(samples) / RATE < 4.5
    assert float(re.search(r"[\d.]+", note)[0]) == pytest.approx(7.2 - len(samples) / RATE, abs=0.3)


@pytest.mark.parametrize("start", [-30000, 100 * RATE])
def test_a_first_timestamp_that_is_not_0(built, speech, start):
    """As in a part of a longer recording: it is neither silence nor a gap."""
    samples, notes = heard(built, encoded(speech, RATE, ".mka", later=lambda _: start))
    assert np.array_equal(samples, speech) and not notes


def test_a_film_and_a_pause(built, speech):
    video = encoded(speech, RATE, ".mka", tracks=2, picture=True)
    samples, (note,) = heard(built, video)
    assert (
        np.array_equal(samples, speech) and note == "It has 2 audio tracks (flac, flac): the first one is transcribed."
    )
    samples, notes = heard(built, encoded(speech[:8000], RATE, ".m4a", picture=True))
    assert len(samples) / RATE == pytest.approx(0.5, abs=0.1) and not notes

    samples, (note,) = heard(
        built, encoded(speech, RATE, ".mka", later=lambda position: 32000 if position >= 48000 else 0)
    )
    assert np.array_equal(samples, speech)
    assert note.startswith("Without sound, and left out: 2.00 s at 3.")


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "is empty"),
        (b"Dear Sir or Madam, " * 4000, "is not audio that this browser can read"),
        (rng.bytes(300_000), "is not audio that this browser can read"),
        (b"\x89PNG\r\n\x1a\n" + rng.bytes(100_000), "is not audio that this browser can read"),
        (b"PK\3\4" + rng.bytes(1_000_000), "is not audio that this browser can read"),
        (encoded(tone(48000), 48000, ".wma"), "is not audio that this browser can read"),
        (encoded(tone(48000), 48000, ".alac"), "alac audio, which this browser cannot decode: convert it"),
        (encoded(tone(48000), 48000, ".m4a")[:9000], "is an MP4 file without its index"),
        *((encoded(tone(48000), 48000, suffix)[:70], "") for suffix in (".wav", ".flac", ".opus", ".mp3", ".m4a")),
    ],
    ids=[
        "empty",
        "text",
        "noise",
        "png",
        "zip",
        "wma",
        "alac",
        "no_index",
        "cut_wav",
        "cut_flac",
        "cut_opus",
        "cut_mp3",
        "cut_m4a",
    ],
)
def test_a_wrong_file_gets_one_clear_sentence(built, data, words):
    failure = read(built, data)["failure"]
    assert failure.startswith("clip ") and words in failure and failure.endswith(".") and "undefined" not in failure
