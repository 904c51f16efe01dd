"""Audio files of every kind that users have -> 16 kHz mono samples, and what is said about them."""

import asyncio
import gc
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
import tracemalloc

import numpy as np
import pytest
import soundfile
import soxr

import recordings
from recordings import encoded
from voxtab import resources
from voxtab.errors import AudioError
from voxtab.native.audio.file import open_audio


def tone(rate, seconds=0.5, channels=1):
    """[samples, channels] float32: 440 Hz at -10 dB, one channel after the other half as loud."""
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(rate * seconds)) / rate)
    return np.stack([wave / 2**channel for channel in range(channels)], axis=1).astype("float32")


def write(path, samples, rate, **options):
    if path.suffix == ".opus":
        options = {"format": "OGG", "subtype": "OPUS"}
    soundfile.write(path, samples, rate, **options)
    return path


def read(path):
    return heard(path)[0]


def heard(path):
    """(samples, notes)"""
    audio = open_audio(path)
    blocks = list(audio.samples())
    assert all(block.dtype == np.float32 and block.ndim == 1 and len(block) for block in blocks)
    return np.concatenate(blocks), audio.notes


@pytest.fixture(scope="module")
def speech():
    """[samples] at 16 kHz: the bundled clips, joined; 7.2 s."""
    return np.concatenate([soundfile.read(clip, dtype="float32")[0] for clip in resources.embedded_clips()])


@pytest.fixture
def file(tmp_path):
    """Writes bytes to a file of that name; its path."""

    def make(name, data):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return make


# --- formats, rates, channels

RATES = [8000, 16000, 44100, 48000, 96000]
FORMATS = [(suffix, rate) for suffix in (".wav", ".flac", ".ogg") for rate in RATES]
FORMATS += [(".mp3", rate) for rate in RATES if rate <= 48000]
FORMATS += [(".opus", rate) for rate in RATES if rate in (8000, 16000, 48000)]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("suffix, rate", FORMATS)
def test_formats_rates_and_channels(tmp_path, suffix, rate, channels):
    """Written by libsndfile."""
    path = write(tmp_path / f"tone{suffix}", tone(rate, channels=channels), rate)
    samples = read(path)
    expected = tone(16000)[:, 0] * (1 if channels == 1 else 0.75)
    assert open_audio(path).seconds == pytest.approx(0.5, abs=0.05)
    lossless = suffix in (".wav", ".flac")
    assert abs(len(samples) - 8000) < (1 if lossless or suffix == ".opus" else 0.1 * 16000)
    middle = slice(800, 7200)  # codecs and resampling change the sudden beginning and end of the tone
    if suffix not in (".mp3", ".ogg"):  # whose encoders add, or whose decoder leaves out, some samples in front
        assert np.abs(samples[middle] - expected[middle]).max() < (2e-4 if lossless else 0.05)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [16000, 48000])
@pytest.mark.parametrize("suffix", [kind for kind in recordings.KINDS if kind != ".ac3"])
def test_what_phones_browsers_and_programs_record(file, suffix, rate, channels):
    """Written by FFmpeg. The length is within a codec's frame, and no encoder's delay is heard."""
    samples, notes = heard(file("tone" + suffix, encoded(tone(rate, channels=channels), rate, suffix)))
    expected = tone(16000)[:, 0] * (1 if channels == 1 else 0.75)
    assert not notes and abs(len(samples) - 8000) < 0.13 * 16000
    spectrum = np.abs(np.fft.rfft(samples[1600:6400]))
    assert spectrum.argmax() == 440 * 0.3  # the tone, at its pitch
    assert np.abs(samples[1600:6400]).max() == pytest.approx(expected.max(), rel=0.5)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "PCM_U8", "FLOAT", "DOUBLE", "ULAW", "ALAW"])
def test_16_khz_mono_passes_untouched(tmp_path, subtype):
    path = write(tmp_path / "tone.wav", tone(16000), 16000, subtype=subtype)
    assert np.array_equal(read(path), soundfile.read(path, dtype="float32")[0])


