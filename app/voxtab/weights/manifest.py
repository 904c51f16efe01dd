"""A manifest: the JSON file that names a model's shards, their sizes and their sums.

{"shards": [{"path", "bytes", "pieces": {"bytes", "sha256": [...]}, "sha256"}], "tokenizer": path}. Paths are relative
to the manifest, and on its host. Like a model's header, it may say anything.
"""

import json
import re
from urllib.parse import urljoin, urlsplit

from voxtab.errors import ModelError
from voxtab.nesting import too_deep

MANIFEST_LIMIT = 4 << 20  # bytes; a 100 GB model's, with the sums of all its pieces, has 2 MB
MOST_SHARDS = 1000
LARGEST_SHARD = 1 << 50  # bytes
LARGEST_PIECE = 16 << 20  # bytes; several pieces of a shard are held at a time
SHA256 = re.compile("[0-9a-fA-F]{64}")


def parse_manifest(text: str, url: str) -> tuple[list[dict], str | None]:
    """The shards of the manifest at `url`, and the tokenizer's address if it names one. ModelError if it is not good.

    A shard is {url, bytes, pieces: {bytes, sha256} or None, sha256 or None}.
    """
    shown = url.partition("?")[0]
    try:
        if too_deep(text):
            raise ValueError
        manifest = json.loads(text)
        shards = manifest["shards"]
        if not isinstance(shards, list) or not shards:
            raise ValueError
        if len(shards) > MOST_SHARDS:
            raise ModelError(
                f"{shown} names {len(shards):,} shards, and {MOST_SHARDS:,} are possible: use larger ones."
            )
        tokenizer = manifest.get("tokenizer")
        return [_shard(shard, url) for shard in shards], _beside(url, tokenizer) if tokenizer else None
    except (ValueError, OverflowError, TypeError, LookupError, AttributeError, RecursionError):
        raise ModelError(
            f'{shown} is not a manifest of a model: it needs "shards", each with a path on the same host, its bytes '
            "and, if it is to be checked, the SHA-256 of its pieces."
        ) from None


def _shard(shard: dict, url: str) -> dict:
    nbytes, whole = int(shard["bytes"]), shard.get("sha256")
    if not 1 <= nbytes <= LARGEST_SHARD or not (whole is None or SHA256.fullmatch(whole)):
        raise ValueError
    return {
        "url": _beside(url, shard["path"]),
        "bytes": nbytes,
        "pieces": _pieces(shard, nbytes),
        "sha256": whole and whole.lower(),
    }


def _pieces(shard: dict, nbytes: int) -> dict | None:
    """The bytes of each of a shard's pieces but the last, which may be shorter, and the SHA-256 of each."""
    if not shard.get("pieces"):
        return None
    size, sums = int(shard["pieces"]["bytes"]), shard["pieces"]["sha256"]
    if not isinstance(sums, list) or not 1 <= size <= LARGEST_PIECE or len(sums) != -(-nbytes // size):
        raise ValueError
    if not all(SHA256.fullmatch(sum) for sum in sums):
        raise ValueError
    return {"bytes": size, "sha256": [sum.lower() for sum in sums]}


def _beside(url: str, path: str) -> str:
    """A path of the manifest at `url` as an address. Only that host, as the user agreed to no other."""
    address = urljoin(url, path)
    if urlsplit(address)[:2] != urlsplit(url)[:2]:
        raise ValueError
    return address
