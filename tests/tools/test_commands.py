"""Every command of tools/ says how it is used, and the hooks run commands that exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHELL = ["run", "test", "test_firefox", "check_style", "gpu/pack", "gpu/unpack"]
PYTHON = [
    "build_site",
    "pack_npm",
    "check_shaders",
    "synthetic.py",
    "bench",
    "prove",
    "compare",
    "compare/read_stream.py",
]


def command(name: str, *arguments: str) -> subprocess.CompletedProcess:
    program = [sys.executable] if name in PYTHON else []
    return subprocess.run([*program, ROOT / "tools" / name, *arguments], capture_output=True, text=True)


@pytest.mark.parametrize("name", SHELL + PYTHON)
def test_help(name):
    ended = command(name, "--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.match(r"usage: (tools/)?\S+", ended.stdout) and len(ended.stdout.splitlines()) > 3


@pytest.mark.parametrize("name", ["run", "bench", "prove", "compare", "build_site"])
def test_an_unknown_option_is_refused(name):
    ended = command(name, "--nonsense")
    assert ended.returncode == 2 and ended.stdout == "" and "usage:" in ended.stderr


@pytest.mark.parametrize("file, name", [(".pre-commit-config.yaml", "tools/check_style"), (".ci/run", "tools/test")])
def test_hooks_run_existing_commands(file, name):
    assert name in (ROOT / file).read_text() and (ROOT / name).stat().st_mode & 0o111


def test_the_readme_of_the_tools_lists_every_one():
    readme = (ROOT / "tools/README.md").read_text()
    there = {path.name + "/" * path.is_dir() for path in (ROOT / "tools").iterdir()} - {"README.md", "__pycache__/"}
    assert {name for name in there if f"`{name.rstrip('/')}" not in readme} == set()
