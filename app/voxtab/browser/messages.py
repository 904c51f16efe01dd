"""The page's protocol. A request is {id, verb, ...}; its one answer is {id, result} or {id, error: {kind, message}}.

Events, {event, ...}, have no id and no answer.
"""

import asyncio
import json
import traceback
from typing import Any

from js import JSON
from page import post
from pyodide.ffi import JsException

from voxtab.errors import DeviceError, ModelError, TokenizerError, UserError

# All other errors that a user can cause are about the audio, its delay or pinned variants: their kind is "audio".
KINDS: dict[type[UserError], str] = {ModelError: "model", TokenizerError: "tokenizer", DeviceError: "device"}


def post_result(request: Any, result: dict) -> None:
    _post({"id": request.id, "result": result})


def post_error(request: Any, error: BaseException) -> None:
    _post({"id": request.id, "error": explain(error)})


def post_event(event: str, **more: Any) -> None:
    _post({"event": event} | more)


def _post(message: dict) -> None:
    post(JSON.parse(json.dumps(message)))


def explain(error: BaseException) -> dict:
    """An error as the page gets it: a kind and one sentence for the user."""
    if isinstance(error, asyncio.CancelledError):
        return {"kind": "aborted", "message": "This was stopped."}
    if isinstance(error, JsException) and getattr(error, "kind", None):
        return {"kind": error.kind, "message": error.message}
    if isinstance(error, UserError):
        return {"kind": KINDS.get(type(error), "audio"), "message": str(error)}
    if isinstance(error, MemoryError) or (isinstance(error, JsException) and "alloc" in str(error)):
        return {"kind": "memory", "message": "out of memory: close other tabs or programs"}
    traceback.print_exception(error)
    return {
        "kind": "bug",
        "message": f"Something in Voxtab is broken ({type(error).__name__}: {error}). Reload the page, and report it "
        "if it happens again.",
    }


def object_of(request: Any, name: str) -> dict:
    """An object in the request, which may be null or missing, as a dict. Files in it stay JavaScript's."""
    value = getattr(request, name, None)
    return value.to_py() if value else {}


def list_of(request: Any, name: str) -> list:
    """A list in the request, which may be null or missing."""
    value = getattr(request, name, None)
    return value.to_py() if value else []


def number_of(request: Any, name: str) -> int | None:
    value = getattr(request, name, None)
    return value if isinstance(value, int) else None
