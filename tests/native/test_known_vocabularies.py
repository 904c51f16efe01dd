"""Vocabularies that are kept between starts, and what makes them forgotten."""

import base64
import json
import os

import pytest

from voxtab.config import FIRST_TEXT_TOKEN
from voxtab.errors import TokenizerError
from voxtab.native import known_vocabularies
from voxtab.tokenizer import Tokenizer

WORDS = [b"a", b"bc", "é".encode(), b""]
TOKENS = FIRST_TEXT_TOKEN + len(WORDS)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setattr(known_vocabularies, "_folder", lambda: folder)
    monkeypatch.setattr(known_vocabularies, "LEAST_BYTES", 1)
    return folder


@pytest.fixture
def path(tmp_path):
    return written(tmp_path / "tekken.json", WORDS)


def written(path, words):
    entries = [{"rank": i, "token_bytes": base64.b64encode(word).decode()} for i, word in enumerate(words)]
    path.write_text(json.dumps({"vocab": entries}))
    return path


def words(path, size=TOKENS):
    tokenizer = known_vocabularies.read(path, size)
    return [tokenizer.token_bytes(token) for token in range(FIRST_TEXT_TOKEN, len(tokenizer))]


def never(*_):
    raise AssertionError("the file was read again")


def test_what_was_read_is_not_read_again(path, monkeypatch):
    assert words(path) == WORDS
    monkeypatch.setattr(Tokenizer, "from_file", never)
    assert words(path) == WORDS


def test_another_file_or_number_of_tokens_is_read(path):
    assert words(path) == WORDS
    assert words(path, TOKENS - 1) == WORDS[:-1]
    os.utime(written(path, WORDS[::-1]), ns=(1, 1))
    assert words(path) == WORDS[::-1]


@pytest.mark.parametrize("at", [0, 33, 40, -1], ids=["sum", "count", "ends", "text"])
def test_a_damaged_file_is_as_if_it_were_not_there(path, folder, at):
    assert words(path) == WORDS
    (kept,) = folder.iterdir()
    data = bytearray(kept.read_bytes())
    data[at] ^= 1
    for damaged in (data, data[:40], b""):
        kept.write_bytes(damaged)
        assert words(path) == WORDS


def test_the_latest_are_kept(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(known_vocabularies, "MOST", 2)
    for i in range(4):
        assert words(written(tmp_path / f"{i}.json", WORDS)) == WORDS
    assert len([*folder.iterdir()]) == 2


def test_small_files_are_not_kept_and_a_folder_that_cannot_be_written_does_no_harm(path, folder, monkeypatch):
    folder.write_text("a file is in the way")
    assert words(path) == WORDS
    folder.unlink()
    monkeypatch.setattr(known_vocabularies, "LEAST_BYTES", 1 << 20)
    assert words(path) == WORDS
    assert not folder.exists()


def test_errors_are_those_of_reading(tmp_path):
    with pytest.raises(TokenizerError, match="does not exist"):
        known_vocabularies.read(tmp_path / "none.json", TOKENS)
    with pytest.raises(TokenizerError, match="is cut short or broken"):
        broken = tmp_path / "broken.json"
        broken.write_text("{")
        known_vocabularies.read(broken, TOKENS)
