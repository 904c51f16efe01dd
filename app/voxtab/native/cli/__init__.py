"""The command `voxtab`: what it understands, and how it ends.

Each subcommand has a module of its name here, with `add_arguments(parser)` and `run(arguments) -> exit status`. At its
top a module imports only what describes its arguments. All else, NumPy and wgpu for example, it imports where it runs,
so that help, and what is refused, come at once.
"""

import importlib
import io
import os
import sys

from voxtab.errors import UserError
from voxtab.native.cli.parser import Parser
from voxtab.native.cli.stderr import complain, quiet_libraries

COMMANDS = {
    "transcribe": "audio files to text",
    "listen": "what a microphone hears, as it is spoken",
    "info": "what a model is and what it needs",
    "bench": "how fast this machine is",
    "serve": "the page on this machine",
}


def main() -> None:
    arguments = parser().parse_args()
    with quiet_libraries():
        sys.exit(_run(arguments))


def parser() -> Parser:
    whole = Parser(
        prog="voxtab", description="Streaming speech recognition on your own GPU; nothing leaves the machine."
    )
    commands = whole.add_subparsers(dest="command", required=True, parser_class=Parser)
    for name, what in COMMANDS.items():
        module = importlib.import_module(f"voxtab.native.cli.{name}")
        command = commands.add_parser(name, help=what, description=module.DESCRIPTION)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return whole


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
        return 130
    except BrokenPipeError:  # stdout was closed by the reader; not an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except OSError as error:  # for example, stdout is a file and the disk is full
        complain(f"The system refused a read or a write ({error.strerror}): see that the disk has room.")
        return 1
