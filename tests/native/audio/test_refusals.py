"""What is not audio, or cannot be read: one sentence that names it."""

import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from recordings import encoded, mp3, tone
from voxtab.errors import AudioError
from voxtab.native.audio.file import open_audio


def wav(samples, rate=16000):
    return lambda path: soundfile.write(path, np.asarray(samples, "float32"), rate, subtype="FLOAT")


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
        ("nothing.ogg", lambda path: soundfile.write(path, np.zeros(0), 16000), "no samples"),
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
    wav(samples, 44100)(tmp_path / "late.wav")
    audio = open_audio(tmp_path / "late.wav")
    got = 0
    with pytest.raises(AudioError, match="at 1.500 s"):
        for block in audio.samples():
            got += len(block)
    assert 1.39 <= got / 16000 <= 1.5


@pytest.mark.parametrize(
    "words", [["transcribe", "{text}"], ["batch", "{text}", "--out", "{out}", "--delay-ms", "100"]]
)
def test_a_refusal_does_not_wait_for_numpy(tmp_path, words):
    """Nothing that takes long to import is imported before there is something to compute."""
    (tmp_path / "text.wav").write_text("no audio")
    words = [word.format(text=tmp_path / "text.wav", out=tmp_path / "out") for word in words]
    code = "import sys\nsys.modules['numpy'] = sys.modules['wgpu'] = None\nfrom voxtab.native import cli\ncli.main()"
    ended = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1
    assert "not audio" in ended.stderr or "100 ms" in ended.stderr
