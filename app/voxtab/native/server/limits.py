"""What a client may use of this machine."""

from dataclasses import dataclass

from voxtab.native.server.errors import ApiError


@dataclass(frozen=True)
class Limits:
    waiting: int = 8  # streams in the queue, in addition to the one that has the model
    upload_bytes: int = 1_000_000_000  # of one upload, and of one live stream's audio that waits
    audio_seconds: float = 4 * 3600  # of one stream

    @property
    def disk_bytes(self) -> int:
        """Of all uploads and all waiting audio together."""
        return 2 * (self.upload_bytes + FORM_BYTES)


FORM_BYTES = 1 << 20  # of all that is not the file's content in an upload
UPLOAD_PAUSE_SECONDS = 60  # an upload that brings nothing for so long has failed
# While others wait, a live stream may lag so far behind the clock. So a pause for breath is fine, and a client that
# sends nothing, or very little, does not keep the model from the others.
LIVE_LAG_SECONDS = 10
CLOSING_SECONDS = 10  # running streams may take so long to end when the server ends


class Disk:
    """Bytes that clients have on this machine's disk now, held to a limit."""

    def __init__(self, limit: int):
        self.limit, self.used = limit, 0

    def share(self) -> "Share":
        """One client's part; close it at the end."""
        return Share(self)


class Share:
    def __init__(self, disk: Disk):
        self._disk = disk
        self.nbytes = 0

    def take(self, nbytes: int) -> None:
        """Raises ApiError if the disk's limit is reached."""
        if self._disk.used + nbytes > self._disk.limit:
            raise ApiError(503, "The server holds too much audio that waits: try again later.", retry_after=30)
        self._disk.used += nbytes
        self.nbytes += nbytes

    def give_back(self, nbytes: int) -> None:
        self._disk.used -= nbytes
        self.nbytes -= nbytes

    def close(self) -> None:
        self.give_back(self.nbytes)
