"""`voxtab convert`."""

import argparse
import asyncio
import json
import re
from dataclasses import asdict
from pathlib import Path

from voxtab.errors import DeviceError, UserError, shown
from voxtab.native.cli.parser import add_gpu, add_tokenizer

DESCRIPTION = (
    "A model as a GGUF file of another type. What is done stays done: a conversion that was ended, killed even, goes "
    "on where it was. stdout says how far the values are from the source's."
)
TYPES = "q4_0", "q8_0", "f16", "bf16"

AUDIO_SECONDS = 60
_LONGEST_PREFIX = "mm_streams_embeddings.embedding_module."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="the model to read, as --model of transcribe")
    parser.add_argument("made", help="the .gguf file to write; tekken.json comes beside it")
    parser.add_argument(
        "--type",
        choices=TYPES,
        required=True,
        metavar="T",
        help=f"of the matrices: {', '.join(TYPES)}; all else is F32",
    )
    parser.add_argument(
        "--scales",
        choices=("fit", "ggml"),
        metavar="S",
        help="of Q4_0: fit makes the squared error small, on the GPU; ggml is the plain rule; default: fit",
    )
    parser.add_argument(
        "--audio", metavar="F", help="also run both models on the first minute of this audio, and compare what they say"
    )
    parser.add_argument("--report", metavar="F", help="write each tensor's error there, and all of --audio, as JSON")
    add_tokenizer(parser)
    add_gpu(parser)


def run(arguments) -> int:
    if arguments.scales and arguments.type != "q4_0":
        raise UserError("--scales is for --type q4_0 alone: leave it out.")
    path = Path(arguments.made)
    if path.suffix != ".gguf":
        raise UserError(f"{shown(path)} is not the name of a .gguf file: name one.")
    asyncio.run(_run(arguments, path))
    return 0


async def _run(arguments, path: Path) -> None:
    from voxtab.native import models
    from voxtab.native.audio.file import open_audio
    from voxtab.native.cli.progress import bytes_bar
    from voxtab.native.gpu.device import NativeDevice
    from voxtab.native.making import converting, made_files
    from voxtab.native.making.comparing import compare
    from voxtab.native.making.fitting import Fitter
    from voxtab.native.making.running import beginning
    from voxtab.native.writing import write_whole

    made_files.check_new(path)
    source = await asyncio.to_thread(models.read_model, arguments.source, arguments.tokenizer)
    samples = beginning(open_audio(arguments.audio), AUDIO_SECONDS) if arguments.audio else None
    device = fitter = None
    if arguments.type == "q4_0" and arguments.scales != "ggml":
        try:
            device = await NativeDevice.open(gpu=arguments.gpu)
        except DeviceError as error:
            raise DeviceError(f"{str(error).removesuffix('.')}; or use --scales ggml, which needs no GPU.") from None
        fitter = await Fitter.open(device, converting.CHUNK_VALUES)
    try:
        with bytes_bar("converting") as progress:
            errors = await converting.convert(source, path, converting.TYPES[arguments.type], fitter, progress)
    finally:
        if device:
            device.close()
    print(f"{path}: {path.stat().st_size:,} bytes")
    print("\n".join(_table(errors)))
    report: dict = {"made": str(path), "tensors": [asdict(error) for error in errors]}

    def write_report() -> None:
        if arguments.report:
            write_whole(Path(arguments.report), json.dumps(report, indent=1, ensure_ascii=False) + "\n")

    write_report()  # whatever happens on the GPU
    if samples is not None:
        made = await asyncio.to_thread(models.read_model, path)
        found = await compare(source, made, samples, arguments.gpu, path.parent)
        report["audio"] = asdict(found)
        write_report()
        print(
            f"{arguments.audio}: the same best token at {found.same_best} of {found.positions} positions, "
            f"divergence {found.divergence:.4f}, largest error of a logit {found.largest_error:.3g}, "
            f"{found.tokens_different} tokens of the streams differ"
        )
        print(f"source      {found.source_text}\nmade        {found.made_text}")


def _table(errors) -> list[str]:
    """A line for each kind of tensor that is not exact: how many, their error in the mean, and the worst one's."""
    kinds: dict[tuple[str, str], list[float]] = {}
    for error in errors:
        if error.largest:
            kind = re.sub(r"\.\d+\.", ".*.", error.name.removeprefix(_LONGEST_PREFIX), count=1)
            kinds.setdefault((kind, error.type), []).append(100 * error.relative)
    lines = [
        f"{len(group):5} {type:5} {sum(group) / len(group):6.3f} % {max(group):6.3f} % {kind}"
        for (kind, type), group in kinds.items()
    ]
    exact = len(errors) - sum(map(len, kinds.values()))
    head = ["    n type  error    worst    tensors; the error is relative to the source, root mean square"]
    return [*(head if lines else []), *lines, f"{exact:5} exact"]
