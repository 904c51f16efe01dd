"""Which bytes are the model and the tokenizer that the page asks for: files, an address, or what the store has.

A shard is a dict as Shard of `web/worker/weights/shard.js` takes it: {url, bytes, pieces, sha256, store} or {file,
store}. The store (`web/worker/store/`) keeps a record of each model under a key: then it opens without a request.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from page import here, site, source, store

from voxtab.browser.messages import object_of
from voxtab.errors import ModelError
from voxtab.weights.manifest import MANIFEST_LIMIT, parse_manifest
from voxtab.weights.shard_names import in_order


@dataclass(frozen=True)
class Located:
    """Where a model's bytes are."""

    name: str
    shards: list[dict]  # in the order of their bytes
    tokenizer: dict | None  # a shard that is a tekken.json; None: there is only what the model carries
    key: str | None  # of the model in the store; None if it is not kept there


async def locate_model(request: Any) -> Located:
    """Where the bytes are of what the request names in `model` and `tokenizer`.

    `model` is {url}, {files, keep}, {kept: key} or null for the site's own; `tokenizer` is {url}, {file} or null.
    Raises ModelError, one sentence each.
    """
    model, tokenizer = object_of(request, "model"), object_of(request, "tokenizer")
    if "kept" in model:
        located = await _recorded(model["kept"])
        if not located:
            raise ModelError("This model is not kept on this machine any more: load it from its address or its files.")
        return located
    if "files" in model:
        return await _locate_files(model, tokenizer)
    if model:
        return await _locate_address(model["url"], tokenizer.get("url"), getattr(request, "network", True))
    url = urljoin(here, site.model)
    return Located(site.name, [{"url": url}], tokenizer or {"url": urljoin(url, "tekken.json")}, None)


async def _locate_files(model: dict, tokenizer: dict) -> Located:
    files = {file.name: file for file in model["files"]}
    if not files:
        raise ModelError("No model file was chosen: choose a .gguf file, or all its shards, and tekken.json.")
    names = in_order(sorted(files))
    shards: list[dict] = [{"file": files[name], "name": name, "bytes": files[name].size} for name in names]
    if not model.get("keep"):
        return Located(names[0], shards, tokenizer or None, None)
    kept = [files[name] for name in names]
    if tokenizer:
        beside = tokenizer["file"]
        kept.append(beside)
        tokenizer = {"file": beside, "name": beside.name, "bytes": beside.size}
    versions = [[file.name, file.size, file.lastModified] for file in kept]
    return await _record(_key(*versions), names[0], None, shards, tokenizer or None)


async def _locate_address(url: str, tokenizer_url: str | None, network: bool) -> Located:
    key = _key(url, tokenizer_url)
    if known := await _recorded(key):
        return known
    if not network:
        raise ModelError("This model is not kept on this machine any more: load it from its address.")
    name = urlsplit(url).path.rpartition("/")[2]
    whole = await _pinned(url)
    shards = [whole]
    if name.endswith(".json"):
        shards, named = parse_manifest(await source.text(whole["url"], MANIFEST_LIMIT), whole["url"])
        tokenizer_url = tokenizer_url or named
        for shard in shards:
            if not shard["pieces"] and not shard["sha256"]:
                shard["sha256"] = (await _pinned(shard["url"]))["sha256"]
    tokenizer = await _pinned(tokenizer_url or urljoin(whole["url"], "tekken.json"))
    return await _record(key, name, url, shards, tokenizer)


async def _pinned(url: str) -> dict:
    """A shard: the address of one version of the file, with its size and SHA-256, as far as a hub says them."""
    return (await source.pinned(url)).to_py()


def _key(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


async def _recorded(key: str) -> Located | None:
    """The model that the store has under this key."""
    text = await store.readRecord(key)
    if not text:
        return None
    record = json.loads(text)
    return Located(record["name"], record["shards"], record["tokenizer"], key)


async def _record(key: str, name: str, address: str | None, shards: list[dict], tokenizer: dict | None) -> Located:
    """Note in the store what the model is, before its bytes come."""
    for i, shard in enumerate(shards):
        shard["store"] = {"model": key, "name": f"shard-{i}"}
    if tokenizer:
        tokenizer = tokenizer | {"store": {"model": key, "name": "tokenizer"}}
    record = {
        "name": name,
        "address": address,
        "added": datetime.now(UTC).isoformat(timespec="seconds"),
        "shards": [_without_file(shard) for shard in shards],
        "tokenizer": tokenizer and _without_file(tokenizer),
    }
    await store.writeRecord(key, json.dumps(record))
    return Located(name, shards, tokenizer, key)


def _without_file(shard: dict) -> dict:
    return {name: value for name, value in shard.items() if name != "file"}
