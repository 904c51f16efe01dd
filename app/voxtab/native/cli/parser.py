"""How arguments are read, and those that several commands take."""

import argparse

from voxtab import resources


class Parser(argparse.ArgumentParser):
    def error(self, message):
        """One sentence, without the usage lines."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help.\n")


def milliseconds(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not int(text):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a positive number of milliseconds")
    return int(text)


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        metavar="M",
        help="a .gguf file, a folder of raw shards, or a folder with model.safetensors and config.json, such as "
        f"Voxtral Mini 4B Realtime; default: the {resources.EMBEDDED_MODEL_NAME}",
    )
    add_tokenizer(parser)


def add_tokenizer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tokenizer", metavar="F", help="the model's tekken.json; default: beside the model, in its folder or above it"
    )
