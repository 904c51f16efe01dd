"""Formats, rates, channels and levels of audio -> 16 kHz mono samples, and what is said about them."""

import gc
import os
import tracemalloc

import numpy as np
import pytest
import soundfile
import soxr

import recordings
from recordings import encoded, heard, tone
from voxtab.native.audio.file import open_audio


def write(path, samples, rate, **options):
    if path.suffix == ".opus":
        options = {"format": "OGG", "subtype": "OPUS"}
    soundfile.write(path, samples, rate, **options)
    return path


def read(path):
    return heard(path)[0]


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
