"""The tables of app/voxtab/weights/README.md and the catalogue's in README.md are what the code does."""

import re
from pathlib import Path

from voxtab.native.cli.convert import TYPES
from voxtab.native.hub.catalogue import known_models
from voxtab.weights import dialects, directory, gguf, vocabulary
from weights import dialect_files

ROOT = Path(__file__).parents[2]


def rows(text: str, first: str) -> list[list[str]]:
    """Of the table whose first heading is `first`."""
    (table,) = re.findall(rf"^\| {first} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()]


def test_types_and_names():
    text = (ROOT / "app/voxtab/weights/README.md").read_text(encoding="utf-8")
    types = {type: made for type, _, _, made in rows(text, "type")}
    assert types.keys() == directory._BLOCKS.keys()
    assert {type.lower() for type, made in types.items() if made == "`voxtab convert`"} == {*TYPES}
    named = {name: order for name, order, _ in rows(text, "names of")}
    assert named == {each.name: "in halves" if each.half_rope else "in pairs" for each in dialects.DIALECTS}


def test_vocabularies_inside(tmp_path):
    """Those that the table says are in the file, in the files that each program makes."""
    text = (ROOT / "app/voxtab/weights/README.md").read_text(encoding="utf-8")
    for name, _, where in rows(text, "names of"):
        if where == "in the file":
            dialect_files.write_gguf(tmp_path / f"{name}.gguf", name, {})
            data = (tmp_path / f"{name}.gguf").read_bytes()
            assert vocabulary.place(gguf.parse(data, len(data))), name


def test_the_catalogue_in_the_readme():
    """Row by row; the page's card and its list are in tests/web/page/test_welcome.py."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert rows(text, "on Hugging Face") == [
        [f"`{model.hub_name}`", model.type, f"{model.gb:.2f}", f"{model.gpu_gb}, {model.gpu_full_gb}"]
        for model in known_models()
    ]
    assert {model.licence for model in known_models()} == {"Apache-2.0"} and "(Apache-2.0)" in text
