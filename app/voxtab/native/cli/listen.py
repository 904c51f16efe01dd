"""`voxtab listen`."""

import argparse
import asyncio
import contextlib
import signal

from voxtab.errors import shown
from voxtab.native.cli.parser import add_gpu, add_model
from voxtab.native.cli.stderr import complain
from voxtab.native.cli.transcribe import add_guard, add_schedule, tell_restart

DESCRIPTION = "What a microphone hears to text, on stdout, as it is spoken. Ctrl-C ends it."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_gpu(parser)
    add_schedule(parser)
    add_guard(parser)
    parser.add_argument(
        "--device",
        metavar="D",
        help="number or a part of the name of an input, also of one that hears what the machine plays; default: the "
        "system's",
    )
    parser.add_argument("--devices", action="store_true", help="list the inputs, and end")
    parser.add_argument("--save", metavar="FILE.wav", help="keep what is heard: 16 kHz, mono")


def run(arguments) -> int:
    if arguments.devices:
        return _list()
    return asyncio.run(_listen(arguments))


def _list() -> int:
    from voxtab.native.audio.microphone import inputs

    found = inputs()
    for number, each in enumerate(found):
        print(f"{number}  {each.name}, {each.rate} Hz{', the default' if each.is_default else ''}")
    if not found:
        complain("There is no microphone or other audio input.")
    return 0


async def _listen(arguments) -> int:
    from voxtab.native import models
    from voxtab.native.audio.microphone import Microphone
    from voxtab.native.cli.progress import load
    from voxtab.native.transcription import Transcription

    found = models.read_model(arguments.model, arguments.tokenizer)
    schedule = found.config.schedule(arguments.delay_ms, arguments.left_silence_tokens)
    microphone = Microphone(arguments.device, arguments.save)
    name = shown(microphone.input.name)
    try:
        model = await load(found, arguments.gpu)
    except BaseException:
        microphone.close()
        raise
    status = 0
    try:
        complain(f"listening to {name}. Ctrl-C ends it.")
        _stop_at_ctrl_c(microphone.stop)
        transcription = Transcription(model, microphone.samples(), schedule, guard=arguments.guard)
        texts, restarts = transcription.text(), transcription.transcriber.restarts
        told = 0
        try:
            async for text in texts:
                for seconds in restarts[told:]:
                    tell_restart(microphone.input.name, seconds)
                told = len(restarts)
                if text:
                    print(text, end="", flush=True)
        finally:
            await texts.aclose()
            print(flush=True)
    finally:
        await model.device.done()  # readbacks under way still need the event loop
        for note in microphone.notes:
            complain(f"{name}: {note}")
            status = 2 if note.lost else status
    return status


def _stop_at_ctrl_c(stop) -> None:
    """The first one stops listening, and what was heard is written; the second one ends the command."""
    loop = asyncio.get_running_loop()

    def handle(number) -> None:
        with contextlib.suppress(NotImplementedError):
            loop.remove_signal_handler(number)
        stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, handle, number)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda number, frame: loop.call_soon_threadsafe(handle, number))
