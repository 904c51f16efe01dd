"""A file in the page, as a user chooses it: how long it takes, and what the page's thread and its memory go through.

rtf            seconds from the choice of the file to its whole text, divided by the audio's length
long_tasks_ms  tasks of the page's own thread that took more than 50 ms: while text comes, and with the whole text
memory_mb      of Chromium's processes: with the model open, as the text comes (ten times), and with the whole text
scroll_frame_ms  between two frames of the page, while its whole text is scrolled through from top to bottom
"""

import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Page

from bench.tab import chromium, chromium_bytes, placed, served
from voxtab.bench import significant, spread
from voxtab.errors import UserError
from voxtab.native import models

# Notes each long task of the page's thread, how far the text has come, and what the whole text is.
NOTES = """
window.noted = { tasks: [], covered: 0, whole: null };
new PerformanceObserver((list) => {
  for (const { startTime, duration } of list.getEntries()) noted.tasks.push([startTime, duration]);
}).observe({ type: "longtask" });
window.Worker = class extends Worker {
  constructor(...all) {
    super(...all);
    this.addEventListener("message", ({ data }) => {
      if (data.event === "covered") noted.covered = data.audio_seconds;
      const whole = data.result?.result;
      if (whole?.words)
        noted.whole = { at: performance.now(), audio_s: whole.audio_seconds, words: whole.words.length };
    });
  }
};
"""
# Scrolls through the whole text in so many milliseconds, a step at each frame. Resolves with the times between frames.
SCROLL = """(lasts) => new Promise((resolve) => {
  const box = document.querySelector("#transcript");
  const times = [];
  const step = (now) => {
    times.push(now);
    const part = (now - times[0]) / lasts;
    box.scrollTop = part * (box.scrollHeight - box.clientHeight);
    if (part < 1) requestAnimationFrame(step);
    else resolve(times.slice(1).map((time, i) => time - times[i]));
  };
  requestAnimationFrame(step);
})"""
SCROLL_S = 10
LOOK_S = 0.5
LOOKS = 10  # at the memory, while text comes, that are reported
SETTLING_S = 2  # after which the page has shown the whole text


def tab_file(model: str, audio: str) -> dict:
    path = Path(model).absolute()
    models.read_model(path)  # before the site is built: an error in the model shows at once
    folder, address = placed(path)
    with (
        tempfile.TemporaryDirectory() as profile,
        served(folders={"model": folder}) as url,
        chromium(Path(profile)) as page,
    ):
        page.add_init_script(NOTES)
        page.goto(f"{url}/?{urlencode({'model': address})}")
        page.locator("html:is([data-state=ready], [data-state=error])").wait_for()
        _refuse(page)
        opened, seen = _memory_mb(), []  # seen: (seconds of audio whose text had come, memory)
        since = page.evaluate("performance.now()")
        page.get_by_test_id("audio-file").set_input_files(audio)
        page.locator("html:is([data-state=transcribing], [data-state=done], [data-state=error])").wait_for()
        while page.evaluate("document.documentElement.dataset.state") not in ("done", "error"):
            time.sleep(LOOK_S)
            seen.append((round(page.evaluate("noted.covered")), _memory_mb()))
        _refuse(page)
        page.wait_for_timeout(1000 * SETTLING_S)
        noted, whole = page.evaluate("[noted.tasks, noted.whole]")
        ended = _memory_mb()
        frames = sorted(page.evaluate(SCROLL, 1000 * SCROLL_S))
    run_s = (whole["at"] - since) / 1000
    return {
        "audio_s": significant(whole["audio_s"]),
        "words": whole["words"],
        "run_s": significant(run_s),
        "rtf": significant(run_s / whole["audio_s"]),
        "long_tasks_ms": {
            "while_text_comes": [round(took) for at, took in noted if since < at and at + took < whole["at"]],
            "with_the_whole_text": [round(took) for at, took in noted if at + took >= whole["at"]],
        },
        "memory_mb": {
            "open": opened,
            "by_audio_s": dict(seen[i * len(seen) // LOOKS] for i in range(min(LOOKS, len(seen)))),
            "most": max(memory for _, memory in seen),
            "with_the_whole_text": ended,
        },
        "scroll_frame_ms": spread(frames) | {"p95": significant(frames[len(frames) * 95 // 100])},
    }


def _memory_mb() -> int:
    return round(chromium_bytes() / 1e6)


def _refuse(page: Page) -> None:
    if page.evaluate("document.documentElement.dataset.state") == "error":
        raise UserError(page.get_by_test_id("error").text_content())
