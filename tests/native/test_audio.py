import numpy as np
import pytest
import soundfile
import soxr

from voxtab.errors import AudioError
from voxtab.native.audio import open_audio


def tone(rate, seconds=0.5, channels=1):
    """[samples, channels] float32: 440 Hz at -10 dB, one channel after the other half as loud."""
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(rate * seconds)) / rate)
    return np.stack([wave / 2**channel for channel in range(channels)], axis=1).astype("float32")


def write(path, samples, rate, **options):
    if path.suffix == ".opus":
        options = {"format": "OGG", "subtype": "OPUS"}
    soundfile.write(path, samples, rate, **options)
    return path


def read(path, **options):
    blocks = list(open_audio(path).samples(**options))
    assert all(block.dtype == np.float32 and block.ndim == 1 and len(block) for block in blocks)
    return np.concatenate(blocks)


RATES = [8000, 16000, 44100, 48000, 96000]
FORMATS = [(suffix, rate) for suffix in (".wav", ".flac", ".ogg") for rate in RATES]
FORMATS += [(".mp3", rate) for rate in RATES if rate <= 48000]
FORMATS += [(".opus", rate) for rate in RATES if rate in (8000, 16000, 48000)]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("suffix, rate", FORMATS)
def test_formats_rates_and_channels(tmp_path, suffix, rate, channels):
    path = write(tmp_path / f"tone{suffix}", tone(rate, channels=channels), rate)
    samples = read(path)
    expected = tone(16000)[:, 0] * (1 if channels == 1 else 0.75)
    assert len(samples) == 8000 and open_audio(path).seconds == 0.5
    middle = slice(800, -800)  # codecs and resampling change the sudden beginning and end of the tone
    assert np.abs(samples - expected)[middle].max() < (2e-4 if suffix in (".wav", ".flac") else 0.05)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_U8", "FLOAT", "DOUBLE", "ULAW"])
def test_16_khz_mono_passes_untouched(tmp_path, subtype):
    path = write(tmp_path / "tone.wav", tone(16000), 16000, subtype=subtype)
    assert np.array_equal(read(path), soundfile.read(path, dtype="float32")[0])


def test_float_samples_beyond_one_pass_untouched(tmp_path):
    samples = tone(16000)[:, 0] * 1000
    assert np.array_equal(read(write(tmp_path / "loud.wav", samples, 16000, subtype="FLOAT")), samples)


def test_clipped_audio(tmp_path):
    path = write(tmp_path / "clipped.wav", np.clip(tone(44100) * 10, -1, 1), 44100)
    assert 0.9 < np.abs(read(path)).max() < 1.5


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_the_size_of_blocks_does_not_change_the_samples(tmp_path, suffix, rate):
    path = write(tmp_path / f"tone{suffix}", tone(rate, channels=3 if suffix == ".wav" else 2), rate)
    whole = read(path, block_samples=100_000)
    for size in (100, 1152, 4096, 7777):
        assert np.array_equal(read(path, block_samples=size), whole)


def test_blocks_of_one_sample(tmp_path):
    path = write(tmp_path / "tone.wav", tone(44100, 0.01), 44100)
    assert np.array_equal(read(path, block_samples=1), read(path))


def test_blocks_are_resampled_as_the_whole_would_be(tmp_path):
    path = write(tmp_path / "tone.wav", tone(44100, 2), 44100, subtype="FLOAT")
    assert np.array_equal(read(path), soxr.resample(tone(44100, 2)[:, 0], 44100, 16000, "HQ"))


def test_a_long_file_comes_in_blocks(tmp_path):
    path = write(tmp_path / "long.flac", np.zeros((48000 * 60, 2), "int16"), 48000)
    audio = open_audio(path)
    sizes = [len(block) for block in audio.samples()]
    assert audio.seconds == 60 and sum(sizes) == 60 * 16000 and max(sizes) <= 16384


def test_samples_can_be_read_twice(tmp_path):
    audio = open_audio(write(tmp_path / "tone.wav", tone(8000), 8000))
    assert np.array_equal(np.concatenate([*audio.samples()]), np.concatenate([*audio.samples()]))


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3"])
def test_10_ms(tmp_path, suffix):
    assert len(read(write(tmp_path / f"short{suffix}", tone(48000, 0.01), 48000))) == 160


