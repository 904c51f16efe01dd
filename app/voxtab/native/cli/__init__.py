"""The command `voxtab`: what it understands, and how it ends.

Each subcommand has a module of its name here, with `add_arguments(parser)` and `run(arguments) -> exit status`. At its
top a module imports only what describes its arguments. All else, NumPy and wgpu for example, it imports where it runs,
so that help, and what is refused, come at once.
"""

import argparse
import importlib
import io
import os
import sys
import warnings

from voxtab import __version__
from voxtab.errors import UserError
from voxtab.native.cli import hints
from voxtab.native.cli.parser import Parser
from voxtab.native.cli.stderr import complain, quiet_libraries

COMMANDS = {
    "transcribe": "audio files to text",
    "listen": "what a microphone hears, as it is spoken",
    "batch": "many audio files, each with a result of its own",
    "info": "what a model is and what it needs",
    "convert": "a model in another type, as a GGUF file",
    "shard": "a model cut into shards for the page, or whole again",
    "verify": "whether a model is whole",
    "bench": "how fast this machine is",
    "serve": "the page and an API on this machine",
    "models": "known models, and those in the cache",
    "publish": "a model or the page, for others to load",
}


def main() -> None:
    whole, commands = parsers()
    words = sys.argv[1:]
    if not words:
        whole.print_help()
        whole.exit(0)
    arguments = _parsed(whole, commands, words)
    with quiet_libraries():
        sys.exit(_run(arguments))


def _parsed(whole: Parser, commands: dict[str, Parser], words: list[str]) -> argparse.Namespace:
    """Ends the process, with one sentence, at a word that is not understood."""
    first = words[0]
    if first not in commands:
        if first not in whole.options:
            whole.error(hints.no_command(first, commands))
        return whole.parse_args(words)
    command = commands[first]
    if wrong := hints.hint(words[1:], command.options):
        command.error(wrong)
    arguments, rest = whole.parse_known_args(words)
    if rest:
        command.error(hints.unknown(rest[0], command.options))
    return arguments


def parsers() -> tuple[Parser, dict[str, Parser]]:
    """The parser of the whole command line, and those of the commands."""
    whole = Parser(
        prog="voxtab", description="Streaming speech recognition on your own GPU; nothing leaves the machine."
    )
    whole.add_argument("--version", action="version", version=f"voxtab {__version__}")
    commands = whole.add_subparsers(required=True, parser_class=Parser)
    for name, what in COMMANDS.items():
        module = importlib.import_module(f"voxtab.native.cli.{name}")
        command = commands.add_parser(name, help=what, description=module.DESCRIPTION)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return whole, dict(commands.choices)


def _run(arguments) -> int:
    """The exit status: 0, or 2 if the user gave something wrong."""
    if not sys.stdout:
        complain("stdout is closed: redirect it to a file or a program.")
        return 2
    # A transcript has characters that a terminal's or a pipe's encoding may lack.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    try:
        status = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except UserError as error:
        complain(error)
        return 2
    except KeyboardInterrupt:
        # Nothing is said about what was not quite made: a coroutine that had not begun, half an event loop.
        warnings.simplefilter("ignore", RuntimeWarning)
        sys.unraisablehook = lambda _: None
        return 130
    except BrokenPipeError:  # stdout was closed by the reader; not an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except OSError as error:  # for example, stdout is a file and the disk is full
        complain(f"The system refused a read or a write ({error.strerror}): see that the disk has room.")
        return 1
