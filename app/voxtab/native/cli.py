"""`voxtab transcribe`, `voxtab info`, `voxtab bench` and `voxtab serve`."""

import argparse
import asyncio
import contextlib
import io
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from voxtab import resources, subtitles
from voxtab.bench import SECONDS, bench
from voxtab.config import DELAYS_MS, SAMPLE_RATE, Schedule
from voxtab.errors import DeviceError, UserError
from voxtab.model import Model
from voxtab.native import models
from voxtab.native.audio import AudioFile, open_audio
from voxtab.native.gpu import NativeDevice
from voxtab.native.serve import PORT, serve
from voxtab.result import result
from voxtab.transcriber import Transcriber


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        """One sentence, without the usage lines."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help.\n")


def _milliseconds(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not int(text):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a positive number of milliseconds")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="voxtab", description="Streaming speech recognition on your own GPU; nothing leaves the machine."
    )
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)

    transcribe = commands.add_parser(
        "transcribe", help="audio files to text", description="Audio files to text, on stdout."
    )
    transcribe.add_argument("audio", nargs="+", help="WAV, FLAC, OGG, Opus, MP3, ...; any rate, any number of channels")
    _model_arguments(transcribe)
    transcribe.add_argument(
        "--delay-ms",
        type=int,
        metavar="N",
        help=f"how long to listen before writing: {DELAYS_MS[0]} to 1200 in steps of 80, or 2400 (the most "
        "accurate); default: the model's, usually 480",
    )
    transcribe.add_argument(
        "--left-silence-tokens",
        type=int,
        metavar="N",
        help="silent tokens of 80 ms in front of the audio, 32 or more: 32 as trained; 33 plus the delay in tokens "
        "keeps all speech after the prompt, and each costs a step; default: the model's, usually 32",
    )
    transcribe.add_argument(
        "--format",
        choices=("text", *subtitles.FORMATS, "json"),
        default="text",
        help="srt, vtt: subtitles, of one file; json: an object for one file, an array for several",
    )
    transcribe.add_argument(
        "--chunk-ms",
        type=_milliseconds,
        default=1000,
        metavar="N",
        help="feed the audio in chunks of this length; the result does not depend on it",
    )

    info = commands.add_parser(
        "info",
        help="what a model is and what it needs",
        description="What a model is, what it needs, and what the GPU grants.",
    )
    info.add_argument("model", nargs="?", help="as --model of transcribe; without it, the embedded model")
    info.add_argument("--tokenizer", metavar="F", help="the model's tekken.json")

    measure = commands.add_parser(
        "bench", help="how fast this machine is", description="Measure a model on this machine: JSON on stdout."
    )
    measure.add_argument(
        "audio", nargs="?", help=f"what to transcribe; default: a bundled clip, repeated to {SECONDS} s"
    )
    _model_arguments(measure)

    serve = commands.add_parser(
        "serve",
        help="the page on this machine",
        description="Serve the page that tools/build_site wrote, until interrupted.",
    )
    serve.add_argument("site", nargs="?", default="dist/site", metavar="DIR", help="default: %(default)s")
    serve.add_argument(
        "--host",
        default="127.0.0.1",
        help="browsers give WebGPU to https pages and to this machine's own; default: %(default)s",
    )
    serve.add_argument("--port", type=int, default=PORT, help="0 takes a free one; default: %(default)s")
    return parser


def _model_arguments(parser):
    parser.add_argument(
        "--model",
        metavar="M",
        help="a .gguf file, a folder of raw shards, or a folder with model.safetensors and config.json, such as "
        f"Voxtral Mini 4B Realtime; default: the {resources.EMBEDDED_MODEL_NAME}",
    )
    parser.add_argument(
        "--tokenizer", metavar="F", help="the model's tekken.json; default: beside the model, in its folder or above it"
    )


@contextlib.contextmanager
def _quiet_libraries():
    """Keep what drivers and decoders write to file descriptor 2 out of the command's stderr."""
    sys.stderr.flush()
    ours, theirs = sys.stderr, os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with os.fdopen(os.dup(2), "w", buffering=1, encoding=ours.encoding, errors="backslashreplace") as stderr:
        os.dup2(nowhere, 2)
        sys.stderr = stderr
        try:
            yield
        finally:
            sys.stderr = ours
            os.dup2(theirs, 2)
            os.close(theirs)
            os.close(nowhere)


