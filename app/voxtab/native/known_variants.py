"""The kernel variants that were fastest when a model was opened before, so that they are not tried again.

Kept in the user's cache folder as {case: pins}, as the page keeps them in the browser. A case is all that the choice
and its check depend on: the shaders, the GPU with its driver, and the model's files as they were. If one of these
differs, the case is not found; a record that cannot be read is as if it were not there.
"""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

from voxtab import resources
from voxtab.errors import UserError
from voxtab.gpu.device import GpuAdapter
from voxtab.gpu.variants import Variants
from voxtab.native.files import FileSource
from voxtab.native.writing import write_whole

MOST = 100  # cases kept: the latest ones


def case(adapter: GpuAdapter, source: FileSource) -> str:
    shaders = hashlib.sha256()
    for file in sorted(resources.folder("shaders", "shaders").rglob("*.wgsl")):
        shaders.update(file.read_bytes())
    return json.dumps([shaders.hexdigest(), adapter.as_json(), source.identity()])


def find(case: str, adapter: GpuAdapter) -> Variants | None:
    pins = _read().get(case)
    try:
        return Variants.pinned(adapter, pins) if isinstance(pins, str) else None
    except UserError:  # they are not from this version
        return None


def remember(case: str, pins: str) -> None:
    """Nothing happens if the folder cannot be written to: then all variants are tried again next time."""
    known = _read()
    known.pop(case, None)
    known[case] = pins
    with suppress(OSError):
        write_whole(_path(), json.dumps(dict(list(known.items())[-MOST:]), indent=1))


def _read() -> dict:
    try:
        known = json.loads(_path().read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _path() -> Path:
    return user_cache_path("voxtab", appauthor=False) / "variants.json"
