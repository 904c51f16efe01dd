"""What the tab costs here: a step on the host, and memory while a model loads. For tools/bench.

The figures are of headless Chromium, whose processes' memory is in /proc; where there is no GPU its WebGPU is
SwiftShader, which keeps GPU buffers in the GPU process.
"""

import base64
import json
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent))

from synthetic import VOXTRAL_4B, directory
from voxtab.config import FIRST_PIECE, ModelConfig
from voxtab.serve import site_server

CHECKOUT = Path(__file__).resolve().parent.parent
GGUF_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2}

# The Worker of the site, with two more requests.
REQUESTS = '''
import pyodide_js
from voxtab.encoder import block_samples


class Bench(Worker):
    verbs = *Worker.verbs, "heap", "replay"

    async def heap(self, request):
        return {"bytes": pyodide_js._module.HEAPU8.length}

    async def replay(self, request):
        """Host milliseconds of each token: all that Python and JavaScript do for it, but waiting for the GPU."""
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
'''

PAGE = '''<!doctype html><script type="module">
const worker = new Worker(new URL('./worker.js', location.href), { type: 'module' });
const pending = new Map();
worker.onmessage = ({ data }) => {
  if (data.id) pending.get(data.id)(data);
  window.stage = data.stage ?? window.stage;
};
window.ask = (verb, more = {}) => new Promise((resolve, reject) => {
  const id = pending.size + 1;
  pending.set(id, ({ result, error }) => error ? reject(new Error(error.message)) : resolve(result));
  worker.postMessage({ id, verb, ...more });
});
window.load = url => ask('open', { model: { url: new URL(url, location.href).href }, tokenizer: null, check: true, variants: null });
</script>'''


def write_model(folder: Path, config: ModelConfig) -> None:
    """A GGUF file of zeros and a tekken.json in `folder`."""
    folder.mkdir()
    tensors = directory(config).tensors.values()
    keys = {f"voxtral_realtime.{part}.attention.{key}": value
            for part, stack in (("encoder", config.encoder), ("decoder", config.decoder))
            for key, value in (("head_count", stack.heads), ("head_count_kv", stack.kv_heads), ("key_length", stack.head_dim),
                               ("sliding_window", stack.window))}
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(keys))
    for key, value in keys.items():
        head += struct.pack("<Q", len(key)) + key.encode() + struct.pack("<II", 4, value)
    size = 0
    for tensor in tensors:
        head += struct.pack("<Q", len(tensor.name)) + tensor.name.encode()
        head += struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape[::-1])
        head += struct.pack("<IQ", GGUF_TYPES[tensor.type], size)
        size += _aligned(tensor.nbytes)
    with open(folder / "model.gguf", "wb") as file:
        file.write(head)
        file.truncate(_aligned(len(head)) + size)
    pieces = [{"rank": rank, "token_bytes": base64.b64encode(b" %07d" % rank).decode(), "token_str": f" {rank:07}"}
              for rank in range(config.vocabulary - FIRST_PIECE)]
    (folder / "tekken.json").write_text(json.dumps({"vocab": pieces}))


def _aligned(nbytes: int) -> int:
    return -(-nbytes // 32) * 32


_NARROW = replace(VOXTRAL_4B.decoder, width=64, heads=2, kv_heads=1, head_dim=32, hidden=64, window=64)
# All layers of the published model, each as narrow as the kernels allow: the host does the same work as for wide ones.
ALL_LAYERS = replace(VOXTRAL_4B, encoder=replace(_NARROW, layers=32), decoder=_NARROW, vocabulary=2048)
# Its widths and its vocabulary with a few layers: 512 MB.
ALL_WIDTHS = replace(VOXTRAL_4B, encoder=replace(VOXTRAL_4B.encoder, layers=1),
                     decoder=replace(VOXTRAL_4B.decoder, layers=4, window=256))


@contextmanager
def _tab(models: dict[str, ModelConfig]):
    """A page whose Worker has the requests above, on a site that has these models too; and the browser's process."""
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        site = Path(scratch, "site")
        subprocess.run([CHECKOUT / "tools" / "build_site", "--out", site], check=True, stdout=subprocess.DEVNULL)
        worker = (site / "worker.py").read_text()
        assert worker.endswith("\nWorker().receive\n")
        (site / "worker.py").write_text(worker.removesuffix("Worker().receive\n") + REQUESTS)
        (site / "bench.html").write_text(PAGE)
        for name, config in models.items():
            write_model(site / name, config)
        with site_server(site, port=0) as server:
            # Pages that share nothing with others have clocks of 5 us instead of 100.
            server.get_app().add_headers_function = _alone
            threading.Thread(target=server.serve_forever, daemon=True).start()
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium-headless-shell"), chromium_sandbox=False,
                                                 args=["--enable-unsafe-webgpu"])
            page = browser.new_page()
            page.set_default_timeout(600_000)
            page.goto(f"http://127.0.0.1:{server.server_port}/bench.html")
            assert page.evaluate("crossOriginIsolated")
            try:
                yield page
            finally:
                browser.close()
                server.shutdown()


def _alone(headers, path, url):
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Embedder-Policy"] = "require-corp"


def tab_step(steps: int = 300) -> dict:
    """Host time of a live step, 80 ms of audio: the encoder's plan and the decoder's, with all layers of the published model."""
    with _tab({"layers": ALL_LAYERS}) as page:
        page.evaluate("load('layers/model.gguf')")
        times = page.evaluate("steps => ask('replay', { steps })", steps)[50:]
    return {f"{part}_host_ms": {"median": round(spent[len(spent) // 2], 3), "least": round(spent[0], 3), "p90": round(spent[len(spent) * 9 // 10], 3)}
            for part, spent in zip(("encoder", "decoder"), (sorted(part) for part in zip(*times)))}


def tab_memory() -> dict:
    """MB by which a 512 MB model makes things grow, at the most: while its weights come, and while kernels compile behind them."""
    with _tab({"widths": ALL_WIDTHS}) as page:
        heap = page.evaluate("ask('heap')")["bytes"]
        before, most = _chromium_bytes(), {"loading": 0, "kernels": 0}
        page.evaluate("load('widths/model.gguf').then(opened => { window.opened = opened; }); null")
        while not (opened := page.evaluate("window.opened")):
            stage = "kernels" if page.evaluate("window.stage") == "kernels" else "loading"
            most[stage] = max(most[stage], _chromium_bytes() - before)
            time.sleep(0.05)
        heap = page.evaluate("ask('heap')")["bytes"] - heap
    buffers = opened["gpu_bytes"]
    return {name: round(nbytes / 1e6) for name, nbytes in {
        "model_mb": opened["model_bytes"], "gpu_buffers_mb": buffers, "beyond_buffers_mb": most["loading"] - buffers,
        "beyond_buffers_while_compiling_mb": most["kernels"] - buffers, "python_heap_mb": heap}.items()}


def _chromium_bytes() -> int:
    """Of all processes of the browser that this process started; a page that several share counts once."""
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
                rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
                total += 1024 * int(rollup.partition("\nPss:")[2].split()[0])
        except OSError:
            pass
    return total
