"""How kernels are laid out: what a GPU can do, what a user pins, and the shapes that follow."""

import math
from dataclasses import dataclass, replace
from typing import Any

from voxtab import drafting
from voxtab.errors import UserError
from voxtab.gpu.device import GpuAdapter

STAGED_ROWS = 2  # rows of x that a workgroup of linear_staged takes at most
MOST_BLOCK_TOKENS = 128  # tokens whose states are made at once, at most
FEW_ROWS = 8  # rows of x in a live step or a decoder pass, at most; a file's block has more
KEPT_BYTES = 148  # workgroup memory that linear_staged needs for 32 columns of a row of x
ALIGNMENT_BYTES = 32  # most bytes lost between its variables, as each begins at a multiple of 16
TILE_ROWS, TILE_OUTPUTS = 128, 64  # of a tile of linear_tile
MOST_SPLITS = 4  # workgroups that share the columns of a tile, at most
SPLIT_COLUMNS = 512  # of each of them, at least: what they make must also be added up
FLOATS_WORKGROUP = 128
# Of linear_floats, at least, where the rows are long enough: 500 for each of 132 multiprocessors.
FLOATS_INVOCATIONS = 1 << 16
# The kernels for few rows of x and Q4_0, the plainest first: `linear_plain`, `linear_staged` in f32, `linear_staged`
# with packed dot products, and `linear_staged_subgroups`, which has these too.
LINEAR = "plain", "staged", "staged_packed", "staged_subgroups"
MOST_PERCENT = 10_000
ADAPTER_FACTS = "subgroup", "largest_workgroup", "workgroup_storage"  # fields that are facts: they cannot be pinned
PINS = {  # what the other fields can be, except `linear`, which depends on the GPU
    "workgroup": (64, 128, 256),
    "lanes": (0, 1),
    "tiles": range(1 << 16),
    "attention": (0, 64, 128),
    "attention_tiles": range(1 << 16),
    "attention_groups": range(1, 1 << 16),
    "attention_splits": range(1, 1 << 16),
    "block_tokens": range(1, MOST_BLOCK_TOKENS + 1),
    "drafts": range(FEW_ROWS),
    **{f"pass_{rows}": range(MOST_PERCENT) for rows in drafting.ROWS[1:]},
}