def test_lossless_speech_passes_untouched(file, speech):
    for suffix in (".flac", ".oga", ".mka", ".alac", ".wv", ".caf", ".aiff"):
        assert np.array_equal(read(file("speech" + suffix, encoded(speech, 16000, suffix))), speech), suffix


def test_float_samples_beyond_one_pass_untouched(tmp_path):
    samples = tone(16000)[:, 0] * 1000
    assert np.array_equal(read(write(tmp_path / "loud.wav", samples, 16000, subtype="FLOAT")), samples)


def test_clipped_audio(tmp_path):
    path = write(tmp_path / "clipped.wav", np.clip(tone(44100) * 10, -1, 1), 44100)
    assert 0.9 < np.abs(read(path)).max() < 1.5


@pytest.mark.parametrize("rate", [1000, 11025, 192000, 384000])
def test_unusual_rates(tmp_path, rate):
    assert abs(len(read(write(tmp_path / "tone.wav", tone(rate), rate))) - 8000) <= 1


def test_blocks_are_resampled_as_the_whole_would_be(tmp_path):
    path = write(tmp_path / "tone.wav", tone(44100, 2), 44100, subtype="FLOAT")
    assert np.array_equal(read(path), soxr.resample(tone(44100, 2)[:, 0], 44100, 16000, "HQ"))


def test_the_memory_does_not_grow_with_the_length(tmp_path):
    """A minute of 48 kHz stereo is 23 MB of float32."""
    path = write(tmp_path / "long.flac", np.tile(tone(48000, 1, 2), (60, 1)), 48000)
    audio = open_audio(path)
    gc.collect()
    tracemalloc.start()
    try:
        samples = sum(len(block) for block in audio.samples())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert audio.seconds == 60 and samples == 60 * 16000 and peak < 2e6


def test_samples_can_be_read_twice(tmp_path):
    audio = open_audio(write(tmp_path / "tone.wav", tone(8000), 8000))
    assert np.array_equal(np.concatenate([*audio.samples()]), np.concatenate([*audio.samples()]))


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".opus"])
def test_10_ms(tmp_path, suffix):
    assert len(read(write(tmp_path / f"short{suffix}", tone(48000, 0.01), 48000))) == 160


def test_one_sample(tmp_path):
    assert len(read(write(tmp_path / "one.wav", tone(16000)[1:2], 16000))) == 1


def test_a_name_that_is_not_valid_text_or_looks_like_an_address(tmp_path):
    for name in (b"bad\xff.wav", b"concat:a|b.wav", b"%d.wav", b"-", b"file: x.wav"):
        path = os.path.join(os.fsencode(tmp_path), name)
        with open(path, "wb") as out:
            out.write(encoded(tone(16000), 16000, ".wav"))
        assert len(read(os.fsdecode(path))) == 8000


# --- channels and levels


def test_a_silent_channel(file, speech):
    stereo = np.stack([speech, 0 * speech], axis=1)
    samples, notes = heard(file("left.flac", encoded(stereo, 16000, ".flac")))
    assert np.array_equal(samples, speech / 2) and not notes


def test_speech_in_the_centre_of_six(file, speech):
    six = np.zeros((len(speech), 6), "float32")
    six[:, 2] = speech
    samples, notes = heard(file("six.flac", encoded(six, 16000, ".flac")))
    assert np.allclose(samples, speech / 6, atol=1e-7) and not notes


@pytest.mark.parametrize("other", [-1, -0.9])
def test_an_inverted_channel(file, speech, other):
    stereo = np.stack([speech, other * speech], axis=1)
    samples, (note,) = heard(file("inverted.wav", encoded(stereo, 16000, ".wav")))
    assert np.array_equal(samples, speech) and "cancel each other out for 7.2 of 7.2 s" in note and not note.lost


