"""Headers of shaders: each header lists the names it uses from other files, as WGSL has no imports."""

import re
from pathlib import Path

import pytest

from voxtab import resources

SHADERS = Path(__file__).parents[2] / "shaders"
KERNELS = sorted(path.stem for path in SHADERS.glob("*.wgsl"))
DECLARED = re.compile(r"^(?:@\S+\s+)*(?:fn|struct|override|const|var<[^>]*>)\s+(\w+)", re.M)


def code(file: str) -> str:
    return re.sub(r"//.*", "", (SHADERS / f"{file}.wgsl").read_text(encoding="utf-8"))


def declared(file: str) -> set[str]:
    return {*DECLARED.findall(code(file))} - {"main"}


def used(file: str, names: set[str]) -> set[str]:
    """Those of the names that a file calls, or has and does not declare as a field, parameter or variable."""
    text = code(file)
    own = {name for pair in re.findall(r"\b(?:let|var)\s+(\w+)|[(,{]\s*(\w+)\s*:", text) for name in pair}
    called = {*re.findall(r"(?<![.\w])(\w+)\(", text)}
    return {name for name in names if name in called or name not in own and re.search(rf"(?<![.\w]){name}\b", text)}


def said(file: str) -> set[tuple[str, str]]:
    """(name, file) of a header's "uses: NAME, NAME from FILE; NAME from FILE or FILE"; FILE may be "the kernel"."""
    comments = re.findall(r"^// ?(.*)", (SHADERS / f"{file}.wgsl").read_text(encoding="utf-8"), re.M)
    text, pairs = " ".join(comments).partition("uses: ")[2], set()
    while sentence := re.match(r"((?:\w+, )*\w+) from ((?:parts/\w+ or )*parts/\w+|the kernel)(; )?", text):
        names, files, more = sentence.groups()
        pairs |= {(name, file) for name in names.split(", ") for file in files.split(" or ")}
        text = text[sentence.end() :] if more else ""
    return pairs


def joined(kernel: str) -> list[str]:
    return [f"parts/{part}" for part in resources.shader_parts(kernel, SHADERS)] + [kernel]


FILES = sorted({file for kernel in KERNELS for file in joined(kernel)})


@pytest.mark.parametrize("file", FILES)
def test_a_file_says_what_it_uses_of_others(file):
    together = [joined(kernel) for kernel in KERNELS if file in joined(kernel)]
    truth = {
        (name, origin if origin.startswith("parts/") else "the kernel")
        for files in together
        for origin in files
        if origin != file
        for name in used(file, declared(origin))
    }
    assert said(file) == truth
