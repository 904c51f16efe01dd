"""tools/build_site, before it builds anything. tests/web opens what it builds."""

import subprocess
import sys
from pathlib import Path

BUILD_SITE = Path(__file__).parents[2] / "tools" / "build_site"


def test_a_folder_of_other_things_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "thesis.txt").write_text("Chapter 1")
    ended = subprocess.run([sys.executable, BUILD_SITE, "--out", tmp_path], capture_output=True, text=True)
    assert ended.returncode == 1 and ended.stdout == ""
    assert ended.stderr == f"tools/build_site: {tmp_path} is not empty and holds no site: name another folder.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
