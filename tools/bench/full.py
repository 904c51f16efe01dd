"""How fast a model is in headless Chromium and natively, measured on what users run: the built page and the package.

Each group of figures is measured by itself. If one fails, its figures are null, `failed` says why, and the others
still come. tools/README.md explains each figure.
"""

import asyncio
import contextlib
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

import numpy as np
import soundfile

from bench import engine
from bench.tab import chromium, chromium_bytes, placed, served
from voxtab import resources
from voxtab.bench import file_run, significant, spread
from voxtab.config import LOOKAHEAD_SAMPLES, SAMPLE_RATE, SAMPLES_PER_TOKEN, TOKEN_MS
from voxtab.errors import UserError
from voxtab.gpu.device import DEFAULT_LIMITS
from voxtab.native import models
from voxtab.native.audio.file import open_audio

FIGURES = (
    "step_ms",
    "rtf_60s",
    "live_p50_ms",
    "live_p99_ms",
    "paced_p50_ms",
    "paced_p99_ms",
    "rows_x",
    "paint_p95_ms",
    "launches",
    "layers_tbs",
    "head_tbs",
    "load_s",
    "reload_s",
    "click_s",
    "growth_mb",
    "heap_mb",
    "gpu_gb",
    "gpu_full_gb",
    "drift_x",
    "weaker_x",
    "native_x",
)

WORKER_FIGURES = (
    "rtf_60s",
    "heap_mb",
    "launches",
    "step_ms",
    "rows_x",
    "live_p50_ms",
    "live_p99_ms",
    "paced_p50_ms",
    "paced_p99_ms",
    "layers_tbs",
    "head_tbs",
    "gpu_full_gb",
    "drift_x",
)


@dataclass(frozen=True)
class Counts:
    """How often each thing is measured."""

    loads: int = 2  # with a fresh profile; then the same number with that profile again
    files: int = 5
    audio_s: int = 60  # length of the file
    runs: int = 9  # of decoder steps and of bandwidth
    live: int = 1000  # live steps
    paced: int = 250  # live steps, one in 80 ms
    drift: int = 1000  # live steps at each of these positions, and after the jump
    positions: tuple[int, int] = (750, 9000)  # minute 1, and past the decoder's window of 8192
    speaking_s: int = 30  # how long the microphone plays


QUICK = Counts(loads=1, files=1, audio_s=10, runs=3, live=100, paced=100, drift=20, positions=(200, 600), speaking_s=15)

# Notes each state of the page and when it was reached, in ms since the navigation.
STATES = """
window.states = [];
new MutationObserver(() => states.push([document.documentElement.dataset.state, performance.now()]))
  .observe(document, { subtree: true, attributes: true, attributeFilter: ['data-state'] });
"""

# Notes when the AudioWorklet gets the last sample of each step, when the transcript in the page changes, and when the
# next animation frame comes. Both threads share the clock Date.now(), which has a resolution of 1 ms.
NOTE_STEPS = f"""
const register = registerProcessor;
globalThis.registerProcessor = (name, Processor) => register(name, class extends Processor {{
  constructor(options) {{
    super(options);
    Object.assign(this, {{ came: options.processorOptions?.came ?? [], frames: 0, steps: 0 }});
  }}
  process(inputs, ...more) {{
    this.frames += inputs[0][0]?.length ?? 0;
    const samples = {SAMPLE_RATE} * this.frames / sampleRate;
    while ({SAMPLES_PER_TOKEN} * (this.steps + 1) + {LOOKAHEAD_SAMPLES} <= samples) {{
      this.came[this.steps++] = Date.now();
    }}
    return super.process(inputs, ...more);
  }}
}});
"""
NOTE_TEXTS = """
window.came = new Float64Array(new SharedArrayBuffer(8 * 10_000));
window.shown = [];
window.AudioWorkletNode = class extends AudioWorkletNode {
  constructor(context, name, options = {}) {
    super(context, name, { ...options, processorOptions: { ...options.processorOptions, came } });
  }
};
let covered = 0;
window.Worker = class extends Worker {
  constructor(...all) {
    super(...all);
    this.addEventListener('message', ({ data }) => { if (data.event === 'text') covered = data.audio_seconds; });
  }
};
addEventListener('DOMContentLoaded', () => {
  const observer = new MutationObserver(() => {
    const note = { covered, dom: Date.now(), frame: null };
    shown.push(note);
    requestAnimationFrame(() => { note.frame = Date.now(); });
  });
  const transcript = document.querySelector('[data-testid=transcript]');
  observer.observe(transcript, { subtree: true, childList: true, characterData: true });
});
"""

