"""The vocabularies that were read from large tekken.json files before: 15 MB of JSON are not read at every start.

Kept in the user's cache folder, one file each. A file is found by the name, size and time that the tekken.json had, and
by the model's number of tokens; one that is damaged or cannot be read is as if it were not there.
"""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

from voxtab.native.writing import write_whole
from voxtab.tokenizer import Tokenizer

LEAST_BYTES = 1 << 20  # of a tekken.json; a smaller one is read at once
MOST = 8  # files kept: the latest ones


def read(path: Path, vocab_size: int) -> Tokenizer:
    """As `Tokenizer.from_file`, with its errors."""
    try:
        stat = path.stat()
    except OSError:
        return Tokenizer.from_file(path, vocab_size)
    case = json.dumps([str(path.absolute()), stat.st_size, stat.st_mtime_ns, vocab_size])
    kept = _folder() / hashlib.sha256(case.encode()).hexdigest()[:32]
    if found := _found(kept):
        return found
    tokenizer = Tokenizer.from_file(path, vocab_size)
    if stat.st_size >= LEAST_BYTES:
        _keep(kept, tokenizer)
    return tokenizer


def _found(kept: Path) -> Tokenizer | None:
    try:
        return Tokenizer.unpacked(kept.read_bytes())
    except OSError:
        return None


def _keep(kept: Path, tokenizer: Tokenizer) -> None:
    """Nothing happens if the folder cannot be written to."""
    with suppress(OSError):
        write_whole(kept, tokenizer.packed())
        for old in sorted(kept.parent.iterdir(), key=lambda file: file.stat().st_mtime)[:-MOST]:
            old.unlink()


def _folder() -> Path:
    return user_cache_path("voxtab", appauthor=False) / "vocabularies"
