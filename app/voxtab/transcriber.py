"""feed(samples) -> text with times. The one streaming loop: a file is a stream that is fed quickly.

    samples 16000/s -> frames 100/s -> states 50/s -> tokens 12.5/s -> text

The stream is silence (left_silence_tokens), the live samples, and at a flush silence again. Position p is its
p-th token of 80 ms: the encoder makes p's audio embedding from the samples up to 40 after its end; the decoder
adds the embedding of p's token and predicts the token of p + 1. The first 33 + D tokens, the prompt, are given;
every later one is what was predicted for it. So text comes D tokens, and one step, after the voice.

Where a whole block of audio is there, a decoder pass may take drafts: most tokens are pads, so some positions further
are computed as if theirs were, and what the predictions agree with is kept. The tokens are the same.
"""

import asyncio
import time
from array import array
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from voxtab.config import HISTORY_SAMPLES, LOOKAHEAD_SAMPLES, MAX_POSITIONS, SAMPLE_RATE, SAMPLES_PER_TOKEN
from voxtab.encoder import block_samples
from voxtab.errors import AudioError, ModelError
from voxtab.gpu.kernels import TOKENS_RING
from voxtab.model import PROMPT_ROWS, Model
from voxtab.tokenizer import TextDecoder
from voxtab.words import Word, WordTimer

BLOCKS_IN_FLIGHT = 2  # submitted before the oldest one's tokens are awaited
ROOM_SECONDS = 10  # of audio that may wait before `room` holds back who feeds a file
TOO_LOUD = 100  # a sample so far beyond full scale, 1, is of another scale
LOOKED_AT = 16  # of so many samples one is looked at for that: it tells, and all would take their time
_SAMPLE = 4  # bytes


@dataclass
class _Block:
    """Positions first..end - 1, encoded at once and on their way through the decoder."""

    first: int
    end: int
    rotation: int  # RoPE position of the first
    reached: int  # the position that what was submitted comes to at least; drafts may go beyond the end
    read: object = None  # of the token ring behind that, under way


