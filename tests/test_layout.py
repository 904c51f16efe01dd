"""What may import what, and what lies where: the engine is one, its homes are two."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "app/voxtab"

AT_THE_RIM = {"app/voxtab/gpu/browser.py", "app/voxtab/gpu/native.py", "web/opening.py", "web/worker.py"}
THE_RIMS = {"js", "page", "pyodide", "pyodide_js", "wgpu", "wgpudawn"}

NATIVE = {"__main__.py", "audio.py", "cli.py", "gpu/native.py", "local.py", "serve.py", "weights/q4_0.py"}
NATIVES = {"numpy", "soundfile", "soxr", "tqdm", "wgpu", "wgpudawn", "whitenoise"}

TOP_LEVEL = {"pyproject.toml", "app", "shaders", "web", "tests", "tools", "README.md"}
BUILT = {"dist"}                            # ignored by git

PYTHON = [path.relative_to(ROOT).as_posix() for folder in (PACKAGE, ROOT / "web") for path in sorted(folder.rglob("*.py"))]
IN_THE_PAGE = [path for path in PYTHON if path.removeprefix("app/voxtab/") not in NATIVE]


def imported(path: str) -> set[str]:
    """The top-level packages that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("path", [path for path in PYTHON if path not in AT_THE_RIM])
def test_only_the_rim_knows_a_browser_or_a_gpu_library(path):
    assert not imported(path) & THE_RIMS


@pytest.mark.parametrize("path", IN_THE_PAGE)
def test_the_page_needs_nothing_native(path):
    assert not imported(path) & NATIVES


def test_the_page_imports_no_native_file():
    """As in Pyodide: the page's files must not lead to one that is not for it."""
    def module(path: str) -> str:
        return path.removeprefix("app/").removesuffix(".py").replace("/", ".").removesuffix(".__init__")

    wanted = [module(path) for path in IN_THE_PAGE if path.startswith("app/") and path not in AT_THE_RIM]
    absent = [*sorted(NATIVES), *(f"voxtab.{module(path)}" for path in sorted(NATIVE))]
    code = f"""
import importlib, sys
sys.path.insert(0, {str(ROOT / "app")!r})
sys.platform = "emscripten"
sys.modules.update(dict.fromkeys({absent}))     # None: importing it fails
for name in {wanted}:
    importlib.import_module(name)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_top_level_is_fixed():
    there = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert there <= TOP_LEVEL | BUILT
