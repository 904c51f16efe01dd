"""Audio files whose header is wrong, joined files, and damaged ones."""

import re
import struct

import numpy as np
import pytest

import recordings
from recordings import damaged, encoded, heard, mp3, tone, tripled
from voxtab.errors import AudioError
from voxtab.native.audio.file import open_audio

# --- files whose header is wrong, and joined files


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
    path = file("triple.mp3", tripled(mp3(speech)))
    samples, notes = heard(path)
    assert open_audio(path).seconds > 20 and len(samples) / 16000 == pytest.approx(7.2, abs=0.1) and not notes


JOINED = [".mp3", ".opus", ".oga", ".flac", ".aac", ".ts", ".wav", ".aiff", ".caf", ".m4a", ".mka", ".wma", ".wv"]


@pytest.mark.parametrize("suffix", JOINED)
def test_joined_files(file, speech, suffix):
    """As `cat a b` joins them. The tags between them are no damage."""
    one, two = encoded(speech[:48000], 16000, suffix), encoded(speech[48000:], 16000, suffix)
    junk = b"RIFF of which nothing follows" if suffix == ".wav" else b""
    samples, notes = heard(file("joined" + suffix, one + two + junk))
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


@pytest.mark.parametrize("suffix", [".opus", ".mp3", ".aac", ".m4a", ".wav"])
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


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".mka", ".aiff", ".caf", ".webm", ".wma"])
def test_a_file_that_is_cut_off(file, speech, suffix):
    whole = encoded(speech, 16000, suffix)
    samples, (note,) = heard(file("cut" + suffix, whole[: len(whole) // 2]))
    seconds, at = len(speech) / 16000, len(samples) / 16000
    assert 2 < at < 4 and note.lost
    assert float(note.split()[0]) == pytest.approx(seconds - at, abs=1 if suffix == ".wma" else 0.3)


@pytest.mark.parametrize("suffix", [".opus", ".oga", ".aac", ".mp2", ".ts", ".mp3"])
def test_a_file_without_a_length_that_is_cut_off(file, speech, suffix):
    """Within a frame, or a page of Ogg: only that it is cut off is known."""
    whole = encoded(speech, 16000, suffix, **(VBR if suffix == ".mp3" else {}))
    samples, (note,) = heard(file("cut" + suffix, whole[: len(whole) // 2 + 60]))
    assert note.lost and f"ends at {len(samples) / 16000:.2f} s in the middle of a frame" in note
    _, notes = heard(file("whole" + suffix, whole))
    assert not notes


def test_an_ogg_file_that_is_cut_off_between_two_pages(file, speech):
    """Some programs never write the mark of a stream's end. So it is told, and is no failure."""
    whole = encoded(speech, 16000, ".opus")
    pages = [page.start() for page in re.finditer(b"OggS", whole)]
    samples, (note,) = heard(file("cut.opus", whole[: pages[5]]))
    assert not note.lost and f"no mark of its end at {len(samples) / 16000:.2f} s" in note
    _, (note,) = heard(file("cut.opus", whole[: pages[5] + 9]))
    assert note.lost and "in the middle of a frame" in note
    # Of two that are joined, the first one is not whole.
    samples, (note,) = heard(file("joined.opus", whole[: pages[5]] + whole))
    assert len(samples) / 16000 > 9 and "no mark of its end at 2" in note


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_long_hole_of_zeros_is_told(file, speech, suffix):
    """No microphone gives them: a muted track, a recorder that stopped, or a download with holes."""
    silence = np.zeros(12 * 16000, "float32")
    samples = np.concatenate([silence, speech, silence[: 9 * 16000], speech, silence])
    _, (note,) = heard(file("hole" + suffix, encoded(samples, 16000, suffix)))
    assert not note.lost and note.startswith("12.0") and " s at 0.00 s, 12" in note and note.count(" s at ") == 2
    assert "every sample there is 0" in note


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


def test_a_pause_of_the_recording_is_told_and_loses_nothing(file, speech):
    """Timestamps with a gap, as of a program that records no silence."""
    samples, (note,) = heard(
        file("gap.mka", encoded(speech, 16000, ".mka", later=lambda position: 32000 if position >= 48000 else 0))
    )
    assert np.array_equal(samples, speech) and not note.lost
    assert note.startswith("2.00 s at 3.") and note.endswith("without sound, and left out.")


@pytest.mark.parametrize("start", [-30000, 100 * 16000])
def test_a_first_timestamp_that_is_not_0(file, speech, start):
    """As in a part of a longer recording: it is neither silence nor a gap."""
    samples, notes = heard(file("later.mka", encoded(speech, 16000, ".mka", later=lambda _: start)))
    assert np.array_equal(samples, speech) and not notes


@pytest.mark.parametrize("suffix", [".mka", ".m4a"])
def test_a_film_that_is_longer_than_its_sound(file, speech, suffix):
    samples, notes = heard(file("film" + suffix, encoded(speech[:8000], 16000, suffix, picture=True)))
    assert len(samples) / 16000 == pytest.approx(0.5, abs=0.1) and not notes


def test_nothing_is_printed(file, speech, capfd):
    for suffix in recordings.KINDS:
        if suffix != ".ac3":
            heard(file("hole" + suffix, damaged(encoded(speech, 16000, suffix), 0.4)))
    assert capfd.readouterr() == ("", "")