class Transcriber:
    """One stream of audio through a model, which serves one transcriber at a time.

        transcriber = Transcriber(model)
        transcriber.feed(samples); ...; transcriber.finish()
        async for word in transcriber: ...          # or: async for text in transcriber.text()

    Work happens while the iterator is awaited; `feed`, `flush` and `finish` only note what has come, and may be
    called while it waits, on the same event loop's thread. How the audio is cut into feeds changes nothing. An
    iterator may be left, and another one goes on where it was; two that wait at once are refused.

    `delay_ms`: 80 to 1200 in steps of 80, or 2400; how long the model listens before it writes. UserError otherwise.
    `left_silence_tokens`: see `config.Schedule`. Both are the model's defaults unless given.
    `first_rotation`: the RoPE position to start from; for tests of long streams.
    """

    def __init__(
        self,
        model: Model,
        delay_ms: int | None = None,
        left_silence_tokens: int | None = None,
        *,
        first_rotation: int = 0,
    ):
        self.schedule = model.config.schedule(delay_ms, left_silence_tokens)
        silent, left_silence_tokens = self.schedule.silent_positions, self.schedule.left_silence_tokens
        self._model = model
        self._prompt = self.schedule.prompt
        self._tokens = list(self._prompt)  # ids from position 0 on
        self._samples = bytearray(_SAMPLE * (HISTORY_SAMPLES + (left_silence_tokens - silent) * SAMPLES_PER_TOKEN))
        self._stream_samples = left_silence_tokens * SAMPLES_PER_TOKEN
        self._live_samples = 0
        self._position = silent  # of the next token to submit
        self._rotation = first_rotation + silent  # its RoPE position
        self.closed = False
        self._finished_at: int | None = None  # N, the number of positions, once finish() was called
        self._flushes: deque[int] = deque()  # positions up to which a flush reaches, of those that are not through
        self._flushed_samples: int | None = None  # of the stream, behind the last flush
        self._in_flight: deque[_Block] = deque()
        self._awaited = False  # by an iterator, just now
        self._words_given = 0  # to who iterates over words
        self._news = asyncio.Event()  # audio, a flush or a close has come
        self._progress = asyncio.Event()  # a block was submitted
        self._decoder = TextDecoder(model.tokenizer)
        self._timer = WordTimer()
        self.transcript = ""
        self.words: list[Word] = []
        self.step_seconds: list[float] = []  # for each token, the time its block took, shared evenly
        self.passes = 0  # of the decoder that made tokens
        if model.session:  # what waits on it wakes up, and is told
            model.session._wake()
        model.session = self
        model.start(self.schedule)
        if first_rotation:
            model.reanchor(-first_rotation)

    # --- audio in

    def feed(self, samples) -> None:
        """Take 16 kHz mono samples: any contiguous one-dimensional float32 buffer, -1 to 1, of any length.

        Raises AudioError for another type or shape, for samples that are not finite, and for some of another scale.
        """
        try:
            view = memoryview(samples)
        except TypeError:
            raise AudioError(
                f"feed() takes a float32 buffer of 16 kHz mono samples; it got a {type(samples).__name__}: "
                "make a numpy array or an array('f') of it."
            ) from None
        if view.format not in ("f", "<f") or view.ndim != 1 or not view.contiguous:
            raise AudioError(
                "feed() takes a one-dimensional, contiguous float32 buffer of 16 kHz mono samples; "
                f"it got format {view.format!r} with {view.ndim} dimensions{'' if view.contiguous else ', not contiguous'}: "
                "average channels, divide int16 samples by 32768, and copy what has gaps."
            )
        view = view.cast("B").cast("f")  # ctypes says "<f", with which a view cannot count
        # A sum is finite only if all that went into it was.
        if not abs(sum(view)) < float("inf"):
            raise AudioError("The audio holds samples that are no finite numbers: export it again.")
        if len(view) and max(view[::LOOKED_AT]) > TOO_LOUD:
            raise AudioError("The audio's samples go far beyond 1, where full scale is: divide int16 samples by 32768.")
        self._check_open()
        self._samples += view.cast("B")
        self._live_samples += len(view)
        self._stream_samples += len(view)
        self._news.set()

    def flush(self) -> None:
        """Get the words out that are still inside the delay, by silence behind them (spec 8.3).

        The stream may go on afterwards; times stay those of the live audio.
        """
        self._check_open()
        if self._flushed_samples == self._stream_samples:
            return  # nothing came since the last flush
        silence = -self._stream_samples % SAMPLES_PER_TOKEN + self.schedule.right_silence_tokens * SAMPLES_PER_TOKEN
        self._timer.insert_silence(self.audio_seconds, silence / SAMPLE_RATE)
        self._samples += bytes(_SAMPLE * silence)
        self._stream_samples += silence
        self._flushed_samples = self._stream_samples
        self._flushes.append(self._stream_samples // SAMPLES_PER_TOKEN)
        self._news.set()

    def finish(self) -> None:
        """Flush, and end the iteration once all is out. Nothing can be fed afterwards."""
        self.flush()
        self._finished_at = self._stream_samples // SAMPLES_PER_TOKEN
        # What lies behind the last token belongs to nobody; its frames reach a little into it.
        self._samples += bytes(_SAMPLE * LOOKAHEAD_SAMPLES)
        self._stream_samples += LOOKAHEAD_SAMPLES

    async def room(self) -> None:
        """Wait until less than ROOM_SECONDS of audio wait: for feeding a file at the model's pace, in small memory."""
        while self.waiting_seconds > ROOM_SECONDS and not self.closed:
            self._check_session()
            self._progress.clear()
            await self._progress.wait()

    def close(self) -> None:
        """End the stream and its iteration here, without a flush; the model is free for another transcriber."""
        self.closed = True
        if self._model.session is self:
            self._model.session = None
        self._wake()

    def _wake(self):
        self._news.set()
        self._progress.set()

    # --- text out

    @property
    def audio_seconds(self) -> float:
        """Seconds of live audio fed so far."""
        return self._live_samples / SAMPLE_RATE

    @property
    def waiting_seconds(self) -> float:
        """Seconds of audio, silence included, that are fed and not yet submitted: the lag of a live stream."""
        return (self._stream_samples - self._position * SAMPLES_PER_TOKEN) / SAMPLE_RATE

    @property
    def done_seconds(self) -> float:
        """Seconds of live audio that the text so far covers."""
        return min(
            self.audio_seconds, max(0.0, self._timer.heard_seconds(self.schedule.token_index(len(self._tokens))))
        )

    @property
    def tokens(self) -> list[int]:
        """Token ids of positions 0.. so far, the prompt included; after finish() and iteration all N (spec 8.1)."""
        return self._tokens[: self._finished_at]

    async def __aiter__(self) -> AsyncIterator[Word]:
        """Words with times, each when the next one begins or a flush ends it."""
        pieces = self.text()
        while True:
            while self._words_given < len(self.words):  # an iterator that was left may have had more of a block's
                self._words_given += 1
                yield self.words[self._words_given - 1]
            if await anext(pieces, None) is None:
                return

    async def text(self) -> AsyncIterator[str]:
        """Text as it is decoded, a piece for each block of tokens; all pieces, joined, are the transcript.

        A piece may be empty: most tokens are pauses, and `tokens`, `words` and `done_seconds` have grown all the same.
        """
        while (block := await self._block()) is not None:
            text = "".join([self._push(token) for token in block])
            self.transcript += text
            yield text

    def _push(self, token: int) -> str:
        if token >= self._model.config.vocabulary:
            raise ModelError("The model's results are no numbers any more: its file is damaged, so get it again.")
        position = len(self._tokens)
        self._tokens.append(token)
        if self._finished_at is not None and position >= self._finished_at:
            return ""  # the prediction of a position behind the end
        text = self._decoder.push(token)
        self.words += self._timer.push(token, text, self.schedule.token_index(position))
        while self._flushes and position + 1 >= self._flushes[0]:
            self._flushes.popleft()
            tail = self._decoder.flush()
            self.words += self._timer.flush(tail)
            text += tail
        return text

    # --- the loop

    async def _block(self) -> list[int] | None:
        """The next block's new token ids; None at the end. Blocks are submitted ahead, and their tokens are read late."""
        if self._awaited:
            raise RuntimeError("this transcriber is being iterated over already")
        self._awaited = True
        try:
            return await self._next_block()
        finally:
            self._awaited = False

    async def _next_block(self) -> list[int] | None:
        since = time.perf_counter()  # not before: what the consumer did meanwhile is not the model's time
        while not self.closed:
            self._check_session()
            self._submit()
            if self._in_flight:
                block = self._in_flight[0]
                ring = array("I", await block.read) if block.read else array("I")
                # Nothing is changed before: who is cancelled in the wait leaves the block to the next.
                if block.read:
                    block.read, block.reached = None, ring[TOKENS_RING]
                if block.reached < block.end:
                    continue
                self._in_flight.popleft()
                tokens = block.end - block.first
                self.step_seconds += [(time.perf_counter() - since) / tokens] * tokens
                # Position p makes the token of p + 1; the prompt's are given.
                return [ring[p % TOKENS_RING] for p in range(max(block.first + 1, len(self._prompt)), block.end + 1)]
            if self._finished_at is not None:
                return None
            self._news.clear()
            await self._news.wait()
            since = time.perf_counter()
        return None

    def _complete_tokens(self) -> int:
        """How many tokens to take now: a block if that much audio is there, or most of one is the stream's end; else one, else none."""
        behind, most = (
            (self._stream_samples - LOOKAHEAD_SAMPLES) // SAMPLES_PER_TOKEN - self._position,
            self._model.block_tokens,
        )
        if behind >= most or (self._finished_at is not None and 2 * behind > most):
            return min(behind, most)
        return min(1, max(0, behind))

    def _submit(self) -> None:
        """Submit what can be. A block comes to its end before the next is encoded, whose audio embeddings take the place of its own."""
        if self._in_flight and not self._in_flight[-1].read:
            self._decode(self._in_flight[-1])
        while (
            len(self._in_flight) < BLOCKS_IN_FLIGHT
            and all(block.reached >= block.end for block in self._in_flight)
            and (tokens := self._complete_tokens())
        ):
            self._in_flight.append(self._encode(tokens))
            self._decode(self._in_flight[-1])
            self._progress.set()

    def _encode(self, tokens: int) -> _Block:
        if self._rotation + tokens > MAX_POSITIONS:
            self._model.reanchor(self._rotation)
            self._rotation = 0
        block = _Block(self._position, self._position + tokens, self._rotation, self._position)
        self._model.make_room(block.end)
        encoded = (
            1 if tokens == 1 else self._model.block_tokens
        )  # at a stream's end some see silence, and nobody sees them
        samples = self._samples[: _SAMPLE * block_samples(encoded)]
        self._model.encode(block.first, block.rotation, encoded, samples.ljust(_SAMPLE * block_samples(encoded), b"\0"))
        del self._samples[: _SAMPLE * tokens * SAMPLES_PER_TOKEN]
        self._position += tokens
        self._rotation += tokens
        return block

    def _decode(self, block: _Block) -> None:
        """Passes over a block from where it has come to: all that it takes; with drafts, as many as it takes if all are right."""
        while block.reached < block.end and not block.read:
            row, left = block.reached - block.first, block.end - block.reached
            given = len(self._prompt) - 1 - block.reached  # positions from here whose next token is given too
            if given <= 0:
                rows = 1 + self._model.drafts if left > 1 else 1
                passes = -(-left // rows)
                block.read = self._model.decode(
                    block.reached, block.rotation + row, row, rows=rows, passes=passes, head=True, read=True
                )
                self.passes += passes
                block.reached += passes  # with one row, the end
            else:
                rows = PROMPT_ROWS if given >= PROMPT_ROWS and left >= PROMPT_ROWS else 1
                self._model.decode(block.reached, block.rotation + row, row, rows=rows, head=False)
                block.reached += rows

    def _check_open(self):
        if self.closed or self._finished_at is not None:
            raise RuntimeError("this transcriber is closed or finished: start another one")
        self._check_session()

    def _check_session(self):
        if self._model.session is not self:
            raise RuntimeError("another transcriber was started on this one's model")
