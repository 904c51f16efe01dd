"""Documents of the site, in which the tests of web/audio import its modules."""

import pytest


@pytest.fixture(scope="module")
def page(browser, url):
    page = browser.new_page()
    page.goto(f"{url}/style.css")  # any document of the site
    yield page
    page.close()


@pytest.fixture(scope="module")
def built(browser, server):
    """Of the built site, which has the libraries too."""
    page = browser.new_page()
    page.goto(f"{server.url}/site/style.css")
    yield page
    page.close()
