"""Records dispatches: one method per formula, which says what the shader is bound to, its grid and its variant.

Most formulas are one shader; `linear` chooses between ten, `attention` between three, and `embed` between two.

A recorder (`Kernels`) has fixed `Variants`, so that what it records follows from its arguments alone; `plan` compiles.
Arguments are buffers unless a type or a keyword says otherwise. Shapes are f32 unless they say otherwise; the
shaders' headers have the formulas. `step` is the small uniform buffer that is written once per step (`pack_step`);
everything else is fixed when a plan is recorded.
"""

import asyncio
import struct
from copy import copy
from dataclasses import dataclass, field, replace

from voxtab.config import Stack
from voxtab.gpu.device import Device
from voxtab.gpu.variants import MOST_SPLITS, TILE_OUTPUTS, TILE_ROWS, Variants

# Of weights, as parts/types and parts/block_types of the shaders number them.
TYPE_CODES = {
    "F32": 0,
    "F16": 1,
    "BF16": 2,
    "Q4_0": 3,
    "Q4_1": 4,
    "Q5_0": 5,
    "Q5_1": 6,
    "Q8_0": 7,
    "Q4_K": 8,
    "Q5_K": 9,
    "Q6_K": 10,
}
# Those of parts/block_types: bytes of a block of 32 in `weights`, and of 8 blocks in `scales`.
BLOCK_TYPES = {
    "Q4_1": (16, 32),
    "Q5_0": (16, 48),
    "Q5_1": (16, 64),
    "Q8_0": (32, 16),
    "Q4_K": (16, 20),
    "Q5_K": (16, 52),
    "Q6_K": (16, 84),
}
STORE, GELU, ADD, SILU, HEADS, IN_PARAMS = range(6)  # linear's endings
TOKENS_RING = 256  # ids kept on the GPU, by position; element 256 holds the position reached
ANGLES_FINE = 512  # positions in RoPE's fine table
MAX_ROWS = 4  # most rows of x that an invocation of linear_plain or linear_floats takes
MAX_GRID = 65535
ATTENTION_QUERIES = 64  # of a head, in a workgroup of attention_tile
ARGMAX_RUN = 2048  # logits that a workgroup of argmax takes
TOP_LOGITS = 4  # alternatives to a token, itself included, in shaders/top_logits.wgsl
TOP_WORDS = 2 * TOP_LOGITS + 1  # u32: each one's index and value, and the logarithm of the sum


def pack_step(position: int, rotation: int, capacity: int, audio_row: int = 0) -> bytes:
    """`struct Step` of shaders/parts/step.wgsl, as it lies in a step's uniform buffer of 16 bytes."""
    return struct.pack("<4I", position, rotation, capacity, audio_row)


@dataclass(frozen=True)
class Part:
    """Rows of a matrix of one type that fit one binding, from row `first` on."""

    type: str
    first: int
    rows: int
    weights: int  # buffer: values as in the file, or nibbles, or bytes
    scales: int  # buffer: scales of types with blocks, otherwise unused


@dataclass(frozen=True)
class Matrix:
    """A weight [rows, columns] on the GPU. Gate and up are stacked part by part (`load.py`).

    Only wq, wk and wv, stacked, can have several types.
    """

    rows: int
    columns: int
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Dispatch:
    """One run of a kernel."""

    kernel: str  # its file in shaders/, without the suffix
    constants: tuple[tuple[str, float], ...]  # its overrides, sorted by name
    params: tuple[int, ...]  # u32 values of its `Params`
    buffers: tuple[int, ...]  # bound after the params, in the shader's order
    grid: tuple[int, int, int]  # workgroups


@dataclass(frozen=True)
class Heads:
    """What `linear` needs for the HEADS ending: whose heads, RoPE, and the cache that keys and values go to."""

    stack: Stack
    half_rope: bool  # pairs are j, j + head_dim / 2 of a head instead of 2j, 2j + 1
    angles: int  # [coarse + ANGLES_FINE, head_dim / 2, 2]: `rope.table`
    cache: int  # [capacity, 2 (k, v), kv_heads, head_dim] f16 or f32
    cache_f16: bool


@dataclass(frozen=True)
class _Made:
    """Cache shared by a recorder and those from its `with_variants`: pipelines, buffers of parameters, bind groups."""

    pipelines: dict[tuple, int] = field(default_factory=dict)
    compiling: dict[tuple, asyncio.Future] = field(default_factory=dict)  # those that are not pipelines yet
    params: dict[tuple, int] = field(default_factory=dict)
    binds: dict[tuple, int] = field(default_factory=dict)


