"""How kernels are laid out: what an adapter can, what a user pins, and the shapes that follow."""

import math
from dataclasses import dataclass, replace

from voxtab.errors import UserError

STAGED_ROWS = 2  # rows of x that a workgroup of linear_staged takes at most
FEW_ROWS = 8  # rows of x that are a live step's or a decoder pass's; more are those of a file's block
KEPT_BYTES = 148  # of workgroup memory, of linear_staged for 32 columns of x
ALIGNMENT_BYTES = 32  # at most what lies between its variables, which begin at multiples of 16
ROW_VARIANTS = "few", "f32", "packed", "subgroups"  # of the product for one row, the plainest first
OF_THE_ADAPTER = "subgroup", "largest_workgroup", "workgroup_storage"  # fields of Variants that are facts and no choice
PINS = {  # what its other fields can be, but `row`, which depends on the adapter
    "workgroup": (64, 128, 256),
    "lanes": (0, 1),
    "tiles": range(1 << 16),
    "attention": (0, 64, 128, 256),
    "attention_groups": range(1, 1 << 16),
    "attention_splits": range(1, 1 << 16),
    "block_tokens": range(1, 65),
    "drafts": range(FEW_ROWS),
}


@dataclass(frozen=True)
class Variants:
    """How kernels are laid out on an adapter; the results are the same up to rounding."""

    workgroup: int = 64  # where nothing else is said
    row: str = "f32"  # few rows of x: by `linear_staged` in "f32", "packed" or that with "subgroups"; or as "few"
    subgroup: int = 1  # invocations that every subgroup has; 1: none are used
    largest_workgroup: int = 256
    workgroup_storage: int = 16384  # bytes
    lanes: bool = True  # in `linear` invocations share output rows
    tiles: int = 256  # from so many tiles on a product is made by `linear_tile`; 0: never
    attention: int = (
        128  # workgroup of attention, 64 to 256, at most twice a head's dimensions; 0: by `attention_plain`
    )
    attention_groups: int = 256  # workgroups of attention that few queries are split into
    attention_splits: int = 16  # and of those at most so many for the same queries
    block_tokens: int = 64  # tokens whose states are made at once when that much audio is there
    drafts: int = 0  # pads that a decoder pass over such a block takes beside its one known token

    @classmethod
    def of(cls, info: dict[str, str]) -> "Variants":
        """Barriers and workgroup memory are what costs on a software adapter: there one invocation makes whole rows."""
        if info["adapter_type"] == "CPU":
            return cls(row="few", lanes=False, tiles=0, attention=0, block_tokens=16, drafts=3)
        # A browser without the packed dot product would refuse all of `linear_staged`.
        return cls(
            row="f32" if info.get("packed_dot", True) else "few",
            **{name: info[name] for name in OF_THE_ADAPTER if name in info},
        )

    @classmethod
    def pinned(cls, info: dict[str, str], pins: str) -> "Variants":
        """The adapter's, with some fields as `pins` says, "row=few,tiles=0". UserError if it names what there is not."""
        variants = cls.of(info)
        for pin in pins.split(","):
            name, _, text = pin.partition("=")
            value = int(text) if text.isdecimal() and len(text) < 6 else text
            if value not in (("few", *variants.row_variants) if name == "row" else PINS.get(name, ())):
                raise UserError(
                    f"{pin[:40]!r} is no variant of the kernels: pin, for example, row=few, tiles=0 or drafts=3."
                )
            variants = replace(variants, **{name: bool(value) if name == "lanes" else value})
        return variants

    @property
    def row_variants(self) -> tuple[str, ...]:
        """What `row` can be on this adapter."""
        return ("few",) if self.row == "few" else ROW_VARIANTS if self.subgroup > 1 else ROW_VARIANTS[:-1]

    # What follows is what an H200 was seen to be fastest with.

    def of_staged(self, rows: int, outputs: int, columns: int) -> dict[str, int]:
        """`linear_staged`'s shape for so many rows of x, and a matrix's rows and columns."""
        blocks, made, subgroups = columns // 32, 4, self.row == "subgroups"
        # Two rows share what is read of the weights; but of few, to keep half of both at a time is slower than one after another.
        kept = min(rows, STAGED_ROWS) if STAGED_ROWS * KEPT_BYTES * blocks <= 3 / 4 * self.workgroup_storage else 1
        most, x_first = blocks, False  # blocks of x that are kept at a time
        if rows > FEW_ROWS:  # a file's block, of too few tiles for `linear_tile`: its rows share what is read
            lanes, teams, kept, most = 8, 32, STAGED_ROWS, 64
        elif rows > 1 and blocks > 128:  # smaller chunks leave a multiprocessor room for more workgroups
            lanes, teams, most = 32, 10, 96
        elif rows > 1:
            lanes, teams = (8, 20) if blocks <= 48 and outputs >= 8192 else (32, 4) if 48 < blocks <= 64 else (16, 12)
        elif outputs >= 65536:  # four workgroups for each of 128 multiprocessors
            lanes, teams, made, most = 8, 32, 8, blocks if subgroups else 48
        elif outputs >= 16384:  # two, or three where these would take too many registers: short loops take fewer
            lanes, teams, most = (16, 18, blocks) if subgroups and self.largest_workgroup >= 16 * 18 else (16, 12, 48)
        else:  # one, or a whole number, with registers to spare
            x_first = True
            lanes = 32 if blocks <= 96 else (96 if blocks % 96 == 0 else 64) // (1 if subgroups else 2)
            teams = outputs // 512
        together = math.gcd(lanes, self.subgroup) if subgroups else 1
        # What is not for blocks of x takes little more than half of the workgroup's memory.
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
            "PACKED": self.row != "f32",
            "X_FIRST": x_first,
            **({"SUBGROUP": together} if subgroups else {}),
        }

    def of_few(self, columns: int) -> tuple[int, int]:
        """`linear`'s workgroup, and the lanes that share four output rows."""
        if not self.lanes:
            return self.workgroup, 1
        blocks = columns // 32
        return (64, 16) if blocks <= 48 else (128, 32) if blocks <= 128 else (128, 64)
