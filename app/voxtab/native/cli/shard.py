"""`voxtab shard`."""

import argparse
import re
from pathlib import Path

from voxtab.native.cli.parser import add_tokenizer

DESCRIPTION = (
    "A GGUF model as raw shards with a manifest, as the page takes them; or shards as one file again, if a .gguf file "
    "is to be made. If the source has a manifest, its sums are checked first."
)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def size(text: str) -> int:
    """Bytes: 500000, 512M, 2G; K, M and G as `split` has them."""
    match = re.fullmatch(r"([0-9]{1,15})([kmg]?)", text.lower())
    if not match or not int(match[1]):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number of bytes, such as 24M or 512M")
    return int(match[1]) * _UNITS[match[2]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="a .gguf file, a folder of raw shards, or a manifest")
    parser.add_argument("made", help="the folder to make, or a .gguf file")
    parser.add_argument(
        "--bytes",
        type=size,
        default="512M",
        metavar="N",
        help="of a shard, the last may have less; default: %(default)s",
    )
    parser.add_argument(
        "--piece-bytes",
        type=size,
        default="4M",
        metavar="N",
        help="of a piece, which has a sum of its own; default: %(default)s, at most 16M",
    )
    add_tokenizer(parser)


def run(arguments) -> int:
    from voxtab.native.cli.progress import bytes_bar
    from voxtab.native.making import checking, made_files, shards
    from voxtab.native.models import read_model

    source, made = Path(arguments.source), Path(arguments.made)
    made_files.check_new(made)
    manifest = checking.find_manifest(source)
    if manifest:
        with bytes_bar("checking") as progress:
            checking.check_sums(manifest, progress)
    found = read_model(manifest.parent if manifest else source, arguments.tokenizer)
    with bytes_bar("writing") as progress:
        if made.suffix == ".gguf":
            shards.join(found, made, progress)
            print(f"{made}: {found.source.size:,} bytes")
        else:
            entries = shards.cut(found, made, arguments.bytes, arguments.piece_bytes, progress)
            pieces = sum(len(entry["pieces"]["sha256"]) for entry in entries)
            print(f"{made / shards.MANIFEST}: {found.source.size:,} bytes in {len(entries)} shards, {pieces} pieces")
    return 0
