"""Where the bytes of audio come from: a file, a pipe, or an http(s) address, as PyAV reads them."""

import http.client
import io
import os
import re
import shutil
import socket
import ssl
import stat
import struct
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from voxtab.errors import AudioError, shown

STDIN = "standard input"
WEB_TIMEOUT = 30  # seconds without an answer, or without a byte of it
WEB_TRIES = 3  # how often to ask again for the rest after a broken connection, when none of these brought a byte


class Source:
    """Bytes that PyAV reads: read, and where possible seek. Made by open_source().

    PyAV calls this from C, which cannot pass on an error as it is: the bytes end there, and check() raises it.
    """

    def __init__(self, file, name: str, reopens: bool):
        if not file.seekable():
            file = _index_first(file)
        self.name = name
        self.reopens = reopens  # a second open_source() starts at the beginning again
        self.is_web_page = getattr(file, "is_web_page", False)
        self.head = getattr(file, "head", b"")  # the first bytes, if the file cannot seek
        self._file = file
        self._begin = 0  # where in the file this source begins
        self._error: BaseException | None = None

    def read(self, size: int) -> bytes:
        if self._error:
            return b""
        try:
            return self._file.read(size) or b""
        except BaseException as error:  # also Ctrl-C
            self._error = error
            return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """The new place; -1 for one that does not exist, which damaged files ask for."""
        try:
            return self._file.seek(offset + (self._begin if whence == os.SEEK_SET else 0), whence) - self._begin
        except (OSError, ValueError, OverflowError):
            return -1

    def tell(self) -> int:
        return self._file.tell() - self._begin

    def begin_at(self, offset: int) -> None:
        """From here on, the source begins there. It can seek."""
        self._begin += offset
        self.seek(0)

    def seekable(self) -> bool:
        return self._file.seekable()

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()

    def size(self) -> int | None:
        """Bytes in all, if the source can seek."""
        if not self.seekable():
            return None
        at = self.tell()
        try:
            return self._file.seek(0, os.SEEK_END) - self._begin
        finally:
            self.seek(at)

    def check(self) -> None:
        """Raises what stopped a read: AudioError, or KeyboardInterrupt."""
        error, self._error = self._error, None
        if isinstance(error, OSError):
            raise AudioError(
                f"{shown(self.name)} cannot be read ({error.strerror or error}): see that the disk or the program it "
                "comes from works."
            ) from None
        if error:
            raise error


class OggLinks:
    """The parts of a chained Ogg file, one after another: each ends like a file. next_link() begins the next one.

    FFmpeg reads over the border between two parts, but only if they have the same rate and channels.
    """

    # A page's beginning: its flags, the stream's number, and how many lengths follow that make the page's.
    _PAGE = re.compile(rb"OggS\0([\0-\7]).{8}(.{4}).{8}(.)", re.DOTALL)
    _HEADER = 27 + 255  # its bytes at most, with the lengths
    _FIRST, _LAST = 2, 4  # flags of a stream's first and last page
    _LONGEST = 65_307  # bytes of a page

    def __init__(self, source: Source):
        self._source = source
        self._waiting = b""
        self._begin = 0  # place of the waiting bytes in the file
        self._looked = 0  # how many of them were looked at
        self._border: int | None = None  # where in them the next part begins
        self._has_data = False  # this part had a page that is not a stream's first
        self._running: set[bytes] = set()  # streams of this part whose last page has not come
        self._page_end = 0  # place in the file where the last page ends, by its header

    def read(self, size: int) -> bytes:
        while self._border is None and not self._looked:
            data = self._source.read(size)
            self._waiting += data
            self._look(at_end=not data)
            if not data:
                self._looked = len(self._waiting) if self._border is None else self._looked
                break
        end = min(size, self._looked if self._border is None else self._border)
        data, self._waiting = self._waiting[:end], self._waiting[end:]
        self._begin += end
        self._looked -= end
        if self._border is not None:
            self._border -= end
        return data

    def next_link(self) -> bool:
        """Whether there is another part."""
        self.drain()
        if self._border is None:
            return False
        self._border, self._looked, self._has_data = None, 0, False
        self._running.clear()
        self._look()
        return True

    def drain(self) -> None:
        """Pass over what FFmpeg left of this part."""
        while self.read(self._LONGEST):
            pass

    def seekable(self) -> bool:
        return False

    def readable(self) -> bool:
        return True

    @property
    def lost_bytes(self) -> int:
        """At the end of a part: how many bytes are behind its last page."""
        return max(0, self._part_end - self._page_end)

    @property
    def is_cut(self) -> bool:
        """At the end of a part: whether its last page is not whole."""
        return self._page_end > self._part_end

    @property
    def is_unfinished(self) -> bool:
        """At the end of a part: whether a stream's last page is not marked as such."""
        return bool(self._running)

    @property
    def _part_end(self) -> int:
        return self._begin + (len(self._waiting) if self._border is None else self._border)

    def _look(self, at_end: bool = False):
        """For pages; at the last bytes only if they cannot be a page's beginning, or if they are the last ones."""
        while page := self._PAGE.search(self._waiting, self._looked):
            lengths = self._waiting[page.end() : page.end() + page[3][0]]
            if len(lengths) < page[3][0] and not at_end:
                self._looked = page.start()
                return
            is_first = bool(page[1][0] & self._FIRST)
            if is_first and self._has_data:
                self._border = page.start()
                return
            self._has_data |= not is_first
            (self._running.discard if page[1][0] & self._LAST else self._running.add)(page[2])
            self._page_end = self._begin + page.end() + page[3][0] + sum(lengths)
            self._looked = page.end()
        begun = self._waiting.rfind(b"OggS", max(self._looked, len(self._waiting) - self._HEADER))
        if begun < 0:
            begun = len(self._waiting) - next((n for n in range(4, 0, -1) if b"OggS".startswith(self._waiting[-n:])), 0)
        elif at_end:
            self._page_end = self._begin + len(self._waiting) + 1  # of a header that is not whole
        self._looked = max(self._looked, begun)


