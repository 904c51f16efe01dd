"""The page as `voxtab serve` sends it, whose content security policy must forbid nothing that the page does."""

import json

import soundfile
from playwright.sync_api import expect

from voxtab.native.server.app import application
from voxtab.native.server.run import serving
from voxtab.native.server.site import Site
from web.conftest import ORACLES
from web.fake_engine import at
from web.test_page import wait_for

EXPECTED = json.loads((ORACLES / "delay480" / "expected.json").read_text())["tokens_q4_0"]


def test_the_policy_lets_the_page_work(site, files, elsewhere, browser):
    """Python, its Workers, a model and audio of another site, which the user agrees to, and the microphone's."""
    soundfile.write(files / "delay480/served.wav", *soundfile.read(ORACLES / "delay480/clip.flac", dtype="int16"))
    page = browser.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    there = f"{elsewhere.url}/files/delay480"
    with serving(application(Site(site), None)) as url:
        page.goto(f"{url}/?model={there}/tiny-q4.gguf&audio={there}/served.wav&delay=480&left_silence=32&autostart=1")
        expect(at(page, "question")).to_be_visible(timeout=60000)
        at(page, "confirm").click()
        wait_for(page, "done")
        assert page.evaluate("voxtab.tokens") == EXPECTED
        page.evaluate("new AudioContext().audioWorklet.addModule('audio/capture-worklet.js')")
        with page.expect_download():
            at(page, "save-srt").click()
        page.close()
    assert said == []


def test_a_page_that_is_not_whole(site, browser):
    """That is told by the page too, not only forbidden."""
    page = browser.new_page()
    page.add_init_script("delete Navigator.prototype.serviceWorker")  # Playwright cannot abort its requests
    page.route("**/main.js", lambda route: route.abort())
    with serving(application(Site(site), None)) as url:
        page.goto(url)
        wait_for(page, "error")
        expect(at(page, "status")).to_contain_text("did not load: open it from a server")
        page.close()
