"""bare.html: the built site's Worker without the page."""

import pytest


def started(page):
    """Wait until Python has started; otherwise its event would be among the test's own."""
    page.wait_for_function("events.some(event => event.stage === 'python' && event.done)", timeout=60000)


@pytest.fixture(scope="module")
def bare(browser, server):
    page = browser.new_page()
    page.goto(f"{server.url}/site/bare.html")
    started(page)
    yield page
    page.close()
