"""voxtab.js on a page of another origin with a strict policy: the npm package on one port, the example on another.

All of it uses the model that the example opens, but for the last test.
"""

import base64
import hashlib
import re
import subprocess
import sys
import tarfile

import pytest
from playwright.sync_api import expect

from voxtab import resources
from web.conftest import CHECKOUT, hearing
from web.site_server import Handler, Server
from web.test_real_words import SPOKEN, as_wav

CLIP = resources.embedded_clips()[0]
EXAMPLE = (CHECKOUT / "tools/npm/example.html").read_text(encoding="utf-8")
# What tools/npm/README.md asks for.
POLICY = (
    "default-src 'none'; script-src {site} 'wasm-unsafe-eval' {own}; worker-src blob: {site}; connect-src {site}; "
    "require-trusted-types-for 'script'; trusted-types voxtab"
)


class Example(Handler):
    """The example, whose package is on the server `site`. It keeps the model where the tests find it."""

    def do_GET(self):
        page = EXAMPLE.replace("https://example.org/voxtab/", f"{self.server.site}/site/")
        page = page.replace(
            "input.disabled = false", "input.disabled = false; Object.assign(window, { voxtab, Voxtab })"
        )
        (script,) = re.findall('<script type="module">(.*)</script>', page, re.DOTALL)
        own = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy = POLICY.format(site=self.server.site, own=f"'sha256-{own}'")
        self.reply(200, page.encode(), {"Content-Type": "text/html", "Content-Security-Policy": policy})


@pytest.fixture(scope="module")
def package(site, files, tmp_path_factory):
    """The site as npm packs it, in a folder of its own, on a port of its own; and models there."""
    folder = tmp_path_factory.mktemp("npm")
    command = [sys.executable, CHECKOUT / "tools/pack_npm", "--site", site, "--out", folder]
    print(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    (packed,) = folder.glob("*.tgz")
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="data")
    server = Server({"site": folder / "package", "files": files}, cors=True)
    yield server
    server.close()


@pytest.fixture(scope="module")
def page(browser, package, tmp_path_factory):
    """The example, ready. The browser's microphone plays the clip once, after a second of silence."""
    clip = as_wav(CLIP, tmp_path_factory.mktemp("microphone") / "clip.wav", silence_seconds=1)
    server = Server({}, handler=Example)
    server.site = package.url
    browser = hearing(browser, clip)
    page = browser.new_page()
    page.said = []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.goto(server.url)
    expect(page.locator("p")).to_contain_text("Choose a recording", timeout=60000)
    yield page
    browser.close()
    server.close()


def test_the_example(page):
    """A file is chosen, and its words appear."""
    assert len(EXAMPLE.splitlines()) <= 20
    page.locator("input").set_input_files(CLIP)
    expect(page.locator("p")).to_have_text(SPOKEN[CLIP.name], timeout=60000)
    assert page.said == []


def test_samples(page, package):
    """As they come, at another rate, one block after the other. Leaving the loop stops it."""
    words, kind, length = page.evaluate(
        """async (clip) => {
            const context = new OfflineAudioContext(1, 1, 48000);
            const decoded = await context.decodeAudioData(await (await fetch(clip)).arrayBuffer());
            const samples = decoded.getChannelData(0);
            async function* blocks() {
                for (let at = 0; at < samples.length; at += 4800) {
                    yield { samples: samples.subarray(at, at + 4800), rate: 48000 };
                    await new Promise((resolve) => setTimeout(resolve, 1));
                }
            }
            const transcription = voxtab.transcribe(blocks());
            const words = [];
            for await (const word of transcription) if (words.push(word.text) === 3) break;
            return [words, await transcription.result.catch(({ kind }) => kind), samples.length];
        }""",
        f"{package.url}/site/models/tiny/clips/{CLIP.name}",
    )
    assert words == SPOKEN[CLIP.name].split()[:3] and kind == "aborted"
    assert length > 0  # the samples are still the page's


def test_stopped(page):
    """By the signal while it waits for audio, while another one runs, and before it begins; and finished early."""
    found = page.evaluate(
        """async () => {
            const kind = (transcription) => transcription.result.then(() => "whole", ({ kind }) => kind);
            async function* endless(begun) {
                yield new Float32Array(16000);
                begun();
                await new Promise(() => {});
            }
            const stop = new AbortController();
            const waiting = voxtab.transcribe(endless(() => stop.abort()), { signal: stop.signal });
            const next = voxtab.transcribe(new Float32Array(16000), { signal: stop.signal });
            const never = voxtab.transcribe(new Float32Array(16000), { signal: AbortSignal.abort() });
            const kinds = [await kind(waiting), await kind(next), await kind(never)];
            const finished = voxtab.transcribe(endless(() => finished.finish()));
            return [...kinds, (await finished.result).audio_seconds];
        }"""
    )
    assert found == ["aborted"] * 3 + [1]


