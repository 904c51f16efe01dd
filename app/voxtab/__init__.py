"""Voxtab: streaming speech recognition in a browser tab and natively.

model = await voxtab.open_model("voxtral-q4.gguf")
transcriber = voxtab.Transcriber(model)
transcriber.feed(samples)           # 16 kHz mono float32, as often as you like
transcriber.finish()
async for word in transcriber:
    print(word.text, word.start, word.end)
"""

import sys

from voxtab.errors import AudioError, DeviceError, ModelError, TokenizerError, UserError
from voxtab.model import Model
from voxtab.transcriber import Transcriber
from voxtab.words import Word

__all__ = ["AudioError", "DeviceError", "Model", "ModelError", "TokenizerError", "Transcriber", "UserError", "Word"]

if sys.platform != "emscripten":  # the page brings its own models; see browser/worker.py
    from voxtab.native.models import open_model

    __all__ += ["open_model"]
