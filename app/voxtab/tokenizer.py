"""Token ids -> text: Mistral's Tekken vocabulary and UTF-8 decoding, one token at a time.

Needs no numpy: the same file runs in the browser.
"""

import binascii
import codecs
import hashlib
import json
import re
from array import array

from voxtab.config import FIRST_TEXT_TOKEN
from voxtab.errors import TokenizerError
from voxtab.nesting import too_deep

READ_BYTES = 1 << 16  # of a file at a time
MOST_BRACKETS = 2000  # in a run of entries, which has about 650; a browser's stack holds some 4000 levels
LONGEST_VALUE = 1 << 20  # characters; a longer value is not from a Tekken file, whose entries have about 100

_SPACE = re.compile(r"[ \t\n\r]*")  # JSON's own, narrower than \s
_value_at = json.JSONDecoder().raw_decode


class Tokenizer:
    """The bytes of each token. 131072 tokens take 1.4 MB: all bytes in one run, and the end offset of each token.

    Made by `from_file`, by `from_json`, by `unpacked` or, as the file comes, by `TekkenReader`.
    """

    def __init__(self, text: bytes, ends: array):
        self._text = text
        self._ends = ends  # [1 + text tokens]: the token of rank r is text[ends[r]:ends[r + 1]]

    @classmethod
    def from_file(cls, path, vocab_size: int | None = None) -> "Tokenizer":
        """Read `tekken.json` at `path`; `vocab_size` and errors as in `TekkenReader`."""
        reader = TekkenReader(vocab_size, name=str(path))
        try:
            with open(path, "rb") as file:
                while data := file.read(READ_BYTES):
                    reader.feed(data)
        except FileNotFoundError:
            raise TokenizerError(f"{path} does not exist: download the model's tekken.json and put it there.") from None
        except OSError as error:
            raise TokenizerError(f"{path} cannot be read ({error.strerror}): name the model's tekken.json.") from None
        return reader.finish()

    @classmethod
    def from_json(cls, data: bytes | str, vocab_size: int | None = None) -> "Tokenizer":
        """The same from the file's content."""
        reader = TekkenReader(vocab_size)
        for start in range(0, len(data), READ_BYTES):
            chunk = data[start : start + READ_BYTES]
            reader.feed(chunk.encode("utf-8", "surrogatepass") if isinstance(chunk, str) else chunk)
        return reader.finish()

    # Packed: the SHA-256 of the rest; how many ends there are, 4 bytes; the ends, 4 bytes each; the text.

    def packed(self) -> bytes:
        """For `unpacked` on the same machine, which is a hundred times faster than reading the JSON again."""
        data = array("I", [len(self._ends)]).tobytes() + self._ends.tobytes() + self._text
        return hashlib.sha256(data).digest() + data

    @classmethod
    def unpacked(cls, packed: bytes) -> "Tokenizer | None":
        """None if the bytes are damaged."""
        start = hashlib.sha256().digest_size
        data = packed[start:]
        if hashlib.sha256(data).digest() != packed[:start]:
            return None
        (count,) = array("I", data[:4])
        text = 4 + 4 * count
        return cls(data[text:], array("I", data[4:text]))

    def __len__(self) -> int:
        """How many tokens there are: control tokens and text tokens."""
        return FIRST_TEXT_TOKEN + len(self._ends) - 1

    def token_bytes(self, token: int) -> bytes:
        """UTF-8 of one token, which may end within a character; b"" for a control token and beyond the table."""
        rank = token - FIRST_TEXT_TOKEN
        if not 0 <= rank < len(self._ends) - 1:
            return b""
        return self._text[self._ends[rank] : self._ends[rank + 1]]


