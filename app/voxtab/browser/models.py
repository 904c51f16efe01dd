"""What the page wants to be open: which bytes are its model and its tokenizer, and what their beginnings say.

`browser/worker.py` opens a model with this. The bytes stay in JavaScript, in a Source of source.js.
"""

import json
import re
from urllib.parse import urljoin, urlsplit

from js import Object
from page import here, site, source
from pyodide.ffi import JsException, to_js

from voxtab.errors import ModelError, TokenizerError
from voxtab.tokenizer import READ_BYTES, TekkenReader, Tokenizer
from voxtab.weights import gguf
from voxtab.weights.directory import Directory, HeaderIncomplete
from voxtab.weights.shard_names import in_order

FIRST_READ = 1 << 18  # bytes: the header of a file without a tokenizer is smaller
LARGEST_PIECE = 16 << 20  # bytes, of a shard: several are held at a time
SHA256 = "[0-9a-fA-F]{64}"
SIZE_UNKNOWN = 1 << 62  # of a file, when a server does not say


class Weights:
    """The source of an upload: the bytes stay in JavaScript."""

    def __init__(self, stream, size: int):
        self.stream, self.size = stream, size


async def wanted(request) -> tuple[str, list[dict], dict]:
    """The model's name, its parts in order and its tokenizer's part, as Source of source.js takes them."""
    model, asked = given(request, "model"), given(request, "tokenizer")
    tokenizer = None
    if "files" in model:
        files = {file.name: file for file in model["files"]}
        if not files:
            raise ModelError("No model file was chosen: choose a .gguf file, or all its shards, and tekken.json.")
        names = in_order(sorted(files))
        name, parts = names[0], [{"file": files[name]} for name in names]
    else:
        url = model.get("url") or urljoin(here, site.model)
        name = urlsplit(url).path.rpartition("/")[2] if model else site.name
        if urlsplit(url).path.endswith(".json"):
            parts, tokenizer = _parts_of_manifest(await source.text(url), url)
        else:
            parts = [{"url": url}]
        tokenizer = tokenizer or {"url": urljoin(url, "tekken.json")}
    tokenizer = asked or tokenizer
    if not tokenizer:
        raise TokenizerError("There is no tekken.json: choose it together with the model's files.")
    if getattr(request, "check", True) is False:
        parts = [part | {"sha256": None, "pieces": None} for part in parts]
    return name, parts, tokenizer


def given(request, name: str) -> dict:
    """An object of the request, which may be null or missing, as a dict; files in it stay JavaScript's."""
    value = getattr(request, name, None)
    return value.to_py() if value else {}


def _parts_of_manifest(text: str, url: str) -> tuple[list[dict], dict | None]:
    try:
        manifest = json.loads(text)
        parts = [
            {
                "url": _beside(url, shard["path"]),
                "bytes": int(shard["bytes"]),
                "sha256": shard.get("sha256"),
                "pieces": _pieces(shard),
            }
            for shard in manifest["shards"]
        ]
        tokenizer = {"url": _beside(url, manifest["tokenizer"])} if manifest.get("tokenizer") else None
        if not parts or any(
            part["bytes"] < 1 or part["sha256"] and not re.fullmatch(SHA256, part["sha256"]) for part in parts
        ):
            raise ValueError
    except (ValueError, OverflowError, TypeError, LookupError, AttributeError, RecursionError):
        raise ModelError(
            f'{url.partition("?")[0]} is no manifest of a model: it needs "shards", each with a path on the same host, '
            "its bytes and perhaps its sha256 and that of its pieces."
        ) from None
    return parts, tokenizer


def _pieces(shard: dict) -> dict | None:
    """A shard's pieces: the bytes of each but the last, which may be shorter, and the SHA-256 of each."""
    if not shard.get("pieces"):
        return None
    nbytes, sums = int(shard["pieces"]["bytes"]), list(shard["pieces"]["sha256"])
    if not 1 <= nbytes <= LARGEST_PIECE or len(sums) != -(-int(shard["bytes"]) // nbytes):
        raise ValueError
    if not all(re.fullmatch(SHA256, sum) for sum in sums):
        raise ValueError
    return {"bytes": nbytes, "sha256": sums}


def _beside(url: str, path: str) -> str:
    """A path of the manifest at `url` as an address. The user agreed to that one's host and to no other."""
    address = urljoin(url, path)
    if urlsplit(address)[:2] != urlsplit(url)[:2]:
        raise ValueError
    return address


def open_stream(parts: list[dict], *piece_bytes: int):
    """A Source of source.js over the parts."""
    return source.Source.new(to_js(parts, dict_converter=Object.fromEntries), *piece_bytes)


async def read_directory(stream, size: int) -> Directory:
    """The header of a GGUF file; its bytes stay the first that the stream gives."""
    nbytes = FIRST_READ
    while True:
        head = (await stream.head(min(nbytes, size))).to_bytes()
        # A file that is shorter than it seemed must not ask for more for ever.
        if len(head) < min(nbytes, size):
            size = len(head)
        try:
            return gguf.parse(head, size)
        except HeaderIncomplete as error:
            nbytes = max(2 * nbytes, error.needed)


async def read_tokenizer(part: dict, vocabulary: int) -> Tokenizer:
    """The Tokenizer of a tekken.json."""
    # Pieces of READ_BYTES: what TekkenReader holds of the file's 15 MB is never more.
    stream = open_stream([part], READ_BYTES)
    reader = TekkenReader(vocabulary)
    try:
        while piece := await stream.next(READ_BYTES):
            reader.feed(piece.to_bytes())
    except JsException as error:
        if getattr(error, "kind", None) == "model":
            raise TokenizerError(error.message) from None
        raise
    finally:
        stream.close()
    return reader.finish()
