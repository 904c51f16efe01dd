"""Audio files as other programs write them, made by PyAV (FFmpeg) in memory."""

import io
from fractions import Fraction

import av
import numpy as np

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


def encoded(samples, rate, suffix, *, tracks=1, picture=False, container=(), codec=()) -> bytes:
    """[samples] or [samples, channels] float, -1 to 1, as a file of that kind. `container` and `codec` are options."""
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
