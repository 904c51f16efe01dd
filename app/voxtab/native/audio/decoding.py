"""Bytes -> blocks of one rate, with what was damaged on the way. PyAV (FFmpeg) reads the containers and the codecs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av

from voxtab.errors import AudioError, shown
from voxtab.native.audio.ends import ends_within_frame, next_file, promised_bytes
from voxtab.native.audio.sources import OggLinks, open_source

if TYPE_CHECKING:
    import numpy as np

LEAST_RATE = 1000  # Hz; less is a damaged header
DAMAGE_SECONDS = (
    0.03  # less is not told: a person does not hear it, and other programs' tags between frames count as much
)
GAP_SECONDS = 0.1  # timestamps that differ less are rounded, or Vorbis' short blocks
CUT_SECONDS = 0.5  # a file that is this much shorter than its header says is cut off
PIPE_LOOKAHEAD = 500_000  # microseconds that FFmpeg looks ahead, instead of 5 s, where they come as they are spoken
LARGEST_RUN = 100_000  # unreadable packets one after another, of which a container may find some in each kB of damage

# What FFmpeg also opens, and what is not a file of audio: lists of other files or addresses, subtitles, text, pictures.
NO_AUDIO = {"concat", "dash", "ffmetadata", "hls", "image2", "image2pipe", "imf", "lavfi", "rtp", "rtsp", "sap", "sdp"}
NO_AUDIO |= {"tty", "webm_dash_manifest", "gif", "apng", "ico", "bin", "xbin", "adf", "idf"}
FORMATS = ",".join(sorted(name for name in av.formats_available - NO_AUDIO if not name.endswith("_pipe")))
# Their packets are all that the file has, so bytes tell how much is damaged. Elsewhere timestamps do.
RAW = {"aac", "ac3", "amr", "amrnb", "amrwb", "dts", "eac3", "flac", "loas", "mp3", "truehd", "tta"}
# Nothing tells their length, but each frame's header tells the frame's.
FRAMES = RAW | {"mpegts"}
# Their headers tell the length itself. Elsewhere it is an estimate, or what was found by looking at the end.
EXACT = {"aiff", "au", "caf", "flac", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "tta", "w64", "wav", "wv"}
TAGS = (b"Xing", b"Info", b"VBRI", b"LAME", b"APETAGEX", b"ID3\x02", b"ID3\x03", b"ID3\x04", b"TAG")
# FFmpeg's sample formats, without the p of planar ones -> NumPy's type, and what is subtracted, and divided by.
SAMPLES = {
    "u8": ("u1", 128, 2**7),
    "s16": ("i2", 0, 2**15),
    "s32": ("i4", 0, 2**31),
    "s64": ("i8", 0, 2**63),
    "flt": ("f4", 0, 1),
    "dbl": ("f8", 0, 1),
}


@dataclass
class Damage:
    """A place where audio is missing."""

    at: float  # seconds of audio before it
    seconds: float  # how much is missing, about
    pause: bool = False  # the timestamps leave it out, and no bytes are there for it


class Decoding:
    """One pass through a source's first audio stream. Raises AudioError if there is none that can be decoded."""

    def __init__(self, name):
        self.source = open_source(name)
        self._links: OggLinks | None = None
        if self.source.head.startswith(b"OggS"):
            self._links = OggLinks(self.source)
        try:
            self._container = self._open()
            self.stream = self._choose()
            #: Of the whole, by the header, or an estimate; None: unknown.
            self.expected_seconds = self._length()
            if self._container.format.name == "ogg" and not self._links:
                self.source.seek(0)
                self._links = OggLinks(self.source)
                self._container = self._open()
                self.stream = self._choose()
        except BaseException:
            self.close()
            raise
        self.rate = self.stream.rate  # Hz, of the beginning; of a joined file it may change
        self.seconds = 0.0  # decoded so far
        self.damage: list[Damage] = []
        self.cut_at: float | None = None  # seconds of audio before a place where the file ends too early
        self.unfinished_at: float | None = None  # the same, where an Ogg file has no mark of its end
        self.unread_bytes = 0  # of a file that was joined to this one in a pipe
        self.nothing_readable = False  # packets came, and none could be decoded
        self._bytes = 0  # of packets that were decoded
        self._end_of_packet: int | None = None  # place of the last one's end in the source

    @property
    def tracks(self) -> list[str]:
        """What the audio streams are, if there are several."""
        streams = self._container.streams.audio
        return [self._described(stream) for stream in streams] if len(streams) > 1 else []

    def blocks(self) -> "Iterator[tuple[int, np.ndarray]]":
        """(rate in Hz, [channels, samples] float32, about -1 to 1), as they come; damaged packets are left out.

        Raises AudioError if the bytes stop coming, or the rate becomes too low.
        """
        yield from self._part()
        while self._next_part():
            yield from self._part()

    def _next_part(self) -> bool:
        """Whether another file was joined to the one that was read."""
        if self._links:
            if not self._links.next_link():
                return False
        elif (at := next_file(self.source, self._container.format.name, self._end_of_packet or 0)) is not None:
            self.source.begin_at(at)
        else:
            return False
        self._container.close()
        try:
            self._container = self._open()
            self.stream = self._choose()
        except AudioError:
            if self._links:
                raise
            return False  # what is behind it only looks like the beginning of a file
        return True

    def _part(self) -> "Iterator[tuple[int, np.ndarray]]":
        """What blocks() gives, of one container."""
        raw = self._container.format.name in RAW
        bad: list[av.Packet | None] = []  # packets that could not be read or decoded since the last good one
        skipped = 0  # bytes between packets since then
        began, expected_seconds = self.seconds, self._length() or 0  # of this part
        last: av.Packet | None = None
        end_of_packet: int | None = None  # place in the file
        first: float | None = None  # timestamp of the first frame
        expected: float | None = None  # timestamp of the next frame
        # Of Ogg: how far the last two pages lie behind the ones before, and the seconds before each.
        page, pages = 0, [(0, 0.0), (0, 0.0)]
        for packet in self._packets():
            if packet is None:
                bad.append(None)
                continue
            if packet.pos is not None and packet.size:
                if end_of_packet is not None:
                    skipped += max(0, packet.pos - end_of_packet)
                end_of_packet, last = packet.pos + packet.size, packet
                if self._links and packet.pos != page:
                    page, pages = packet.pos, [pages[1], (packet.pos - page, self.seconds)]
            try:
                frames = self.stream.decode(packet)
            except av.FFmpegError:
                if packet.has_sidedata("encryption_info"):
                    raise self._encrypted() from None
                bad.append(packet)
                continue
            for frame in frames:
                start = frame.time
                first = start if first is None else first
                gap = 0.0 if start is None or expected is None else start - expected
                if raw:
                    self._note_bytes(bad, skipped)
                else:
                    # Where a page of Ogg is lost, the gap may show a page later.
                    at = max(pages)[1] if self._links else self.seconds
                    self._note_gap(bad, skipped, gap, at)
                bad, skipped = [], 0
                seconds = frame.samples / frame.rate
                yield frame.rate, self._floats(frame)
                self.seconds += seconds
                expected = None if start is None else start + seconds
            self._bytes += packet.size
        self.nothing_readable = bool(bad) and not self.seconds
        self._end_of_packet = end_of_packet
        self._note_end(bad, last, first or 0, expected_seconds, began)

    def close(self) -> None:
        if container := getattr(self, "_container", None):
            container.close()
        self.source.close()

    # --- opening

    def _open(self) -> av.container.InputContainer:
        file = self._links or self.source
        options = {"format_whitelist": FORMATS}
        if not file.seekable():
            options["analyzeduration"] = str(PIPE_LOOKAHEAD)
        try:
            return av.open(file, "r", metadata_errors="replace", options=options)
        except av.FFmpegError:
            self.source.check()
            raise self.not_audio() from None

    def not_audio(self) -> AudioError:
        name, source = shown(self.source.name), self.source
        if source.is_web_page:
            return AudioError(f"{name} is a web page, not audio: give the address of the audio itself.")
        size = source.size()
        if size == 0:
            return AudioError(f"{name} is empty: name an audio file.")
        if size and source.seek(0) == 0 and source.read(12)[4:8] == b"ftyp":
            return AudioError(
                f"{name} is an MP4 file without its index, which is written last: it is cut off, or its recording was "
                "not finished."
            )
        return AudioError(
            f"{name} is not audio that can be read: convert it to WAV, FLAC, OGG, Opus or MP3, for example with ffmpeg."
        )

    def _length(self) -> float | None:
        stream, container = self.stream, self._container
        if container.format.name == "caf" and stream.frames:  # otherwise FFmpeg looks how much is there
            return stream.frames / stream.rate
        if stream.duration:
            return float(stream.duration * (stream.time_base or 0))
        return container.duration / av.time_base if container.duration else None

    def _choose(self) -> av.AudioStream:
        name, streams = shown(self.source.name), self._container.streams.audio
        if not streams:
            if kinds := sorted({stream.type for stream in self._container.streams}):
                raise AudioError(f"{name} holds no audio, only {' and '.join(kinds)}: name a file with sound.")
            raise AudioError(f"{name} holds no audio: it is empty or cut off.")
        stream = next((stream for stream in streams if stream.codec_context), None)
        if any(stream.codec_context and stream.codec_tag in ("drms", "enca") for stream in streams):
            raise self._encrypted()
        if stream is None:
            raise AudioError(f"{name} holds audio of a kind that cannot be decoded: convert it with another program.")
        self._check_rate(stream.rate)
        return stream

    def _encrypted(self) -> AudioError:
        return AudioError(f"{shown(self.source.name)} is encrypted: save it without copy protection.")

    def _check_rate(self, rate: int):
        if 0 < rate < LEAST_RATE:
            raise AudioError(
                f"{shown(self.source.name)} says that its rate is {rate} Hz, where {LEAST_RATE} is the least: its "
                "header is damaged, so export the audio again."
            )

    def _described(self, stream: av.AudioStream) -> str:
        codec = stream.codec_context  # None for one that FFmpeg does not know
        words = (stream.metadata.get("language"), stream.metadata.get("title"), codec.name if codec else "unknown")
        return shown(" ".join(word for word in words if word and word != "und"))

    # --- reading

    def _packets(self) -> Iterator[av.Packet | None]:
        """Packets; None for a place that the container cannot make sense of."""
        run = 0
        packets = self._container.demux(self.stream)
        while run < LARGEST_RUN:
            try:
                packet = next(packets)
            except StopIteration:
                self.source.check()
                return
            except (av.FFmpegError, OSError):
                self.source.check()
                run += 1
                packets = self._container.demux(self.stream)
                yield None
            else:
                run = 0
                yield packet

    def _floats(self, frame: av.AudioFrame) -> "np.ndarray":
        """[channels, samples] float32. 16-bit samples become exact multiples of 1 / 32768."""
        import numpy as np  # not needed to refuse what is no audio, and slow to import

        self._check_rate(frame.rate)
        kind = frame.format.name
        dtype, middle, scale = SAMPLES[kind.removesuffix("p")]
        channels = frame.layout.nb_channels
        if frame.format.is_planar:
            values = np.stack([np.frombuffer(memoryview(plane), dtype, frame.samples) for plane in frame.planes])
        else:
            values = np.frombuffer(memoryview(frame.planes[0]), dtype, frame.samples * channels).reshape(-1, channels).T
        if scale == 1:
            with np.errstate(over="ignore"):
                return values.astype("float32")
        floats = values.astype("float32")
        return (floats - np.float32(middle)) * np.float32(1 / scale)

    # --- what is missing

    def _note(self, seconds: float, at: float, pause: bool = False):
        last = self.damage[-1] if self.damage else None
        if last and last.pause == pause and at - last.at < 1:
            last.seconds += seconds  # the same place, for a person
        elif seconds >= DAMAGE_SECONDS:
            self.damage.append(Damage(at, seconds, pause))

    def _note_bytes(self, bad: list, skipped: int):
        """Of a raw format: as long as its bytes would take at the rate so far."""
        if not bad and not skipped or _joins(bad):
            return
        missing = skipped + sum(packet.size for packet in bad if packet)
        durations = sum(_seconds(packet) for packet in bad if packet)
        seconds = missing * self.seconds / self._bytes if self.seconds and self._bytes else durations
        self._note(seconds, self.seconds)

    def _note_gap(self, bad: list, skipped: int, gap: float, at: float):
        """Of a container: what the timestamps leave out. A gap without any bytes is a pause of the recording."""
        if bad:
            self._note(max(gap, sum(_seconds(packet) for packet in bad if packet)), at)
        elif gap > GAP_SECONDS:
            # Ogg has no pauses, and the gap may show later than the jump.
            its_bytes = gap * self._bytes / self.seconds if self.seconds else 0
            self._note(gap, at, pause=not self._links and skipped < its_bytes / 2)

    def _note_end(self, bad: list, last: av.Packet | None, first: float, expected: float, began: float):
        """What is missing at a part's end. Tags and single broken packets are usual there.

        last: the last packet. first: the first timestamp. expected: seconds by the header, or 0. began: where the part
        begins in the whole.
        """
        name, size = self._container.format.name, self.source.size()
        missing = tail = 0.0
        if self._links:
            self._links.drain()
            tail = self._links.lost_bytes
        elif name in RAW and self._bytes and not _joins(bad):
            tail = sum(packet.size for packet in bad if packet)
            if size and self._end_of_packet:
                behind = max(0, size - self._end_of_packet)
                if (
                    self.damage and not bad
                ):  # places that FFmpeg's parsers count do not include damage that they leave out
                    self.damage[-1].seconds += behind * self.seconds / self._bytes
                else:
                    tail += behind
        promised = promised_bytes(self.source, name)
        tail += max(0, promised - size) if size else 0
        if tail > 0 and self._bytes:
            missing = tail * self.seconds / self._bytes
        if name == "matroska,webm":  # it tells the last timestamp of all its streams
            expected = expected - max(0, first) if len(self._container.streams) == 1 else 0
        if name in EXACT:
            noted = sum(damage.seconds for damage in self.damage if damage.at >= began)
            seconds = self.seconds - began
            missing = max(missing, expected - seconds - noted)
            if name in RAW and seconds + noted > expected > 0:  # too much was noted
                for damage in self.damage:
                    damage.seconds *= max(0.0, expected - seconds) / noted if noted else 0
                self.damage = [damage for damage in self.damage if damage.seconds >= DAMAGE_SECONDS]
        elif name not in RAW:
            missing = max(missing, sum(_seconds(packet) for packet in bad if packet))
        if promised and not size:
            self.unread_bytes = max(0, self.source.tell() - promised)
        if missing > CUT_SECONDS:
            self._note(missing, self.seconds)
        elif self._links:
            if self._links.is_cut:
                self.cut_at = self.seconds
            elif self._links.is_unfinished:
                self.unfinished_at = self.seconds
        elif last and name in FRAMES and not promised and ends_within_frame(last, self.stream.codec_context.name):
            self.cut_at = self.seconds


def _seconds(packet: av.Packet) -> float:
    return float(packet.duration * packet.time_base) if packet.duration else 0.0


def _joins(bad: list) -> bool:
    """Whether what could not be decoded is the tag of a file that was joined to another: no audio."""
    return any(packet and any(tag in bytes(packet)[:4096] for tag in TAGS) for packet in bad[:1])
