"""What the tab costs here: a step on the host, and memory while a model loads. For tools/bench.

The figures are of headless Chromium, whose processes' memory is in /proc; where there is no GPU its WebGPU is
SwiftShader, which keeps GPU buffers in the GPU process.
"""

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent))

from synthetic import VOXTRAL_4B, write_model
from voxtab.bench import spread
from voxtab.config import ModelConfig
from voxtab.serve import site_server

CHECKOUT = Path(__file__).resolve().parent.parent

# The Worker of the site, with three more requests.
REQUESTS = """
import types

import pyodide_js
from voxtab.encoder import block_samples

engine = types.ModuleType("bench_engine")
exec({engine!r}, engine.__dict__)


class Bench(Worker):
    verbs = *Worker.verbs, "state", "replay", "measure"

    async def state(self, request):
        \"""Bytes of Python's heap and of GPU buffers, and the GPU's limits.\"""
        device = self.model and self.model.device
        return {{"heap": pyodide_js._module.HEAPU8.length, "gpu": device and device.nbytes, "limits": device and device.limits}}

    async def measure(self, request):
        \"""A measurement of bench_engine.py, with the samples that were given or with none.\"""
        samples = [request.samples.to_memoryview()] if request.samples else []
        return await getattr(engine, request.name)(self.model, *samples, **request.options.to_py())

    async def replay(self, request):
        \"""Host milliseconds of each token: all that Python and JavaScript do for it, but waiting for the GPU.\"""
        model, times = self.model, []
        model.start(model.config.schedule())
        samples = bytes(4 * block_samples(1))
        for position in range(request.steps):
            start = time.perf_counter()
            model.encode(position, position, 1, samples)
            middle = time.perf_counter()
            read = model.decode(position, position, 0, head=True, read=True)
            times.append((1000 * (middle - start), 1000 * (time.perf_counter() - middle)))
            await read
        return times


Bench().receive
"""

PAGE = """<!doctype html><script type="module">
import { openAudio } from './audio.js';
const worker = new Worker(new URL('./worker.js', location.href), { type: 'module' });
const pending = new Map();
let asked = 0;
worker.onmessage = ({ data }) => {
  if (data.id) pending.get(data.id)(data);
  window.stage = data.stage ?? window.stage;
};
worker.onerror = event => { for (const answer of pending.values()) answer({ error: { message: event.message } }); };
// Answers, or says after five minutes that nothing came.
window.ask = (verb, more = {}) => new Promise((resolve, reject) => {
  const id = ++asked;
  pending.set(id, ({ result, error }) => error ? reject(new Error(error.message)) : resolve(result));
  setTimeout(() => reject(new Error(`no answer to ${verb} in 300 s`)), 300_000);
  worker.postMessage({ id, verb, ...more });
});
window.load = (model, variants = null) =>
  ask('open', { model: model && { url: new URL(model, location.href).href }, tokenizer: null, check: true, variants });
window.audio = async () => openAudio(await (await fetch('/audio/speech.wav')).blob(), 'speech.wav');
window.measure = async (name, options, withSamples) => {
  const blocks = [];
  if (withSamples) for await (const samples of (await audio()).blocks()) blocks.push(samples);
  const samples = withSamples && new Float32Array(await new Blob(blocks).arrayBuffer());
  return ask('measure', { name, samples, options });
};
// A file from end to end, as the page does it; seconds.
window.transcribe = async () => {
  const { blocks } = await audio();
  const since = performance.now();
  await ask('start', { delay_ms: null, left_silence_tokens: null });
  for await (const samples of blocks()) await ask('feed', { samples });
  await ask('finish');
  return (performance.now() - since) / 1000;
};
</script>"""


_NARROW = replace(VOXTRAL_4B.decoder, width=64, heads=2, kv_heads=1, head_dim=32, hidden=64, window=64)
# All layers of the published model, each as narrow as the kernels allow: the host does the same work as for wide ones.
ALL_LAYERS = replace(VOXTRAL_4B, encoder=replace(_NARROW, layers=32), decoder=_NARROW, vocabulary=2048)
# Its widths and its vocabulary with a few layers: 542 MB.
ALL_WIDTHS = replace(VOXTRAL_4B, encoder=replace(VOXTRAL_4B.encoder, layers=1),
                     decoder=replace(VOXTRAL_4B.decoder, layers=4, window=256))