@dataclass(frozen=True)
class Variants:
    """How kernels are laid out on a GPU; the results are the same up to rounding."""

    workgroup: int = 64  # invocations, where no kernel's own size applies
    linear: str = "staged"  # one of LINEAR
    subgroup: int = 1  # invocations in every subgroup; 1: subgroups are not used
    largest_workgroup: int = 256  # invocations
    workgroup_storage: int = 16384  # bytes
    lanes: bool = True  # several invocations share an output row of `linear_floats` and `linear_plain`
    tiles: int = 128  # `linear_tile` makes products that give it at least that many workgroups; 0: it makes none
    attention: int = 128  # workgroup of attention, at most twice a head's dimensions; 0: `attention_plain` instead
    attention_tiles: int = 128  # `attention_tile` is used where it has at least that many workgroups; 0: it never is
    attention_groups: int = 256  # most workgroups for one attention call with few queries
    attention_splits: int = 16  # most workgroups that share one group of queries' keys
    # Tokens whose states are made at once when that much audio is there; a quarter of them at a stream's end.
    block_tokens: int = 128
    # How many next tokens a decoder pass guesses to be pads, where audio waits. None: `drafting` chooses.
    drafts: int | None = 0
    # The time of a decoder pass of 2, 4, 6 and 8 rows in percent of that of one row: for that choice. 0: not tried.
    pass_2: int = 0
    pass_4: int = 0
    pass_6: int = 0
    pass_8: int = 0

    @classmethod
    def of(cls, adapter: GpuAdapter) -> "Variants":
        """What a GPU starts with: `tuning` then looks for its fastest `linear`."""
        if adapter.is_software:  # barriers and workgroup memory cost much: one invocation makes whole rows
            return cls(linear="plain", lanes=False, tiles=0, attention=0, block_tokens=16, drafts=None, pass_4=140)
        return cls(
            # A browser without packed dot products cannot compile even the f32 variant of `linear_staged`, because the
            # file contains packed dots.
            linear="staged" if adapter.packed_dot else "plain",
            drafts=None,
            **{name: getattr(adapter, name) for name in ADAPTER_FACTS},
        )

    @classmethod
    def pinned(cls, adapter: GpuAdapter, pins: str) -> "Variants":
        """The GPU's, with the fields that `pins` names: "linear=plain,tiles=0". UserError for a wrong name or value."""
        variants = cls.of(adapter)
        for pin in pins.split(","):
            name, _, text = pin.partition("=")
            value: int | str = int(text) if text.isdecimal() and len(text) < 6 else text
            if value not in (("plain", *variants.linear_choices) if name == "linear" else PINS.get(name, ())):
                raise UserError(
                    f"{pin[:40]!r} is not a kernel variant: pin, for example, linear=plain, tiles=0 or drafts=3."
                )
            fields: dict[str, Any] = {name: bool(value) if name == "lanes" else value}
            variants = replace(variants, **fields)
        return variants

    @property
    def linear_choices(self) -> tuple[str, ...]:
        """What `linear` can be on this GPU, the plainest first."""
        return ("plain",) if self.linear == "plain" else LINEAR if self.subgroup > 1 else LINEAR[:-1]

    @property
    def pass_costs(self) -> dict[int, float]:
        """The time of a decoder pass by its rows, that of one row being 1: of those that are known."""
        known = {rows: getattr(self, f"pass_{rows}") / 100 for rows in drafting.ROWS[1:]}
        return {1: 1.0} | {rows: cost for rows, cost in known.items() if cost}

    @property
    def pass_rows(self) -> tuple[int, ...]:
        """How many rows decoder passes may have that make tokens: all of `drafting.ROWS` if nothing is known yet."""
        if self.drafts is not None:
            return (1, 1 + self.drafts) if self.drafts else (1,)
        return tuple(self.pass_costs) if len(self.pass_costs) > 1 else drafting.ROWS

    @property
    def found(self) -> str:
        """What was measured on this GPU, as `pinned` takes it: to be kept for the next time."""
        costs = "".join(f",pass_{rows}={round(100 * cost)}" for rows, cost in self.pass_costs.items() if rows > 1)
        return f"linear={self.linear},attention_tiles={self.attention_tiles}{costs}"

    def has_tiles(self, rows: int, outputs: int, splits: int) -> bool:
        """Whether `linear_tile` makes a product of x [rows, ..] and a matrix of so many outputs, in so many splits."""
        workgroups = splits * math.ceil(rows / TILE_ROWS) * math.ceil(outputs / TILE_OUTPUTS)
        return 0 < self.tiles <= workgroups and rows >= TILE_ROWS // 4

    def tile_splits(self, rows: int, outputs: int, columns: int) -> int:
        """How many workgroups of `linear_tile` share the columns of a tile: several only if tiles alone are too few."""
        splits = min(MOST_SPLITS, columns // SPLIT_COLUMNS)
        return splits if not self.has_tiles(rows, outputs, 1) and self.has_tiles(rows, outputs, splits) else 1

    # An H200 ran the shapes below fastest.

    def staged_shape(self, rows: int, outputs: int, columns: int) -> dict[str, int]:
        """`linear_staged`'s constants for x [rows, columns] and a matrix [outputs, columns]."""
        blocks, made, subgroups = columns // 32, 4, self.linear == "staged_subgroups"
        # Two rows of x share what is read of the weights. But if a workgroup could keep only half of each at a time, it
        # is faster to make the two rows one after the other.
        at_once = blocks if blocks % 96 else 96
        kept = min(rows, STAGED_ROWS) if STAGED_ROWS * KEPT_BYTES * at_once <= 4 / 5 * self.workgroup_storage else 1
        most, x_first = blocks, False  # most: how many blocks of x are kept at a time
        if rows > FEW_ROWS:  # a file's block with too few tiles for `linear_tile`: its rows share what is read
            lanes, teams, kept, most = 8, 32, STAGED_ROWS, 64
        elif kept == 2 and blocks > 64:
            lanes, teams, most = _for_two_rows(rows, outputs, blocks, at_once)
        elif rows > 1 and blocks > 128:  # smaller chunks leave room for more workgroups on a multiprocessor
            lanes, teams, most = 32, 10, 96
        elif rows > 1:
            lanes, teams = (8, 20) if blocks <= 48 and outputs >= 8192 else (32, 4) if 48 < blocks <= 64 else (16, 12)
        elif outputs >= 65536:  # four workgroups for each of 128 multiprocessors
            lanes, teams, made, most = 8, 32, 8, blocks if subgroups else 48
        elif outputs >= 16384:  # two; or three if two need too many registers, as shorter loops need fewer
            lanes, teams, most = (16, 18, blocks) if subgroups and self.largest_workgroup >= 16 * 18 else (16, 12, 48)
        else:  # one or a whole number, with registers to spare
            x_first = True
            lanes = 32 if blocks <= 96 else (96 if blocks % 96 == 0 else 64) // (1 if subgroups else 2)
            teams = outputs // 512
        together = math.gcd(lanes, self.subgroup) if subgroups else 1
        # Everything except the blocks of x takes little more than half of a workgroup's memory.
        team_bytes = (
            8 * lanes // together
            + (0 if subgroups else 4 * lanes)
            + 16 * (kept * made // 4 + 1) * (lanes // together + 1)
        )
        teams = max(1, min(teams, self.largest_workgroup // lanes, self.workgroup_storage * 5 // 9 // team_bytes))
        while x_first and outputs // 512 % teams:
            teams -= 1
        room = min(most, (self.workgroup_storage - ALIGNMENT_BYTES - teams * team_bytes) // (KEPT_BYTES * kept))
        chunk = max(size for size in range(1, blocks + 1) if blocks % size == 0 and size <= room)
        return {
            "WORKGROUP": teams * lanes,
            "LANES": lanes,
            "OUTPUTS": made,
            "ROWS": kept,
            "CHUNK": chunk,
            "PACKED": self.linear != "staged",
            "X_FIRST": x_first,
            **({"SUBGROUP": together} if subgroups else {}),
        }

    def floats_shape(self, outputs: int, units: int) -> dict[str, int]:
        """`linear_floats`' constants but ROWS, for a matrix of `outputs` rows of `units` times 16 bytes.

        The fewer rows, the more lanes share one: a GPU needs many invocations for its memory to be busy.
        """
        lanes = 32
        while lanes < FLOATS_WORKGROUP and outputs // 4 * lanes < FLOATS_INVOCATIONS and units >= 4 * lanes:
            lanes *= 2
        shape = {"WORKGROUP": FLOATS_WORKGROUP, "LANES": lanes}
        return shape | ({"SUBGROUP": math.gcd(lanes, self.subgroup)} if self.linear == "staged_subgroups" else {})

    def plain_shape(self, columns: int) -> tuple[int, int]:
        """`linear_plain`'s workgroup and lanes: invocations, and how many of them share four output rows."""
        if not self.lanes:
            return self.workgroup, 1
        blocks = columns // 32
        return (64, 16) if blocks <= 48 else (128, 32) if blocks <= 128 else (128, 64)


def _for_two_rows(rows: int, outputs: int, blocks: int, at_once: int) -> tuple[int, int, int]:
    """Lanes, teams and most blocks kept of a workgroup that takes two of the rows of x; others take the next two.

    At most `at_once` blocks can be kept.
    """
    if outputs >= 65536:
        return 8, 64, at_once
    if blocks <= 96:
        eight = rows > 4 or rows == 2 and outputs >= 16384
        return (8, 48, at_once) if eight else (16, 24, at_once) if rows > 2 else (32, 12, at_once)
    if rows > 4 and blocks <= 128:
        return 16, 12, 64
    return (32, 12, at_once) if rows > 2 else (64, 6, at_once)
