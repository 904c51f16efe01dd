"""The page in other languages: how one is chosen, what is marked as English, and a table that is new."""

import json
import re
import runpy
import shutil

import pytest
from playwright.sync_api import expect

from web.conftest import CHECKOUT
from web.fake_engine import SECOND, at, calls, drop, hear, page_on, wait_for, wav
from web.site_server import Server

WEB = CHECKOUT / "web"
HINDI = json.loads((WEB / "words" / "hi.json").read_text(encoding="utf-8"))
# Text that users see or hear, and that is of the page's language: no names of languages, transcripts or marked English.
SEEN = """() => {
    const own = (element) => element.closest("[lang]").lang === document.documentElement.lang;
    const texts = [document.title, document.querySelector("meta[name=description]").content];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const { parentElement, data } = walk.currentNode;
        if (parentElement.tagName !== "NOSCRIPT" && own(parentElement)) texts.push(data.trim());
    }
    for (const element of document.querySelectorAll("*")) {
        const { ariaLabel, placeholder, title, dataset } = element;
        texts.push(ariaLabel, dataset.empty, dataset.unloaded);
        if (element.id !== "audio-url") texts.push(placeholder, title);
    }
    return texts.filter(Boolean);
}"""


def test_choosing_a_language(browser, url):
    """The browser's, the user's, which is remembered until the settings are reset, and the link's, in this order."""
    with page_on(browser, url, locale="hi-IN", permissions=["clipboard-read", "clipboard-write"]) as page:
        html = page.locator("html")
        expect(html).to_have_attribute("lang", "hi")
        expect(page).to_have_title(HINDI["page.title"])
        expect(at(page, "speak")).to_have_text(HINDI["work.speak"])
        at(page, "copy-link").click()
        expect(at(page, "link-copied")).not_to_contain_text("lang=")  # nobody chose it
        chosen = at(page, "language")
        expect(chosen.locator("option")).to_have_text(["English", "हिन्दी"])
        chosen.select_option("en")
        expect(at(page, "speak")).to_have_text("Speak")
        expect(at(page, "speak")).to_be_enabled()  # the model stays open
        assert len(calls(page, "open")) == 1
        page.reload()
        expect(at(page, "speak")).to_have_text("Speak")
        wait_for(page, "ready")
        at(page, "copy-link").click()
        expect(at(page, "link-copied")).to_contain_text("lang=en")
        at(page, "reset").click()
        expect(at(page, "speak")).to_have_text(HINDI["work.speak"])
        expect(at(page, "reset")).to_be_hidden()
        page.goto(f"{url}/?lang=EN-gb")
        expect(html).to_have_attribute("lang", "en")
        wait_for(page, "ready")
        at(page, "language").select_option("hi")
        expect(html).to_have_attribute("lang", "hi")
        assert "lang" not in page.url
        # A language whose table does not come: the page stays as it is.
        page.route("**/words/hi.json", lambda route: route.abort())
        at(page, "language").select_option("en")
        at(page, "language").select_option("hi")
        expect(at(page, "error")).to_contain_text("The language could not be changed")
        expect(at(page, "language")).to_have_value("en")


def test_english_is_marked_where_it_is_not_translated(browser, url):
    """Sentences of the engine: one that the table has, with values, and one that it does not have."""
    errors = [
        {"error": {"kind": "device", "message": text}} for text in ("The GPU was lost (it fell out).", "No idea.")
    ]
    with page_on(browser, url, {"open": [{}, *errors]}, query="?model=m.gguf&lang=hi") as page:
        error = page.locator("#error-text")
        at(page, "use-self-test").click()
        wait_for(page, "error")
        expect(error).to_have_text(HINDI["messages"]["The GPU was lost ({reason})."].replace("{reason}", "it fell out"))
        expect(error.locator("[lang]")).to_have_count(0)
        at(page, "retry").click()
        expect(error.locator("[lang=en]")).to_have_text("No idea.")
        # It is English anywhere else, and is not marked then.
        at(page, "language").select_option("en")
        expect(error).to_have_text("No idea.")
        expect(error.locator("[lang]")).to_have_count(0)


def test_words_do_not_come(browser, url):
    """A table that is missing: the page is English. No table at all: the page says that parts of it are missing."""
    with page_on(browser, url, query="?lang=hi", state=None) as page:
        page.route("**/words/hi.json", lambda route: route.fulfill(status=404))
        page.reload()
        expect(page.get_by_role("heading", name="Speak, and read along.")).to_be_visible()
        expect(at(page, "get-model")).to_contain_text("Get the model (")
        page.route("**/words/en.json", lambda route: route.abort())
        page.reload()
        expect(page.get_by_text("Parts of this page did not load")).to_be_visible()


