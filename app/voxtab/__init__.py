"""Voxtab: streaming speech recognition in a browser tab and natively.

    result = voxtab.transcribe("talk.mp3", model="voxtral-q4.gguf")
    print(result.text)

    for word in voxtab.stream("talk.mp3"):
        print(word.text, word.start, word.end)

`native/library.py` has these calls, and `transcriber.py` the stream that they use.
"""

import importlib
import sys
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from voxtab.errors import AudioError, DeviceError, ModelError, TokenizerError, UserError
    from voxtab.model import Model
    from voxtab.native.audio.file import AudioFile as AudioFile
    from voxtab.native.audio.file import open_audio as open_audio
    from voxtab.native.library import open_model as open_model
    from voxtab.native.library import open_model_async as open_model_async
    from voxtab.native.library import stream as stream
    from voxtab.native.library import transcribe as transcribe
    from voxtab.native.library import transcribe_async as transcribe_async
    from voxtab.result import Result
    from voxtab.subtitles import Segment
    from voxtab.transcriber import Transcriber
    from voxtab.words import Word

__all__ = [
    "AudioError",
    "DeviceError",
    "Model",
    "ModelError",
    "Result",
    "Segment",
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
    "Result": "result",
    "Segment": "subtitles",
    "TokenizerError": "errors",
    "Transcriber": "transcriber",
    "UserError": "errors",
    "Word": "words",
}

if sys.platform != "emscripten":  # the page brings its own models and audio; see browser/worker.py
    _NATIVE = {
        "AudioFile": "native.audio.file",
        "open_audio": "native.audio.file",
        "open_model": "native.library",
        "open_model_async": "native.library",
        "stream": "native.library",
        "transcribe": "native.library",
        "transcribe_async": "native.library",
    }
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
