"""Writes models with random weights, and gives the shapes of models to other tools and tests.

The weights of `write_model` are random, but the model behaves like a trained one: activations stay finite through any
number of layers, they differ from position to position, and so do the tokens; the pad token comes again and again.

- GAINS gives the standard deviation of each matrix's outputs for inputs of standard deviation 1, at any width. Queries
  and keys are large, so that attention picks some positions instead of averaging all. They are not larger, because
  float32's rounding error would then grow from layer to layer until nothing could be proved. Attention adds little
  compared with the feed-forward part, because it is similar at all positions and would make them equal in the end.
- Embeddings are small compared with what the layers add. The head uses the same rows. If they were large, the
  input token's own row, which is still in the sum, would win: the input token would always be predicted again.
- The pad's row is PAD_GAIN times as large, so that its logit is often either the largest or far below.
- The last norm's gains bring the logits to a standard deviation of 3.
- With `pad_lead` the pad comes more often, so that drafts are right as often as in speech; other tokens vary less.
  The last block of columns is the same constant in every row, and a little more in the pad's. No layer adds to these
  columns, so they come out as they went in; there, the last norm's gains are so large that they raise the pad's logit
  by so many deviations over what the largest of the others is expected to be.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import log, prod, sqrt
from pathlib import Path

import numpy as np

from voxtab.config import DECODER_4B, ENCODER_4B, FIRST_TEXT_TOKEN, PAD, VOXTRAL_4B, ModelConfig, Stack
from voxtab.native.making import gguf_header, shards, tekken
from voxtab.native.making.fitting import BLOCK_BYTES, BLOCK_VALUES
from voxtab.weights import checkpoint
from voxtab.weights.dialects import MISTRAL_CONSOLIDATED
from voxtab.weights.directory import FLOATS, Directory, Tensor, block_nbytes, tensor_nbytes

# As narrow as the kernels allow: enough to see whether a tool runs.
TINY = ModelConfig(
    Stack(layers=2, width=64, hidden=128, **ENCODER_4B | {"heads": 2, "kv_heads": 2}),
    Stack(layers=2, width=64, hidden=128, **DECODER_4B | {"heads": 2, "kv_heads": 1}),
    vocabulary=2048,
    half_rope=False,
)
# A thousandth of the size, but wide and deep enough for tokens to vary. Seconds of audio pass both windows.
SMALL = replace(
    VOXTRAL_4B,
    vocabulary=2048,
    encoder=replace(VOXTRAL_4B.encoder, layers=4, width=64, heads=4, kv_heads=4, head_dim=32, hidden=160, window=50),
    decoder=replace(VOXTRAL_4B.decoder, layers=4, width=128, heads=4, kv_heads=2, head_dim=64, hidden=320, window=60),
)
SUMMARY = """Writes a model with random weights in the exact layout of the published 4B file: 2.51 GB in raw shards of
512 MiB, with manifest.json and tekken.json; or, with --type BF16, in that of Mistral's own: 8.86 GB in
consolidated.safetensors, with params.json and tekken.json. It cannot recognise speech; use it to measure and to
compare without the real weights. Equal seeds make equal bytes. Run it with the project's environment
(.venv/bin/python)."""
ADA_WIDTH = 32

GAINS = {
    "attention.wq": 1.5,
    "attention.wk": 1.5,
    "attention.wv": 1,
    "feed_forward.w1": 1,
    "feed_forward.w3": 1,
    "ada_rms_norm_t_cond.0": 1,
    "ada_rms_norm_t_cond.2": 0.5,
    "audio_language_projection.0": 1.5,
    "conv_layers.0.conv": 1.5,
    "conv_layers.1.conv": 1.5,
}
SUM_GAINS = {"attention.wo": 2.5, "feed_forward.w2": 10}  # of the sum over all layers
EMBEDDING_NORM = 0.2  # norm of a row
AUDIO_NORM = 1.0  # norm of an audio embedding
PAD_GAIN = 5
LOGITS_DEVIATION = 3
CONSTANT = 3  # of the constant columns: as many deviations of the others
PAD_CONSTANT = 1.2  # times that in the pad's row
FINAL_DEVIATION = 7  # of the decoder's output before the last norm
CHUNK_BLOCKS = 1 << 18  # Q4_0 blocks that one random generator makes: 4.7 MB
ENCODER = checkpoint.ENCODER_LAYER.partition("{")[0]


# Of ggml's other types: where a block's halves d and m are, for values of standard deviation 1 and mean 0.
HALVES = {
    "Q4_1": ((0, 0.217), (2, -1.63)),
    "Q5_0": ((0, 0.108),),
    "Q5_1": ((0, 0.108), (2, -1.68)),
    "Q8_0": ((0, 0.0135),),
    "Q4_K": ((0, 0.0039), (2, 0.029)),
    "Q5_K": ((0, 0.0019), (2, 0.029)),
    "Q6_K": ((208, 0.00073),),
}


def directory(config: ModelConfig, matrices: str = "Q4_0", others: str = "F32", narrow: str | None = None) -> Directory:
    """The directory of a file that holds a model of this shape; 2-D tensors have the type `matrices`.

    `narrow` is the type of those that are narrower than a block of a K type.
    """
    tensors = {}
    for name, shape in checkpoint.shapes(config, ADA_WIDTH).items():
        type = (narrow if narrow and shape[-1] % 256 else matrices) if len(shape) == 2 else others
        tensors[name] = Tensor(name, type, shape, 0, prod(shape[:-1]) * tensor_nbytes(type, shape[-1:]))
    return Directory("gguf", tensors, {}, 3)


class Zeros:
    """A source whose bytes are all zero."""

    def __init__(self, directory: Directory):
        self.size = sum(tensor.nbytes for tensor in directory.tensors.values())

    def read_into(self, offset: int, view: memoryview) -> None:
        view[:] = bytes(len(view))


def write_model(
    folder: Path,
    config: ModelConfig,
    *,
    seed: int = 0,
    type: str = "Q4_0",
    pad_lead: float | None = None,
    shard_bytes: int | None = None,
    piece_bytes: int = shards.PIECE_BYTES,
) -> None:
    """Write random weights in the published file's layout (spec 9.3), and a tekken.json, to a new folder.

    Writes one file, model.gguf. With `shard_bytes`, its bytes are cut into shard-aa, shard-ab, ..., and a manifest.json
    has the SHA-256 of each shard and of its pieces of `piece_bytes`. Equal seeds make equal bytes. `type` is that of
    the matrices: Q4_0 or one of HALVES, in which they are good for measuring, and tokens need not vary. `pad_lead`,
    for Q4_0: how far the pad's logit lies over the others on average, in its deviations. With -0.46 in SMALL, a pass
    with drafts makes as many tokens as of speech; other shapes need another value.
    """
    folder.mkdir(parents=True)
    header, chunks, size = _layout(config, seed, type, pad_lead)
    starts = range(0, size, shard_bytes or size)
    names = shards.shard_names(len(starts)) if shard_bytes else ["model.gguf"]

    def write(name: str, start: int) -> dict:
        with shards.ShardWriter(folder / name, piece_bytes) as shard:
            for data in file_bytes(header, chunks, start, min(start + (shard_bytes or size), size)):
                shard.write(data)
        return shard.entry()

    with ThreadPoolExecutor() as threads:  # NumPy and hashlib release the interpreter lock
        entries = list(threads.map(write, names, starts))
    if shard_bytes:
        shards.write_manifest(folder, entries)
    _write_tokenizer(folder, config)


def write_safetensors(folder: Path, config: ModelConfig, *, seed: int = 0) -> None:
    """Write random weights as BF16 in the layout of Mistral's own file (spec 9.1), to a new folder.

    consolidated.safetensors, params.json and tekken.json. Equal seeds make equal bytes.
    """
    folder.mkdir(parents=True)
    tensors, at, entries = directory(config, "BF16", "BF16").tensors, 0, {}
    for name, tensor in tensors.items():
        entries[name] = {"dtype": "BF16", "shape": tensor.shape, "data_offsets": [at, at + tensor.nbytes]}
        at += tensor.nbytes
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    header = len(header).to_bytes(8, "little") + header
    placed = [
        replace(tensor, offset=len(header) + entry["data_offsets"][0])
        for tensor, entry in zip(tensors.values(), entries.values())
    ]
    chunks, size = random_chunks(config, placed, seed), len(header) + at
    path = folder / "consolidated.safetensors"
    with open(path, "wb") as file:
        file.truncate(size)

    def write(start: int) -> None:
        with open(path, "r+b") as file:
            file.seek(start)
            for data in file_bytes(header, chunks, start, min(start + shards.SHARD_BYTES, size)):
                file.write(data)

    with ThreadPoolExecutor() as threads:
        list(threads.map(write, range(0, size, shards.SHARD_BYTES)))
    (folder / "params.json").write_text(json.dumps(_params(config), indent=4) + "\n")
    _write_tokenizer(folder, config)


def _params(config: ModelConfig) -> dict:
    """What Mistral's params.json says of the stacks."""
    params: dict = {}
    for stack, keys in ((config.encoder, MISTRAL_CONSOLIDATED.encoder), (config.decoder, MISTRAL_CONSOLIDATED.decoder)):
        for field, key in zip(checkpoint.METADATA_KEYS, keys, strict=True):
            *outer, last = key.split(".")
            within = params
            for name in outer:
                within = within.setdefault(name, {})
            within[last] = getattr(stack, field)
    return params


