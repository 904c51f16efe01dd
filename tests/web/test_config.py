"""web/config.js repeats the model's numbers and the endings of audio files; index.html knows two numbers as well."""

import re

from voxtab import config
from voxtab.gpu.device import DEFAULT_LIMITS
from voxtab.native.cli.inputs import AUDIO_SUFFIXES
from web.conftest import CHECKOUT

ONLY_THE_PAGE = {".ts"}  # a film; in a folder that is given to the command line, it is rather TypeScript


def test_the_page_has_the_engines_numbers_and_endings(browser, url):
    page = browser.new_page()
    page.goto(f"{url}/style.css")
    numbers = page.evaluate("async () => ({ ...await import('./modules/config.js') })")
    page.close()
    assert {f".{ending}" for ending in numbers.pop("AUDIO_ENDINGS")} == AUDIO_SUFFIXES | ONLY_THE_PAGE
    assert numbers == {
        name: list(value) if isinstance(value := getattr(config, name), tuple) else value for name in numbers
    }
    assert len(numbers) == 6


def test_the_page_asks_for_the_limits_that_the_engine_needs(browser, url):
    page = browser.new_page()
    page.goto(f"{url}/style.css")
    page.set_content('<html lang="en"><meta name="languages" content="en">')  # as index.html tells the page's sentences
    needed = page.evaluate("async () => (await import('./modules/page/machine.js')).NEEDED")
    page.close()
    assert needed == DEFAULT_LIMITS


def test_the_pages_least_left_silence_is_the_engines():
    (least,) = re.findall(r'id="left-silence".* min="(\d+)"', (CHECKOUT / "web/index.html").read_text())
    assert int(least) == config.TRAINED_LEFT_SILENCE_TOKENS