def main() -> None:
    arguments = _parser().parse_args()
    with _quiet_libraries():
        sys.exit(_run(arguments))


def _run(arguments) -> int:
    """The exit status: 0, or 2 if the user gave something wrong."""
    if not sys.stdout:
        _complain("stdout is closed: redirect it to a file or a program.")
        return 2
    # A transcript has characters that a terminal's or a pipe's encoding may lack.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    try:
        if arguments.command == "serve":
            serve(arguments.site, arguments.host, arguments.port)
            return 0
        status = asyncio.run({"transcribe": _transcribe, "info": _info, "bench": _bench}[arguments.command](arguments))
        sys.stdout.flush()
        return status
    except UserError as error:
        _complain(error)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # stdout was closed by the reader; not an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except OSError as error:  # for example, stdout is a file and the disk is full
        _complain(f"The system refused a read or a write ({error.strerror}): see that the disk has room.")
        return 1


def _complain(what: UserError | str):
    print(f"voxtab: {what}", file=sys.stderr)


async def _transcribe(arguments) -> int:
    if arguments.format in subtitles.FORMATS and len(arguments.audio) > 1:
        raise UserError(f"--format {arguments.format} writes one file's subtitles: name one audio file at a time.")
    since = time.perf_counter()
    found = models.read_model(arguments.model, arguments.tokenizer)
    schedule = found.config.schedule(arguments.delay_ms, arguments.left_silence_tokens)
    status, files = 0, []
    for path in arguments.audio:  # all that can be wrong is found before the GPU is opened
        try:
            files.append(open_audio(path))
        except UserError as error:
            _complain(error)
            status = 2
    if not files:
        return status
    model = await _load(found)
    load_s = time.perf_counter() - since
    results = []
    try:
        for audio in files:
            try:
                results.append(await _one_file(model, audio, schedule, arguments, load_s))
                audio.check_whole(results[-1]["audio_seconds"])
            except UserError as error:
                _complain(error)
                status = 2
    finally:
        await model.device.done()  # also after Ctrl-C: readbacks under way still need the event loop
    if arguments.format == "json":
        if len(arguments.audio) > 1:
            print(json.dumps(results, ensure_ascii=False))
        elif results:
            print(json.dumps(results[0], ensure_ascii=False))
    return status


async def _load(found: models.LocalModel) -> Model:
    with tqdm(total=found.source.size, unit="B", unit_scale=True, desc="loading", leave=False, disable=None) as bar:
        model = await models.load_model(found, progress=lambda done: bar.update(done - bar.n))
    if model.warning:
        _complain(model.warning)
    return model


