"""Voxtab: streaming speech recognition in a browser tab and natively.

model = await voxtab.open_model("voxtral-q4.gguf")
transcriber = voxtab.Transcriber(model)
transcriber.feed(samples)           # 16 kHz mono float32, as often as you like
transcriber.finish()
async for word in transcriber:
    print(word.text, word.start, word.end)
"""

import importlib
import sys
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from voxtab.errors import AudioError, DeviceError, ModelError, TokenizerError, UserError
    from voxtab.model import Model
    from voxtab.native.models import open_model as open_model
    from voxtab.transcriber import Transcriber
    from voxtab.words import Word

__all__ = [
    "AudioError",
    "DeviceError",
    "Model",
    "ModelError",
    "TokenizerError",
    "Transcriber",
    "UserError",
    "Word",
]

# A name is imported when it is first used: so the command's help, and what it refuses, come at once.
_MODULES = {
    "AudioError": "errors",
    "DeviceError": "errors",
    "Model": "model",
    "ModelError": "errors",
    "TokenizerError": "errors",
    "Transcriber": "transcriber",
    "UserError": "errors",
    "Word": "words",
}

if sys.platform != "emscripten":  # the page brings its own models; see browser/worker.py
    _NATIVE = {"open_model": "native.models"}
    _MODULES |= _NATIVE
    __all__ += [*_NATIVE]


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module 'voxtab' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"voxtab.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
