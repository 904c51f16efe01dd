"""Where a made model goes: nothing is overwritten, the disk has room, and tekken.json comes beside it."""

import filecmp
import shutil
from pathlib import Path

from voxtab.errors import UserError
from voxtab.native.models import LocalModel
from voxtab.native.writing import write_whole

TOKENIZER = "tekken.json"


def check_new(path: Path) -> None:
    """UserError if there is something already."""
    if path.exists():
        raise UserError(f"{path} exists already: choose another name, or remove it.")


def check_room(path: Path, nbytes: int, there: int = 0) -> None:
    """UserError if the disk of `path`, whose folder exists, has no room for it; `there`: bytes it has already."""
    free = shutil.disk_usage(path.parent).free
    if nbytes - there > free:
        raise UserError(
            f"{path} needs {nbytes:,} bytes, and its disk has {there + free:,} for it: make room, or use another disk."
        )


def check_tokenizer(source: LocalModel, folder: Path) -> None:
    """UserError if the folder has another model's tekken.json."""
    beside = folder / TOKENIZER
    if beside.exists() and not filecmp.cmp(source.tokenizer_path, beside, shallow=False):
        raise UserError(f"{beside} is there already and belongs to another model: choose another folder.")


def put_tokenizer(source: LocalModel, folder: Path) -> None:
    """tekken.json as the source has it, unless it is there."""
    if not (folder / TOKENIZER).exists():
        write_whole(folder / TOKENIZER, source.tokenizer_path.read_text(encoding="utf-8"))