def test_unrelated_channels_are_averaged(file, speech):
    """Two speakers, one on each side; and 24 channels of noise, which cancel each other out a little."""
    stereo = np.stack([speech, np.roll(speech, 40000)], axis=1)
    assert np.allclose(read(file("two.wav", encoded(stereo, 16000, ".wav"))), stereo.mean(axis=1), atol=1e-7)
    noise = np.random.default_rng(0).normal(0, 0.1, (16000, 24)).astype("float32")
    path = file("noise.wav", b"")
    soundfile.write(path, noise, 16000, subtype="FLOAT")
    samples, notes = heard(path)
    assert np.allclose(samples, noise.mean(axis=1), atol=1e-7) and not notes


@pytest.mark.parametrize(
    "scale, offset, words",
    [
        (0, 0, "it is silent (the loudest sample is 0.00000 of full scale)"),
        (0, 0.9, "it is silent (the loudest sample is 0.00000 of full scale from a constant 0.90)"),
        (0.005, 0, "it is far quieter than speech (the loudest sample is 0.00"),
        (0.3, 0, None),
        (0.1, 0.5, None),
    ],
)
@pytest.mark.parametrize("rate", [16000, 48000])
def test_silence_and_very_quiet_audio_are_told_with_their_peak(tmp_path, scale, offset, words, rate):
    samples = scale * np.sin(np.arange(rate)) + offset
    _, notes = heard(write(tmp_path / "quiet.wav", samples, rate, subtype="FLOAT"))
    assert [words in note and not note.lost for note in notes] == ([True] if words else [])


def test_the_first_of_several_tracks_is_taken_and_told(file, speech):
    video = encoded(speech, 16000, ".mka", tracks=2, picture=True)
    samples, (note,) = heard(file("film.mkv", video))
    assert np.array_equal(samples, speech) and note == "has 2 audio tracks (flac, flac): the first one is transcribed."
    samples, notes = heard(file("film.mkv", encoded(speech, 16000, ".mka", picture=True)))
    assert np.array_equal(samples, speech) and not notes


# --- files whose header is wrong, and joined files


def xing(data: bytes) -> int:
    """Where the number of frames is in an MP3 file's first frame."""
    return max(data.find(b"Xing"), data.find(b"Info")) + 8


def mp3(samples, **options) -> bytes:
    return encoded(samples, 16000, ".mp3", **options)


VBR = {"container": {"write_xing": "0", "id3v2_version": "0"}, "codec": {"b": "0", "q": "9"}}


def test_a_variable_bitrate_without_a_tag(file, speech):
    """Its length is guessed from its first frame, which promises too little here."""
    samples, notes = heard(file("vbr.mp3", mp3(speech, **VBR)))
    assert len(samples) / 16000 == pytest.approx(len(speech) / 16000, abs=0.11) and not notes


def test_a_variable_bitrate_that_begins_quietly(file, speech):
    """Its first frame promises too much."""
    path = file("quiet.mp3", mp3(np.concatenate([np.zeros(90000), speech]), **VBR))
    samples, notes = heard(path)
    assert len(samples) / 16000 == pytest.approx(5.625 + len(speech) / 16000, abs=0.11) and not notes


def test_a_tag_that_promises_three_times_as_much(file, speech):
    data = bytearray(mp3(speech))
    (frames,) = struct.unpack_from(">I", data, xing(data))
    struct.pack_into(">I", data, xing(data), 3 * frames)
    path = file("triple.mp3", data)
    samples, notes = heard(path)
    assert open_audio(path).seconds > 20 and len(samples) / 16000 == pytest.approx(7.2, abs=0.1) and not notes


@pytest.mark.parametrize("suffix", [".mp3", ".opus", ".oga", ".flac", ".aac", ".ts"])
def test_joined_files(file, speech, suffix):
    """As `cat a b` joins them. The tags between them are no damage."""
    one, two = encoded(speech[:48000], 16000, suffix), encoded(speech[48000:], 16000, suffix)
    samples, notes = heard(file("joined" + suffix, one + two))
    assert len(samples) / 16000 == pytest.approx(len(speech) / 16000, abs=0.2) and not notes


