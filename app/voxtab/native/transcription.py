"""One audio on its way through a model to its result: for the command, the library and the batch."""

import time
from collections.abc import AsyncGenerator, Iterator

import numpy as np

from voxtab.config import SAMPLE_RATE, Schedule
from voxtab.errors import AudioError, shown
from voxtab.model import Model
from voxtab.native.audio.file import AudioFile
from voxtab.native.feeding import text_of
from voxtab.native.threads import iterated_in_thread
from voxtab.result import Result
from voxtab.transcriber import Transcriber


class Transcription:
    """`audio` is an AudioFile, samples [samples] float32 of 16 kHz mono, or blocks of such samples that come by
    themselves.

    Iterate over text(), then take result(). A model serves one at a time.
    """

    def __init__(
        self,
        model: Model,
        audio: AudioFile | np.ndarray | Iterator[np.ndarray],
        schedule: Schedule,
        *,
        load_s: float = 0.0,
        chunk: int = SAMPLE_RATE,
        guard: bool = True,
        alternatives: int = 0,
    ):
        """`load_s`: for the result. `chunk`: samples to feed at a time; the result does not depend on it.

        `guard`, `alternatives`: see `Transcriber`.
        """
        self._model, self._load_s, self._chunk = model, load_s, chunk
        self._file = audio if isinstance(audio, AudioFile) else None
        self._live = True
        if isinstance(audio, AudioFile):
            self._blocks, self._live = audio.stream(), audio.live
        elif isinstance(audio, np.ndarray):
            self._blocks, self._live = _once(audio), False
        else:
            self._blocks = iterated_in_thread(block for block in audio)
        self._since = time.perf_counter()
        self.transcriber = Transcriber(
            model, schedule.delay_ms, schedule.left_silence_tokens, guard=guard, alternatives=alternatives
        )

    async def text(self) -> AsyncGenerator[str]:
        """Text as it is decoded, as `Transcriber.text` gives it.

        Raises UserError where the audio cannot be read on, after the text of what came before.
        """
        texts = text_of(self.transcriber, self._blocks, chunk=self._chunk, live=self._live)
        try:
            async for text in texts:
                yield text
        except AudioError as error:
            name = shown(self._file.name) if self._file else ""
            raise error if name in str(error) else AudioError(f"{name}: {error}") from None
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


async def _once(samples: np.ndarray) -> AsyncGenerator[np.ndarray]:
    yield samples