@contextmanager
def served(site: Path | None = None, *, folders: dict[str, Path] | None = None, worker: str = "") -> Iterator[str]:
    """The address of a copy of a built site (of this checkout, unless given), with bench.html, whose Worker has the
    requests above, and with other folders under names of their own. `worker` is JavaScript in front of worker.js.
    """
    with tempfile.TemporaryDirectory() as scratch:
        if not site:
            site = Path(scratch, "built")
            subprocess.run([CHECKOUT / "tools" / "build_site", "--out", site], check=True, stdout=subprocess.DEVNULL)
        copy, bench = Path(scratch, "site"), Path(scratch, "site", "bench")
        shutil.copytree(site, copy)
        shutil.copytree(site, bench)
        requests = (copy / "worker.py").read_text()
        assert requests.endswith("\nWorker().receive\n")
        engine = Path(__file__).with_name("bench_engine.py").read_text()
        (bench / "worker.py").write_text(requests.removesuffix("Worker().receive\n") + REQUESTS.format(engine=engine))
        (bench / "bench.html").write_text(PAGE)
        for folder in (copy, bench):
            (folder / "worker.js").write_text(worker + (folder / "worker.js").read_text())
        with site_server(copy, port=0) as server:
            files = server.get_app()
            # Pages that share nothing with others have clocks of 5 us instead of 100.
            files.add_headers_function = _alone
            for name, folder in (folders or {}).items():
                files.add_files(folder, name)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                yield f"http://127.0.0.1:{server.server_port}"
            finally:
                server.shutdown()


@contextmanager
def chromium(profile: Path, *flags: str) -> Iterator[Page]:
    """A page of a headless Chromium with this profile, which keeps caches from one start to the next."""
    path = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if not path:
        sys.exit("tools/bench: there is no chromium-headless-shell on the PATH; tools/test installs it.")
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=path, chromium_sandbox=False, args=["--enable-unsafe-webgpu", *flags])
        context.set_default_timeout(300_000)
        try:
            yield context.pages[0]
        finally:
            context.close()


@contextmanager
def _tab(config: ModelConfig) -> Iterator[Page]:
    """bench.html, which can load a model of this shape as model/model.gguf."""
    with tempfile.TemporaryDirectory() as scratch:
        write_model(Path(scratch, "model"), config)
        with served(folders={"model": Path(scratch, "model")}) as url, chromium(Path(scratch, "profile")) as page:
            page.goto(f"{url}/bench/bench.html")
            assert page.evaluate("crossOriginIsolated")
            yield page


def _alone(headers, path, url):
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Embedder-Policy"] = "require-corp"


def tab_step(steps: int = 300) -> dict:
    """Host time of a live step, 80 ms of audio: the encoder's plan and the decoder's, with all layers of the published model."""
    with _tab(ALL_LAYERS) as page:
        page.evaluate("load('/model/model.gguf')")
        times = page.evaluate("steps => ask('replay', { steps })", steps)[50:]
    return {f"{part}_host_ms": spread(spent) for part, spent in zip(("encoder", "decoder"), zip(*times))}


def tab_memory() -> dict:
    """MB by which a 542 MB model makes things grow, at the most: while its weights come, and while kernels compile behind them."""
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
    return {name: round(nbytes / 1e6) for name, nbytes in {
        "model_mb": opened["model_bytes"], "gpu_buffers_mb": buffers, "beyond_buffers_mb": most["loading"] - buffers,
        "beyond_buffers_while_compiling_mb": most["kernels"] - buffers, "python_heap_mb": heap}.items()}


def chromium_bytes() -> int:
    """Of all processes of the browsers that this process started."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:
            pass                    # it has ended
    ours, total = {threading.main_thread().native_id}, 0
    grown = True
    while grown:
        children = {child for child, parent in parents.items() if parent in ours} - ours
        ours |= children
        grown = bool(children)
    for process in ours:
        try:
            if "chrom" in Path(f"/proc/{process}/comm").read_text():
                total += _process_bytes(process)
        except OSError:
            pass
    return total


def _process_bytes(process: int) -> int:
    """Memory that processes share counts in parts (PSS), but pages of files whole (RSS): other programs that map the same
    libraries, or end, would else change this one's part.
    """
    total, counted = 0, "Pss:"
    for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
        if line.startswith(counted):
            total += 1024 * int(line.split()[1])
        elif not line.endswith(" kB") and "-" in line.split(" ", 1)[0]:         # a mapping; its figures follow
            counted = "Rss:" if "/" in line and not line.endswith("(deleted)") else "Pss:"
    return total
