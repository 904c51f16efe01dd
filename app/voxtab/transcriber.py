"""feed(samples) -> text with times. The one streaming loop: a file is a stream that is fed quickly.

    samples 16000/s -> frames 100/s -> states 50/s -> tokens 12.5/s -> text

The stream is silence (left_silence_tokens), the live samples, and at a flush silence again. Position p is its
p-th token of 80 ms: the encoder makes p's audio embedding from the samples up to 40 after its end; the decoder
adds the embedding of p's token and predicts the token of p + 1. The first 33 + D tokens, the prompt, are given;
every later one is what was predicted for it. So text comes D tokens, and one step, after the voice.

Which positions are encoded and decoded together is in `blocks.py`.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable

from voxtab.blocks import BLOCKS_IN_FLIGHT, SAMPLE_BYTES, Block, Blocks
from voxtab.config import FIRST_TEXT_TOKEN, SAMPLE_RATE, SAMPLES_PER_TOKEN, TRAINED_LEFT_SILENCE_TOKENS
from voxtab.decoder import Alternatives
from voxtab.errors import AudioError, ModelError, UserError
from voxtab.gpu.variants import MOST_BLOCK_TOKENS
from voxtab.model import Model
from voxtab.rut import AT_HAND, RutGuard
from voxtab.tokenizer import TextDecoder
from voxtab.words import Word, WordTimer

# How much audio may wait before `room` makes the caller wait. It is enough for all blocks in flight, so that a file
# begins with whole blocks: with less, the first ones would be of one position each.
ROOM_SECONDS = 24
assert ROOM_SECONDS * SAMPLE_RATE > (BLOCKS_IN_FLIGHT * MOST_BLOCK_TOKENS + 1) * SAMPLES_PER_TOKEN
# A float32's last byte has its sign and the most of its exponent: these are of numbers beyond +-128, which are not in
# -1..1, but probably int16 data; and these two of NaN and infinity.
NOT_LARGE = bytes(byte for byte in range(256) if byte & 0x7F < 0x43)
NOT_FINITE = b"\x7f", b"\xff"
CHECKED_EVERY = 16  # check every 16th sample for large ones: enough to notice int16 data
CHECKED_BYTES = 1 << 18  # at a time: they stay in the processor's cache, so that an hour takes 70 ms


class Transcriber:
    """One stream of audio through a model, which serves one transcriber at a time.

        with Transcriber(model) as transcriber:             # or close() it
            transcriber.feed(samples); ...; transcriber.finish()
            async for word in transcriber: ...              # or: async for text in transcriber.text()

    Work happens while the iterator is awaited. `feed`, `flush` and `finish` only note what has come, and may be
    called while it waits, on the same event loop's thread. How the audio is cut into feeds changes nothing. You may
    abandon an iterator: the next one goes on where it stopped. Two cannot wait at once.

    `delay_ms`: 80 to 1200 in steps of 80, or 2400; how long the model listens before it writes. UserError otherwise.
    `left_silence_tokens`: see `config.Schedule`. Both are the model's defaults unless given.
    `tokens`: to go on where another transcriber of the same audio, model, delay and left silence was: the ids that it
    made after its prompt. Feed the audio from its start all the same: it is heard again, but these tokens are not
    chosen again. `text()` gives only what follows them; it is what would have followed there, up to rounding.
    `guard`: if the model writes nothing although someone talks, start it again there (`rut.py`). The blanks since then
    are chosen again, and `restarts` grows.
    `alternatives`: how many to note of what each token might have been, itself included; up to 4 (`alternatives_of`).
    `first_rotation`: the RoPE position to start from; for tests of long streams.
    """

    def __init__(
        self,
        model: Model,
        delay_ms: int | None = None,
        left_silence_tokens: int | None = None,
        *,
        tokens: Iterable[int] = (),
        guard: bool = True,
        alternatives: int = 0,
        first_rotation: int = 0,
    ):
        self.schedule = model.config.schedule(delay_ms, left_silence_tokens)
        given = list(tokens)
        if not all(type(token) is int and 0 <= token < model.config.vocabulary for token in given):
            raise UserError("The tokens to go on from are not ones of this model: start again without them.")
        self._model = model
        self._tokens = list(self.schedule.prompt)  # ids from position 0 on
        self._live_samples = 0  # fed so far, without silence
        self.closed = False
        self._finished_at: int | None = None  # N, the number of positions, once finish() was called
        self._flushes: deque[int] = deque()  # the positions at which the pending flushes end
        self._flushed_samples: int | None = None  # the stream's length after the last flush
        self._awaited = False  # an iterator is waiting for tokens now
        self._words_given = 0  # by iterators over words
        self._news = asyncio.Event()  # audio, a flush or a close has come
        self._progress = asyncio.Event()  # a block was submitted
        self._decoder = TextDecoder(model.tokenizer)
        self._timer = WordTimer()
        self.transcript = ""
        self.words: list[Word] = []
        self.restarts: list[float] = []  # seconds of live audio at which the model was started again
        self.step_seconds: list[float] = []  # for each token, the time its block took, shared evenly
        if model.transcriber:  # wake its waiters; they then raise
            model.transcriber._wake()
        model.transcriber = self
        self._most = alternatives
        # Of the tokens after the prompt; None of one that was given.
        self._alternatives: list[Alternatives | None] | None = [] if alternatives else None
        self._guard = RutGuard() if guard else None
        self._how: dict = {"kept_tokens": AT_HAND if guard else 0, "alternatives": alternatives > 0}
        self.blocks = Blocks(model, self.schedule, self._tokens + given, first_rotation, **self._how)
        self._begun = 0  # the stream's position that is the first of `blocks`
        self._unwanted = 0  # tokens of `blocks` that are still to come, and are there already
        self._passes_before = 0  # of the blocks before `blocks`
        self._text_end = len(self._tokens)  # after the last position with text
        self._known = len(self._tokens) + len(given)  # positions whose text another transcriber has given

    def __enter__(self) -> "Transcriber":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    # --- audio in

    def feed(self, samples) -> None:
        """Take 16 kHz mono samples: any contiguous one-dimensional float32 buffer, -1 to 1, of any length.

        Raises AudioError for another type or shape, for NaN or infinity, and for samples far outside -1 to 1.
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
                f"it got format {view.format!r} with {view.ndim} dimensions"
                f"{'' if view.contiguous else ', not contiguous'}: "
                "average channels, divide int16 samples by 32768, and copy what has gaps."
            )
        data = view.cast("B")
        _check_values(data)
        self._check_open()
        self.blocks.append(data)
        self._live_samples += len(data) // SAMPLE_BYTES
        self._news.set()

    def flush(self) -> None:
        """Add silence, so that the words still within the delay come out (spec 8.3).

        The stream may go on afterwards; times stay those of the live audio.
        """
        self._check_open()
        stream = self._length
        if self._flushed_samples == stream:
            return  # nothing came since the last flush
        silence = -stream % SAMPLES_PER_TOKEN + self.schedule.right_silence_tokens * SAMPLES_PER_TOKEN
        self._timer.insert_silence(self.audio_seconds, silence / SAMPLE_RATE)
        self.blocks.append_silence(silence)
        self._flushed_samples = self._length
        self._flushes.append(self._flushed_samples // SAMPLES_PER_TOKEN)
        self._news.set()

    def finish(self) -> None:
        """Flush, and end the iteration once all text is out. Nothing can be fed afterwards."""
        self.flush()
        self._finished_at = self._begun + self.blocks.end()
        self._news.set()

    async def room(self) -> None:
        """Wait until at most ROOM_SECONDS of audio wait: to feed a file at the model's pace, in little memory."""
        while self.waiting_seconds > ROOM_SECONDS and not self.closed:
            self._check_in_charge()
            self._progress.clear()
            await self._progress.wait()

    def close(self) -> None:
        """End the stream and its iteration now, without a flush; the model is free for another transcriber."""
        self.closed = True
        if self._model.transcriber is self:
            self._model.transcriber = None
        self._wake()

    @property
    def _length(self) -> int:
        """Samples of the stream so far."""
        return self._begun * SAMPLES_PER_TOKEN + self.blocks.length

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
        return self.blocks.waiting_samples / SAMPLE_RATE

    @property
    def done_seconds(self) -> float:
        """Seconds of live audio that the text so far covers."""
        return min(
            self.audio_seconds, max(0.0, self._timer.heard_seconds(self.schedule.token_index(len(self._tokens))))
        )

    @property
    def passes(self) -> int:
        """Decoder passes that made tokens."""
        return self._passes_before + self.blocks.passes

    @property
    def tokens(self) -> list[int]:
        """Token ids of positions 0.. so far, the prompt included; after finish() and iteration all N (spec 8.1)."""
        return self._tokens[: self._finished_at]

    def alternatives_of(self, word: Word) -> list[list[tuple[str, float]]]:
        """What each text token of the word might have been: (text, probability), the token itself first.

        The text of a control token, such as a pad, is empty. The list is empty if they are not noted, or if another
        transcriber has given these tokens.
        """
        found = []
        for k in word.tokens:
            position = self.schedule.position_of(k)
            noted = (self._alternatives or [])[position - len(self.schedule.prompt) :][:1]
            if noted and noted[0] and self._tokens[position] >= FIRST_TEXT_TOKEN:
                found.append([(self._text_of(token), probability) for token, probability in noted[0][: self._most]])
        return found

    def _text_of(self, token: int) -> str:
        return self._model.tokenizer.token_bytes(token).decode(errors="replace")

    @property
    def settled(self) -> int:
        """How many of the tokens so far stay: blanks after the last text may be taken back (`restarts`)."""
        return self._text_end

    async def __aiter__(self) -> AsyncIterator[Word]:
        """Words with times, each when the next one begins or a flush ends it."""
        texts = self.text()
        while True:
            while self._words_given < len(self.words):  # an abandoned iterator may have left words behind
                self._words_given += 1
                yield self.words[self._words_given - 1]
            if await anext(texts, None) is None:
                return

    async def text(self) -> AsyncIterator[str]:
        """Text as it is decoded, one string for each block of tokens; all of them, joined, are the transcript.

        Of a transcriber that goes on, they are what is new in it.

        A string may be empty: most tokens are pauses, but `tokens` has grown, and `words` and `done_seconds` may have.
        """
        while (block := await self._next_block()) is not None:
            unwanted = min(self._unwanted, len(block.tokens))
            self._unwanted -= unwanted
            tokens = block.tokens[unwanted:]
            if self._alternatives is not None:
                self._alternatives += block.alternatives[unwanted:]
            known = max(0, self._known - len(self._tokens))
            texts = [self._push(token) for token in tokens]
            self.transcript += "".join(texts)
            if self._guard:
                self._leave_rut(self._guard)
            yield "".join(texts[known:])

    def _push(self, token: int) -> str:
        if token >= self._model.config.vocabulary:
            raise ModelError("The model produced invalid numbers: its file is damaged, so download it again.")
        position = len(self._tokens)
        self._tokens.append(token)
        if token >= FIRST_TEXT_TOKEN:
            self._text_end = len(self._tokens)
            if self._guard:
                self._guard.text_came()
        if self._finished_at is not None and position >= self._finished_at:
            return ""  # predicted for a position after the end
        text = self._decoder.push(token)
        self.words += self._timer.push(token, text, self.schedule.token_index(position))
        while self._flushes and position + 1 >= self._flushes[0]:
            self._flushes.popleft()
            tail = self._decoder.flush()
            self.words += self._timer.flush(tail)
            text += tail
        return text

    def _leave_rut(self, guard: RutGuard) -> None:
        """Start the model again if it is in the rut: as at a stream's start, from the audio at hand.

        The token at a position is about the audio delay_tokens + 1 before it. The blanks after the new start are taken
        back; with them goes no text.
        """
        if len(self._tokens) < self._known:
            return
        offset = 1 + self.schedule.delay_tokens
        end = min(len(self._tokens), self._finished_at or len(self._tokens)) - offset
        silence = self.schedule.left_silence_tokens
        before, begun = self.blocks, self._begun
        first = max(silence, self._text_end - offset, end - AT_HAND, begun + before.at_hand)
        start = guard.start(
            first,
            end,
            lambda position: before.samples_from(position - begun, position - begun + 1),
        )
        if start is None:
            return
        samples = before.samples_from(start - begun)
        self._passes_before += before.passes
        self.blocks = Blocks(self._model, self.schedule, self.schedule.prompt, **self._how)
        self.blocks.append(samples)
        if self._finished_at is not None:
            self.blocks.end()
        self._begun = start - silence
        del self._tokens[start + offset :]
        if self._alternatives is not None:
            del self._alternatives[start + offset - len(self.schedule.prompt) :]
        self._unwanted = silence - TRAINED_LEFT_SILENCE_TOKENS  # its first ones are about the left silence
        self._known = 0
        self.restarts.append(self._timer.heard_seconds(start - silence))

    # --- the loop

    async def _next_block(self) -> Block | None:
        """The next block, with its new token ids; None at the end."""
        if self._awaited:
            raise RuntimeError("this transcriber is being iterated over already")
        self._awaited = True
        try:
            return await self._wait_for_block()
        finally:
            self._awaited = False

    async def _wait_for_block(self) -> Block | None:
        since = time.perf_counter()  # not earlier: what the caller did in between is not the model's time
        while not self.closed:
            self._check_in_charge()
            if not self.blocks.is_ready:
                await self.blocks.prepare()
                since = time.perf_counter()
                continue  # this stream may have been closed meanwhile
            if self.blocks.submit():
                self._progress.set()
            if self.blocks.in_flight:
                if block := await self.blocks.read():
                    positions = block.end - block.first
                    self.step_seconds += [(time.perf_counter() - since) / positions] * positions
                    return block
            elif self._finished_at is not None:
                return None
            else:
                self._news.clear()
                await self._news.wait()
                since = time.perf_counter()
        return None

    def _check_open(self):
        if self.closed or self._finished_at is not None:
            raise RuntimeError("this transcriber is closed or finished: start another one")
        self._check_in_charge()

    def _check_in_charge(self):
        if self._model.transcriber is not self:
            raise RuntimeError("another transcriber was started on this one's model")


def _check_values(data: memoryview) -> None:
    """AudioError if a float32 in `data`, bytes, is not finite, or the audio is of another scale."""
    for start in range(0, len(data), CHECKED_BYTES):
        last_bytes = bytes(data[start : start + CHECKED_BYTES])[3::SAMPLE_BYTES]
        if any(byte in last_bytes for byte in NOT_FINITE):
            raise AudioError("The audio holds samples that are not finite numbers: export it again.")
        if last_bytes[::CHECKED_EVERY].translate(None, NOT_LARGE):
            raise AudioError("The audio's samples go far beyond 1, where full scale is: divide int16 samples by 32768.")
