"""The built site in headless Chromium, whose WebGPU is SwiftShader if there is no GPU, or in Firefox (--firefox)."""

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
import soundfile
from filelock import FileLock
from playwright.sync_api import sync_playwright

from web.site_server import Server

CHECKOUT = Path(__file__).parents[2]
ORACLES = CHECKOUT / "tests" / "oracle"
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
FIREFOX_WEBGPU = {"dom.webgpu.enabled": True, "dom.webgpu.workers.enabled": True, "gfx.webgpu.ignore-blocklist": True}
# Its own fake microphone hums; it takes no file.
FIREFOX_MICROPHONE = {"media.navigator.streams.fake": True, "media.navigator.permission.disabled": True}


def pytest_addoption(parser):
    parser.addoption("--firefox", action="store_true", help="the page's tests in Firefox (tools/test_firefox)")


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The static site, built as users build it, outside the checkout."""
    return built(tmp_path_factory, "site")


@pytest.fixture(scope="session")
def page_only(tmp_path_factory) -> Path:
    """The page of that site, for tests with a fake Worker (fake_engine.py)."""
    return built(tmp_path_factory, "page", "--only-page")


def built(tmp_path_factory, name, *options) -> Path:
    """Once for all processes of tools/test.

    In modules/ are those from which the page's scripts were joined, for tests of one: they start the joined Workers.
    """
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "built" / name
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            build = [CHECKOUT / "tools" / "build_site", "--out", folder, *options]
            subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
            web = CHECKOUT / "web"
            for module in web.rglob("*.js"):
                path = module.relative_to(web)
                target = folder / "modules" / path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(folder / path if (folder / path).exists() else module, target)
            for library in ("hash-wasm", "mediabunny"):
                (folder / "modules" / library).symlink_to(Path("..", library))
            for file in ("bare.html", "patched_worker.js"):
                shutil.copy(Path(__file__).with_name(file), folder)
    return folder


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> Path:
    """Models and clips as tests serve them: the oracles, with each clip also as raw f32 samples."""
    folder = tmp_path_factory.mktemp("files")
    for oracle in ("delay480", "delay160"):
        (folder / oracle).mkdir()
        for name in ("tiny-q4.gguf", "tekken.json"):
            shutil.copy(ORACLES / oracle / name, folder / oracle)
        samples, rate = soundfile.read(ORACLES / oracle / "clip.flac", dtype="float32")
        assert rate == 16000
        (folder / oracle / "clip.f32").write_bytes(samples.tobytes())
    return folder


@pytest.fixture(scope="session")
def elsewhere(files):
    """Another origin, which allows this one to read."""
    server = Server({"files": files}, cors=True)
    yield server
    server.close()


@pytest.fixture(scope="session")
def server(site, files, elsewhere):
    server = Server({"site": site, "files": files})
    server.elsewhere = elsewhere.url
    yield server
    server.close()


# At each start of Python, V8's optimizing compiler takes 2 s of processor time. Tests end before that pays.
FLAGS = "--enable-unsafe-webgpu", "--js-flags=--liftoff-only"


def chromium(browser_type, *arguments):
    return browser_type.launch(executable_path=CHROMIUM, chromium_sandbox=False, args=[*FLAGS, *arguments])


def firefox(browser_type):
    return browser_type.launch(channel="moz-firefox", executable_path=FIREFOX, firefox_user_prefs=FIREFOX_WEBGPU)


# Playwright keeps an event loop running: end it with this package, or native tests cannot start their own loop.
@pytest.fixture(scope="package")
def browser(request):
    with sync_playwright() as playwright:
        browser = (
            firefox(playwright.firefox)
            if request.config.getoption("--firefox", False)
            else chromium(playwright.chromium)
        )
        yield browser
        browser.close()


def hearing(browser, clip):
    """Another browser like it, whose microphone plays a WAV file once."""
    kind = browser.browser_type
    return kind.launch(**to_hear(kind, f"{clip}%noloop"))


def to_hear(browser_type, clip) -> dict:
    """How to launch a browser whose microphone plays a WAV file, again and again; in Firefox it hums."""
    if browser_type.name == "firefox":
        return {
            "channel": "moz-firefox",
            "executable_path": FIREFOX,
            "firefox_user_prefs": FIREFOX_WEBGPU | FIREFOX_MICROPHONE,
        }
    arguments = (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={clip}",
    )
    return {
        "executable_path": CHROMIUM,
        "chromium_sandbox": False,
        "args": [*FLAGS, *arguments],
    }


def browser_of(page) -> str:
    return "firefox" if "Firefox" in page.evaluate("navigator.userAgent") else "chromium"


def developer_tools(page):
    """Chromium's, for what no user can do. Tests that need them end here in Firefox."""
    if browser_of(page) != "chromium":
        pytest.skip("Only Chromium has these tools.")
    return page.context.new_cdp_session(page)


@contextmanager
def speaking(browser, clip):
    """A page in such a browser."""
    spoken = hearing(browser, clip)
    try:
        yield spoken.new_page()
    finally:
        spoken.close()


@pytest.fixture(scope="session")
def url(page_only):
    """The page without Python."""
    yield from serve(page_only)


@pytest.fixture(scope="session")
def checkout_url():
    """The page as it lies in the checkout, for tests that change one of its modules, or look into it while it runs."""
    yield from serve(CHECKOUT / "web")


def serve(folder):
    server = Server({"site": folder})
    yield f"{server.url}/site"
    server.close()