def _write_tokenizer(folder: Path, config: ModelConfig) -> None:
    tokenizer = tekken.content(pieces(config.vocabulary - FIRST_TEXT_TOKEN))
    (folder / "tekken.json").write_text(json.dumps(tokenizer, indent=4) + "\n")


def _layout(config: ModelConfig, seed: int, type: str, pad_lead: float | None):
    """(header, [(offset, nbytes, make)], size). `make()` gives the bytes of a chunk. Chunks are in file order, and
    between tensors there is padding.
    """
    # As in the published file, what equals the 4B model's is not said.
    known = checkpoint.metadata(VOXTRAL_4B)
    metadata = {key: value for key, value in checkpoint.metadata(config).items() if value != known[key]}
    found = directory(config, type, narrow="Q8_0" if type.endswith("_K") else None).tensors
    tensors = {name: (tensor.type, tensor.shape) for name, tensor in found.items()}
    layout = gguf_header.layout(tensors, metadata)
    return layout.header, random_chunks(config, layout.tensors, seed, pad_lead), layout.size


def random_chunks(
    config: ModelConfig, tensors: Iterable[Tensor], seed: int, pad_lead: float | None = None
) -> list[tuple[int, int, Callable[[], np.ndarray]]]:
    """(offset, nbytes, make) of the bytes of placed tensors with Mistral's names; `make()` gives them."""
    chunks = []
    for i, tensor in enumerate(tensors):
        step = tensor.nbytes if len(tensor.shape) != 2 else CHUNK_BLOCKS * block_nbytes(tensor.type)
        for first in range(0, tensor.nbytes, step):
            nbytes = min(step, tensor.nbytes - first)
            chunk = _Chunk(config, tensor, (seed, i, first), first, nbytes, pad_lead)
            chunks.append((tensor.offset + first, nbytes, chunk))
    return chunks


