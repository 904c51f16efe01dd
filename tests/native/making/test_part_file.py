"""A part file goes on with its own work, and never with other bytes than its own."""

import shutil

import pytest
from filelock import FileLock

from voxtab.errors import UserError
from voxtab.native.making import made_files
from voxtab.native.making.part_file import PartFile


def begun(path, key, data, steps):
    """Work that a crash ended after these steps."""
    with PartFile(path, key, 100) as part:
        before = part.steps
        part.write(0, data)
        part.steps = steps
        if steps:
            part.sync()
    return before


def test_it_goes_on_and_ends(tmp_path):
    path = tmp_path / "folder" / "made"
    assert begun(path, ["a", 1], b"A" * 50, [1, [2.5, "x"]]) == []
    with PartFile(path, ("a", 1), 100) as part:
        assert part.steps == [1, [2.5, "x"]] and not path.exists()
        part.write(50, b"B" * 50)
        part.finish()
    assert path.read_bytes() == b"A" * 50 + b"B" * 50 and [*path.parent.iterdir()] == [path]


def test_other_work_takes_nothing_and_leaves_nothing(tmp_path):
    """Even if that was killed before it noted anything: the first one's bytes are gone."""
    path = tmp_path / "made"
    begun(path, "a", b"A" * 100, [1])
    assert begun(path, "b", b"B", []) == []
    assert begun(path, "a", b"A", []) == []


@pytest.mark.parametrize("noted", ["", "{}", "[]", '{"key": "a"}', '{"key": "b", "steps": [1]}'])
def test_a_note_that_says_nothing_of_it(tmp_path, noted):
    path = tmp_path / "made"
    begun(path, "a", b"A" * 100, [1])
    (tmp_path / "made.part.json").write_text(noted)
    assert begun(path, "a", b"A", []) == []


def test_refused(tmp_path, monkeypatch):
    path = tmp_path / "made"
    with FileLock(f"{path}.part.lock"), pytest.raises(UserError, match="Another process is making"):
        begun(path, "a", b"", [])
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(made_files.shutil, "disk_usage", lambda path: usage._replace(free=99))
    with pytest.raises(UserError, match="needs 100 bytes, and its disk has 99"):
        begun(path, "a", b"", [])
    path.touch()
    with pytest.raises(UserError, match="exists already"):
        begun(path, "a", b"", [])
    assert [*tmp_path.iterdir()] == [path]