async def _one_file(model: Model, audio: AudioFile, schedule: Schedule, arguments, load_s: float) -> dict:
    since = time.perf_counter()
    transcriber = Transcriber(model, schedule.delay_ms, schedule.left_silence_tokens)
    feeding = asyncio.ensure_future(_feed(transcriber, audio, arguments.chunk_ms * SAMPLE_RATE // 1000))
    printing = arguments.format == "text"
    try:
        with tqdm(
            total=audio.seconds and round(audio.seconds, 1),
            unit="s",
            desc=audio.path.name,
            leave=False,
            disable=printing and sys.stdout.isatty() or None,
        ) as bar:
            async for text in transcriber.text():
                if printing and text:
                    print(text, end="", flush=True)
                bar.update(min(transcriber.done_seconds, bar.total or float("inf")) - bar.n)
        if printing:
            print(flush=True)
        await feeding
    finally:
        feeding.cancel()
        transcriber.close()
    if make := subtitles.FORMATS.get(arguments.format):
        print(make(transcriber.words, transcriber.transcript), end="", flush=True)
    return {"audio": str(audio.path)} | result(
        transcriber, model=model.name, load_s=load_s, run_s=time.perf_counter() - since
    )


async def _feed(transcriber: Transcriber, audio: AudioFile, chunk: int) -> None:
    """Feed a file in chunks of `chunk` samples, never far ahead of the model: long files do not fill the memory."""
    try:
        for samples in _chunks(audio, chunk):
            transcriber.feed(samples)
            await transcriber.room()
    finally:
        # Also if the file is damaged or a feed is refused: what came before is transcribed, and the text loop ends too.
        if not transcriber.closed:
            transcriber.finish()


def _chunks(audio: AudioFile, chunk: int) -> Iterator[np.ndarray]:
    """A file's samples, `chunk` at a time, then the rest. On a bad file, yields the good samples, then raises."""
    waiting = np.zeros(0, np.float32)
    try:
        for block in audio.samples():
            waiting = np.concatenate([waiting, block])
            while len(waiting) >= chunk:
                yield waiting[:chunk]
                waiting = waiting[chunk:]
    except UserError:
        yield waiting
        raise
    yield waiting


async def _bench(arguments) -> int:
    audio = open_audio(arguments.audio or resources.embedded_clips()[0])
    samples = np.concatenate(list(audio.samples()))
    since = time.perf_counter()
    model = await _load(models.read_model(arguments.model, arguments.tokenizer))
    load_s = time.perf_counter() - since
    print(
        json.dumps(
            await bench(model, samples, audio.path.name, load_s, repeat=not arguments.audio),
            indent=1,
            ensure_ascii=False,
        )
    )
    return 0


async def _info(arguments) -> int:
    found = models.read_model(arguments.model, arguments.tokenizer)
    config, tensors = found.config, found.directory.tensors.values()
    types = Counter(tensor.type for tensor in tensors)
    decoder, encoder = config.decoder, config.encoder
    print(f"model       {found.name}")
    version = f" version {found.directory.version}" if found.directory.version else ""
    print(
        f"dialect     {found.directory.dialect}{version}, "
        f"{'half-split' if config.half_rope else 'interleaved'} rows of wq and wk"
    )
    print("tensors     " + ", ".join(f"{count} {type}" for type, count in types.most_common()))
    print(f"size        {found.source.size:,} bytes")
    for name, stack in (("encoder", encoder), ("decoder", decoder)):
        print(
            f"{name}     {stack.layers} layers of {stack.width}, {stack.heads} heads of {stack.head_dim} "
            f"over {stack.kv_heads}, hidden {stack.hidden}, window {stack.window}"
        )
    print(f"vocabulary  {config.vocabulary} tokens")
    print(f"tokenizer   {found.tokenizer_path}, {len(found.tokenizer)} tokens")
    print(f"defaults    delay {config.delay_ms} ms, left silence {config.left_silence_tokens} tokens")
    caches = sum(stack.layers * stack.window * 2 * stack.kv_heads * stack.head_dim * 2 for stack in (encoder, decoder))
    weights = sum(tensor.nbytes for tensor in tensors)
    print(
        f"needs       {(weights + caches) / 1e9:.2f} GB of GPU memory: weights {weights / 1e9:.2f}, "
        f"caches with full windows {caches / 1e9:.2f}"
    )
    try:
        device = await NativeDevice.open()
    except DeviceError as error:
        print(f"GPU         none: {error}")
        return 0
    gpu = device.adapter
    print(f"GPU         {gpu.name} ({gpu.backend}{', in software' if gpu.is_software else ''})")
    print("grants      " + ", ".join(f"{name} {value:,}" for name, value in device.limits.items()))
    device.close()
    return 0
