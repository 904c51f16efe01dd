"""The real page on a Worker that does what a test says: every state and every error, in milliseconds."""

import base64
import json
import struct
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import expect

FAKE_WORKER = Path(__file__).with_name("fake_worker.js").read_text()

# SwiftShader is a software adapter, and the page warns about those; most tests want a machine without warnings.
GOOD_GPU = """
Object.defineProperty(Navigator.prototype, "gpu", { configurable: true, get: () => ({ requestAdapter: async () => ({
  info: { vendor: "acme", architecture: "", device: "", description: "Acme 9000" }, features: new Set(), limits: {},
}) }) });
"""
# What `open` answers: the part that the page needs.
MODEL = {"name": "voxtral-q4.gguf", "model_bytes": 1, "default_delay_ms": 480, "left_silence_tokens": 32}
# What the fake Worker was asked; messages are noted before the page sees them. Other Workers are as they are.
NOTE = """
window.heard = [];
window.answered = new Set(); // ids of calls
window.Worker = class extends Worker {
  constructor(address, options) {
    super(address, options);
    if (!String(address).endsWith("/boot.js")) return;
    (window.made ??= []).push(this);
    this.addEventListener("message", ({ data }) => {
      if (data.event?.startsWith("fake")) window.heard.push(data);
      else if (data.id) window.answered.add(data.id);
    });
  }
};
"""
# For a document that has just begun.
UNFOLD = """
document.addEventListener("DOMContentLoaded", () => {
  for (const details of document.querySelectorAll("aside details")) details.open = true;
});
"""


def prepare(page, script, gpu):
    """The next document in `page` gets a fake Worker and this GPU."""
    page.add_init_script(NOTE + gpu + UNFOLD)
    page.route(
        "**/boot.js",
        lambda route: route.fulfill(
            content_type="text/javascript", body=f"const script = {json.dumps(script or {})};\n{FAKE_WORKER}"
        ),
    )


@contextmanager
def page_on(browser, url, script=None, query="?model=self-test", gpu=GOOD_GPU, state="ready", **context):
    """The page at `url`, a folder, once it is in `state`; any error that it does not catch fails the test.

    What is beside the transcript is unfolded.
    """
    context = browser.new_context(**context)
    context.set_default_timeout(5000)
    page = context.new_page()
    uncaught = []
    page.on("pageerror", lambda error: uncaught.append(error))
    prepare(page, script, gpu)
    page.goto(f"{url}/{query}")
    page.wait_for_function("window.voxtab")  # main.js has run, which comes after first.js
    if state:
        wait_for(page, state)
    try:
        yield page
    finally:
        context.close()
    assert not [error.stack for error in uncaught]


def wait_for(page, state):
    expect(page.locator("html")).to_have_attribute("data-state", state)


def at(page, name):
    return page.get_by_test_id(name)


def hear(page, **message):
    """As if the Worker that runs now had sent the message."""
    page.evaluate("data => window.made.at(-1).dispatchEvent(new MessageEvent('message', { data }))", message)


def answer(page, verb, **message):
    """The Worker's answer to the last call that it has not answered, which may still come: `result` or `error`."""
    unanswered = page.wait_for_function(
        """verb => window.heard
            .map(({ call, event, id }) => verb === "feed" ? event === "fake-fed" && id : call?.verb === verb && call.id)
            .filter((id) => id && !window.answered.has(id))
            .at(-1)""",
        arg=verb,
    )
    hear(page, id=unanswered.json_value(), **message)


def calls(page, verb):
    """What the Worker was asked under `verb`."""
    return page.evaluate("verb => window.heard.map(({ call }) => call).filter(call => call?.verb === verb)", verb)


def fed(page):
    """What the Worker was fed: {fed, first, loudest} for each block."""
    return page.evaluate("() => window.heard.filter(({ event }) => event === 'fake-fed')")


def drop(page, *files):
    """Drop files, [name, text of the file] each, on the page."""
    transfer = page.evaluate_handle(
        """files => {
        const transfer = new DataTransfer();
        for (const [name, bytes] of files) transfer.items.add(new File([new Uint8Array(bytes)], name));
        return transfer;
    }""",
        [[name, list(data)] for name, data in files],
    )
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})


def drop_paths(page, *paths):
    """Drop files or folders on the page: in Chromium as a user does it; in Firefox only files, by an event."""
    if page.context.browser.browser_type.name == "chromium":
        hand = page.context.new_cdp_session(page)
        for event in ("dragEnter", "dragOver", "drop"):
            hand.send(
                "Input.dispatchDragEvent",
                {
                    "type": event,
                    "x": 200,
                    "y": 200,
                    "data": {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1},
                },
            )
    else:
        page.evaluate(
            """files => {
            const dataTransfer = new DataTransfer();
            for (const [name, data] of files) dataTransfer.items.add(new File([Uint8Array.fromBase64(data)], name));
            document.body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
        }""",
            [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in paths],
        )


def wav(samples, rate=16000, channels=1, bits=16, form=1):
    """A WAV file as bytes; `samples` are its data."""
    head = struct.pack("<HHIIHH", form, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits)
    return (
        b"RIFF"
        + struct.pack("<I", 36 + len(samples))
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + head
        + b"data"
        + struct.pack("<I", len(samples))
        + samples
    )


SECOND = {"name": "clip.wav", "mimeType": "audio/wav", "buffer": wav(bytes(32000))}
