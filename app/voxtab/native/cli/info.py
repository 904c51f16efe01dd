"""`voxtab info`."""

import argparse
from collections import Counter
from pathlib import Path

from voxtab.errors import DeviceError, shown
from voxtab.native.cli.parser import add_tokenizer

DESCRIPTION = "What a model is, what it needs, and what the GPU grants."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", nargs="?", help="as --model of transcribe, or a manifest; without it, the embedded model"
    )
    add_tokenizer(parser)


def run(arguments) -> int:
    from voxtab.native import models
    from voxtab.native.gpu.device import adapters
    from voxtab.native.making.checking import find_manifest
    from voxtab.weights import checkpoint

    manifest = find_manifest(Path(arguments.model)) if arguments.model else None
    found = models.read_model(manifest.parent if manifest else arguments.model, arguments.tokenizer)
    config = found.config
    tensors = [found.directory.tensors[name] for name in checkpoint.shapes(config, ada_width=0)]
    types = Counter(tensor.type for tensor in tensors)
    decoder, encoder = config.decoder, config.encoder
    print(f"model       {found.name}")
    version = f" version {found.directory.version}" if found.directory.version else ""
    print(
        f"dialect     {found.directory.dialect}'s names in {found.directory.format}{version}, "
        f"{'half-split' if config.half_rope else 'interleaved'} rows of wq and wk"
    )
    print("tensors     " + ", ".join(f"{count} {type}" for type, count in types.most_common()))
    print(f"files       {', '.join(path.name for path in found.source.paths)}")
    print(f"size        {found.source.size:,} bytes")
    if maker := found.directory.metadata.get("general.quantized_by"):
        print(f"made by     {shown(str(maker))}")
    if manifest:
        print(f"manifest    {manifest}: voxtab verify checks its sums")
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
        gpus = adapters()
    except DeviceError as error:
        print(f"GPU         none: {error}")
        return 0
    for i, gpu in enumerate(gpus):
        facts = gpu.facts
        print(f"GPU {i:<8}{facts.name} ({facts.backend}{', in software' if facts.is_software else ''})")
        print("  grants    " + ", ".join(f"{name} {value:,}" for name, value in gpu.limits.items()))
    return 0
