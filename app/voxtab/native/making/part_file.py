"""A file that takes minutes to make: written aside, and after a crash or kill -9 it goes on where it was.

The bytes are in DST.part, and DST.part.json says how many steps of the work are done. It is written after the bytes
that it speaks of are on the disk, and removed before other work overwrites any of them.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from voxtab.errors import UserError
from voxtab.native.making.made_files import check_new, check_room
from voxtab.native.writing import write_whole


class PartFile(contextlib.AbstractContextManager):
    """`path` while it is made, by one process at a time. UserError if it is there, made elsewhere, or has no room.

    `key` is of what JSON has: work with another key begins anew. `steps` are the results of what is done, as JSON.
    """

    def __init__(self, path: Path, key: Any, nbytes: int):
        self._path, self._key, self._nbytes = path, json.loads(json.dumps(key)), nbytes
        self._part, self._noted = Path(f"{path}.part"), Path(f"{path}.part.json")
        self.steps: list = []

    def __enter__(self) -> "PartFile":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        check_new(self._path)
        self._lock = FileLock(f"{self._path}.part.lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UserError(f"Another process is making {self._path}: wait for it, or name another file.") from None
        try:
            self.steps = self._known_steps()
            if not self.steps:
                self._noted.unlink(missing_ok=True)
                self._part.unlink(missing_ok=True)
                check_room(self._path, self._nbytes)
            self._file = open(self._part, "r+b" if self.steps else "w+b")
            self._file.truncate(self._nbytes)
        except BaseException:
            self._unlock()
            raise
        return self

    def _known_steps(self) -> list:
        with contextlib.suppress(OSError, ValueError, TypeError, LookupError):
            noted = json.loads(self._noted.read_bytes())
            if noted["key"] == self._key and self._part.stat().st_size == self._nbytes:
                return noted["steps"]
        return []

    def write(self, offset: int, data: bytes) -> None:
        self._file.seek(offset)
        self._file.write(data)

    def sync(self) -> None:
        """Note `steps` as done, for a crash."""
        self._file.flush()
        os.fsync(self._file.fileno())
        write_whole(self._noted, json.dumps({"key": self._key, "steps": self.steps}))

    def finish(self) -> None:
        """It is whole: it gets its name."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._part, self._path)
        self._noted.unlink(missing_ok=True)

    def __exit__(self, *_) -> None:
        self._file.close()
        self._unlock()

    def _unlock(self) -> None:
        Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()
