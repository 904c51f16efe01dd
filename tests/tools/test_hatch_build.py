"""The wheels: each has the engine and one home."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def wheel(folder: Path, **environment) -> set[str]:
    """The paths in a wheel of this checkout, below voxtab/."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder]
    subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return {name.removeprefix("voxtab/") for name in archive.namelist() if name.startswith("voxtab/")}


def sources(folder: str, *patterns: str) -> set[str]:
    return {str(path.relative_to(ROOT / folder)) for pattern in patterns for path in (ROOT / folder).glob(pattern)}


def test_each_wheel_holds_the_engine_and_one_home(tmp_path):
    modules = sources("app/voxtab", "**/*.py", "**/*.md", "py.typed")
    browser = {name for name in modules if name.startswith("browser/")}
    native = {name for name in modules if name.startswith("native/")} | {"__main__.py"}
    shaders = {f"shaders/{name}" for name in sources("shaders", "*.*", "parts/*.*")}
    model = {f"models/tiny/{name}" for name in sources("web/models/tiny", "*.*", "clips/*")} | {"models/catalogue.json"}
    assert wheel(tmp_path / "native", VOXTAB_WHEEL="") - {"models/tiny/clips"} == modules - browser | shaders | model
    assert wheel(tmp_path / "page", VOXTAB_WHEEL="page") == modules - native | shaders
