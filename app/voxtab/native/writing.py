"""Files that are there whole or not at all."""

import contextlib
import os
import secrets
from pathlib import Path


def write_whole(path: Path, content: str | bytes, aside: Path | None = None) -> None:
    """Write a file, text as UTF-8, and the folders that it lies in.

    It is written aside and renamed: whenever this process is killed, the former file is there or the whole new one.
    `aside`: where to write it first, on the same file system, overwriting what is there; default: a new name beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = aside or path.with_name(f".voxtab-{secrets.token_hex(8)}")
    try:
        with open(aside, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode("utf-8", "replace"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)
        raise