class TekkenReader:
    """Builds a Tokenizer from `tekken.json` as it comes: feed(bytes) as often as you like, then finish().

    The result does not depend on how the bytes are cut. The real file is 15 MB of JSON, which as Python
    objects is 40 MB, a heap that Pyodide never gives back; so entries are decoded one at a time.

    `vocab_size`: the model's number of tokens. The file has more text tokens than the model (150000 to 130072);
    only the model's are kept. None keeps all.
    feed() and finish() raise TokenizerError unless this is a whole file that has every token.
    """

    def __init__(self, vocab_size: int | None = None, name: str = "tekken.json"):
        self._name = name
        self._wanted = None if vocab_size is None else vocab_size - FIRST_TEXT_TOKEN
        self._bytes = bytearray()
        self._ends = array("I", [0])
        self._rank = 0  # of the next entry
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""  # of the file; the walk has reached self._at
        self._at = 0
        self._fresh = False  # text has come since the last try to decode a run of entries
        self._complete = False
        self._walk = self._document()

    def feed(self, data: bytes) -> None:
        self._decode(data)
        next(self._walk)

    def finish(self) -> Tokenizer:
        self._decode(b"", final=True)
        if not self._complete:
            raise self._error("is cut short or broken")
        if not self._rank:
            raise self._error("has no vocabulary")
        if self._wanted is not None and self._rank < self._wanted:
            raise self._error(f"has {self._rank} text tokens, but the model uses {self._wanted}")
        return Tokenizer(bytes(self._bytes), self._ends)

    def _error(self, what: str) -> TokenizerError:
        return TokenizerError(f"{self._name} {what}: download the model's tekken.json again.")

    def _decode(self, data: bytes, final: bool = False) -> None:
        try:
            text = self._utf8.decode(data, final)
        except UnicodeDecodeError:
            raise self._error("is not JSON") from None
        self._text = self._text[self._at :] + text
        self._at = 0
        self._fresh = True

    # The walk over the document is one generator: each bare `yield` waits for more text.

    def _document(self):
        yield from self._mark("{")
        mark = ","
        while mark == ",":
            key = yield from self._value()
            yield from self._mark(":")
            if (yield from self._next()) == "[":
                yield from self._array(self._keep if key == "vocab" else lambda item: None)
            else:
                yield from self._value()
            mark = yield from self._mark(",}")
        self._complete = True
        yield from self._next()
        raise self._error("goes on after its end")

    def _array(self, take):
        """Walk over an array item by item, so that no array is ever in memory."""
        self._at += 1
        if (yield from self._next()) == "]":
            self._at += 1
            return
        mark = ","
        while mark == ",":
            for item in self._run_of_items():
                take(item)
            take((yield from self._value()))
            mark = yield from self._mark(",]")

    def _run_of_items(self) -> list:
        """All objects of the array that are complete in the text, decoded at once: ten times faster than one by one.

        Assume that the run ends at the last `},`. If that is inside a string or after the array, the run is not JSON,
        and the items are walked over one by one.
        """
        end = self._text.rfind("},", self._at) + 1
        if not self._fresh or not end:
            return []
        self._fresh = False
        run = self._text[self._at : end]
        if run.count("{") + run.count("[") > MOST_BRACKETS:
            return []
        try:
            items = json.loads(f"[{run}]")
        except (ValueError, RecursionError):
            return []
        self._at = end + 1
        return items

    def _next(self):
        """Look at the next character that is not white space."""
        while True:
            if space := _SPACE.match(self._text, self._at):
                self._at = space.end()
            if self._at < len(self._text):
                return self._text[self._at]
            yield

    def _mark(self, allowed: str):
        """Walk over the next character, which must be one of `allowed`."""
        mark = yield from self._next()
        if mark not in allowed:
            raise self._error("is not JSON")
        self._at += 1
        return mark

    def _value(self):
        """Walk over one value and return it."""
        yield from self._next()
        while True:
            if too_deep(self._text, self._at):
                raise self._error("is broken, as its JSON is nested too deep")
            try:
                value, end = _value_at(self._text, self._at)
            except (ValueError, RecursionError):
                # The value is wrong, or not complete yet. If it gets too long, it is wrong.
                if len(self._text) - self._at > LONGEST_VALUE:
                    raise self._error("is not JSON") from None
            else:
                if end < len(self._text):  # otherwise there may be more of it: 12 of 123
                    self._at = end
                    return value
            yield

    def _keep(self, entry) -> None:
        """Add one entry of the vocabulary: {"rank": r, "token_bytes": base64, "token_str": ...}, r = 0, 1, 2, ..."""
        try:
            rank, text = entry["rank"], entry["token_bytes"]
        except (TypeError, LookupError):
            raise self._error(f"has an entry without rank or token_bytes where rank {self._rank} should be") from None
        if rank != self._rank:
            raise self._error(f"has rank {rank!r:.20} where rank {self._rank} should be")
        self._rank += 1
        if self._wanted is not None and self._rank > self._wanted:
            return
        try:
            self._bytes += binascii.a2b_base64(text, strict_mode=True)
        except (TypeError, ValueError):
            raise self._error(f"has token_bytes that are not base64 at rank {rank}") from None
        self._ends.append(len(self._bytes))


class TextDecoder:
    """Tokens -> text as it grows. The texts of all push() and of flush(), joined, are the transcript.

    A character may be spread over tokens, with pads between them: up to three bytes wait for the rest.
    (mistral-common decodes each run of text tokens separately and breaks such characters.) What is not UTF-8
    becomes U+FFFD. The space before the transcript's first word is left out.
    """

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._started = False

    def push(self, token: int) -> str:
        """The text that this token completes, often ""."""
        return self._text(self._tokenizer.token_bytes(token))

    def flush(self) -> str:
        """What still waits for bytes: "" or U+FFFD. More tokens may follow."""
        return self._text(b"", final=True)

    def _text(self, data: bytes, final: bool = False) -> str:
        text = self._utf8.decode(data, final)
        if text and not self._started:
            self._started = True
            return text.removeprefix(" ")
        return text