@pytest.fixture
def arabic(tmp_path):
    """A copy of the page with one more file: a table whose letters are all one Arabic letter."""
    shutil.copytree(WEB, tmp_path / "site", ignore=shutil.ignore_patterns("*.gguf", "clips"))
    words = tmp_path / "site" / "words"

    def written(entry):
        if isinstance(entry, dict):
            return {form: written(entry["other"]) for form in ("zero", "one", "two", "few", "many", "other")}
        return re.sub(r"(\{\w+\})|[A-Za-z]", lambda found: found[1] or "س", entry)

    english = json.loads((words / "en.json").read_text(encoding="utf-8"))
    (words / "ar.json").write_text(json.dumps({key: written(entry) for key, entry in english.items()}))
    write_languages = runpy.run_path(str(CHECKOUT / "tools" / "build_site"))["write_languages"]
    write_languages(tmp_path / "site" / "index.html", words)
    server = Server({"site": tmp_path / "site"})
    yield f"{server.url}/site"
    server.close()


def test_a_third_language_is_one_file(browser, arabic):
    """Every sentence that the page shows on its way comes from the table, and the page is from right to left."""
    long = wav(bytes(320), rate=8)  # its rate is impossible
    refused = {"error": {"kind": "network", "message": "The network failed."}}
    script = {"open": [{}, refused, {}], "finish": [{}, {"silent": True}]}
    names = [
        "Voxtab",
        "Voxtral Mini 4B Realtime, 4 bits",
        "Voxtral Mini 4B Realtime",
        "Acme 9000",
        "voxtral-q4.gguf",
        "clip.wav",
        "huggingface.co",
        "bad.wav",
        "notes.txt",
    ]
    names += ["Apache License 2.0", "Apache-2.0", "Hello tab. It works."]
    found: set[str] = set()

    def look(page):
        for text in page.evaluate(SEEN):
            for name in names:
                text = text.replace(name, "")
            text = re.sub(r"Q\d_\w+|\.(txt|srt|vtt|tsv|json|wav)\b|\b[kMGm]?[Bs]\b|127\S+", "", text)
            found.update(re.findall(r"[A-Za-z]{2,}", text))

    # From one language to another in place, wherever the page is: nothing of the first is left.
    with page_on(browser, arabic, script, query="?lang=en", locale="ar-EG") as page:
        text = {"event": "text", "text": " Hello tab. It works.", "tokens": [33, 1000], "audio_seconds": 0.2}

        def change():
            at(page, "language").select_option("ar")
            expect(page.locator("html")).to_have_attribute("dir", "rtl")
            look(page)
            at(page, "language").select_option("en")
            expect(page.locator("html")).to_have_attribute("dir", "ltr")

        change()
        at(page, "get-model").click()
        wait_for(page, "error")
        change()
        at(page, "retry").click()
        wait_for(page, "ready")
        change()
        drop(page, ("a.wav", SECOND["buffer"]), ("bad.wav", long), ("c.wav", SECOND["buffer"]), ("notes.txt", b"x"))
        wait_for(page, "transcribing")
        hear(page, **text)
        hear(page, event="restart", audio_seconds=0.5)
        hear(page, event="covered", audio_seconds=0.5)
        change()
        expect(at(page, "transcript")).to_have_text("Hello tab. It works.")
        wait_for(page, "transcribing")  # it goes on
        at(page, "stop").click()
        wait_for(page, "ready")
        change()
        expect(at(page, "queue-summary")).to_have_text("1 done, 1 failed, 1 stopped")
    with page_on(browser, arabic, script, query="", locale="ar-EG") as page:
        expect(page.locator("html")).to_have_attribute("dir", "rtl")
        expect(at(page, "language").locator("option")).to_have_text(["العربية", "English", "हिन्दी"])
        look(page)
        at(page, "get-model").click()
        wait_for(page, "error")
        expect(page.locator("#error-text [lang=en]")).to_have_text("The network failed.")
        look(page)
        at(page, "retry").click()
        wait_for(page, "ready")
        drop(page, ("a.wav", SECOND["buffer"]), ("bad.wav", long), ("c.wav", SECOND["buffer"]), ("notes.txt", b"x"))
        wait_for(page, "transcribing")
        hear(page, event="restart", audio_seconds=0.5)
        hear(page, event="covered", audio_seconds=0.5)
        look(page)
        at(page, "stop").click()
        wait_for(page, "ready")
        look(page)
    assert sorted(found) == []
