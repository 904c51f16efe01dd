"""Which bytes are the model and the tokenizer that the page asks for: files, an address, or what the store has.

A shard is a dict as Shard of `web/worker/weights/shard.js` takes it: {url, bytes, pieces, sha256, store} or {file,
store}. The store (`web/worker/store/`) keeps a record of each model under a key: then it opens without a request.

An address is that of a GGUF file, of any part that gguf-split made, of a manifest, of a SafeTensors file or its index,
or of the page of a repository on Hugging Face's hub, which lists its files. What belongs to a file is beside it.
"""

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

from page import here, site, source, store

from voxtab.browser.messages import object_of
from voxtab.errors import ModelError
from voxtab.weights import layouts
from voxtab.weights.manifest import MANIFEST_LIMIT, parse_manifest


@dataclass(frozen=True)
class Located:
    """Where a model's bytes are."""

    name: str
    shards: list[dict]  # in the order of their bytes
    tokenizer: dict | None  # a shard that is a tekken.json; None: there is only what the model carries
    key: str | None  # of the model in the store; None if it is not kept there
    address: str | None = None  # that the user gave
    config: dict | None = None  # what config.json or params.json says, with SafeTensors
    files: dict[str, Any] = field(default_factory=dict)  # all that were chosen, by name

    @property
    def names(self) -> list[str]:
        """Of the shards, without folders."""
        return [shard.get("name") or _last_name(shard["url"]) for shard in self.shards]


async def locate_model(request: Any) -> Located:
    """Where the bytes are of what the request names in `model` and `tokenizer`.

    `model` is {url}, {files, keep}, {kept: key} or null for the site's own; `tokenizer` is {url}, {file} or null. A
    tekken.json may also be one of the files.
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


async def with_mmproj(located: Located) -> Located:
    """llama.cpp's text model with its other file, the audio encoder. ModelError if it is not to be found."""
    if located.files:
        other = layouts.mmproj_among(located.files, located.name, "what was chosen")
        shards = [*located.shards, _shard_of(located.files[other])]
    else:
        whole = located.shards[0]["url"]
        listing = await source.listing(whole)
        if not listing:
            raise ModelError(
                f"{located.name} is the half of a model that llama.cpp has in two files: give the address of a "
                "manifest that names both, or download and choose both."
            )
        listing = listing.to_py()
        other = layouts.mmproj_among(listing["names"], located.name, listing["base"])
        shards = [*located.shards, await _pinned(_beside(listing["base"], other))]
    located = replace(located, shards=shards)
    return await _record(located) if located.key else located


async def without_tokenizer(located: Located) -> Located:
    """The model carries its vocabulary: nothing beside it is needed, nor kept."""
    if not located.tokenizer:
        return located
    located = replace(located, tokenizer=None)
    return await _record(located) if located.key else located


async def _locate_files(model: dict, tokenizer: dict) -> Located:
    files = {file.name: file for file in model["files"]}
    found = layouts.models_among(files)
    if len(found) > 1:
        raise ModelError(f"{len(found)} models were chosen, such as {found[0]} and {found[1]}: choose one.")
    if not found:
        names = layouts.raw_shards(files)
    elif found[0].endswith(layouts.INDEX):
        names = layouts.listed(await _text(files[found[0]], layouts.INDEX_LIMIT), found[0])
    else:
        names = layouts.parts_of(found[0])
    if not names:
        shards = any(name.endswith(".safetensors") for name in files)
        raise ModelError(
            "An index was not chosen: choose model.safetensors.index.json together with the shards."
            if shards
            else "No model file was chosen: choose a .gguf file, or all its shards, and tekken.json."
        )
    for name in names:
        if name not in files:
            raise ModelError(f"{name} is missing, one of the {len(names)} files of this model: choose them together.")
    config = None
    if config_name := layouts.config_of(names[0]):
        if config_name not in files:
            raise ModelError(f"{names[0]} needs {config_name}: choose them together.")
        config = layouts.config(await _text(files[config_name], layouts.CONFIG_LIMIT), config_name)
    beside = tokenizer.get("file") or files.get(layouts.TOKENIZER)
    located = Located(
        names[0], [_shard_of(files[name]) for name in names], beside and _shard_of(beside), None, None, config, files
    )
    if not model.get("keep"):
        return located
    kept = [files[name] for name in names] + ([beside] if beside else [])
    versions = [[file.name, file.size, file.lastModified] for file in kept]
    return await _record(replace(located, key=_key(*versions)))


