"""What a file's bytes tell of its end, and FFmpeg does not: how long it should be, whether another file follows."""

import re
import struct

import av

from voxtab.native.audio.sources import Source

# FFmpeg's names of containers that it reads to their end and no further -> how each begins. `cat a.wav b.wav` makes one
# file of two. The others are read over the border.
_BEGINNINGS = {
    "aiff": rb"FORM.{4}AIF[FC]",
    "asf": re.escape(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")),
    "au": rb"\.snd\0\0",
    "caf": rb"caff\x00\x01\x00\x00desc",
    "mov,mp4,m4a,3gp,3g2,mj2": rb"\0\0\0.ftyp",
    "tta": rb"TTA[12]",
    "w64": re.escape(b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"),
    "wav": rb"R(?:IFF|F64).{4}WAVE",
    "wv": rb"wvpk.{4}",
}
_LONGEST_BEGINNING = 16
_CHUNK = 1 << 20


def next_file(source: Source, container: str, end: int) -> int | None:
    """Where another file of that container begins behind byte `end`, where the audio of the first one ends."""
    beginning = _BEGINNINGS.get(container)
    if not beginning or not source.seekable():
        return None
    at, kept = source.seek(max(1, end)), b""  # byte 0 begins the first one, which may be empty
    while data := source.read(_CHUNK):
        kept += data
        if found := re.search(beginning, kept, re.DOTALL):
            return at + found.start()
        at += max(0, len(kept) - _LONGEST_BEGINNING)
        kept = kept[-_LONGEST_BEGINNING:]
    return None


def promised_bytes(source: Source, container: str) -> int:
    """How long the file is by its header; 0 if that does not say, or cannot be read again."""
    if container == "wav" and not source.seekable():
        return _riff_bytes(source.head)
    read = {"mp3": _mp3_bytes, "wav": lambda source: _riff_bytes(source.read(8)), "asf": _asf_bytes}.get(container)
    if not read or not source.seekable():
        return 0
    source.seek(0)
    return read(source)


def ends_within_frame(packet: av.Packet, codec: str) -> bool:
    """Whether an audio frame is longer, by its own header, than the packet that it came in."""
    try:
        whole = av.CodecContext.create(codec, "r").parse(bytes(packet) + bytes(1 << 16))  # more than any frame has
    except (ValueError, av.FFmpegError):  # a codec whose frames do not tell it
        return False
    return bool(whole) and whole[0].size > packet.size


def _mp3_bytes(source: Source) -> int:
    """By the tag in its first frame (Xing or Info)."""
    head = source.read(10)
    if head.startswith(b"ID3") and len(head) == 10:  # a tag of four times seven bits of length before it
        source.seek(10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]))
    tag = re.search(rb"(?:Xing|Info)\0\0\0[\3\7\x0b\x0f].{4}(.{4})", source.read(4096), re.DOTALL)
    return int.from_bytes(tag[1], "big") if tag else 0


def _riff_bytes(head: bytes) -> int:
    mark, size = struct.unpack("<4sI", head[:8].ljust(8, b"\0"))
    return size + 8 if mark == b"RIFF" and size < 0x7FFF0000 else 0


def _asf_bytes(source: Source) -> int:
    """By its properties; a live stream has 0 there."""
    properties = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
    found = re.search(re.escape(properties) + rb".{24}(.{8})", source.read(1 << 16), re.DOTALL)
    return int.from_bytes(found[1], "little") if found else 0