# Runs before the Worker's own code: the GPU grants only WebGPU's default limits, or no optional feature.
DEFAULT_LIMITS_ONLY = f"""
const least = {DEFAULT_LIMITS};
Object.defineProperty(GPUAdapter.prototype, 'limits', {{ get: () => least }});
"""
NO_FEATURES = "Object.defineProperty(GPUAdapter.prototype, 'features', { get: () => new Set() });\n"
WEAKER = {"default_limits": DEFAULT_LIMITS_ONLY, "no_subgroups": NO_FEATURES}
WEAKER_FIGURES = "step_ms", "rtf_60s", "live_p50_ms", "live_p99_ms"


class Report:
    """The figures, their spread, and what failed."""

    def __init__(self):
        self.figures: dict[str, float | dict | None] = dict.fromkeys(FIGURES)
        self.details: dict[str, object] = {}
        self.failed: dict[str, str] = {}

    @contextlib.contextmanager
    def part(self, *figures: str):
        """A group of figures. An error ends the group and is noted for the figures that it has not reached."""
        since = time.perf_counter()
        try:
            yield
        except Exception as error:
            reason = (
                str(error).splitlines()[0]
                if isinstance(error, UserError)
                else f"{type(error).__name__}: {error}".splitlines()[0]
            )
            self.failed |= {
                figure: reason for figure in figures if self.figures[figure] is None and figure not in self.failed
            }
            _say(reason)
        _say(
            f"{time.perf_counter() - since:.1f} s for "
            + ", ".join(f"{figure} {self.figures[figure]}" for figure in figures)
        )

    def note(self, figure: str, values: list[float]) -> None:
        """Set a figure to the median of the values."""
        self.details[figure] = spread(values)
        self.figures[figure] = self.details[figure]["median"]


def full(arguments) -> dict:
    counts = QUICK if arguments.quick else Counts()
    model = None if arguments.model == "tiny" else Path(arguments.model).absolute()
    found = models.read_model(model)  # before the site is built: an error in the model shows at once
    worker = "".join(code for option, code in WEAKER.items() if getattr(arguments, option))
    report = Report()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        clip = np.concatenate(list(open_audio(resources.embedded_clips()[0]).samples()))
        speech = np.resize(clip, counts.audio_s * SAMPLE_RATE)
        (scratch / "measured").mkdir()
        soundfile.write(scratch / "measured/speech.wav", speech, SAMPLE_RATE, subtype="PCM_16")
        folder, address = placed(model) if model else (None, None)
        folders = {"measured": scratch / "measured"} | ({"model": folder} if folder else {})
        before = {"worker/boot.js": worker, "audio/capture-worklet.js": NOTE_STEPS}
        with served(arguments.site, folders=folders, before=before) as url:
            _say(f"the site is served at {url}")
            with report.part("load_s", "reload_s", "click_s", "paint_p95_ms"):
                _page(report, counts, url, address, arguments.variants, scratch)
            with report.part("growth_mb", "gpu_gb", *WORKER_FIGURES):
                _worker(report, counts, url, address, arguments.variants, scratch, arguments.long)
        if arguments.weaker:
            with report.part("weaker_x"):
                _weaker(report, counts, arguments, folders, address, scratch)
        with report.part("native_x"):
            asyncio.run(_native(report, counts, found, speech, arguments.default_limits, arguments.variants))
    return report.figures | {
        "model": found.name,
        "audio": f"{resources.embedded_clips()[0].name}, repeated to {counts.audio_s} s",
        "options": {
            name: getattr(arguments, name)
            for name in ("quick", "long", "weaker", "default_limits", "no_subgroups", "variants")
        },
        "details": report.details,
        "failed": report.failed,
    }


def _page(report: Report, counts: Counts, url: str, model: str | None, variants: str | None, scratch: Path) -> None:
    """The page itself, from navigation to `ready`: with a fresh profile, then with that profile in a new browser.

    Then the kept model is opened again by its button, and the page listens to a microphone.
    """
    address = f"{url}/?" + urlencode(
        {name: value for name, value in (("model", model or "self-test"), ("variants", variants)) if value}
    )
    loads, reloads, clicks = [], [], []
    for i in range(counts.loads):
        profile = scratch / f"profile{i}"
        with chromium(profile) as page:
            loads.append(_ready(page, address))
        report.note("load_s", loads)
        last = i == counts.loads - 1
        microphone = [
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-audio-capture={scratch / 'measured/speech.wav'}",
        ]
        with chromium(profile, *microphone) as page:
            if last:
                page.add_init_script(NOTE_TEXTS)
            reloads.append(_ready(page, address))
            report.note("reload_s", reloads)
            if model:  # the embedded one is part of the site, and not in the list
                clicks.append(page.evaluate(USE) / 1000)
                report.note("click_s", clicks)
            if last:
                _paint(report, page, counts.speaking_s)