class _Chunk:
    """`nbytes` random bytes of a tensor, from its byte `first` on. Each call gives the same bytes."""

    def __init__(
        self,
        config: ModelConfig,
        tensor: Tensor,
        seed: tuple[int, ...],
        first: int,
        nbytes: int,
        pad_lead: float | None = None,
    ):
        self._config, self._tensor, self._seed, self._first, self._nbytes = config, tensor, seed, first, nbytes
        self._pad_lead = pad_lead

    def __call__(self) -> np.ndarray:
        random = np.random.Generator(np.random.SFC64(self._seed))
        if self._tensor.type in FLOATS:
            return self._floats(random)
        return self._blocks(random) if self._tensor.type == "Q4_0" else self._other_blocks(random)

    def _other_blocks(self, random) -> np.ndarray:
        """All bits are random, but the halves that scale them."""
        blocks = random.integers(0, 256, self._nbytes, np.uint8).reshape(-1, block_nbytes(self._tensor.type))
        for at, factor in HALVES[self._tensor.type]:
            scale = np.float16(factor * self._deviation())
            blocks[:, at : at + 2] = np.frombuffer(scale.tobytes(), np.uint8)
        return blocks.ravel()

    def _blocks(self, random) -> np.ndarray:
        """Nibbles are random bits. Two random bytes choose a block's scale from 65536: +-(0.5 to 1.5) of a mean."""
        words = random.integers(0, 1 << 64, -(-self._nbytes // 8), np.uint64)
        blocks = words.view(np.uint8)[: self._nbytes].reshape(-1, BLOCK_BYTES)
        factors = np.linspace(0.5, 1.5, 1 << 15)
        # The mean square of (nibble - 8) is 21.5, that of the factors is 13/12.
        scales = np.concatenate([factors, -factors]) * (self._deviation() / sqrt(21.5 * 13 / 12))
        chosen = scales.astype("<f2")[np.ascontiguousarray(blocks[:, :2]).view(np.uint16).ravel()]
        if self._tensor.name == checkpoint.EMBEDDING:
            row_blocks = self._tensor.shape[1] // BLOCK_VALUES
            rows = (self._first // BLOCK_BYTES + np.arange(len(chosen))) // row_blocks
            chosen[rows == PAD] *= np.float16(PAD_GAIN)
        if self._pad_lead is not None:
            self._keep_constant(blocks, chosen)
        blocks[:, :2] = chosen.view(np.uint8).reshape(-1, 2)
        return blocks.ravel()

    def _keep_constant(self, blocks, scales) -> None:
        """The last block of columns: constant in the embedding, and 0 in what layers and audio add to it."""
        name, width = self._tensor.name, self._config.decoder.width
        row_blocks = self._tensor.shape[1] // BLOCK_VALUES
        at = self._first // BLOCK_BYTES + np.arange(len(scales))
        if name == checkpoint.EMBEDDING:
            constant = at % row_blocks == row_blocks - 1
            blocks[constant, 2:] = 0x99  # nibbles 9 are worth 1
            scales[constant] = np.float16(self._constant())
            scales[constant & (at // row_blocks == PAD)] = np.float16(PAD_CONSTANT * self._constant())
        elif name == checkpoint.ADAPTER.format(2) or (
            not name.startswith(ENCODER) and name.endswith(("attention.wo.weight", "feed_forward.w2.weight"))
        ):
            scales[at // row_blocks >= width - BLOCK_VALUES] = 0

    def _constant(self) -> float:
        return CONSTANT * EMBEDDING_NORM / sqrt(self._config.decoder.width)

    def _deviation(self) -> float:
        name, width = self._tensor.name, self._config.decoder.width
        if name == checkpoint.EMBEDDING:
            return EMBEDDING_NORM / sqrt(width)
        if name == checkpoint.ADAPTER.format(2):
            return AUDIO_NORM / width
        stack = self._config.encoder if name.startswith(ENCODER) else self._config.decoder
        gains = GAINS | {part: gain / sqrt(stack.layers) for part, gain in SUM_GAINS.items()}
        (gain,) = (gain for part, gain in gains.items() if name.endswith(part + ".weight"))
        return gain / sqrt(prod(self._tensor.shape[1:]))

    def _floats(self, random) -> np.ndarray:
        name, value_bytes = self._tensor.name, block_nbytes(self._tensor.type)
        values = random.standard_normal(self._nbytes // value_bytes, np.float32)
        if name.endswith(".bias"):
            values *= 0.1
        elif name.endswith("norm.weight"):
            values = 1 + 0.2 * values
            if name == checkpoint.DECODER_NORM:
                values *= LOGITS_DEVIATION / EMBEDDING_NORM
            if name == checkpoint.DECODER_NORM and self._pad_lead is not None:
                largest = LOGITS_DEVIATION * (sqrt(2 * log(self._config.vocabulary)) - 0.4)  # of the others' logits
                lead = largest + self._pad_lead * PAD_GAIN * LOGITS_DEVIATION
                products = BLOCK_VALUES * (PAD_CONSTANT - 1) * self._constant() ** 2 / FINAL_DEVIATION
                values[-BLOCK_VALUES:] = lead / products
        else:
            values *= self._deviation()
        if name == checkpoint.EMBEDDING:
            rows = (self._first // value_bytes + np.arange(len(values))) // self._tensor.shape[1]
            values[rows == PAD] *= PAD_GAIN
        if self._tensor.type == "BF16":  # the upper half, which cuts the rest off
            return np.ascontiguousarray(values.view("<u2")[1::2]).view(np.uint8)
        return values.astype("<f4").view(np.uint8)


def file_bytes(header: bytes, chunks, start: int, end: int) -> Iterator[memoryview]:
    """The bytes from `start` to `end` of a file: its header, chunks as of `random_chunks` by offset, zeros between."""
    if start < len(header):
        yield memoryview(header)[start:end]
    at = max(start, len(header))
    for offset, nbytes, make in chunks:
        if offset < end and offset + nbytes > start:
            yield memoryview(bytes(max(0, offset - at)))
            yield memoryview(make())[max(0, start - offset) : end - offset]
            at = min(offset + nbytes, end)
    yield memoryview(bytes(end - at))


def pieces(count: int) -> list[bytes]:
    """A vocabulary as large as the published one: 256 bytes, then words, every other one with a space."""
    syllables = [consonant + vowel for consonant in "bdfgklmnprstvwyz" for vowel in "aeiou"]

    def piece(rank: int) -> bytes:
        if rank < 256:
            return bytes([rank])
        word, left = "", rank
        while left:
            left, syllable = divmod(left, len(syllables))
            word += syllables[syllable]
        return (" " * (rank % 2) + word).encode()

    return [piece(rank) for rank in range(count)]


def main():
    parser = argparse.ArgumentParser(description=SUMMARY, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to make")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--type", choices=["Q4_0", "BF16", *HALVES], default="Q4_0", help="of the matrices (default: Q4_0)"
    )
    parser.add_argument(
        "--pad-lead",
        type=float,
        metavar="X",
        help="how often the pad token comes, for measuring files with drafts: with -0.46 (--small) as in speech",
    )
    parser.add_argument(
        "--small", action="store_true", help="a thousandth of the size, in shards of 256 KiB with pieces of 64 KiB"
    )
    parser.add_argument(
        "--layers", type=int, nargs=2, metavar=("ENCODER", "DECODER"), help="fewer layers, of the same width"
    )
    arguments = parser.parse_args()
    if arguments.out.exists():
        sys.exit(f"tools/synthetic.py: {arguments.out} exists already: name another folder.")
    if arguments.pad_lead is not None and arguments.type == "BF16":
        parser.error("--pad-lead is for types in blocks alone")
    config = SMALL if arguments.small else VOXTRAL_4B
    if arguments.layers:
        encoder, decoder = arguments.layers
        config = replace(
            config, encoder=replace(config.encoder, layers=encoder), decoder=replace(config.decoder, layers=decoder)
        )
    since = time.perf_counter()
    shard_bytes, piece_bytes = (1 << 18, 1 << 16) if arguments.small else (shards.SHARD_BYTES, shards.PIECE_BYTES)
    if arguments.type == "BF16":
        write_safetensors(arguments.out, config, seed=arguments.seed)
    else:
        write_model(
            arguments.out,
            config,
            seed=arguments.seed,
            type=arguments.type,
            pad_lead=arguments.pad_lead,
            shard_bytes=shard_bytes,
            piece_bytes=piece_bytes,
        )
    nbytes = sum(file.stat().st_size for file in arguments.out.iterdir() if file.suffix != ".json")
    print(f"{arguments.out}: {nbytes:,} bytes of weights in {time.perf_counter() - since:.1f} s")


if __name__ == "__main__":
    main()