@pytest.mark.parametrize(
    "source,kind,part",
    [
        ("new Int16Array(16000)", "audio", "Float32Array"),
        ("[[1, 2, 3]]", "audio", "Float32Array"),
        ("new Float32Array([NaN])", "audio", "not finite"),
        ("{ samples: new Float32Array(9), rate: 3 }", "audio", "3 Hz"),
        ("7", "audio", "a File, a MediaStream"),
        ("new Blob(['no sound'])", "audio", "the audio"),
        ("new MediaStream()", "microphone", "no sound"),
    ],
    ids=["integers", "arrays", "nan", "rate", "number", "blob", "stream"],
)
def test_what_cannot_be_transcribed(page, source, kind, part):
    found = page.evaluate(f"voxtab.transcribe({source}).result.catch(({{ kind, message }}) => [kind, message])")
    assert found[0] == kind and part in found[1] and found[1].endswith("."), found


def test_a_media_stream(page):
    """The microphone's: a recording of 3.1 s, and less than two that the device stutters. It goes on afterwards."""
    found = page.evaluate(
        """async () => {
            const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
            const live = voxtab.transcribe(stream, { alternatives: 2 });
            const events = [];
            live.addEventListener("word", ({ detail }) => events.push(detail));
            let text = "";
            live.addEventListener("text", ({ detail }) => { text += detail; });
            let progress;
            await new Promise((resolve) => {
                live.addEventListener("progress", ({ detail }) => {
                    progress = detail;
                    if (detail.done > 5) resolve();
                });
            });
            const result = await live.finish();
            const words = [];
            for await (const word of live) words.push(word);
            return { result, words, events, text, progress, own: live.text, isActive: stream.active };
        }"""
    )
    result, words = found["result"], found["words"]
    assert result["text"] == found["text"] == found["own"] == SPOKEN[CLIP.name]
    assert words == found["events"] == result["words"] and result["segments"][0]["text"] in result["subtitles"]["vtt"]
    assert [word["text"] for word in words] == SPOKEN[CLIP.name].split()
    assert all(word["confidence"] > 0.5 and len(word["alternatives"][0]) == 2 for word in words)
    assert found["progress"]["total"] is None and found["progress"]["done"] <= result["audio_seconds"]
    assert found["isActive"] and page.said == []


def test_closed(page):
    """What is open no more, and what cannot be opened."""
    kinds = page.evaluate(
        """async () => {
            const kind = (promise) => promise.then(() => "open", ({ kind }) => kind);
            const running = voxtab.transcribe(new Float32Array(160000));
            voxtab.close();
            return [
                await kind(running.result),
                await kind(voxtab.transcribe(new Float32Array(16000)).result),
                await kind(Voxtab.open({ model: "https://" })),
                await kind(Voxtab.open({ model: "self-test", tokenizer: 7 })),
                await kind(Voxtab.open({ model: "self-test", signal: AbortSignal.abort() })),
            ];
        }"""
    )
    assert kinds == ["aborted", "aborted", "model", "tokenizer", "aborted"]


def test_a_model_that_is_kept(page, package):
    """Fetched into the storage of the page's own origin, lost, opened again without a request, stopped, and removed."""
    opened, stages, [kept], lost = page.evaluate(
        """async (model) => {
            const stages = new Set();
            window.voxtab = await Voxtab.open({ model, onProgress: ({ stage }) => stages.add(stage) });
            const lost = new Promise((resolve) => {
                voxtab.addEventListener("lost", ({ detail }) => resolve(detail.kind));
            });
            const running = voxtab.transcribe(new Float32Array(160000)).result.catch(({ kind }) => kind);
            voxtab._engine._worker.dispatchEvent(new ErrorEvent("error", { message: "out of memory" }));
            return [voxtab.model, [...stages], await Voxtab.kept(), [await lost, await running]];
        }""",
        f"{package.url}/files/delay480/tiny-q4.gguf",
    )
    assert stages == ["python", "device", "weights", "kernels"] and lost == ["crash", "crash"]
    assert opened["name"] == kept["name"] == "tiny-q4.gguf" and opened["kept"] == kept["kept"]
    assert kept["bytes"] == kept["keptBytes"] > opened["bytes"] > 0
    before = len(package.requests)
    ends = page.evaluate(
        """async (kept) => {
            const stop = new AbortController();
            let bytes = 0;
            const onProgress = ({ stage, done }) => {
                if (stage !== "weights") return;
                bytes = done;
                stop.abort();
            };
            const opening = Voxtab.open({ model: { kept }, signal: stop.signal, onProgress });
            const ends = [await opening.catch(({ kind }) => kind), bytes > 0];
            await Voxtab.remove(kept);
            return [...ends, await Voxtab.kept()];
        }""",
        kept["kept"],
    )
    assert ends == ["aborted", True, []]
    assert not [path for path, _ in package.requests[before:] if path.startswith("/files")]
    assert page.said == []
