"""How fast the decoder's products of one row are with each type of weights, on the 4B model's shapes, natively.

Each type gets a model of its own, whose weights are zero, and the variant of `linear` that opening it chooses. For each
kind of product, as for all of a layer and for the head: bytes of weights that are read per second. `to_q4_0` is how
much longer a byte takes than with Q4_0, in all layers and the head together, weighted as in a step of the 4B model.
"""

import sys
from dataclasses import replace
from statistics import median

from bench import engine
from synthetic import VOXTRAL_4B, Zeros, directory
from voxtab.bench import decoder_matrices, nbytes, spread
from voxtab.model import Model
from voxtab.native.gpu.device import NativeDevice

RUNS = 5


async def rates_of_types(types: list[str]) -> dict:
    """The figures of each type. Q4_0 is measured first, for the ratios."""
    figures, seconds_a_byte = {}, {}
    for type in ["Q4_0", *(type for type in types if type != "Q4_0")]:
        print(f"tools/bench: {type}", file=sys.stderr, flush=True)
        device = await NativeDevice.open()
        software = device.adapter.is_software
        # All layers, or the GPU's cache would hold what is read again. Software has none that matters.
        layers = 1 if software else VOXTRAL_4B.decoder.layers
        config = replace(
            VOXTRAL_4B,
            encoder=replace(VOXTRAL_4B.encoder, layers=1),
            decoder=replace(VOXTRAL_4B.decoder, layers=layers),
        )
        tensors = directory(config, type, narrow="Q8_0" if type.endswith("_K") else None)
        model = await Model.load(device, tensors, config, Zeros(tensors), None, name="zeros")
        weights = model.decoder.weights
        groups = {name: [getattr(layer, name) for layer in weights.decoder] for name in ("wqkv", "wo", "w13", "w2")}
        groups |= {"layers": decoder_matrices(model), "head": [weights.embedding]}
        rates = await engine.rates(model, RUNS, groups, 1 if software else engine.SUBMITTED)
        layer_bytes = sum(map(nbytes, groups["layers"])) / layers * VOXTRAL_4B.decoder.layers
        head_bytes = nbytes(weights.embedding)
        seconds = layer_bytes / median(rates["layers"]) + head_bytes / median(rates["head"])
        seconds_a_byte[type] = seconds / (layer_bytes + head_bytes)
        figures[type] = {
            "linear": model.kernels.variants.linear,
            "step_gb": round((layer_bytes + head_bytes) / 1e9, 3),
            "to_q4_0": round(seconds_a_byte[type] / seconds_a_byte["Q4_0"], 3),
            "gb_per_s": {name: spread([rate / 1e9 for rate in values]) for name, values in rates.items()},
        }
        model.close()
    return {"types": figures}
