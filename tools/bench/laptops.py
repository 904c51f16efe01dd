"""What decoder passes of several rows should take on common GPUs: a prediction, for none of them is at hand.

A pass reads every weight once, whatever its rows: workgroups that read the same weights follow each other. It unpacks
a weight once for two rows, and then multiplies. So it takes as long as the slower of both: bytes over the memory's
speed, or instructions over the GPU's. Instructions are counted in the shader's text (`shaders/parts/q4_0_dot.wgsl`), in
f32 and by packed dot products, and the faster of both counts. A sum that goes on from a product or a packed dot comes
with it, as GPUs' instructions have it. What a driver's compiler makes of the text is not known here.
"""

import math
import re
from dataclasses import dataclass

from synthetic import VOXTRAL_4B
from voxtab import resources
from voxtab.drafting import EXPECTED, ROWS
from voxtab.gpu.variants import STAGED_ROWS

MEMORY_SHARE = 0.8  # of the maker's figure that reading reaches
# Of the maker's figure, so that the measured passes of 4 to 8 rows of an H200 come out: bringing x, sums and waits
# take the rest.
INSTRUCTION_SHARE = 0.55
LAUNCHES, LAUNCH_S = 160, 5e-6
BLOCK_BYTES, BLOCK = 18, 32  # of Q4_0


@dataclass(frozen=True)
class Gpu:
    """By its maker's sheet, or as its cores and clocks give it. An FMA is one instruction and two operations."""

    name: str
    gb_per_s: float
    tera_fma: float  # f32
    packed_dot: bool = True  # has an instruction for it; otherwise it takes a dozen others
    integer: float = 1.0  # rate of whole-number instructions and packed dots, as a share of the FMA's


GPUS = (
    Gpu("Apple M2", 100, 1.8, packed_dot=False),
    Gpu("Apple M4 Pro, 20 cores", 273, 3.8, packed_dot=False),  # 2560 lanes at 1.47 GHz
    Gpu("NVIDIA RTX 4060 Laptop", 256, 5.8, integer=0.5),  # 3072 lanes at 1.89 GHz
    Gpu("Intel Arc 140V", 136, 2.0),
    # 768 lanes at 2.7 GHz; its sheet counts two instructions at once, which compilers seldom find.
    Gpu("AMD Radeon 780M", 90, 2.1),
    Gpu("NVIDIA H200", 4800, 33.5, integer=0.5),  # measured: the other tables
)


@dataclass(frozen=True)
class Instructions:
    """For a block of 32 weights: those that rows share, and those of each row; whole-number ones, and others."""

    shared_whole: int
    shared_float: int
    row_whole: int
    row_float: int

    def of_weight(self, rows: int) -> float:
        unpacked = math.ceil(rows / STAGED_ROWS)
        shared, row = self.shared_whole + self.shared_float, self.row_whole + self.row_float
        return (unpacked * shared + rows * row) / BLOCK

    def seconds(self, gpu: Gpu, weights: int, rows: int) -> float:
        unpacked = math.ceil(rows / STAGED_ROWS)
        whole = unpacked * self.shared_whole + rows * self.row_whole
        rest = unpacked * self.shared_float + rows * self.row_float
        fma_times = (whole / gpu.integer + rest) * weights / BLOCK
        return fma_times / (1e12 * gpu.tera_fma * INSTRUCTION_SHARE)


def counted() -> dict[str, Instructions]:
    """{"packed": ..., "f32": ...}, from the text of the products of Q4_0."""
    text = resources.shader("linear_staged")

    def body(name: str) -> str:
        found = re.search(rf"^fn {name}\(.*?\{{(.*?)^\}}", text, re.M | re.S)
        assert found, f"parts/q4_0_dot has no {name}"
        return re.sub(r"//.*", "", found[1])

    packed, word = body("packed_product"), body("in_f32")
    masks, sums = packed.split("let sum2", 1)
    fours = masks.count("&") + masks.count(">>")  # of vectors of four words
    return {
        "packed": Instructions(
            4 * fours,
            0,
            sums.count("dot4") + len(re.findall(r"[+*]", sums.split("return", 1)[1])),
            1 + 1,  # to f32, and times the weights' scale
        ),
        "f32": Instructions(
            4 * (word.count(">>") + 4 * word.count("&")),
            4 * 4 * word.count("vec4f("),  # to f32
            0,
            4 * 4 * word.count("dot(") + 1,  # and times the weights' scale
        ),
    }


def weights_of_a_pass() -> int:
    """Of the 4B model's decoder: its layers, and its embedding as the head."""
    stack = VOXTRAL_4B.decoder
    attention = (2 * stack.heads + 2 * stack.kv_heads) * stack.head_dim * stack.width
    return stack.layers * (attention + 3 * stack.hidden * stack.width) + VOXTRAL_4B.vocabulary * stack.width


def laptops() -> dict:
    """For each GPU, milliseconds of a pass by its rows, what limits it, and of a token of speech with the best rows."""
    weights, variants = weights_of_a_pass(), counted()
    memory_bytes = weights // BLOCK * BLOCK_BYTES
    found = {}
    for gpu in GPUS:
        reading = memory_bytes / (1e9 * gpu.gb_per_s * MEMORY_SHARE)
        passes, limits = {}, {}
        for rows in ROWS:
            able = [name for name in variants if gpu.packed_dot or name == "f32"]
            computing, name = min((variants[name].seconds(gpu, weights, rows), name) for name in able)
            passes[rows] = 1000 * (max(reading, computing) + LAUNCHES * LAUNCH_S)
            limits[rows] = "memory" if reading >= computing else name
        found[gpu.name] = {
            "pass_ms": {rows: round(ms, 2) for rows, ms in passes.items()},
            "limit": limits,
            "token_ms": round(min(ms / EXPECTED[rows] for rows, ms in passes.items()), 2),
        }
    return {
        "step_gb": round(memory_bytes / 1e9, 3),
        "bytes_a_weight": BLOCK_BYTES / BLOCK,
        "instructions_a_weight": {
            name: {rows: round(each.of_weight(rows), 2) for rows in ROWS} for name, each in variants.items()
        },
        "gpus": found,
    }
