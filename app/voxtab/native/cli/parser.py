"""How arguments are read, and those that several commands take."""

import argparse
import os
import re
from collections.abc import Callable

from voxtab import resources

# Names of whisper's models, which people may give to --model.
_WHISPERS = re.compile(r"(tiny|base|small|medium|large|turbo|distil)([-.][\w.-]*)?")


class Parser(argparse.ArgumentParser):
    def __init__(self, **settings):
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message):
        """One sentence, without the usage lines."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help.\n")

    @property
    def options(self) -> list[str]:
        return list(self._option_string_actions)


def number(least: int, most: int) -> Callable[[str], int]:
    """How argparse reads a whole number within these bounds."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 9 or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number from {least} to {most}")
        return int(text)

    return read


def model_path(text: str) -> str:
    if _WHISPERS.fullmatch(text) and not os.path.exists(text):
        raise argparse.ArgumentTypeError(
            f"{text} is a model of whisper, and Voxtab runs Voxtral Mini 4B Realtime: give the path of its file"
        )
    return text


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        type=model_path,
        metavar="M",
        help="a .gguf file, a folder of raw shards, a folder with model.safetensors and config.json, or "
        "OWNER/REPO[@REVISION][:FILE] on Hugging Face (voxtab models lists some; pip install 'voxtab[hub]'); default: "
        f"the {resources.EMBEDDED_MODEL_NAME}",
    )
    add_tokenizer(parser)


def add_gpu(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--gpu",
        type=int,
        default=0,
        metavar="N",
        help="which GPU, as voxtab info lists them; default: 0, the strongest",
    )


def add_tokenizer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tokenizer", metavar="F", help="the model's tekken.json; default: beside the model, in its folder or above it"
    )