def spread(groups: int) -> tuple[int, int]:
    """Workgroups over two dimensions, as WebGPU allows at most 65535 in one; shaders count first + second * width."""
    height = -(-groups // MAX_GRID)
    return -(-groups // height), height


class Kernels:
    """Records dispatches for one device in given variants, and keeps pipelines, parameters and bind groups."""

    def __init__(self, device: Device, variants: Variants | None = None):
        self.device = device
        self._variants = variants or Variants.of(device.adapter)
        self._made = _Made()
        self.unused = device.buffer(16, "unused", uniform=True)  # placeholder for unused inputs
        self._unwritten = device.buffer(16, "unwritten")  # placeholder for unused outputs

    @property
    def variants(self) -> Variants:
        return self._variants

    def with_variants(self, **fields) -> "Kernels":
        """A recorder with other variants that shares everything made with this one."""
        other = copy(self)
        other._variants = replace(self._variants, **fields)
        return other

    # --- one method per formula

    def mel(self, step, samples, waves, filters, out, *, frames, frames_per_position, context, taps) -> Dispatch:
        """samples [160 (frames - 1) + 400], waves [400, 2], filters [128, 1 + taps] -> log-mel, out [frames, 128].

        The first `context` frames lie before `step`'s position; those before the stream's start are zero.
        """
        return self._dispatch(
            "mel",
            {"TAPS": taps},
            (frames, frames_per_position, context, 0),
            (step, samples, waves, filters, out),
            (frames, 1, 1),
        )

    def conv(
        self, step, x, matrix: Matrix, bias, out, *, stride, rows, zero_rows=0, rows_per_position=1, sums=None
    ) -> list[Dispatch]:
        """x [stride (rows - 1) + 3, inputs] -> out [rows, outputs] = gelu(conv(x) + bias).

        matrix [outputs, 3 inputs]: the weights of `conv_taps`; bias [outputs]. It is the product of three rows of x,
        which lie one after another, with the matrix: `linear`, of rows that overlap. The first `zero_rows` rows of a
        stream lie before its first position and are zero. `sums` is `linear`'s, not for convolutions with such rows.
        """
        assert not (zero_rows and sums)
        rows_of_x: dict[str, float] = {"X_STRIDE": stride * matrix.columns // 3}
        if zero_rows:
            rows_of_x |= {"ZERO_ROWS": zero_rows, "ROWS_PER_POSITION": rows_per_position}
        return self.linear(step, x, matrix, out, rows=rows, ending=GELU, bias=bias, sums=sums, rows_of_x=rows_of_x)

    def linear(
        self,
        step,
        x,
        matrix: Matrix,
        out,
        *,
        rows,
        ending=STORE,
        norm: tuple[int, float] | None = None,
        bias=None,
        heads: Heads | None = None,
        sums: int | None = None,
        rows_of_x: dict[str, float] | None = None,
    ) -> list[Dispatch]:
        """x [rows, columns], matrix [outputs, columns] -> out [rows, outputs]; a dispatch for each part of the matrix.

        `norm`: gain [columns] and epsilon of an RMS norm of x in front; `bias` [outputs] is added. The ending
        says what becomes of the sums y: STORE out = y, GELU out = gelu(y), ADD out += y, SILU out [rows, outputs / 2] =
        silu(gate) * up; with `heads` it is HEADS, queries to out [rows, heads, head_dim], keys and values to the cache.

        Few rows go to `linear_staged` if the weights are in blocks and to `linear_floats` if they are floats, or to
        `linear_plain`; many to `linear_tile`. With `sums`, a buffer of `split_sums(rows, outputs)` bytes, several of
        its workgroups may share the columns of a tile, and `linear_join` adds up what each of them made; this is not
        for SILU, HEADS and norms. `rows_of_x` are constants of `conv`.
        """
        splits = self.variants.tile_splits(rows, matrix.rows, matrix.columns) if sums is not None else 1
        joins = []
        if splits > 1:
            assert sums is not None and ending != SILU and not norm and not heads and len(matrix.parts) == 1
            joins = [self.linear_join(sums, bias, out, rows=rows, outputs=matrix.rows, splits=splits, ending=ending)]
            out, ending, bias = sums, STORE, None  # [splits, rows, outputs]
        constants = {**(rows_of_x or {})}
        gain, epsilon = norm or (self.unused, 0.0)
        if norm:
            constants |= {"NORM": 1, "EPSILON": epsilon}
        if heads:
            constants |= {
                "HEADS": heads.stack.heads,
                "KV_HEADS": heads.stack.kv_heads,
                "HEAD_DIM": heads.stack.head_dim,
                "HALF_ROPE": heads.half_rope,
                "ANGLES_FINE": ANGLES_FINE,
                "CACHE_F16": heads.cache_f16,
            }
        width = matrix.rows // 2 if ending == SILU else matrix.rows
        dispatches = []
        for part in matrix.parts:
            kernel, shape, high, wide = self._linear_kernel(part.type, rows, matrix, splits)
            if heads and part.first:
                shape = shape | {"FIRST_PAIR": part.first // 2}
            compiled_ending = {"ENDING": HEADS if heads else ending} | ({"BIAS": 1} if bias else {})
            # `linear_plain` is compiled once for all shapes and most endings: a software GPU has no other, and compiles
            # slowly.
            if kernel == "linear_plain":
                shape = shape | (compiled_ending if heads else {"ENDING": IN_PARAMS})
            else:
                shape = shape | {"COLUMNS": matrix.columns, "HEIGHT": part.rows} | compiled_ending
            dispatches.append(
                self._dispatch(
                    kernel + ("_blocks" if part.type in BLOCK_TYPES else ""),
                    constants | {"TYPE": TYPE_CODES[part.type]} | shape,
                    (
                        rows,
                        matrix.columns,
                        part.rows,
                        part.first // 2 if ending == SILU else part.first,
                        width,
                        ending,
                        int(bias is not None),
                    ),
                    (
                        step,
                        x,
                        part.weights,
                        part.scales,
                        gain,
                        bias or self.unused,
                        heads.angles if heads else self.unused,
                        heads.cache if heads else self._unwritten,
                        out,
                    ),
                    # Workgroups that read the same weights follow each other, so that a GPU's cache has them.
                    (-(-rows // high) * splits, *spread(-(-part.rows // wide))),
                )
            )
        return dispatches + joins

    def linear_join(self, sums, bias, out, *, rows, outputs, splits, ending) -> Dispatch:
        """sums [splits, rows, outputs], bias [outputs] or None -> out [rows, outputs] = ending(all sums + bias)."""
        return self._dispatch(
            "linear_join",
            {"SPLITS": splits, "ENDING": ending} | ({"BIAS": 1} if bias else {}),
            (rows, outputs),
            (sums, bias or self.unused, out),
            (*spread(-(-rows * outputs // 4 // self.variants.workgroup)), 1),
        )

    def split_sums(self, rows: int, outputs: int) -> int:
        """Bytes of `linear`'s `sums` for up to `rows` rows of x and `outputs` outputs."""
        return 4 * MOST_SPLITS * rows * outputs if self.variants.tiles else 16

    def _linear_kernel(
        self, type: str, rows: int, matrix: Matrix, splits: int
    ) -> tuple[str, dict[str, float], int, int]:
        """The file for weights of this type, its constants, and how many rows of x and outputs a workgroup makes."""
        layout = self.variants
        shape: dict[str, float]
        if layout.has_tiles(rows, matrix.rows, splits):
            return "linear_tile", {"WORKGROUP": 128, "SPLITS": splits}, TILE_ROWS, TILE_OUTPUTS
        in_blocks = type == "Q4_0" or type in BLOCK_TYPES
        if layout.linear != "plain" and in_blocks:
            kernel = "linear_staged_subgroups" if layout.linear == "staged_subgroups" else "linear_staged"
            staged = layout.staged_shape(rows, matrix.rows, matrix.columns)
            return kernel, {**staged}, staged["ROWS"], staged["WORKGROUP"] // staged["LANES"] * staged["OUTPUTS"]
        high = self._tile(rows)
        if layout.lanes and not in_blocks:
            kernel = "linear_floats_subgroups" if layout.linear == "staged_subgroups" else "linear_floats"
            floats = layout.floats_shape(matrix.rows, matrix.columns // (4 if type == "F32" else 8))
            return kernel, {**floats, "ROWS": high}, high, 4 * floats["WORKGROUP"] // floats["LANES"]
        workgroup, lanes = layout.plain_shape(matrix.columns)
        shape = {"WORKGROUP": workgroup, "LANES": lanes, "ROWS": high}
        if lanes > 1:
            shape |= {"SHARED": workgroup // lanes * 5 * high * (lanes + 1)}
        return "linear_plain", shape, high, 4 * workgroup // lanes

    def attention(
        self, step, q, cache, scratch: tuple[int, int], out, *, rows, stack: Stack, cache_f16
    ) -> list[Dispatch]:
        """q [rows, heads, head_dim], cache [capacity, 2, kv_heads, head_dim] -> out [rows, heads, head_dim].

        `scratch` are two buffers of `attention_scratch(rows, stack)` bytes.
        """
        splits, fours = self._attention_splits(rows, stack), self._attention_fours(rows, stack)
        constants = {
            "HEADS": stack.heads,
            "KV_HEADS": stack.kv_heads,
            "WINDOW": stack.window,
            "CACHE_F16": cache_f16,
        }
        if not self.variants.attention:
            return [
                self._dispatch(
                    "attention_plain",
                    constants | {"WORKGROUP": stack.head_dim // 8},
                    (rows,),
                    (step, q, cache, out),
                    (stack.kv_heads, fours, 1),
                )
            ]
        if tiles := self.attention_tiles(rows, stack):
            return [
                self._dispatch(
                    "attention_tile",
                    constants | {"WORKGROUP": 256, "HEAD_DIM": stack.head_dim},
                    (rows,),
                    (step, q, cache, out),
                    (stack.kv_heads, tiles, 1),
                )
            ]
        split_results, split_sums = (out, self._unwritten) if splits == 1 else scratch
        attention = self._dispatch(
            "attention",
            constants | {"WORKGROUP": self._attention_workgroup(stack), "HEAD_DIM": stack.head_dim, "SPLITS": splits},
            (rows,),
            (step, q, cache, split_sums, split_results),
            (stack.kv_heads, fours, splits),
        )
        if splits == 1:
            return [attention]
        return [attention, self.attention_join(split_results, split_sums, out, rows=rows, stack=stack, splits=splits)]

    def attention_join(self, split_results, split_sums, out, *, rows, stack: Stack, splits) -> Dispatch:
        """[rows, heads, splits, head_dim] and their sums [rows, heads, splits, 2] -> out [rows, heads, head_dim]."""
        return self._dispatch(
            "attention_join",
            {"WORKGROUP": stack.head_dim, "HEAD_DIM": stack.head_dim, "SPLITS": splits},
            (rows * stack.heads,),
            (split_results, split_sums, out),
            (*spread(rows * stack.heads), 1),
        )

    def attention_tiles(self, rows: int, stack: Stack) -> int:
        """Workgroups of `attention_tile` for a key-value head's queries; 0: another kernel makes them."""
        tiles = -(-rows * stack.heads // stack.kv_heads // ATTENTION_QUERIES)
        most, fits = self.variants.attention_tiles, self.variants.attention and stack.head_dim in (32, 64)
        return tiles if fits and 0 < most <= stack.kv_heads * tiles else 0

    def _attention_workgroup(self, stack: Stack) -> int:
        return min(self.variants.attention, 2 * stack.head_dim)

    def _attention_fours(self, rows: int, stack: Stack) -> int:
        """Workgroups for the queries of a key-value head: four queries each."""
        return -(-rows * stack.heads // stack.kv_heads // 4)

    def _attention_splits(self, rows: int, stack: Stack) -> int:
        """Workgroups that share the keys of four queries. With a full window, each has a tile or more."""
        if not self.variants.attention:
            return 1
        groups = stack.kv_heads * self._attention_fours(rows, stack)
        most = min(self.variants.attention_splits, stack.window // (self._attention_workgroup(stack) // 4))
        return max(1, min(self.variants.attention_groups // groups, most))

    def attention_scratch(self, rows: int, stack: Stack) -> tuple[int, int]:
        """Bytes of the splits' results and of their sums, enough for up to `rows` rows."""
        splits = max(n * stack.heads * self._attention_splits(n, stack) for n in range(1, rows + 1))
        return 4 * splits * stack.head_dim, 8 * splits

    def rms_norm(self, x, gain, out, *, rows, columns, epsilon) -> Dispatch:
        """x [rows, columns], gain [columns] -> out [rows, columns]."""
        return self._dispatch(
            "rms_norm",
            {"WORKGROUP": 256 if self.variants.lanes else 64, "EPSILON": epsilon},
            (rows, columns),
            (x, gain, out),
            (rows, 1, 1),
        )

    def embed(self, step, audio, tokens, matrix: Matrix, out, *, rows, known, draft) -> list[Dispatch]:
        """audio [block_tokens, columns] + matrix [vocabulary, columns] at the rows' tokens -> out [rows, columns].

        The tokens of the first `known` rows are in the ring `tokens`; the token of the others is `draft`.
        """
        return [
            self._dispatch(
                "embed_blocks" if part.type in BLOCK_TYPES else "embed",
                {"TYPE": TYPE_CODES[part.type], "TOKENS": TOKENS_RING},
                (rows, matrix.columns, part.rows, part.first, known, draft),
                (step, audio, tokens, part.weights, part.scales, out),
                (-(-matrix.columns // 4 // self.variants.workgroup), rows, 1),
            )
            for part in matrix.parts
        ]

    def argmax(self, logits, best, *, rows, columns) -> Dispatch:
        """logits [rows, columns] -> best [rows, columns / ARGMAX_RUN, 2] u32: each run's largest and its index."""
        return self._dispatch(
            "argmax",
            {"WORKGROUP": 256 if self.variants.lanes else 32, "RUN": ARGMAX_RUN},
            (rows, columns),
            (logits, best),
            (-(-columns // ARGMAX_RUN), rows, 1),
        )

    def top_logits(self, step, logits, top, *, rows, columns) -> Dispatch:
        """logits [rows, columns] -> each row's TOP_LOGITS largest, in the ring top [TOKENS_RING, TOP_WORDS] u32."""
        return self._dispatch(
            "top_logits",
            {"WORKGROUP": 256 if self.variants.lanes else 32, "TOKENS": TOKENS_RING},
            (columns,),
            (step, logits, top),
            (rows, 1, 1),
        )

    def next_token(self, best, tokens, step, *, rows, columns, draft) -> Dispatch:
        """best of `argmax` -> the tokens after step's position, in tokens [TOKENS_RING + 1] u32; step moves on, too."""
        return self._dispatch(
            "next_token",
            {"TOKENS": TOKENS_RING, "ROWS": rows},
            (-(-columns // ARGMAX_RUN), columns, draft),
            (best, tokens, step),
            (1, 1, 1),
        )

    def delay_gain(self, norm, ada, out, *, columns) -> Dispatch:
        """norm, ada [columns] -> out [columns] = norm * (1 + ada)."""
        return self._dispatch(
            "delay_gain", {}, (columns,), (norm, ada, out), (-(-columns // self.variants.workgroup), 1, 1)
        )

    def rotate_keys(self, angles, cache, *, capacity, stack: Stack, cache_f16) -> Dispatch:
        """angles [head_dim / 2, 2], cache [capacity, 2, kv_heads, head_dim]: every key rotated back by the angles."""
        pairs = stack.kv_heads * stack.head_dim // 2
        return self._dispatch(
            "rotate_keys",
            {"KV_HEADS": stack.kv_heads, "HEAD_DIM": stack.head_dim, "CACHE_F16": cache_f16},
            (capacity,),
            (angles, cache),
            (-(-pairs // self.variants.workgroup), *spread(capacity)),
        )

    def repack_q4_0(self, raw, nibbles, scales, *, blocks, first_block) -> Dispatch:
        """raw [blocks, 18] bytes of the file -> nibbles [blocks, 4] u32, scales [blocks] f16, from first_block on."""
        assert first_block % 2 == 0, "two scales share a word"
        return self._dispatch(
            "repack_q4_0",
            {},
            (blocks, first_block),
            (raw, nibbles, scales),
            (*spread(-(-blocks // 2 // self.variants.workgroup)), 1),
        )

    def repack_blocks(self, raw, weights, scales, *, type, blocks, first_block) -> Dispatch:
        """raw: blocks of 32 values of a type of BLOCK_TYPES, as in the file -> weights, scales, from first_block on."""
        per_invocation = 8 if type.endswith("_K") else 2
        assert first_block % per_invocation == 0, "blocks share words"
        return self._dispatch(
            "repack_blocks",
            {"TYPE": TYPE_CODES[type]},
            (blocks, first_block),
            (raw, weights, scales),
            (*spread(-(-blocks // per_invocation // self.variants.workgroup)), 1),
        )

    def conv_taps(self, raw, out, *, type, inputs, rows, first_row) -> Dispatch:
        """raw [rows, inputs, 3] of F32, F16 or BF16 -> out [rows, 3, inputs], from row `first_row` on."""
        words = 3 * inputs if type == "F32" else 3 * inputs // 2
        return self._dispatch(
            "conv_taps",
            {} if type == "F32" else {"HALF": 1},
            (rows * words, first_row * words, inputs),
            (raw, out),
            (*spread(-(-rows * words // self.variants.workgroup)), 1),
        )

    def to_f32(self, raw, out, *, type, count, first) -> Dispatch:
        """raw [count] of F16 or BF16 -> out [count] f32, from `first` on."""
        return self._dispatch(
            "to_f32",
            {"TYPE": TYPE_CODES[type]},
            (count, first),
            (raw, out),
            (-(-count // self.variants.workgroup), 1, 1),
        )

    def fit_q4_0(self, x, packed, *, blocks) -> Dispatch:
        """x [blocks, 32] -> packed [blocks, 18] bytes of a file, with scales of least squared error.

        Both buffers end with a whole pair of blocks.
        """
        return self._dispatch(
            "fit_q4_0", {}, (blocks,), (x, packed), (*spread(-(-blocks // 2 // self.variants.workgroup)), 1)
        )

    # --- from dispatches to a plan

    async def plan(self, dispatches: list[Dispatch]) -> int:
        """Compile what is new, all at once, and make the plan."""
        await self.compile(dispatches)
        return self.plan_compiled(dispatches)

    async def compile(self, dispatches: list[Dispatch]) -> None:
        """Compile what is new: all at once, but one by one on a software GPU, whose compiler needs much memory."""
        if self.device.adapter.is_software:
            for dispatch in dispatches:
                await self._compile(dispatch.kernel, dispatch.constants)
        else:
            await asyncio.gather(*(self._compile(*key) for key in {(d.kernel, d.constants): None for d in dispatches}))

    def plan_compiled(self, dispatches: list[Dispatch], ahead: bool = False) -> int:
        """The plan of dispatches whose kernels are compiled already. `ahead` is `Device.plan`'s."""
        commands = []
        for dispatch in dispatches:
            pipeline = self._made.pipelines[dispatch.kernel, dispatch.constants]
            buffers = (self._param(dispatch.params), *dispatch.buffers)
            key = (pipeline, buffers)
            if key not in self._made.binds:
                self._made.binds[key] = self.device.bind(pipeline, list(buffers))
            commands += [pipeline, self._made.binds[key], *dispatch.grid]
        return self.device.plan(commands, ahead)

    def free(self, buffers: list[int]) -> None:
        """Free buffers and the bind groups with them. Plans with these cannot run any more."""
        gone = {*buffers}
        for key in [key for key in self._made.binds if gone & {*key[1]}]:
            self.device.free(self._made.binds.pop(key))
        for buffer in buffers:
            self.device.free(buffer)

    def close(self) -> None:
        """Free everything that was made with this recorder and those that share it, which cannot be used any more."""
        made = self._made
        handles = *made.binds.values(), *made.params.values(), *made.pipelines.values(), self.unused, self._unwritten
        for handle in handles:
            self.device.free(handle)

    def _dispatch(self, kernel, constants, params, buffers, grid) -> Dispatch:
        constants = {"WORKGROUP": self.variants.workgroup} | constants
        return Dispatch(
            kernel, tuple(sorted((name, float(value)) for name, value in constants.items())), params, buffers, grid
        )

    def _tile(self, rows: int) -> int:
        return min(MAX_ROWS, 1 << (rows - 1).bit_length())

    async def _compile(self, kernel: str, constants: tuple) -> None:
        made, key = self._made, (kernel, constants)
        if key in made.pipelines:
            return
        if key not in made.compiling:
            made.compiling[key] = asyncio.ensure_future(self.device.pipeline(kernel, dict(constants)))
        try:
            made.pipelines[key] = await made.compiling[key]
        finally:
            made.compiling.pop(key, None)  # also if it fails, so that it may be tried again

    def _param(self, values: tuple[int, ...]) -> int:
        if values not in self._made.params:
            self._made.params[values] = self.device.buffer(4 * len(values), "params", uniform=True)
            self.device.write(self._made.params[values], 0, struct.pack(f"<{len(values)}I", *values))
        return self._made.params[values]
