"""References to the model's specification: "(spec 8.5)" names a section that app/SPEC.md has."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_reference_names_a_section():
    sections = {*re.findall(r"^##+ (\d+(?:\.\d+)*)\.? ", (ROOT / "app/SPEC.md").read_text(encoding="utf-8"), re.M)}
    files = [*(ROOT / "app").rglob("*.py"), *(ROOT / "shaders").rglob("*.wgsl"), *(ROOT / "web").rglob("*.js")]
    found = set()
    for path in files:
        for numbers in re.findall(r"\(spec ([0-9., ]+)\)", path.read_text(encoding="utf-8")):
            found |= {*numbers.split(", ")}
    assert {"2.3", "8.5"} <= found <= sections