# Clicks “Use” of the first kept model. Milliseconds until it is open.
USE = """() => new Promise((resolve, reject) => {
  const root = document.documentElement;
  const since = performance.now();
  document.querySelector("#kept-list button").click();
  new MutationObserver(() => {
    if (root.dataset.state === "ready") resolve(performance.now() - since);
    if (root.dataset.state === "error") reject(new Error("The kept model did not open."));
  }).observe(root, { attributeFilter: ["data-state"] });
})"""


def _ready(page, address: str) -> float:
    page.add_init_script(STATES)
    page.goto(address)
    page.locator("html:is([data-state=ready], [data-state=error])").wait_for()
    state, ms = page.evaluate("states.at(-1)")
    if state != "ready":
        raise UserError(page.get_by_test_id("error").text_content())
    return ms / 1000


def _paint(report: Report, page, seconds: int) -> None:
    """Time from a step's last sample in the AudioWorklet to its text in the page. Tokens without text do not count."""
    page.get_by_test_id("speak").click()
    page.locator("html[data-state=transcribing]").wait_for()
    page.wait_for_timeout(1000 * seconds)
    delay = page.evaluate("Number(document.querySelector('[data-testid=delay]').value)")
    came, shown = page.evaluate("[Array.from(came), shown]")
    # The text for the first k tokens of audio is written by step k + delay - 1, counted from 0.
    steps = [(round(1000 * note["covered"] / TOKEN_MS) + delay // TOKEN_MS - 1, note) for note in shown]
    settled = [(step, note) for step, note in steps if step >= 2000 // TOKEN_MS and came[step] and note["frame"]]
    if len(settled) < 10:
        raise UserError(f"Only {len(settled)} tokens with text came from {seconds} s of the microphone: 10 are needed.")
    dom, frame = (sorted(note[end] - came[step] for step, note in settled) for end in ("dom", "frame"))
    report.figures["paint_p95_ms"] = dom[len(dom) * 95 // 100]
    report.details["paint_p95_ms"] = {
        "dom_ms": spread(dom),
        "next_frame_ms": spread(frame),
        "next_frame_p95_ms": frame[len(frame) * 95 // 100],
    }


def _worker(
    report: Report, counts: Counts, url: str, model: str | None, variants: str | None, scratch: Path, long: bool
) -> None:
    """Memory, files and steps in the page's Worker, which bench.html calls."""
    note, figures = report.note, report.figures
    with chromium(scratch / "worker") as page:
        page.goto(f"{url}/bench/bench.html")

        def measure(name: str, samples: bool = False, **options):
            _say(f"{name} …")
            return page.evaluate("all => measure(...all)", [name, options, samples])

        page.evaluate("ask('state')")  # Python has started
        with _most_memory() as memory:
            opened = page.evaluate("all => load(...all)", [model, variants])
        report.details["gpu"] = opened["gpu"] | {"limits": page.evaluate("ask('state')")["limits"]}
        # A software GPU keeps its buffers in ordinary memory.
        buffers = opened["gpu_bytes"] if opened["gpu"]["software"] else 0
        figures["growth_mb"] = round((memory["most"] - memory["before"] - buffers) / 1e6)
        figures["gpu_gb"] = significant(opened["gpu_bytes"] / 1e9)
        with report.part("rtf_60s", "heap_mb"):
            page.evaluate("transcribe()")  # warm-up
            note("rtf_60s", [page.evaluate("transcribe()") / counts.audio_s for _ in range(counts.files)])
            report.details["rtf_60s"] |= measure("kept", True)
            figures["heap_mb"] = round(page.evaluate("ask('state')")["heap"] / 1e6)
        with report.part("live_p50_ms", "live_p99_ms"):
            note("live_p50_ms", [1000 * step for step in measure("live", True, steps=counts.live)])
            figures["live_p99_ms"] = report.details["live_p50_ms"].get("p99")
        with report.part("paced_p50_ms", "paced_p99_ms"):
            note("paced_p50_ms", [1000 * step for step in measure("paced", True, steps=counts.paced)])
            figures["paced_p99_ms"] = report.details["paced_p50_ms"].get("p99")
        with report.part("launches", "step_ms", "rows_x"):
            figures["launches"] = measure("launches")
            note("step_ms", [1000 * step for step in measure("decoder_steps", runs=counts.runs)])
            report.details["pass_ms"] = _pass_ms(measure("passes", runs=counts.runs))
            figures["rows_x"] = _rows_x(report.details["pass_ms"])
        with report.part("layers_tbs", "head_tbs"):
            rates = measure("bandwidth", runs=counts.runs)
            for part in ("layers", "head"):
                note(f"{part}_tbs", [rate / 1e12 for rate in rates[part]])
        with report.part("gpu_full_gb", "drift_x"):
            if not long:
                raise UserError("This is measured only with --long.")
            early, late = counts.positions
            far = measure("drift", True, steps=counts.drift, early=early, late=late)
            figures["gpu_full_gb"] = significant(page.evaluate("ask('state')")["gpu"] / 1e9)
            report.details["drift_x"] = {"positions": [early, late], "added_bytes": far["added_bytes"]} | {
                f"{part}_ms": spread([1000 * step for step in far[part]]) for part in ("early", "late", "jumped")
            }
            if not far["added_bytes"]:
                raise UserError(f"This model's window is already full at position {early}.")
            added_s = median(far["jumped"]) - median(far["early"])
            figures["drift_x"] = significant(added_s / (far["added_bytes"] / (1e12 * figures["layers_tbs"])))


def _weaker(report: Report, counts: Counts, arguments, folders: dict[str, Path], model, scratch: Path) -> None:
    """What the Worker reaches on weaker GPUs, divided by what it reached on this one."""
    fewer = replace(counts, files=min(2, counts.files), runs=3, live=min(200, counts.live), paced=25)
    ratios: dict[str, dict[str, float]] = {}
    for option, code in WEAKER.items():
        weaker = Report()
        with served(arguments.site, folders=folders, before={"worker/boot.js": code}) as url:
            _worker(weaker, fewer, url, model, arguments.variants, scratch / option, False)
        report.details[option] = weaker.figures | weaker.details | {"failed": weaker.failed}
        ratios[option] = {
            figure: significant(weaker.figures[figure] / report.figures[figure]) for figure in WEAKER_FIGURES
        }
    report.figures["weaker_x"] = ratios


@contextlib.contextmanager
def _most_memory():
    """Bytes of Chromium's processes: before the body, and the most while it runs."""
    memory = {"before": chromium_bytes()}
    memory["most"] = memory["before"]
    done = threading.Event()

    def look():
        while not done.wait(0.05):
            memory["most"] = max(memory["most"], chromium_bytes())

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield memory
    finally:
        done.set()
        looking.join()


async def _native(
    report: Report, counts: Counts, found: models.LocalModel, speech, default_limits: bool, variants: str | None
) -> None:
    """The same measurements of the same model, natively."""
    since = time.perf_counter()
    model = await models.load_model(found, default_limits=default_limits, variants=variants)
    native = report.details["native"] = {
        "gpu": model.device.adapter.as_json() | {"limits": model.device.limits},
        "load_s": significant(time.perf_counter() - since),
    }
    await file_run(model, speech)
    native["rtf_60s"] = spread(
        [(await file_run(model, speech))["run_s"] / counts.audio_s for _ in range(counts.files)]
    ) | await engine.kept(model, speech)
    native["step_ms"] = spread([1000 * step for step in await engine.decoder_steps(model, counts.runs)])
    native["pass_ms"] = _pass_ms(await engine.passes(model, counts.runs))
    native["rows_x"] = _rows_x(native["pass_ms"])
    native["paced_p50_ms"] = spread([1000 * step for step in await engine.paced(model, speech, counts.paced)])
    native["live_p50_ms"] = spread([1000 * step for step in await engine.live(model, speech, counts.live)])
    rates = await engine.bandwidth(model, counts.runs)
    native |= {f"{part}_tbs": spread([rate / 1e12 for rate in rates[part]]) for part in rates}
    model.close()
    if not report.figures["live_p50_ms"]:
        raise UserError("The browser's live step was not measured, so there is nothing to compare with.")
    report.figures["native_x"] = significant(native["live_p50_ms"]["median"] / report.figures["live_p50_ms"])


def _pass_ms(times: dict[str, list[float]]) -> dict[str, dict]:
    return {rows: spread([1000 * time for time in values]) for rows, values in times.items()}


def _rows_x(pass_ms: dict[str, dict]) -> dict[str, float]:
    """A pass of 2, 4 and 8 rows over one of one row."""
    return {rows: significant(pass_ms[rows]["median"] / pass_ms["1"]["median"]) for rows in ("2", "4", "8")}


def _say(sentence: str) -> None:
    print(f"tools/bench: {sentence}", file=sys.stderr, flush=True)
