"""What the tab itself costs: host time of a step, and memory while a model loads. For tools/bench.

Measured in headless Chromium; /proc has the memory of its processes. Without a GPU, its WebGPU is SwiftShader, which
keeps the GPU buffers in Chromium's GPU process.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from synthetic import VOXTRAL_4B, write_model
from voxtab.bench import spread
from voxtab.config import ModelConfig
from voxtab.native.server.run import serving
from voxtab.native.server.site import Site
from voxtab.resources import embedded_model
from voxtab.weights.layouts import addresses_among

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]

# Cross-origin isolated pages have clocks of 5 us instead of 100.
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}

_NARROW = replace(VOXTRAL_4B.decoder, width=64, heads=2, kv_heads=1, head_dim=32, hidden=64, window=64)
# All layers of the 4B model, each as narrow as the kernels allow. The host's work does not depend on the width.
ALL_LAYERS = replace(VOXTRAL_4B, encoder=replace(_NARROW, layers=32), decoder=_NARROW, vocabulary=2048)
# The 4B model's widths and vocabulary with a few layers: 542 MB.
ALL_WIDTHS = replace(
    VOXTRAL_4B, encoder=replace(VOXTRAL_4B.encoder, layers=1), decoder=replace(VOXTRAL_4B.decoder, layers=4, window=256)
)


def placed(model: Path) -> tuple[Path, str]:
    """The folder of a model that --model names, and its address in a site that serves this folder as `model`."""
    folder, name = (model.parent, model.name) if model.is_file() else (model, addresses_among(os.listdir(model))[0])
    return folder, f"/model/{name}"


@contextmanager
def served(
    site: Path | None = None, *, folders: dict[str, Path] | None = None, before: dict[str, str] | None = None
) -> Iterator[str]:
    """Serves a copy of a built site and gives its address. Without `site`, this checkout's is built.

    The copy has bench/bench.html, whose Worker answers the requests of bench/worker.py too, and each of `folders` under
    its name. `before` is JavaScript that runs before a script of the site, by the script's path.
    """
    with tempfile.TemporaryDirectory() as scratch:
        if not site:
            site = Path(scratch, "built")
            subprocess.run([CHECKOUT / "tools" / "build_site", "--out", site], check=True, stdout=subprocess.DEVNULL)
        copy, bench = Path(scratch, "site"), Path(scratch, "site", "bench")
        shutil.copytree(site, copy)
        shutil.copytree(site, bench)
        site = json.loads((copy / "site.json").read_text())
        with zipfile.ZipFile(bench / "wheels/bench.zip", "w") as archive:
            for name in ("engine.py", "worker.py"):
                archive.write(HERE / name, f"bench/{name}")
        (bench / "site.json").write_text(
            json.dumps(site | {"installer": [*site["installer"], "wheels/bench.zip"], "worker": "bench.worker"})
        )
        shutil.copy(HERE / "bench.html", bench)
        web = CHECKOUT / "web"
        for module in web.rglob("*.js"):  # bench.html imports some that a built site has joined
            target = bench / module.relative_to(web)
            if not target.exists():
                shutil.copy(module, target)
        for path, code in (before or {}).items():
            for script in (copy / path, bench / path):
                script.write_text(code + script.read_text())
        for name, folder in (folders or {}).items():
            Path(copy, name).symlink_to(folder.absolute())
        with serving(Site(copy, {"*": ISOLATED})) as url:
            yield url


@contextmanager
def chromium(profile: Path, *flags: str) -> Iterator[Page]:
    """A page of headless Chromium with this profile, which keeps its caches from one start to the next."""
    path = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if not path:
        sys.exit("tools/bench: Chromium is missing. Install chromium-headless-shell; tools/test does that on Debian.")
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=path, chromium_sandbox=False, args=["--enable-unsafe-webgpu", *flags]
        )
        context.set_default_timeout(300_000)
        try:
            yield context.pages[0]
        finally:
            context.close()


@contextmanager
def _tab(config: ModelConfig) -> Iterator[Page]:
    """The page bench.html, which can load a model of this shape from /model/model.gguf."""
    with tempfile.TemporaryDirectory() as scratch:
        write_model(Path(scratch, "model"), config)
        with served(folders={"model": Path(scratch, "model")}) as url, chromium(Path(scratch, "profile")) as page:
            page.goto(f"{url}/bench/bench.html")
            assert page.evaluate("crossOriginIsolated")
            yield page


def tab_step(steps: int = 300) -> dict:
    """Host time of a live step, 80 ms of audio: of the encoder's plan and of the decoder's, with all 4B layers."""
    with _tab(ALL_LAYERS) as page:
        page.evaluate("load('/model/model.gguf')")
        times = page.evaluate("steps => ask('replay', { steps })", steps)[50:]
    return {f"{part}_host_ms": spread(spent) for part, spent in zip(("encoder", "decoder"), zip(*times))}


def tab_memory() -> dict:
    """Largest growth in MB during the load of a 542 MB model: while weights arrive, and while kernels compile."""
    with _tab(ALL_WIDTHS) as page:
        heap = page.evaluate("ask('state')")["heap"]
        before, most = chromium_bytes(), {"loading": 0, "kernels": 0}
        page.evaluate("load('/model/model.gguf').then(opened => { window.opened = opened; }); null")
        while not (opened := page.evaluate("window.opened")):
            stage = "kernels" if page.evaluate("window.stage") == "kernels" else "loading"
            most[stage] = max(most[stage], chromium_bytes() - before)
            time.sleep(0.05)
        heap = page.evaluate("ask('state')")["heap"] - heap
    buffers = opened["gpu_bytes"]
    return {
        name: round(nbytes / 1e6)
        for name, nbytes in {
            "model_mb": opened["model_bytes"],
            "gpu_buffers_mb": buffers,
            "beyond_buffers_mb": most["loading"] - buffers,
            "beyond_buffers_while_compiling_mb": most["kernels"] - buffers,
            "python_heap_mb": heap,
        }.items()
    }


def tab_opening(runs: int = 3) -> dict:
    """Seconds of processor time that a new Chromium takes from navigation until the embedded model is open."""
    times: list[dict[str, float]] = []
    with served(folders={"model": embedded_model()}) as url:
        for _ in range(runs):
            with tempfile.TemporaryDirectory() as profile, chromium(Path(profile)) as page:
                before = chromium_seconds()
                page.goto(f"{url}/bench/bench.html")
                page.evaluate("load('/model/voxtab-tiny-q4.gguf')")
                after = chromium_seconds()
                times.append({kind: after[kind] - before.get(kind, 0) for kind in after})
    return {kind: spread([each[kind] for each in times]) for kind in ("gpu-process", "renderer", "all")}


def chromium_seconds() -> dict[str, float]:
    """Processor time of those processes so far, by kind, and of all."""
    seconds = {"all": 0.0}
    for process in _chromium_processes():
        with suppress(OSError):  # it may have ended
            user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
            kind = re.search(r"--type=([\w-]+)", Path(f"/proc/{process}/cmdline").read_text())
            spent = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
            for name in (kind[1] if kind else "browser", "all"):
                seconds[name] = seconds.get(name, 0.0) + spent
    return seconds


def chromium_bytes() -> int:
    """Memory of all processes of the browsers that this process started."""
    total = 0
    for process in _chromium_processes():
        with suppress(OSError):  # it may have ended
            total += _process_bytes(process)
    return total


def _chromium_processes() -> Iterator[int]:
    """Of the browsers that this process started."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:  # the process has ended
            continue
    ours = {threading.main_thread().native_id}
    grown = True
    while grown:
        children = {child for child, parent in parents.items() if parent in ours} - ours
        ours |= children
        grown = bool(children)
    for process in ours:
        with suppress(OSError):  # it may have ended
            if "chrom" in Path(f"/proc/{process}/comm").read_text():
                yield process


def _process_bytes(process: int) -> int:
    """Shared memory counts by share (PSS), but pages of files count in full (RSS).

    Otherwise the figure would change whenever another program that maps the same libraries starts or ends.
    """
    total, counted = 0, "Pss:"
    for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
        if line.startswith(counted):
            total += 1024 * int(line.split()[1])
        elif not line.endswith(" kB") and "-" in line.split(" ", 1)[0]:  # a mapping; its figures follow
            counted = "Rss:" if "/" in line and not line.endswith("(deleted)") else "Pss:"
    return total
