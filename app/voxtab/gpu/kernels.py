"""One function per shader: what it is bound to, its grid, and its variant. Recording is pure; `plan` compiles.

Shapes are in the shaders' headers. `step` is the small uniform buffer that is written once per step
(position, rotation, capacity, audio_row); everything else is fixed when a plan is recorded.
"""

import asyncio
import struct
from dataclasses import dataclass

from voxtab.config import Stack
from voxtab.gpu.device import Device

TYPE_CODES = {"F32": 0, "F16": 1, "BF16": 2, "Q4_0": 3}
STORE, GELU, ADD, SILU, HEADS = range(5)    # linear's endings
TOKENS_RING = 256                           # ids kept on the GPU, by position
ANGLES_FINE = 512                           # positions in RoPE's fine table
MAX_ROWS = 4                                # rows of x that an invocation of linear or conv takes at most
MAX_GRID = 65535
SPLIT_KEYS = 1024                           # keys of a long window that one workgroup of attention takes at most


@dataclass(frozen=True)
class Part:
    """Rows of a matrix that fit one binding, from row `first` on."""

    first: int
    rows: int
    weights: int                            # buffer: values as in the file, or Q4_0 nibbles
    scales: int                             # buffer: f16 scales of Q4_0, otherwise unused


@dataclass(frozen=True)
class Matrix:
    """A weight [rows, columns] on the GPU. Gate and up are stacked part by part (`load.py`)."""

    type: str
    rows: int
    columns: int
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Variants:
    """How kernels are laid out on an adapter; the results are the same up to rounding."""

    workgroup: int = 64
    lanes: int = 32                         # invocations that share an output row

    @classmethod
    def of(cls, info: dict[str, str]) -> "Variants":
        """Barriers are what costs on a software adapter: there one invocation makes a whole row."""
        return cls(lanes=1) if info["adapter_type"] == "CPU" else cls()


@dataclass(frozen=True)
class Dispatch:
    kernel: str
    constants: tuple[tuple[str, float], ...]
    params: tuple[int, ...]
    buffers: tuple[int, ...]
    grid: tuple[int, int, int]


