"""The service worker: a small first visit, the page without a network, new versions that wait."""

import base64
import hashlib
import json
import os
import shutil
from contextlib import contextmanager

import pytest
import soundfile
from playwright.sync_api import expect

from web.conftest import ORACLES
from web.fake_engine import at
from web.site_server import Server
from web.test_page import EXPECTED, wait_for, wait_until

FIRST_VISIT = 8e6  # bytes at most, before the first click, from a host that compresses nothing
LIBRARY = {"pyodide/memory.bin", "pyodide/python_stdlib.zip"}
HERE = "the page and the engine are kept in this browser"


@pytest.fixture
def host(site, files, tmp_path):
    """A host of its own, which sends no headers, as its files may change."""
    shutil.copytree(site, tmp_path / "site", copy_function=os.link)
    server = Server({"site": tmp_path / "site", "files": files})
    server.site = tmp_path / "site"
    yield server
    server.close()


@contextmanager
def visiting(browser, host, query=""):
    """A first visit, once the service worker has brought what it brings at once."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{host.url}/site/{query}")
        expect(at(page, "coming")).to_contain_text("of the engine are in this browser", timeout=60000)
        yield page


def brought(host, since=0) -> list[str]:
    return [path.removeprefix("/site/") or "index.html" for path, _ in host.requests[since:]]


def size_of(site, path) -> int:
    file = site / path
    return file.stat().st_size if file.is_file() else 0


def change(host, path, text):
    """A new version on the host: a file with another text, and the service worker's list with its sum."""
    replace(host.site / path, text)
    listed = host.site / "service-worker.js"
    first, rest = listed.read_text().split("\n", 1)
    described = json.loads(first.removeprefix("const SITE = ").removesuffix(";"))
    described["files"][path][0] = base64_sum(text)
    replace(listed, f"const SITE = {json.dumps(described)};\n{rest}")


def replace(file, text):
    file.unlink()  # it is a link to the site that other tests use
    file.write_text(text)


def base64_sum(text):
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_a_first_visit_is_small_and_says_what_comes(browser, host):
    """Neither Python's library nor the self-test model comes before the first click, and nothing comes twice."""
    bytes = json.loads((host.site / "site.json").read_text())["bytes"]
    with visiting(browser, host) as page:
        sizes = [size_of(host.site, path) for path in brought(host)]
        print(f"a first visit fetches {sum(sizes) / 1e6:.2f} MB in {len(sizes)} requests; {bytes}")
        assert sum(sizes) < FIRST_VISIT
        assert not [path for path in brought(host) if path.endswith((*LIBRARY, ".gguf"))]
        large = [path for path in brought(host) if size_of(host.site, path) > 100_000]
        assert len(large) == len(set(large)) > 4
        expect(at(page, "coming")).to_contain_text(f"{bytes['program'] / 1e6:.1f} MB")
        expect(at(page, "coming")).to_contain_text(f"{bytes['library'] / 1e6:.1f} MB")
        expect(at(page, "demo")).to_contain_text(f"{bytes['self_test'] / 1e6:.1f} MB")
        since = len(host.requests)
        at(page, "see").click()
        wait_for(page, "transcribing")
        expect(at(page, "coming")).to_contain_text(HERE, ignore_case=True)
        then = brought(host, since)
        assert sorted(path for path in then if size_of(host.site, path) > 100_000) == [
            "models/tiny/tekken.json",
            "models/tiny/voxtab-tiny-q4.gguf",
            *sorted(LIBRARY),
        ]


def test_a_stored_model_works_without_a_network(browser, host, elsewhere, files):
    """From the first paint to the transcript, no request leaves the browser."""
    soundfile.write(files / "delay480/clip.wav", *soundfile.read(ORACLES / "delay480/clip.flac", dtype="int16"))
    there = f"{elsewhere.url}/files/delay480"
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{host.url}/site/?model={there}/tiny-q4.gguf")
        at(page, "confirm").click()
        wait_for(page, "ready")
        expect(at(page, "coming")).to_contain_text(HERE, ignore_case=True)
        page.close()
        host.close()  # the network is gone
        requests = []
        context.on("request", lambda request: requests.append(request.url))
        before = len(elsewhere.requests)
        page = context.new_page()
        page.goto(f"{host.url}/site/?delay=480")
        wait_for(page, "ready")
        expect(at(page, "status")).to_contain_text("tiny-q4.gguf")
        at(page, "audio-file").set_input_files(files / "delay480/clip.wav")
        wait_for(page, "done")
        assert page.evaluate("voxtab.tokens") == EXPECTED["delay480"]
        assert elsewhere.requests[before:] == []
        assert len(requests) > 40 and all(url.removeprefix("blob:").startswith(f"{host.url}/") for url in requests)


def test_a_new_version_waits_until_it_is_wanted(browser, host):
    """It is brought whole, is never used by a tab that runs, and not while another tab has the old one."""
    style = "fetch('style.css').then((answer) => answer.text())"
    with visiting(browser, host) as page:
        old = page.evaluate(style)
        expect(at(page, "new-version")).to_be_hidden()
        change(host, "style.css", "/* new */")
        since = len(host.requests)
        page.reload()
        expect(at(page, "new-version")).to_be_visible(timeout=60000)
        # Python's library, which the first visit has not brought, belongs to a whole version.
        assert set(brought(host, since)) == {"service-worker.js", "style.css", *LIBRARY}
        page.reload()
        expect(at(page, "new-version")).to_be_visible()
        assert page.evaluate(style) == old
        other = page.context.new_page()
        other.goto(page.url)
        at(page, "use-new-version").click()
        expect(at(page, "error")).to_contain_text("open in another tab")
        assert page.evaluate(style) == other.evaluate(style) == old
        other.close()
        with page.expect_navigation():
            at(page, "use-new-version").click()
        wait_for(page, "ready")
        assert page.evaluate(style) == "/* new */"
        expect(at(page, "new-version")).to_be_hidden()


def test_a_version_that_is_not_whole_is_not_offered(browser, host):
    """A host in the middle of an upload: a file is not the one that the list names, or is missing."""
    with visiting(browser, host) as page:
        change(host, "style.css", "/* new */")
        replace(host.site / "style.css", "/* another */")
        page.evaluate(
            """async () => {
                const registration = await navigator.serviceWorker.ready;
                registration.addEventListener("updatefound", () => {
                    const worker = registration.installing;
                    worker.addEventListener("statechange", () => { window.came = worker.state; });
                });
                await registration.update();
            }"""
        )
        wait_until(page, "window.came")
        assert page.evaluate("came") == "redundant"
        expect(at(page, "new-version")).to_be_hidden()
        page.reload()
        wait_for(page, "ready")


def test_it_can_be_installed(browser, host):
    with visiting(browser, host) as page:
        control = page.context.new_cdp_session(page)
        manifest = control.send("Page.getAppManifest")
        assert manifest["errors"] == [] and manifest["url"].endswith("/site/manifest.webmanifest")
        described = json.loads(manifest["data"])
        for icon in described["icons"]:
            size = page.evaluate(
                """async (src) => {
                    const image = new Image();
                    image.src = src;
                    await image.decode();
                    return `${image.naturalWidth}x${image.naturalHeight}`;
                }""",
                icon["src"],
            )
            assert icon["sizes"] in (size, "any")
        errors = control.send("Page.getInstallabilityErrors")["installabilityErrors"]
        assert [error["errorId"] for error in errors if error["errorId"] != "in-incognito"] == []