def open_source(name: str | os.PathLike) -> Source:
    """A path of a file or pipe; "-" is standard input; an address begins with http:// or https://.

    Raises AudioError if nothing can be read there.
    """
    text = os.fspath(name)
    if isinstance(name, str) and re.match(r"https?://", name, re.IGNORECASE):
        return Source(_Web(name), name, reopens=True)
    if name == "-":
        return Source(_stdin(), STDIN, reopens=False)
    path = Path(os.fsdecode(text))
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise AudioError(f"{shown(path)} is a directory: name an audio file.")
        if not (stat.S_ISREG(kind) or stat.S_ISFIFO(kind)):
            raise AudioError(f"{shown(path)} is not a regular file: name an audio file.")
        file = io.FileIO(path, "rb")  # unbuffered: of a pipe, a read gives what has come, and does not wait for more
    except FileNotFoundError:
        raise AudioError(f"{shown(path)} does not exist: name an audio file.") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        why = error.strerror if isinstance(error, OSError) else error
        raise AudioError(f"{shown(path)} cannot be read ({why}): name an audio file.") from None
    return Source(file, str(path), reopens=stat.S_ISREG(kind))


def _stdin() -> io.FileIO:
    try:
        if os.isatty(0):
            raise AudioError(
                "Standard input is a terminal: pipe audio into it, for example with ffmpeg, or name an audio file."
            )
        return io.FileIO(0, "rb", closefd=False)
    except OSError:
        raise AudioError("Standard input is closed: pipe audio into it, or name an audio file.") from None


def _index_first(file):
    """A file that cannot seek. Its first bytes are read and put back; MP4 with its index last is copied to the disk."""
    head = bytearray()

    def has(size: int) -> bool:
        while len(head) < size and (data := file.read(size - len(head))):
            head.extend(data)
        return len(head) >= size

    at = 0  # of a box: its size, which counts itself, then its kind
    while has(at + 8):
        size, kind = struct.unpack_from(">I4s", head, at)
        if kind == b"mdat" and at:
            copy = tempfile.TemporaryFile()  # noqa: SIM115
            copy.write(head)
            shutil.copyfileobj(file, copy)
            copy.seek(0)
            file.close()
            return copy
        if (kind == b"ftyp") != (at == 0) or kind in (b"moov", b"moof") or not 8 <= size < 1 << 20:
            break
        at += size
    return _Begun(bytes(head), file)


class _Begun:
    """A file whose first bytes were read already."""

    def __init__(self, head: bytes, file):
        self.head, self._head, self._file = head, head, file
        self._at = 0
        self.is_web_page = getattr(file, "is_web_page", False)

    def read(self, size: int) -> bytes:
        data, self._head = self._head[:size], self._head[size:]
        data = data or self._file.read(size) or b""
        self._at += len(data)
        return data

    def tell(self) -> int:
        return self._at

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self._file.close()


class _Web:
    """An address as a file: read as it comes, and from another place where the server gives ranges.

    After a broken connection it asks for the rest. urllib checks certificates, and uses the proxies that are set in the
    environment. Errors are AudioError.
    """

    def __init__(self, address: str):
        self._address = address
        self._at = 0
        self._answer: http.client.HTTPResponse | None = self._ask()
        headers = self._answer.headers
        self.is_web_page = headers.get_content_type() in ("text/html", "application/xhtml+xml")
        length = headers.get("Content-Length", "")
        self._length = int(length) if length.isdecimal() else None
        self._ranges = self._length is not None and headers.get("Accept-Ranges", "") == "bytes"

    def read(self, size: int) -> bytes:
        tries = WEB_TRIES
        while self._length is None or self._at < self._length:
            broken = "it ended early"
            try:
                self._answer = self._answer or self._ask()
                if data := self._answer.read1(size):
                    self._at += len(data)
                    return data
                if self._length is None:
                    return b""  # a server that tells no length ends by closing
            except (OSError, http.client.HTTPException) as error:
                broken = _reason(error)
            self.close()
            tries -= 1
            if not self._ranges or not tries:
                raise self._wrong(f"broke off after {self._at:,} bytes ({broken}): try again")
        return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length or 0}[whence]
        if start + offset < 0:
            raise ValueError("before the beginning")
        if start + offset != self._at:
            self.close()
            self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def seekable(self) -> bool:
        return self._ranges

    def close(self) -> None:
        if self._answer:
            self._answer.close()
            self._answer = None

    def _ask(self) -> http.client.HTTPResponse:
        headers = {"User-Agent": "voxtab", "Accept-Encoding": "identity"}
        if self._at:
            headers["Range"] = f"bytes={self._at}-"
        try:
            answer = urllib.request.urlopen(urllib.request.Request(self._address, headers=headers), timeout=WEB_TIMEOUT)
        except urllib.error.HTTPError as error:
            error.close()
            raise self._wrong(f"answers {error.code} {error.reason}: check the address") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._wrong(f"cannot be reached ({_reason(error)}): check the address and the network") from None
        if self._at and answer.status != 206:
            answer.close()
            raise self._wrong("does not give the part that was asked for: download the file and name it")
        return answer

    def _wrong(self, what: str) -> AudioError:
        return AudioError(f"{shown(self._address)} {what}.")


def _reason(error: Exception) -> str:
    while isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        error = error.reason
    if isinstance(error, TimeoutError):
        return f"no answer for {WEB_TIMEOUT} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