def test_joined_files_of_other_rates_and_channels(file, speech):
    """FFmpeg stops at such a border in Ogg, or loses what is behind it."""
    one = encoded(speech, 16000, ".oga")
    two = encoded(tone(48000, 1, 2), 48000, ".oga")
    samples, notes = heard(file("joined.oga", one + two + one))
    assert len(samples) == 2 * len(speech) + 16000 and not notes
    assert np.array_equal(samples[: len(speech)], speech) and np.array_equal(samples[-len(speech) :], speech)
    middle = samples[len(speech) :][800:14800]
    assert np.abs(middle - 0.75 * tone(16000, 1)[800:14800, 0]).max() < 1e-3


@pytest.mark.parametrize("suffix", [".opus", ".mp3", ".aac"])
def test_joined_files_of_other_rates_and_channels_with_loss(file, speech, suffix):
    one, two = encoded(speech, 16000, suffix), encoded(tone(48000, 1, 2), 48000, suffix)
    samples, notes = heard(file("joined" + suffix, one + two))
    assert len(samples) / 16000 == pytest.approx(8.2, abs=0.15) and not notes
    assert np.abs(np.fft.rfft(samples[-8000:-3200])).argmax() == 440 * 0.3


def test_a_flac_file_with_an_id3_tag_behind_it(file, speech):
    tag = b"TAG" + b"title".ljust(125, b"\0")
    samples, notes = heard(file("tagged.flac", encoded(speech, 16000, ".flac") + tag))
    assert np.array_equal(samples, speech) and not notes


def test_an_mp3_file_with_a_large_tag_behind_it(file, speech):
    junk = b"APETAGEX" + np.random.default_rng(0).bytes(30000)
    samples, notes = heard(file("tagged.mp3", mp3(speech) + junk))
    assert len(samples) / 16000 == pytest.approx(7.2, abs=0.1) and not notes


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_wav_file_whose_recorder_did_not_write_its_size(file, speech, size):
    data = bytearray(encoded(speech, 16000, ".wav"))
    struct.pack_into("<I", data, 4, size)
    struct.pack_into("<I", data, data.find(b"data") + 4, size)
    samples, notes = heard(file("crashed.wav", data))
    assert np.array_equal(samples, speech) and not notes


def test_a_flac_file_of_unknown_length(file, speech):
    data = bytearray(encoded(speech, 16000, ".flac"))
    data[21] &= 0xF0  # the 36 bits that count samples, in the block that a FLAC file starts with
    data[22:26] = bytes(4)
    samples, notes = heard(file("piped.flac", data))
    assert np.array_equal(samples, speech) and not notes


# --- damage


def damaged(data: bytes, seconds: float, filling=None) -> bytes:
    """In its middle, `seconds` of 7.2 s are overwritten."""
    at, size = len(data) // 2, round(len(data) * seconds / 7.2)
    filling = np.random.default_rng(1).bytes(size) if filling is None else bytes([filling]) * size
    return data[:at] + filling + data[at + size :]


@pytest.mark.parametrize("filling", [None, 0])
@pytest.mark.parametrize(
    "suffix", [".mp3", ".flac", ".aac", ".m4a", ".mka", ".opus", ".oga", ".webm", ".mp2", ".ts", ".wma"]
)
def test_damage_is_left_out_and_told(file, speech, suffix, filling):
    """What comes before and after is read. The container says how much is lost with it: a page of Ogg is a second."""
    whole, notes = heard(file("whole" + suffix, encoded(speech, 16000, suffix)))
    assert not notes
    samples, (note,) = heard(file("hole" + suffix, damaged(encoded(speech, 16000, suffix), 0.4, filling)))
    lost = (len(whole) - len(samples)) / 16000
    told = re.fullmatch(r"([\d.]+) s at ([\d.]+) s: damaged or missing, and left out\.", note)
    seconds, at = float(told[1]), float(told[2])
    assert note.lost
    assert seconds == pytest.approx(lost, abs=0.25) and 1.3 < at < 4.2
    before, last = int((at - 0.3) * 16000), whole[-16000:-8000]
    assert np.abs(samples[:before] - whole[:before]).max() < 0.02
    # After damage, an MP3's padding at the end stays.
    at_end = (samples[-16000 - padding : -8000 - padding] for padding in range(2000))
    assert any(np.abs(part - last).max() < 0.02 for part in at_end)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".mka", ".aiff", ".caf", ".webm"])
