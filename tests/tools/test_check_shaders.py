"""Every shader compiles as browsers and wgpu-py compile it, and the tool notices if one does not."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def check(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, ROOT / "tools/check_shaders", *arguments], capture_output=True, text=True)


def test_every_variant_compiles_in_tint_and_naga():
    ended = check()
    assert ended.returncode == 0, ended.stderr
    assert "Tint compiles them all" in ended.stdout


def test_what_must_not_pass_does_not(tmp_path):
    """Only the files that are spoilt are there, and an innocent one: compiling all of them takes a minute."""
    shutil.copytree(ROOT / "shaders/parts", tmp_path / "parts")
    for name in ("embed", "rms_norm", "rotate_keys", "to_f32", "next_token"):
        shutil.copy(ROOT / f"shaders/{name}.wgsl", tmp_path)

    def spoil(name, wgsl):
        with (tmp_path / f"{name}.wgsl").open("a") as file:
            file.write(wgsl)

    spoil("embed", "} fn unfinished( {")
    spoil("rms_norm", "var<private> mine: u32; fn waits() { if (mine > 0) { return; } workgroupBarrier(); }")
    spoil("rotate_keys", "fn first(p: ptr<storage, array<u32>, read_write>) -> u32 { return (*p)[0]; }")
    spoil(
        "to_f32",
        """
        fn sums() -> u32 {
          var kept: u32;
          for (var i = 0u; i < 4; i++) {        // a brace in a comment: {
            if (i > 2) { var fresh: array<u32, 4>; kept += fresh[i]; }
          }
          var after: u32;
          return kept + after;
        }""",
    )
    spoil(
        "newcomer",
        """
        override WORKGROUP: u32 = 512;
        @group(0) @binding(0) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(WORKGROUP) fn main() { out[0] = 1; }""",
    )

    ended = check(tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    messages = ended.stderr.split(str(tmp_path))
    for name, who, message in [
        ("embed", "Tint:", "unexpected token"),
        ("embed", "naga, with its default overrides and ", "parsing error"),
        ("rms_norm", "Tint:", "uniform control flow"),
        ("rotate_keys", "naga, with its default overrides and ", "pointer of space Storage"),
        ("to_f32", "a pitfall:", "`var fresh: array<u32, 4>;` in a loop"),
        ("newcomer", "Tint, with its default overrides:", "workgroup_size(512, 1, 1)"),
        ("newcomer", "the engine:", "uses no such file"),
        ("argmax", "the engine:", "not there"),
    ]:
        assert any(text.startswith(f"/{name}.wgsl: {who}") and message in text for text in messages), ended.stderr
    assert not any(innocent in ended.stderr for innocent in ("var kept", "var after", "/next_token.wgsl"))
