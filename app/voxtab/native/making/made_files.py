"""Where a made model goes: nothing is overwritten, the disk has room, and tekken.json comes beside it."""

import json
import shutil
from pathlib import Path

from voxtab.config import FIRST_TEXT_TOKEN
from voxtab.errors import UserError
from voxtab.native.making import tekken
from voxtab.native.models import LocalModel
from voxtab.native.writing import write_whole

TOKENIZER = "tekken.json"


def check_new(path: Path) -> None:
    """UserError if there is something already."""
    if path.exists():
        raise UserError(f"{path} exists already: choose another name, or remove it.")


def check_room(path: Path, nbytes: int) -> None:
    """UserError if the disk of `path`, whose folder exists, has no room for it."""
    free = shutil.disk_usage(path.parent).free
    if nbytes > free:
        raise UserError(f"{path} needs {nbytes:,} bytes, and its disk has {free:,}: make room, or use another disk.")


def check_tokenizer(source: LocalModel, folder: Path) -> None:
    """UserError if the folder has another model's tekken.json."""
    beside = folder / TOKENIZER
    if beside.exists() and beside.read_text(encoding="utf-8", errors="replace") != _text(source):
        raise UserError(f"{beside} is there already and belongs to another model: choose another folder.")


def put_tokenizer(source: LocalModel, folder: Path) -> None:
    """The source's tekken.json, or one with the vocabulary in its file, unless it is there."""
    if not (folder / TOKENIZER).exists():
        write_whole(folder / TOKENIZER, _text(source))


def _text(source: LocalModel) -> str:
    if source.tokenizer_path not in source.source.paths:
        return source.tokenizer_path.read_text(encoding="utf-8")
    config, tokens = source.config, range(FIRST_TEXT_TOKEN, len(source.tokenizer))
    content = tekken.content(
        [source.tokenizer.token_bytes(token) for token in tokens],
        delay_ms=config.delay_ms,
        left_silence_tokens=config.left_silence_tokens,
    )
    return json.dumps(content, ensure_ascii=False) + "\n"
