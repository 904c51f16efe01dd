"""What may import what, and what lies where: one engine, two homes."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "app/voxtab"

# What only one home may import. The engine, which is everything outside these folders, imports none of it.
HOMES = {
    "native": {
        "av",
        "filelock",
        "gguf",
        "numpy",
        "platformdirs",
        "ray",
        "sounddevice",
        "soxr",
        "starlette",
        "tqdm",
        "uvicorn",
        "wgpu",
    },
    "browser": {"js", "page", "pyodide", "pyodide_js"},
}
# Files of the package that may import the native home.
DOORS = {"__init__.py", "__main__.py"}

TOP_LEVEL = {"pyproject.toml", "app", "shaders", "web", "tests", "tools", "README.md"}
BUILT = {"dist"}  # ignored by git

FILES = [path.relative_to(PACKAGE) for path in sorted(PACKAGE.rglob("*.py"))]
ENGINE = [path for path in FILES if path.parts[0] not in HOMES and str(path) not in DOORS]


def imported(path: Path) -> set[str]:
    """The modules that a file of the package imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse((PACKAGE / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            assert not node.level, f"{path}: imports are absolute"
    return names


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_home_is_imported_by_itself_alone(path):
    names = imported(path)
    for home, packages in HOMES.items():
        if path.parts[0] != home:
            assert not {name.partition(".")[0] for name in names} & packages
            if str(path) not in DOORS:
                assert not any(name.startswith(f"voxtab.{home}") for name in names)


def test_the_engine_imports_without_either_home():
    """As in Pyodide, where native packages are missing."""
    modules = [".".join(("voxtab", *path.with_suffix("").parts)).removesuffix(".__init__") for path in ENGINE]
    absent = [*HOMES["native"], *HOMES["browser"], "voxtab.native", "voxtab.browser"]
    code = f"""
import importlib, sys
sys.path.insert(0, {str(ROOT / "app")!r})
sys.platform = "emscripten"
sys.modules.update(dict.fromkeys({absent}))     # None: importing it fails
for name in ["voxtab", *{modules}]:
    importlib.import_module(name)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_web_holds_no_python():
    assert not [*(ROOT / "web").rglob("*.py")]


def test_the_top_level_is_fixed():
    there = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert there <= TOP_LEVEL | BUILT


def test_the_readme_is_short_and_its_tree_names_what_is_there():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.count("\n") <= 150
    tree = readme.partition("## The tree")[2].partition("\n## ")[0]
    there = {path.name for top in ("app", "shaders", "web", "tests") for path in (ROOT / top).rglob("*")}
    named = set(re.findall(r"[\w-]+\.(?:py|md|js|css|html)\b", tree))
    assert named - there == {"README.md"} - there
    engine = {path.name for path in FILES if path.parts[0] != "weights" and len(path.parts) < 3}
    assert engine - named == {"__init__.py", "__main__.py", "errors.py", "resources.py"}
