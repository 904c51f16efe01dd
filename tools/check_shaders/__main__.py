"""Compile every shader with every variant's constants, in Tint (Chrome) and in naga (wgpu-py, Firefox).

  .venv/bin/python tools/check_shaders [FOLDER]

The two disagree: each accepts what the other refuses, so a shader that runs here may not run in a browser. Tint runs
without a GPU (Dawn for Node), naga on any Vulkan driver, both at WebGPU's default limits; naga also compiles what GPUs
with higher limits are asked for, which Dawn without a GPU cannot. Every file is also compiled with its default
overrides, must be used by some variant, and is searched for a pitfall that compiles. Tint compiles every variant. naga
compiles enough of them for every two values of a file's constants to meet, because the driver behind it is slow; sizes
need not meet others.
If anything is wrong, the exit status is 1, with the file, the constants and the compiler's message.
"""

import argparse
import asyncio
import itertools
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from check_shaders.variants import all_variants
from voxtab import resources
from voxtab.gpu.device import bindings
from voxtab.native.gpu.device import NativeDevice

ROOT = Path(__file__).resolve().parents[2]
NODE = Path(__file__).resolve().parent / "node"
Failure = tuple[str, dict | None, str]  # file's name, constants, message
SIZES = {"COLUMNS", "HEIGHT", "CHUNK", "EPSILON"}  # constants that are only computed with: no code depends on them


def bare_loop_variables(wgsl: str) -> list[str]:
    """`var`s declared in a loop without a value: WGSL zeroes them each time around, naga only once."""
    wgsl = re.sub(r"//.*|/\*(?s:.*?)\*/", lambda comment: "\n" * comment[0].count("\n"), wgsl)
    found, blocks, header = [], [], False
    for token in re.finditer(r"\b(?:for|while|loop)\b|[{}]|\bvar\s+\w+[^=;{}]*;", wgsl):
        if token[0] == "{":
            blocks.append(header)
            header = False
        elif token[0] == "}":
            del blocks[-1:]  # there may be none: braces are the compilers' to complain about
        elif not token[0].startswith("var"):
            header = True
        elif any(blocks):
            found.append(
                f"line {wgsl.count(chr(10), 0, token.start()) + 1}: `{token[0]}` in a loop: "
                "give it a value, as naga zeroes it only once"
            )
    return found


def tint(files: dict[str, str], variants: list[tuple[str, dict]]) -> list[Failure]:
    installed, wanted = NODE / "node_modules/.package-lock.json", NODE / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < wanted.stat().st_mtime:
        subprocess.run(["npm", "ci"], cwd=NODE, stdout=sys.stderr, check=True)
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "in.json"), Path(folder, "out.json")
        given.write_text(
            json.dumps(
                {
                    "files": {name: {"wgsl": wgsl, "bindings": bindings(wgsl)} for name, wgsl in files.items()},
                    "variants": variants,
                }
            )
        )
        ended = subprocess.run(["node", NODE / "tint.js", given, made], capture_output=True, text=True)
        if ended.returncode:
            sys.exit(f"{NODE}/tint.js ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
        return json.loads(made.read_text())


def pairs_covered(variants: list[tuple[str, dict]]) -> list[tuple[str, dict]]:
    """Some of the variants: whichever two values of a file's constants meet in any variant meet in one of these.

    A value of SIZES only has to be in one of them.
    """
    chosen = []
    for _, of_file in itertools.groupby(sorted(variants, key=lambda variant: variant[0]), lambda variant: variant[0]):
        left = [
            (
                variant,
                {(size,) for size in variant[1].items() if size[0] in SIZES}
                | set(itertools.combinations_with_replacement(_choices(variant[1]), 2))
                or {None},
            )
            for variant in of_file
        ]
        met: set = set()
        while True:
            variant, pairs = max(left, key=lambda each: len(each[1] - met))
            if pairs <= met:
                break
            chosen.append(variant)
            met |= pairs
    return [variant for variant in variants if variant in chosen]


def _choices(constants: dict) -> list[tuple]:
    return sorted(item for item in constants.items() if item[0] not in SIZES)


async def naga(variants: list[tuple[str, dict]], default_limits: bool) -> list[Failure]:
    device = await NativeDevice.open(default_limits=default_limits)
    failures = []
    for name, constants in variants:
        try:
            await device.pipeline(name, constants)
        except RuntimeError as error:
            failures.append((name, constants, str(error)))
    device.close()
    return failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folder", nargs="?", type=Path, default=ROOT / "shaders", help="of .wgsl files (default: shaders)"
    )
    folder = parser.parse_args().folder
    began = time.monotonic()

    recorded, larger = [[(name, dict(constants)) for name, constants in variants] for variants in all_variants()]
    used = {name for name, _ in recorded}
    names = sorted(path.stem for path in folder.glob("*.wgsl"))
    files = {name: resources.shader(name, folder) for name in names}
    parts = {part for name in names for part in resources.shader_parts(name, folder)}
    idle = {path.stem for path in (folder / "parts").glob("*.wgsl")} - parts
    resources.shader = files.__getitem__  # where the native device looks
    variants = [(name, {}) for name in files] + [variant for variant in recorded if variant[0] in files]

    problems: dict[tuple[str, str, str], list[dict | None]] = {}  # file, compiler or engine, message: constants

    def note(who: str, failures: list[Failure]) -> None:
        for name, constants, message in failures:
            problems.setdefault((name, who, message.strip()), []).append(constants)

    note(
        "the engine",
        [
            (name, None, "uses no such file" if name in files else "uses a file that is not there")
            for name in sorted(used ^ files.keys())
        ],
    )
    note("the engine", [(f"parts/{name}", None, "is a part of no kernel") for name in sorted(idle)])
    note("a pitfall", [(name, None, message) for name, wgsl in files.items() for message in bare_loop_variables(wgsl)])
    note("Tint", tint(files, variants))
    for_naga = pairs_covered(variants)
    note("naga", asyncio.run(naga(for_naga, default_limits=True)))
    note("naga", asyncio.run(naga([variant for variant in larger if variant[0] in files], default_limits=False)))
    for (name, who, message), constants in problems.items():
        which = "" if constants[0] is None else f", with {constants[0] or 'its default overrides'}"
        others = f" and {len(constants) - 1} more" if len(constants) > 1 else ""
        print(f"{folder / name}.wgsl: {who}{which}{others}:\n  " + message.replace("\n", "\n  "), file=sys.stderr)
    if problems:
        sys.exit(1)
    seconds = time.monotonic() - began
    print(
        f"{len(files)} files, {len(variants)} variants: Tint compiles them all, "
        f"naga {len(for_naga)} of them and {len(larger)} for higher limits ({seconds:.0f} s)"
    )


if __name__ == "__main__":
    main()
