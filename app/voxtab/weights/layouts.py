"""Which files are a model, by their names alone: of a folder natively, of chosen files and of a hub's list in the page.

A model is one GGUF file; the parts that gguf-split made of one; llama.cpp's two files, the text model and another whose
name has "mmproj" in it; SafeTensors, whole or in the shards that an index lists, with a JSON file of numbers; or raw
shards of a GGUF file. Names have no folders here.
"""

import json
import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from voxtab.errors import ModelError
from voxtab.nesting import too_deep
from voxtab.weights.shard_names import in_order

INDEX = ".safetensors.index.json"
INDEX_LIMIT = 4 << 20  # bytes; the 4B model's has 0.1 MB
CONFIG_LIMIT = 1 << 20  # bytes; the 4B model's has 3 kB
TOKENIZER = "tekken.json"
MANIFEST = "manifest.json"
_MMPROJ = "mmproj"
_PART = re.compile(r"(?P<name>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
_MOST_PARTS = 1000

# Files that may be in the folder of raw shards.
# fmt: off
_NOT_SHARDS = {
    ".json", ".jsonl", ".jinja", ".txt", ".md", ".html", ".pdf", ".py", ".yaml", ".yml", ".toml", ".csv", ".log",
    ".sha256", ".md5", ".png", ".jpg", ".svg", ".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus", ".npy", ".npz",
    ".safetensors", ".gguf",
}
# fmt: on
_NOT_SHARD_NAMES = {"LICENSE", "LICENCE", "NOTICE", "README", "SHA256SUMS", "MD5SUMS"}


def models_among(names: Iterable[str]) -> list[str]:
    """The names of which each stands for a whole model: a GGUF file, or SafeTensors' file or index.

    Several GGUF files are several models, and the caller says so. Of SafeTensors there is one at most, as the hub has
    several layouts of one model side by side: the first of model.safetensors, its index, consolidated.safetensors.
    """
    names = sorted(names)
    ggufs = [name for name in names if name.endswith(".gguf")]
    if ggufs := [name for name in ggufs if not is_mmproj(name)] or ggufs:
        firsts = list(dict.fromkeys(parts_of(name)[0] for name in ggufs))
        return [first if first in ggufs else next(n for n in ggufs if parts_of(n)[0] == first) for first in firsts]
    indexes = [name for name in reversed(names) if name.endswith(INDEX)]  # model before consolidated
    for single in ("model.safetensors", *indexes, "consolidated.safetensors"):
        if single in names:
            return [single]
    return []


def addresses_among(names: Iterable[str]) -> list[str]:
    """The names whose addresses the page opens: of whole models, else of a manifest, else of all raw shards of one."""
    names = list(names)
    return models_among(names) or ([MANIFEST] if MANIFEST in names else raw_shards(names))


def parts_of(name: str) -> list[str]:
    """The parts that gguf-split made, given any of them; of any other file its own name."""
    part = _PART.fullmatch(name)
    if not part or not 1 <= int(part["number"]) <= int(part["count"]) <= _MOST_PARTS:
        return [name]
    return [f"{part['name']}-{i:05}-of-{part['count']}.gguf" for i in range(1, int(part["count"]) + 1)]


def is_mmproj(name: str) -> bool:
    """Whether this is llama.cpp's file with the audio encoder."""
    return _MMPROJ in name.lower()


def mmproj_among(names: Iterable[str], text_model: str, where: str) -> str:
    """The file with the audio encoder, for a text model of llama.cpp. ModelError unless there is just one."""
    found = [name for name in names if name.endswith(".gguf") and is_mmproj(name)]
    if len(found) != 1:
        raise ModelError(
            f"{text_model} is the half of a model that llama.cpp has in two files, and {where} holds "
            f"{len(found) or 'no'} .gguf file{'s'[: len(found) != 1]} with {_MMPROJ} in the name: put the one with "
            "this model's audio encoder there."
        )
    return found[0]


def listed(text: str, index: str) -> list[str]:
    """The shards that a *.safetensors.index.json lists, in their order. ModelError if it is not good."""
    try:
        if too_deep(text):
            raise ValueError
        names = sorted({*json.loads(text)["weight_map"].values()})
        if not 1 <= len(names) <= _MOST_PARTS or not all(_is_name(name) for name in names):
            raise ValueError
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise ModelError(f"{index} does not list a model's shards: download it again.") from None
    return names


def config_of(weights: str) -> str | None:
    """The JSON file with the numbers that belong to this file of weights, if it is SafeTensors.

    A folder may have both, as on the hub: each belongs to the file with its maker's names.
    """
    if not weights.endswith(".safetensors"):
        return None
    return "params.json" if weights.startswith("consolidated") else "config.json"


def config(text: str | bytes, name: str) -> dict:
    """What that file says. ModelError if it is not a JSON object."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ModelError(f"{name} is not a JSON object that can be read: download the model's again.")
    return found


def have_headers(names: list[str]) -> bool:
    """Whether each of a model's files begins with a header of its own; of raw shards only the first does."""
    return all(name.endswith((".gguf", ".safetensors")) for name in names)


def raw_shards(names: Iterable[str]) -> list[str]:
    """The raw shards among a folder's files, in their order; none if there are no such names.

    ModelError if one is missing, or if they are not numbered.
    """
    paths = [PurePosixPath(name) for name in sorted(names)]
    shards = [p.name for p in paths if p.suffix.lower() not in _NOT_SHARDS and p.stem not in _NOT_SHARD_NAMES]
    return in_order(shards) if shards else []


def _is_name(name: object) -> bool:
    return type(name) is str and name not in ("", ".", "..") and not {"/", "\\"} & {*name}