def attention_splits(heads: Stack) -> int:
    """Workgroups that share one query's keys."""
    return -(-heads.window // SPLIT_KEYS)


def attention_scratch(rows: int, heads: Stack) -> tuple[int, int]:
    """Bytes of attention's `parts` and `runs`."""
    runs = rows * heads.heads * attention_splits(heads)
    return 4 * runs * heads.head_dim, 8 * runs


def spread(groups: int) -> tuple[int, int]:
    """Workgroups over x and y, as WebGPU allows at most 65535 in a dimension; shaders count x + y * width."""
    height = -(-groups // MAX_GRID)
    return -(-groups // height), height


class Kernels:
    """Records dispatches for one device, and keeps its pipelines, parameters and bind groups."""

    def __init__(self, device: Device, variants: Variants | None = None):
        self.device = device
        self.variants = variants or Variants.of(device.info)
        self._pipelines: dict[tuple, asyncio.Future] = {}
        self._params: dict[tuple, int] = {}
        self._binds: dict[tuple, int] = {}
        self.unused = device.buffer(16, "unused")           # bound where a variant reads nothing
        self._unwritten = device.buffer(16, "unwritten")    # and where it writes nothing

    # --- one method per shader

    def mel(self, step, samples, waves, filters, out, *, frames, frames_per_position, context, taps) -> Dispatch:
        return self._dispatch("mel", {"TAPS": taps}, (frames, frames_per_position, context, 0),
                              (step, samples, waves, filters, out), (frames, 1, 1))

    def conv(self, step, x, weights, bias, out, *, type, stride, rows, inputs, outputs, rows_per_position, context) -> Dispatch:
        tile = self._tile(rows)
        return self._dispatch("conv", {"LANES": self.variants.lanes, "ROWS": tile, "STRIDE": stride, "TYPE": TYPE_CODES[type]},
                              (rows, inputs, outputs, rows_per_position, context), (step, x, weights, bias, out),
                              (*spread(self._groups(outputs)), -(-rows // tile)))

    def linear(self, step, x, matrix: Matrix, out, *, rows, ending=STORE, gain=None, epsilon=0.0, bias=None,
               heads: Stack | None = None, half_rope=False, angles=None, cache=None, cache_f16=True) -> list[Dispatch]:
        """`gain` asks for the norm in front, `bias` adds one; the HEADS ending wants everything from `heads` on."""
        tile = self._tile(rows)
        constants = {"LANES": self.variants.lanes, "ROWS": tile, "TYPE": TYPE_CODES[matrix.type], "ENDING": ending}
        if gain:
            constants |= {"NORM": 1, "EPSILON": epsilon}
        if bias:
            constants |= {"BIAS": 1}
        if ending == HEADS:
            constants |= {"HEADS": heads.heads, "KV_HEADS": heads.kv_heads, "HEAD_DIM": heads.head_dim,
                          "HALF_ROPE": half_rope, "ANGLES_FINE": ANGLES_FINE, "CACHE_F16": cache_f16}
        width = matrix.rows // 2 if ending == SILU else matrix.rows
        return [self._dispatch(
            "linear", constants,
            (rows, matrix.columns, part.rows, part.first // 2 if ending == SILU else part.first, width),
            (step, x, part.weights, part.scales, gain or self.unused, bias or self.unused, angles or self.unused,
             cache or self._unwritten, out),
            (*spread(self._groups((part.rows + 1) // 2)), -(-rows // tile))) for part in matrix.parts]

    def attention(self, step, q, cache, parts, runs, out, *, rows, heads: Stack, cache_f16) -> list[Dispatch]:
        """`parts` and `runs` are scratch for `attention_scratch(rows, heads)` values; a window of one split needs none."""
        splits = attention_splits(heads)
        whole = splits == 1
        attention = self._dispatch(
            "attention", {"HEADS": heads.heads, "KV_HEADS": heads.kv_heads, "HEAD_DIM": heads.head_dim,
                          "WINDOW": heads.window, "SPLITS": splits, "CACHE_F16": cache_f16},
            (rows,), (step, q, cache, self._unwritten if whole else runs, out if whole else parts), (heads.kv_heads, rows, splits))
        return [attention] if whole else [attention, self._join_attention(parts, runs, out, rows=rows, heads=heads, splits=splits)]

    def _join_attention(self, parts, runs, out, *, rows, heads: Stack, splits) -> Dispatch:
        values = rows * heads.heads * heads.head_dim
        return self._dispatch("join_attention", {"HEAD_DIM": heads.head_dim, "SPLITS": splits}, (values,), (parts, runs, out),
                              (-(-values // self.variants.workgroup), 1, 1))

    def rms_norm(self, x, gain, out, *, rows, columns, epsilon) -> Dispatch:
        return self._dispatch("rms_norm", {"EPSILON": epsilon}, (rows, columns), (x, gain, out), (rows, 1, 1))

    def embed(self, step, audio, tokens, matrix: Matrix, out, *, rows) -> list[Dispatch]:
        return [self._dispatch("embed", {"TYPE": TYPE_CODES[matrix.type], "TOKENS": TOKENS_RING},
                               (rows, matrix.columns, part.rows, part.first),
                               (step, audio, tokens, part.weights, part.scales, out),
                               (-(-matrix.columns // 4 // self.variants.workgroup), rows, 1)) for part in matrix.parts]

    def argmax(self, step, logits, tokens, *, rows, columns) -> Dispatch:
        return self._dispatch("argmax", {"TOKENS": TOKENS_RING, "WORKGROUP": 256}, (rows, columns),
                              (step, logits, tokens), (rows, 1, 1))

    def delay_gain(self, norm, ada, out, *, columns) -> Dispatch:
        return self._dispatch("delay_gain", {}, (columns,), (norm, ada, out), (-(-columns // self.variants.workgroup), 1, 1))

    def turn_keys(self, angles, cache, *, capacity, heads: Stack, cache_f16) -> Dispatch:
        pairs = heads.kv_heads * heads.head_dim // 2
        return self._dispatch("turn_keys", {"KV_HEADS": heads.kv_heads, "HEAD_DIM": heads.head_dim, "CACHE_F16": cache_f16},
                              (capacity,), (angles, cache), (-(-pairs // self.variants.workgroup), *spread(capacity)))

    def split_q4_0(self, raw, nibbles, scales, *, blocks, first_block) -> Dispatch:
        assert first_block % 2 == 0, "two scales share a word"
        return self._dispatch("split_q4_0", {}, (blocks, first_block), (raw, nibbles, scales),
                              (*spread(-(-blocks // 2 // self.variants.workgroup)), 1))

    def widen(self, raw, out, *, type, count, first) -> Dispatch:
        return self._dispatch("widen", {"TYPE": TYPE_CODES[type]}, (count, first), (raw, out),
                              (-(-count // self.variants.workgroup), 1, 1))

    # --- from dispatches to a plan

    async def plan(self, dispatches: list[Dispatch]) -> int:
        """Compile what is new, all at once, and make the plan."""
        pipelines = await asyncio.gather(*(self._pipeline(d.kernel, d.constants) for d in dispatches))
        commands = []
        for dispatch, pipeline in zip(dispatches, pipelines, strict=True):
            buffers = (self._param(dispatch.params), *dispatch.buffers)
            key = (pipeline, buffers)
            if key not in self._binds:
                self._binds[key] = self.device.bind(pipeline, list(buffers))
            commands += [pipeline, self._binds[key], *dispatch.grid]
        return self.device.plan(commands)

    def forget_binds(self) -> None:
        """Free parameters and bind groups, not pipelines: for plans that run once, such as loading's."""
        for handle in (*self._params.values(), *self._binds.values()):
            self.device.free(handle)
        self._params.clear()
        self._binds.clear()

    def _dispatch(self, kernel, constants, params, buffers, grid) -> Dispatch:
        constants = {"WORKGROUP": self.variants.workgroup} | constants
        return Dispatch(kernel, tuple(sorted((name, float(value)) for name, value in constants.items())), params, buffers, grid)

    def _groups(self, outputs: int) -> int:
        """Workgroups for outputs, or pairs of them, when `lanes` invocations share one."""
        return -(-outputs * self.variants.lanes // self.variants.workgroup)

    def _tile(self, rows: int) -> int:
        return min(MAX_ROWS, 1 << (rows - 1).bit_length())

    def _pipeline(self, kernel: str, constants: tuple) -> asyncio.Future:
        key = (kernel, constants)
        if key not in self._pipelines:
            self._pipelines[key] = asyncio.ensure_future(self.device.pipeline(kernel, dict(constants)))
        return self._pipelines[key]

    def _param(self, values: tuple[int, ...]) -> int:
        if values not in self._params:
            self._params[values] = self.device.buffer(4 * len(values), "params")
            self.device.write(self._params[values], 0, struct.pack(f"<{len(values)}I", *values))
        return self._params[values]
