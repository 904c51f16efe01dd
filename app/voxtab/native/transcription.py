"""One audio on its way through a model to its result: for the command, the library and the batch."""

import time
from collections.abc import AsyncGenerator, AsyncIterator

import numpy as np

from voxtab.config import SAMPLE_RATE, Schedule
from voxtab.model import Model
from voxtab.native.audio import AudioFile
from voxtab.native.feeding import text_of
from voxtab.result import Result
from voxtab.transcriber import Transcriber


class Transcription:
    """`audio` is an AudioFile, or samples [samples] float32 of 16 kHz mono.

    Iterate over text(), then take result(). A model serves one at a time.
    """

    def __init__(
        self,
        model: Model,
        audio: AudioFile | np.ndarray,
        schedule: Schedule,
        *,
        load_s: float = 0.0,
        chunk: int = SAMPLE_RATE,
    ):
        """`load_s`: for the result. `chunk`: samples to feed at a time; the result does not depend on it."""
        self._model, self._load_s, self._chunk = model, load_s, chunk
        self._file = audio if isinstance(audio, AudioFile) else None
        self._blocks = audio.stream() if isinstance(audio, AudioFile) else _once(audio)
        self._since = time.perf_counter()
        self.transcriber = Transcriber(model, schedule.delay_ms, schedule.left_silence_tokens)

    async def text(self) -> AsyncGenerator[str]:
        """Text as it is decoded, as `Transcriber.text` gives it.

        Raises UserError where the audio cannot be read on, after the text of what came before.
        """
        live = bool(self._file and self._file.live)
        texts = text_of(self.transcriber, self._blocks, chunk=self._chunk, live=live)
        try:
            async for text in texts:
                yield text
        finally:
            await texts.aclose()

    def result(self) -> Result:
        """After text() has ended."""
        return Result.of(
            self.transcriber,
            model=self._model.name,
            load_s=self._load_s,
            run_s=time.perf_counter() - self._since,
            audio=self._file.name if self._file else None,
            notes=self._file.notes if self._file else (),
        )


async def _once(samples: np.ndarray) -> AsyncIterator[np.ndarray]:
    yield samples
