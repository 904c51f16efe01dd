"""`voxtab verify`."""

import argparse
import asyncio
import json
from pathlib import Path

from voxtab import resources
from voxtab.native.cli.parser import add_gpu, add_tokenizer

DESCRIPTION = (
    "Whether a model is whole: the sums of its manifest, its tensors and their values, its tokenizer, and whether it "
    "hears speech. Status 2, and one sentence, if not."
)
AUDIO_SECONDS = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", nargs="?", help="as --model of transcribe, or a manifest; without it, the embedded model"
    )
    parser.add_argument(
        "--audio",
        metavar="F",
        help="speech that the model has to hear; default: a bundled clip, which begins with enter",
    )
    parser.add_argument("--files-only", action="store_true", help="do not run the model")
    add_tokenizer(parser)
    add_gpu(parser)


def run(arguments) -> int:
    asyncio.run(_run(arguments))
    return 0


async def _run(arguments) -> None:
    from voxtab.check import Clip
    from voxtab.native.audio.file import open_audio
    from voxtab.native.cli.progress import bytes_bar
    from voxtab.native.making import checking, tekken
    from voxtab.native.making.running import beginning
    from voxtab.native.models import read_model
    from voxtab.weights import checkpoint

    clip = None
    if not arguments.files_only:
        path = Path(arguments.audio or resources.embedded_clips()[0])
        samples = beginning(open_audio(path), AUDIO_SECONDS)
        clip = Clip(path.name, samples, None if arguments.audio else _reference(path))
    manifest = checking.find_manifest(Path(arguments.model)) if arguments.model else None
    sums = None
    if manifest:
        with bytes_bar("sums") as progress:
            sums = await asyncio.to_thread(checking.check_sums, manifest, progress)
    path = manifest.parent if manifest else arguments.model
    found = await asyncio.to_thread(read_model, path, arguments.tokenizer)
    if sums:
        without = f"; {sums.without} shards have none" if sums.without else ""
        print(f"sums        {manifest}: {sums.right} sums of {sums.shards} shards are right{without}")
    else:
        print("sums        none, as there is no manifest: voxtab shard makes one")
    count = len(checkpoint.shapes(found.config, ada_width=0))
    print(f"structure   all {count} tensors, {found.source.size:,} bytes")
    inside = found.tokenizer_path in found.source.paths
    missing = [] if inside else tekken.missing(found.tokenizer_path)
    print(
        f"tokenizer   {len(found.tokenizer)} tokens in {found.tokenizer_path.name}"
        + (f"; lacks {', '.join(missing)}, which other programs need" if missing else "")
    )
    with bytes_bar("values") as progress:
        values = await asyncio.to_thread(checking.check_values, found, progress)
    print("values      all finite" + (f"; nothing but zeros in {', '.join(values.zeros)}" if values.zeros else ""))
    if values.lowest_code is not None:
        rule = "a better rule is ggml's or fit: convert it again" if not values.lowest_code else "as ggml makes them"
        print(f"scales      {values.lowest_code:.0%} of the Q4_0 blocks use the code -8, {rule}")
    if clip:
        report = await checking.hear(found, clip, arguments.gpu)
        print(f"speech      {report['clips'][0]['text']!r}, {report['pads']:.0%} pads")
        if codes := report["codes"]:
            print(f"codes       -8 to 7: {' '.join(f'{100 * share:.1f}' for share in codes)} % of the Q4_0 weights")
        print(f"kernels     the first layer differs by {report['kernel_error']:.1g} from the plainest ones'")


def _reference(clip: Path) -> str:
    """What is spoken in a bundled clip."""
    for known in json.loads((clip.parent / "clips.json").read_text(encoding="utf-8")):
        if known["file"] == clip.name:
            return known["reference"]
    raise LookupError(clip.name)