def _shard_of(file: Any) -> dict:
    return {"file": file, "name": file.name, "bytes": file.size}


async def _text(file: Any, most: int) -> str:
    if file.size > most:
        raise ModelError(f"{file.name} has {file.size:,} bytes, and {most:,} are possible: choose the model's own.")
    return await file.text()


async def _locate_address(url: str, tokenizer_url: str | None, network: bool) -> Located:
    key = _key(url, tokenizer_url)
    if known := await _recorded(key):
        return known
    if not network:
        raise ModelError("This model is not kept on this machine any more: load it from its address.")
    weights = await _listed(url) if source.isRepository(url) else [url]
    if len(weights) == 1:
        address, shards, config, named = await _of_file(weights[0])
    else:
        shards, config, named = [await _pinned(each) for each in weights], None, None
        address = shards[0]["url"]
    tokenizer = await _pinned(tokenizer_url or named or _beside(address, layouts.TOKENIZER))
    return await _record(Located(_last_name(weights[0]), shards, tokenizer, key, url, config))


async def _listed(url: str) -> list[str]:
    """Of a repository's files: the address of the one that stands for its model, or those of all its raw shards."""
    listing = await source.listing(url)
    if not listing:
        raise ModelError(
            f"{urlsplit(url).netloc} does not say which files {url} has: check the address, or give that of the "
            "model's file."
        )
    base, names = (listing := listing.to_py())["base"], listing["names"]
    if len(models := layouts.models_among(names)) > 1:
        raise ModelError(f"{url} holds {len(models)} models: give the address of one, such as {base}{models[0]}.")
    found = layouts.addresses_among(names)
    if not found:
        raise ModelError(f"{url} holds no .gguf file and no model.safetensors: give another model's address.")
    return [_beside(base, name) for name in found]


async def _of_file(url: str) -> tuple[str, list[dict], dict | None, str | None]:
    """(the file's address, its model's shards, its config, its tokenizer's address if it names one).

    With a commit in addresses instead of a branch, as far as the hub says it.
    """
    name = _last_name(url)
    whole = await _pinned(url)
    address, tokenizer = whole["url"], None
    if name.endswith(layouts.INDEX):
        names = layouts.listed(await source.text(address, layouts.INDEX_LIMIT), url)
        shards = [await _pinned(_beside(address, each)) for each in names]
    elif name.endswith(".json"):
        shards, tokenizer = parse_manifest(await source.text(address, MANIFEST_LIMIT), address)
        for shard in shards:
            if not shard["pieces"] and not shard["sha256"]:
                shard["sha256"] = (await _pinned(shard["url"]))["sha256"]
    elif len(parts := layouts.parts_of(name)) > 1:
        shards = [await _pinned(_beside(address, each)) for each in parts]
    else:
        shards = [whole]
    config = None
    if beside := layouts.config_of(_last_name(shards[0]["url"])):
        of_config = _beside(shards[0]["url"], beside)
        config = layouts.config(await source.text(of_config, layouts.CONFIG_LIMIT), of_config)
    return address, shards, config, tokenizer


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
    return Located(record["name"], record["shards"], record["tokenizer"], key, record["address"], record.get("config"))


async def _record(located: Located) -> Located:
    """Note in the store, under the model's key, what it is, before its bytes come."""
    key, shards, tokenizer = located.key, located.shards, located.tokenizer
    shards = [shard | {"store": {"model": key, "name": f"shard-{i}"}} for i, shard in enumerate(shards)]
    if tokenizer:
        tokenizer = tokenizer | {"store": {"model": key, "name": "tokenizer"}}
    record = {
        "name": located.name,
        "address": located.address,
        "added": datetime.now(UTC).isoformat(timespec="seconds"),
        "shards": [_without_file(shard) for shard in shards],
        "tokenizer": tokenizer and _without_file(tokenizer),
        "config": located.config,
    }
    await store.writeRecord(key, json.dumps(record))
    return replace(located, shards=shards, tokenizer=tokenizer)


def _without_file(shard: dict) -> dict:
    return {name: value for name, value in shard.items() if name != "file"}


def _beside(url: str, name: str) -> str:
    return urljoin(url, quote(name))


def _last_name(url: str) -> str:
    return unquote(urlsplit(url).path.rpartition("/")[2])
