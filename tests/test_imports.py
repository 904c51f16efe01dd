"""One engine in two homes: nothing but the seams knows a GPU library or the browser."""

import ast
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
PACKAGE = CHECKOUT / "app" / "voxtab"
BROWSER = {"js", "pyodide", "pyodide_js", "page"}
NATIVE = {"numpy", "soundfile", "soxr", "tqdm", "wgpu", "whitenoise"}
NATIVE_FILES = {"audio.py", "cli.py", "local.py", "serve.py", "gpu/native.py", "weights/q4_0.py"}


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_package(path):
    name = str(path.relative_to(PACKAGE))
    if name != "gpu/browser.py":
        assert not imports(path) & BROWSER
    if name not in NATIVE_FILES:
        assert not imports(path) & NATIVE


@pytest.mark.parametrize("name", ["opening.py", "worker.py"])
def test_worker(name):
    assert not imports(CHECKOUT / "web" / name) & NATIVE
