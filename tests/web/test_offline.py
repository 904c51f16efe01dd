"""The service worker: a small first visit, the page without a network, new versions that wait."""

import base64
import hashlib
import json
import os
import shutil
from contextlib import contextmanager, suppress

import pytest
import soundfile
from playwright.sync_api import Error, expect

from web.conftest import ORACLES, developer_tools
from web.fake_engine import at
from web.site_server import Handler, Server
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


def change(host, path, text, version=None):
    """A new version on the host: a file with another text, and the service worker's list with its sum."""
    replace(host.site / path, text)
    listed = host.site / "service-worker.js"
    first, rest = listed.read_text().split("\n", 1)
    described = json.loads(first.removeprefix("const SITE = ").removesuffix(";"))
    described["files"][path][0] = base64_sum(text)
    described["version"] = version or described["version"]
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


class Proxy(Handler):
    """Notes what goes through it. Addresses of this machine do not, and have servers here that note it."""

    def do_CONNECT(self):
        self.server.requests.append((self.path, None))
        self.reply(403, b"")

    do_GET = do_POST = do_HEAD = do_CONNECT


def test_a_stored_model_leaves_nothing(browser, host, elsewhere, files):
    """From the first paint to the transcript no request leaves the origin, and a later visit brings almost nothing.

    Neither does it need the network to open the model.
    """
    soundfile.write(files / "delay480/clip.wav", *soundfile.read(ORACLES / "delay480/clip.flac", dtype="int16"))
    there = f"{elsewhere.url}/files/delay480"
    proxy = Server({}, handler=Proxy)
    with browser.new_context(proxy={"server": proxy.url, "bypass": "127.0.0.1"}) as context:
        asked = []
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.goto(f"{host.url}/site/?model={there}/tiny-q4.gguf")
        at(page, "confirm").click()
        wait_for(page, "ready")
        expect(at(page, "coming")).to_contain_text(HERE, ignore_case=True)
        page.close()
        for network in (True, False):
            if not network:
                host.close()
            since, there_since = len(host.requests), len(elsewhere.requests)
            asked.clear()
            page = context.new_page()
            page.goto(f"{host.url}/site/?delay=480")
            wait_for(page, "ready")
            expect(at(page, "status")).to_contain_text("tiny-q4.gguf")
            if network:
                at(page, "audio-file").set_input_files(files / "delay480/clip.wav")
                wait_for(page, "done")
                assert page.evaluate("voxtab.tokens") == EXPECTED["delay480"]
            page.close()
            assert len(asked) > 30
            assert all(url.removeprefix("blob:").startswith(f"{host.url}/") for url in asked)
            assert elsewhere.requests[there_since:] == []
            # Whether there is a new version.
            assert set(brought(host, since)) <= {"service-worker.js"}
        assert proxy.requests == []
        with suppress(Error):
            context.new_page().goto("http://voxtab.example/")
        assert proxy.requests  # it would have seen any other
    proxy.close()
    size = size_of(host.site, "service-worker.js")
    print(f"a later visit fetches service-worker.js, {size / 1e3:.1f} kB")


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
    """A host in the middle of an upload: a file is not the one that the list names, or the page is an older one."""
    with visiting(browser, host) as page:
        written = (host.site / "index.html").read_text()
        for path, text, version in (
            ("style.css", "/* another */", None),
            ("index.html", written.replace("</body>", "<!-- the host's own words --></body>"), "f" * 64),
        ):
            change(host, path, text, version)
            if path == "style.css":
                replace(host.site / path, "/* yet another */")
            assert update(page) == "redundant"
            expect(at(page, "new-version")).to_be_hidden()
            change(host, "style.css", "/* whole */")
        # The host may write something into the page.
        version = written.split('name="version" content="')[1].split('"')[0]
        change(host, "style.css", "/* new */", version)
        assert update(page) == "installed"
        expect(at(page, "new-version")).to_be_visible()
        page.reload()
        wait_for(page, "ready")


def update(page):
    """Look for a new version. What becomes of it."""
    page.evaluate(
        """async () => {
            const registration = await navigator.serviceWorker.ready;
            window.came = null;
            registration.addEventListener("updatefound", () => {
                const worker = registration.installing;
                worker.addEventListener("statechange", () => { window.came = worker.state; });
            }, { once: true });
            await registration.update();
        }"""
    )
    wait_until(page, "window.came")
    return page.evaluate("came")


def test_it_can_be_installed(browser, host):
    with visiting(browser, host) as page:
        control = developer_tools(page)
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