def test_one_sample(tmp_path):
    assert len(read(write(tmp_path / "one.wav", tone(16000)[1:2], 16000))) == 1


@pytest.mark.parametrize("rate", [16000, 48000])
def test_silence(tmp_path, rate):
    assert not read(write(tmp_path / "silent.wav", np.zeros(rate), rate)).any()


# Files that are cut off, and files that do not know their length


@pytest.mark.parametrize("suffix, least", [(".wav", 1.4), (".flac", 1.2), (".ogg", 0.5), (".opus", 0.5), (".mp3", 1.2)])
def test_of_a_cut_file_what_is_there(tmp_path, suffix, least):
    noise = np.random.default_rng(0).normal(0, 0.1, (48000 * 3, 1)).astype("float32")
    path = write(tmp_path / f"cut{suffix}", noise, 48000)
    whole = read(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    samples = read(path)
    assert least <= len(samples) / 16000 < 2
    assert np.allclose(samples[:-2000], whole[: len(samples) - 2000], atol=1e-6)


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".opus", ".mp3"])
def test_a_file_cut_before_its_first_sample(tmp_path, suffix):
    path = write(tmp_path / f"cut{suffix}", tone(48000), 48000)
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(AudioError) as error:
        open_audio(path)
    assert str(path) in str(error.value)


def test_a_flac_file_of_unknown_length(tmp_path):
    path = write(tmp_path / "piped.flac", tone(16000, 2), 16000)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # the 36 bits that count samples, in the block that a FLAC file starts with
    data[22:26] = bytes(4)
    whole = read(path)
    path.write_bytes(data)
    assert open_audio(path).seconds is None
    assert np.array_equal(read(path), whole)


def test_a_wav_file_of_unknown_length(tmp_path):
    path = write(tmp_path / "piped.wav", tone(16000), 16000)
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = b"\xff" * 4
    path.write_bytes(data)
    assert len(read(path)) == 8000


# Files that are wrong


def wav(samples, rate=16000):
    return lambda path: write(path, np.asarray(samples, "float32"), rate, subtype="FLOAT")


@pytest.mark.parametrize(
    "name, make, words",
    [
        ("absent.wav", lambda path: None, "does not exist"),
        ("folder.wav", lambda path: path.mkdir(), "is a directory"),
        ("empty.wav", lambda path: path.write_bytes(b""), "not audio"),
        ("text.txt", lambda path: path.write_text("text " * 1000), "not audio"),
        ("text.wav", lambda path: path.write_text("text " * 1000), "not audio"),
        ("text.mp3", lambda path: path.write_text("text " * 1000), "not audio"),
        ("zeros.raw", lambda path: path.write_bytes(bytes(1000)), "not audio"),
        ("nothing.wav", wav([]), "no samples"),
        ("nothing.ogg", lambda path: write(path, np.zeros(0), 16000), "no samples"),
        ("nan.wav", wav([0, 0.1, np.nan]), "not a finite number at 0.000 s"),
        ("infinite.wav", wav([0.1, np.inf], rate=44100), "not a finite number"),
        ("sum.wav", wav([[3e38, 3e38]]), "not a finite number"),
        ("difference.wav", wav([[np.inf, -np.inf]]), "not a finite number"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path, name, make, words):
    path = tmp_path / name
    make(path)
    with pytest.raises(AudioError) as error:
        open_audio(path)
    assert str(path) in str(error.value) and words in str(error.value)
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_nan_late_in_a_file_is_told_with_its_time(tmp_path):
    samples = np.zeros(44100 * 2)
    samples[66150] = np.nan
    audio = open_audio(wav(samples, 44100)(tmp_path / "late.wav"))
    with pytest.raises(AudioError, match="at 1.500 s"):
        list(audio.samples())


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3"])
def test_nothing_is_printed(tmp_path, capfd, suffix):
    path = write(tmp_path / f"tone{suffix}", tone(48000), 48000)
    capfd.readouterr()
    read(path)
    assert capfd.readouterr() == ("", "")
