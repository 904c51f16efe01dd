"""Which bytes are the model and the tokenizer that the page asks for: chosen files, an address, or a manifest's shards.

A shard is a dict as Source of `web/worker/weights/source.js` takes it: {url, bytes, pieces} or {file}.
"""

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from page import here, site, source

from voxtab.browser.messages import object_of
from voxtab.errors import ModelError, TokenizerError
from voxtab.weights.shard_names import in_order

LARGEST_PIECE = 16 << 20  # bytes; several pieces of a shard are held at a time
SHA256 = "[0-9a-fA-F]{64}"


@dataclass(frozen=True)
class Located:
    """Where a model's bytes are."""

    name: str
    shards: list[dict]  # in the order of their bytes
    tokenizer: dict  # a shard that is a tekken.json


async def locate_model(request: Any) -> Located:
    """Where the request's `model` and `tokenizer` are. Raises ModelError or TokenizerError, one sentence each."""
    model, tokenizer = object_of(request, "model"), object_of(request, "tokenizer")
    if "files" in model:
        files = {file.name: file for file in model["files"]}
        if not files:
            raise ModelError("No model file was chosen: choose a .gguf file, or all its shards, and tekken.json.")
        names = in_order(sorted(files))
        name, shards = names[0], [{"file": files[name]} for name in names]
    else:
        url = model.get("url") or urljoin(here, site.model)
        name = urlsplit(url).path.rpartition("/")[2] if model else site.name
        beside = {"url": urljoin(url, "tekken.json")}
        if urlsplit(url).path.endswith(".json"):
            shards, named = parse_manifest(await source.text(url), url)
            tokenizer = tokenizer or named or beside
        else:
            shards = [{"url": url}]
            tokenizer = tokenizer or beside
    if not tokenizer:
        raise TokenizerError("There is no tekken.json: choose it together with the model's files.")
    return Located(name, shards, tokenizer)


def parse_manifest(text: str, url: str) -> tuple[list[dict], dict | None]:
    """The shards, and the tokenizer's shard if the manifest names one. ModelError if it is not a good one."""
    shown = url.partition("?")[0]
    try:
        manifest = json.loads(text)
        shards: list[dict] = [
            {"url": _beside(url, shard["path"]), "bytes": int(shard["bytes"]), "pieces": _pieces(shard)}
            for shard in manifest["shards"]
        ]
        tokenizer = {"url": _beside(url, manifest["tokenizer"])} if manifest.get("tokenizer") else None
        if not shards or any(shard["bytes"] < 1 for shard in shards):
            raise ValueError
        uncheckable = any(shard.get("sha256") and not shard.get("pieces") for shard in manifest["shards"])
    except (ValueError, OverflowError, TypeError, LookupError, AttributeError, RecursionError):
        raise ModelError(
            f'{shown} is not a manifest of a model: it needs "shards", each with a path on the same host, its bytes '
            "and, if it is to be checked, the SHA-256 of its pieces."
        ) from None
    if uncheckable:
        raise ModelError(
            f"{shown} has the SHA-256 of whole shards only, which cannot be checked while they are read: "
            "add the sums of their pieces to it."
        )
    return shards, tokenizer


def _pieces(shard: dict) -> dict | None:
    """The bytes of each of a shard's pieces but the last, which may be shorter, and the SHA-256 of each."""
    if not shard.get("pieces"):
        return None
    nbytes, sums = int(shard["pieces"]["bytes"]), list(shard["pieces"]["sha256"])
    if not 1 <= nbytes <= LARGEST_PIECE or len(sums) != -(-int(shard["bytes"]) // nbytes):
        raise ValueError
    if not all(re.fullmatch(SHA256, sum) for sum in sums):
        raise ValueError
    return {"bytes": nbytes, "sha256": sums}


def _beside(url: str, path: str) -> str:
    """A path of the manifest at `url` as an address. Only that host, as the user agreed to no other."""
    address = urljoin(url, path)
    if urlsplit(address)[:2] != urlsplit(url)[:2]:
        raise ValueError
    return address
