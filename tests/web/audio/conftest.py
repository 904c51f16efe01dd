"""A document of the site, in which the tests of web/audio import its modules."""

import pytest


@pytest.fixture(scope="module")
def page(browser, url):
    page = browser.new_page()
    page.goto(f"{url}/config.js")  # any document of the site
    yield page
    page.close()
