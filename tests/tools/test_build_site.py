"""What tools/build_site does around the build itself. tests/web opens the site that it builds."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

BUILD_SITE = Path(__file__).parents[2] / "tools" / "build_site"


def build_site(out: Path, **environment) -> subprocess.CompletedProcess:
    command = [sys.executable, BUILD_SITE, "--out", out]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)


def test_a_folder_of_other_things_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "thesis.txt").write_text("Chapter 1")
    ended = build_site(tmp_path)
    assert ended.returncode == 1 and ended.stdout == ""
    assert ended.stderr == f"tools/build_site: {tmp_path} is not empty and holds no site: name another folder.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_without_node(tmp_path):
    ended = build_site(tmp_path / "site", PATH="/nowhere")
    assert ended.returncode == 1 and ended.stdout == "" and not [*tmp_path.iterdir()]
    assert ended.stderr == "tools/build_site: npm is missing: install Node.js with npm.\n"


@pytest.fixture
def main(tmp_path, monkeypatch):
    """Its main(build), with a stand-in for the build, to a folder that holds an older site."""
    site = tmp_path / "site"
    site.mkdir()
    for name in ("site.json", "older.js"):
        (site / name).touch()
    monkeypatch.setattr(sys, "argv", ["build_site", "--out", str(site)])
    main = runpy.run_path(str(BUILD_SITE))["main"]

    def run(build):
        main.__globals__["build"] = build
        main()

    return run


def test_an_older_site_is_replaced(main, tmp_path, capsys):
    def build(site, scratch, only_page):
        site.mkdir()
        (site / "newer.js").write_bytes(bytes(100_000))

    main(build)
    assert [path.name for path in tmp_path.rglob("*")] == ["site", "newer.js"]
    assert capsys.readouterr().out == f"{tmp_path / 'site'}: 0.1 MB\n"


def test_a_build_that_fails_leaves_the_older_site(main, tmp_path):
    def build(site, scratch, only_page):
        site.mkdir()
        sys.exit("npm ci failed")

    with pytest.raises(SystemExit, match="npm ci failed"):
        main(build)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["older.js", "site", "site.json"]
