"""Audio files as other programs write them, made by PyAV (FFmpeg) in memory, and what Voxtab hears in them."""

import io
import struct
from fractions import Fraction

import av
import numpy as np

from voxtab.native.audio.file import open_audio

# suffix -> (container, codec, sample format)
KINDS = {
    ".aac": ("adts", "aac", "fltp"),
    ".ac3": ("ac3", "ac3", "fltp"),
    ".aiff": ("aiff", "pcm_s16be", "s16"),
    ".alac": ("ipod", "alac", "s16p"),
    ".caf": ("caf", "pcm_s16le", "s16"),
    ".flac": ("flac", "flac", "s16"),
    ".m4a": ("ipod", "aac", "fltp"),
    ".mka": ("matroska", "flac", "s16"),
    ".mp2": ("mp2", "mp2", "s16"),
    ".mp3": ("mp3", "libmp3lame", "s16p"),
    ".oga": ("ogg", "flac", "s16"),
    ".opus": ("ogg", "libopus", "s16"),
    ".ts": ("mpegts", "mp2", "s16"),
    ".wav": ("wav", "pcm_s16le", "s16"),
    ".webm": ("webm", "libopus", "s16"),
    ".wma": ("asf", "wmav2", "fltp"),
    ".wv": ("wv", "wavpack", "s16p"),
}
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


def encoded(samples, rate, suffix, *, tracks=1, picture=False, later=None, container=(), codec=()) -> bytes:
    """[samples] or [samples, channels] float, -1 to 1, as a file of that kind. `container` and `codec` are options.

    later(position) is how many samples are added to the timestamp of what begins at this position.
    """
    name, codec_name, kind = KINDS[suffix]
    samples = np.asarray(samples, "float32").reshape(len(samples), -1)
    if kind.startswith("s16"):
        samples = np.clip(np.round(samples * 32768), -32768, 32767).astype("int16")
    whole = samples.T if kind.endswith("p") else samples.reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(whole), kind, LAYOUTS[samples.shape[1]])
    frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
    out = io.BytesIO()
    with av.open(out, "w", format=name, options=dict(container)) as file:
        video = file.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p") if picture else None
        streams = [
            file.add_stream(
                codec_name,
                rate=rate,
                layout=LAYOUTS[samples.shape[1]],
                format=kind,
                options={"b": "96000"} | dict(codec),
            )
            for _ in range(tracks)
        ]
        if video:
            for _ in range(10):
                file.mux(video.encode(av.VideoFrame(64, 64, "yuv420p")))
            file.mux(video.encode(None))
        for stream in streams:
            for part in split(frame, stream.codec_context.frame_size or 1024):
                if later:
                    part.pts += later(part.pts)
                file.mux(stream.encode(part))
            file.mux(stream.encode(None))
    return out.getvalue()


def split(frame: av.AudioFrame, size: int):
    """Frames of the length that an encoder asks for."""
    fifo = av.AudioFifo()
    fifo.write(frame)
    while part := fifo.read(size):
        yield part
    if part := fifo.read(0, partial=True):
        yield part


def tone(rate, seconds=0.5, channels=1):
    """[samples, channels] float32: 440 Hz at -10 dB, one channel after the other half as loud."""
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(rate * seconds)) / rate)
    return np.stack([wave / 2**channel for channel in range(channels)], axis=1).astype("float32")


def mp3(samples, **options) -> bytes:
    return encoded(samples, 16000, ".mp3", **options)


def tripled(data: bytes) -> bytes:
    """An MP3 file that tells three times its number of frames."""
    told = bytearray(data)
    at = max(told.find(b"Xing"), told.find(b"Info")) + 8
    struct.pack_into(">I", told, at, 3 * struct.unpack_from(">I", told, at)[0])
    return bytes(told)


def heard(path):
    """(samples, notes) of a file as Voxtab reads it."""
    audio = open_audio(path)
    blocks = list(audio.samples())
    assert all(block.dtype == np.float32 and block.ndim == 1 and len(block) for block in blocks)
    return np.concatenate(blocks), audio.notes


def damaged(data: bytes, seconds: float, filling=None) -> bytes:
    """In its middle, `seconds` of 7.2 s are overwritten."""
    at, size = len(data) // 2, round(len(data) * seconds / 7.2)
    filling = np.random.default_rng(1).bytes(size) if filling is None else bytes([filling]) * size
    return data[:at] + filling + data[at + size :]