def test_a_file_that_is_cut_off(file, speech, suffix):
    whole = encoded(speech, 16000, suffix)
    samples, (note,) = heard(file("cut" + suffix, whole[: len(whole) // 2]))
    seconds, at = len(speech) / 16000, len(samples) / 16000
    assert 2 < at < 4 and note.lost
    assert float(note.split()[0]) == pytest.approx(seconds - at, abs=0.3)


def test_a_file_whose_second_half_is_zeros(file, speech):
    """As a download leaves it that was given its place on the disk and then stopped."""
    for suffix in (".mp3", ".flac", ".aac", ".mka"):
        whole = encoded(speech, 16000, suffix)
        samples, (note,) = heard(file("zeros" + suffix, whole[: len(whole) // 2] + bytes(len(whole) // 2)))
        assert 2 < len(samples) / 16000 < 4.5 and note.lost and float(note.split()[0]) > 2.5, suffix


def test_many_damaged_places_are_counted(file, speech):
    data = bytearray(mp3(np.tile(speech, 6), codec={"b": "24000"}))
    for place in range(1, 12):
        data[place * len(data) // 12 : place * len(data) // 12 + 1500] = bytes(1500)
    _, (note,) = heard(file("bad.mp3", data))
    assert note.count(" s at ") == 5 and ", and 6 more places: damaged" in note


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".oga", ".opus", ".mp3", ".m4a", ".webm"])
def test_a_file_cut_before_its_first_sample(file, suffix):
    path = file("cut" + suffix, encoded(tone(48000), 48000, suffix)[:70])
    with pytest.raises(AudioError) as error:
        open_audio(path)
    assert str(path) in str(error.value)


def test_a_pause_of_the_recording_is_told_and_loses_nothing(file, speech, monkeypatch):
    """Timestamps with a gap, as of a program that records no silence."""
    split = recordings.split

    def with_gap(frame, size):
        for part in split(frame, size):
            if part.pts >= 48000:
                part.pts += 32000
            yield part

    monkeypatch.setattr(recordings, "split", with_gap)
    samples, (note,) = heard(file("gap.mka", encoded(speech, 16000, ".mka")))
    assert np.array_equal(samples, speech) and not note.lost
    assert note.startswith("2.00 s at 3.") and note.endswith("without sound, and left out.")


@pytest.mark.parametrize("start", [-30000, 100 * 16000])
def test_a_first_timestamp_that_is_not_0(file, speech, monkeypatch, start):
    """As in a part of a longer recording: it is neither silence nor a gap."""
    split = recordings.split

    def shifted(frame, size):
        for part in split(frame, size):
            part.pts += start
            yield part

    monkeypatch.setattr(recordings, "split", shifted)
    samples, notes = heard(file("later.mka", encoded(speech, 16000, ".mka")))
    assert np.array_equal(samples, speech) and not notes


@pytest.mark.parametrize("suffix", [".mka", ".m4a"])
def test_a_film_that_is_longer_than_its_sound(file, speech, suffix):
    samples, notes = heard(file("film" + suffix, encoded(speech[:8000], 16000, suffix, picture=True)))
    assert len(samples) / 16000 == pytest.approx(0.5, abs=0.1) and not notes


# --- what is not audio


def wav(samples, rate=16000):
    return lambda path: write(path, np.asarray(samples, "float32"), rate, subtype="FLOAT")


def text(words):
    return lambda path: path.write_text(words * 1000)


def data(make):
    return lambda path: path.write_bytes(make())


def encrypted():
    key = {"encryption_key": "01" * 16, "encryption_kid": "02" * 16, "encryption_scheme": "cenc-aes-ctr"}
    return encoded(tone(16000, 2), 16000, ".m4a", container=key)


def index_missing():
    whole = encoded(tone(16000, 2), 16000, ".m4a")
    return whole[: whole.find(b"moov") - 4]


def rate_of(rate):
    whole = bytearray(encoded(tone(16000), 16000, ".wav"))
    struct.pack_into("<I", whole, 24, rate)
    return bytes(whole)


def unknown_codec():
    return encoded(tone(16000), 16000, ".wav")[:20] + b"\x77\x77" + encoded(tone(16000), 16000, ".wav")[22:]


def only_picture():
    return encoded(tone(16000), 16000, ".mka", picture=True, tracks=0)


@pytest.mark.parametrize(
    "name, make, words",
    [
        ("absent.wav", lambda path: None, "does not exist"),
        ("folder.wav", lambda path: path.mkdir(), "is a directory"),
        ("empty.wav", data(bytes), "is empty"),
        ("text.txt", text("text "), "is not audio"),
        ("text.wav", text("text "), "is not audio"),
        ("text.mp3", text("text "), "is not audio"),
        ("page.mp3", text("<!doctype html><html>"), "is not audio"),
        ("list.m3u8", text("#EXTM3U\n#EXTINF:10,\n/etc/passwd\n"), "is not audio"),
        ("list.txt", text("ffconcat version 1.0\nfile /etc/passwd\n"), "is not audio"),
        ("zeros.raw", data(lambda: bytes(1000)), "is not audio"),
        ("noise.mp3", data(lambda: np.random.default_rng(0).bytes(100_000)), "is not audio"),
        ("picture.mkv", data(only_picture), "holds no audio, only video"),
        ("nothing.wav", wav([]), "no samples"),
        ("nothing.ogg", lambda path: write(path, np.zeros(0), 16000), "no samples"),
        ("nan.wav", wav([0, 0.1, np.nan]), "not a finite number at 0.000 s"),
        ("infinite.wav", wav([0.1, np.inf], rate=44100), "not a finite number"),
        ("sum.wav", wav([[3e38, 3e38]]), "not a finite number"),
        ("difference.wav", wav([[np.inf, -np.inf]]), "not a finite number"),
        ("locked.m4a", data(encrypted), "is encrypted"),
        ("unknown.wav", data(unknown_codec), "of a kind that cannot be decoded"),
        ("unfinished.m4a", data(index_missing), "without its index"),
        ("slow.wav", data(lambda: rate_of(1)), "its rate is 1 Hz, where 1000 is the least"),
        ("slow.wav", data(lambda: rate_of(999)), "its rate is 999 Hz"),
        ("pipe.sock", lambda path: os.mknod(path, 0o140600), "is not a regular file"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path, name, make, words):
    path = tmp_path / name
    make(path)
    with pytest.raises(AudioError) as error:
        open_audio(path)
    assert str(path) in str(error.value) and words in str(error.value)
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_a_program_that_is_named_like_audio(file, speech):
    """FFmpeg finds a frame of MP3 here and there in anything that is large."""
    audio, noise = mp3(speech, container={"write_xing": "0", "id3v2_version": "0"}), np.random.default_rng(0)
    frame = audio.find(audio[:4], 4)
    junk = b"".join(audio[i * frame : (i + 3) * frame] + noise.bytes(60 * frame) for i in range(0, 60, 3))
    with pytest.raises(AudioError, match="is not audio"):
        open_audio(file("program.mp3", junk))


def test_nan_late_in_a_file_is_told_with_its_time(tmp_path):
    """What came before it is given."""
    samples = np.zeros(44100 * 2)
    samples[66150] = np.nan
    audio = open_audio(wav(samples, 44100)(tmp_path / "late.wav"))
    got = 0
    with pytest.raises(AudioError, match="at 1.500 s"):
        for block in audio.samples():
            got += len(block)
    assert 1.39 <= got / 16000 <= 1.5


def test_nothing_is_printed(file, speech, capfd):
    for suffix in recordings.KINDS:
        if suffix != ".ac3":
            heard(file("hole" + suffix, damaged(encoded(speech, 16000, suffix), 0.4)))
    assert capfd.readouterr() == ("", "")


# --- pipes


PIPED = """
import sys, time
from voxtab.native.audio.file import open_audio
audio = open_audio(sys.argv[1])
for block in audio.samples():
    print(len(block), flush=True)
"""


def test_a_pipe_is_read_as_it_comes(speech):
    """The samples of what was written come out while the pipe stays open."""
    data = encoded(speech, 16000, ".opus")
    most = len(data) * 3 // 4
    with subprocess.Popen([sys.executable, "-c", PIPED, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(data[:most])
        process.stdin.flush()
        got = 0
        while got < 2.5 * 16000:  # or it would wait here for ever
            got += int(process.stdout.readline())
        assert process.poll() is None
        process.stdin.write(data[most:])
        process.stdin.close()
        got += sum(int(line) for line in process.stdout.read().split())
    assert process.returncode == 0 and got == len(speech)


@pytest.mark.parametrize("suffix", recordings.KINDS)
def test_every_kind_comes_through_a_pipe(file, speech, suffix):
    """The same samples as from a file, also of MP4, whose index is at its end."""
    rate = 48000 if suffix == ".ac3" else 16000
    path = file("whole" + suffix, encoded(speech, rate, suffix))
    pipe = path.with_name("pipe")
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(path.read_bytes()))
    writer.start()
    samples, notes = heard(pipe)
    writer.join()
    whole = read(path)
    assert not notes and abs(len(samples) - len(whole)) <= 1200  # without the tag, an MP3's padding stays
    common = min(len(samples), len(whole))
    assert np.abs(samples[:common] - whole[:common]).max() < 1e-4


def test_standard_input_that_has_nothing():
    for how, words in (("</dev/null", "empty"), ("<&-", "is closed")):
        ended = subprocess.run(
            f"'{sys.executable}' -c '{PIPED}' - {how}", shell=True, capture_output=True, text=True, timeout=60
        )
        assert "tandard input" in ended.stderr and words in ended.stderr


def test_ctrl_c_while_a_pipe_is_silent():
    code = PIPED.replace("audio =", "print(0, flush=True); audio =")
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, "-c", code, "-"], **pipes) as process:
        process.stdout.readline()
        time.sleep(0.3)  # now it waits for the first byte
        process.send_signal(signal.SIGINT)
        assert b"KeyboardInterrupt" in process.communicate(timeout=60)[1] and process.returncode


# --- the asynchronous stream


def test_the_stream_gives_the_same_blocks(tmp_path, run):
    audio = open_audio(write(tmp_path / "tone.wav", tone(44100, 3), 44100))

    async def collect():
        return [block async for block in audio.stream()]

    for one, other in zip(run(collect()), audio.samples(), strict=True):
        assert np.array_equal(one, other)


def test_the_stream_passes_an_error_on_and_can_be_left(tmp_path, run):
    samples = np.zeros(160000)
    samples[100000] = np.inf
    audio = open_audio(wav(samples)(tmp_path / "late.wav"))

    async def collect():
        got = 0
        with pytest.raises(AudioError, match="6.250"):
            async for block in audio.stream():
                got += len(block)
        return got

    async def leave():
        stream = audio.stream()
        async for _ in stream:
            break
        await stream.aclose()

    assert run(collect()) == 99200
    before = threading.active_count()
    run(leave())
    deadline = time.monotonic() + 30
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_the_event_loop_goes_on_while_a_pipe_is_silent(file, run):
    path = file("silent", b"").with_name("pipe")
    os.mkfifo(path)
    data = encoded(tone(16000, 3), 16000, ".flac")
    end = threading.Event()

    def write_slowly():
        with path.open("wb", buffering=0) as pipe:
            pipe.write(data[: len(data) // 2])
            end.wait(60)
            pipe.write(data[len(data) // 2 :])

    threading.Thread(target=write_slowly).start()
    audio = open_audio(path)

    async def collect():
        got = 0
        async for block in audio.stream():
            got += len(block)
            if not end.is_set():
                await asyncio.sleep(0)
                asyncio.get_running_loop().call_later(0.2, end.set)  # never, if the loop waits for the pipe
        return got

    assert run(collect()) == 48000
