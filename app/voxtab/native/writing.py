"""Files that are there whole or not at all."""

import contextlib
import os
import secrets
from pathlib import Path

ASIDE = ".voxtab-"  # begins the names of files that are being written


def write_whole(path: Path, content: str) -> None:
    """Write a file as UTF-8, and the folders that it lies in.

    It is written aside and renamed: whenever this process is killed, the former file is there or the whole new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{ASIDE}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with open(aside, "x", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)
        raise
