"""The tables of the page's sentences (web/words), and what index.html and the scripts take from them."""

import json
import re
import runpy
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from web.conftest import CHECKOUT

WEB = CHECKOUT / "web"
TABLES = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted((WEB / "words").glob("*.json"))}
ENGLISH = TABLES["en"]
STYLE = CHECKOUT / "tools" / "style"
# What index.html shows in every language.
NAMES = {
    "Voxtab",
    "Voxtral Mini 4B Realtime",
    "https://",
    ".txt",
    ".srt",
    ".vtt",
    ".tsv",
    ".json",
    "Apache License 2.0",
}
WITHOUT_SCRIPTS = "Voxtab needs JavaScript: allow it for this page."
# In the scripts: keys of the keyboard, and what is not shown.
NOT_SHOWN = {"Escape", "Space", "Enter", "input, select, textarea, [contenteditable], dialog"}
NOT_SHOWN |= {"(prefers-color-scheme: dark)", "(forced-colors: active)"}
EMPTY = ("area", "base", "br", "hr", "img", "input", "link", "meta")  # elements without an end


class Marked(HTMLParser):
    """`found`: {key: English} of data-words and data-words-of, a child with data-word="name" being {name}."""

    def __init__(self, text: str):
        super().__init__()
        self.found: dict[str, str] = {}
        self.unmarked: list[str] = []  # text for users without a key
        self.open: list[tuple[str, str | None, list[str]]] = []  # tag, key, text so far
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        names = dict(attributes)
        for pair in names.get("data-words-of", "").split():
            attribute, key = pair.split("=")
            self.note(key, names[attribute])
        spoken = {"aria-label", "placeholder", "title", "alt", "data-empty"} & names.keys()
        self.unmarked += [names[name] for name in spoken if f"{name}=" not in names.get("data-words-of", "")]
        if tag in EMPTY:
            return
        if "data-word" in names:
            self.open[-1][2].append(f"{{{names['data-word']}}}")
        self.open.append((tag, names.get("data-words"), []))

    def handle_data(self, data):
        self.open[-1][2].append(data) if self.open else None

    def handle_endtag(self, tag):
        opened, key, parts = self.open.pop()
        assert opened == tag, (opened, tag)
        text = " ".join("".join(parts).split())
        if key:
            self.note(key, text)
        elif re.search(r"[A-Za-z]{2}", re.sub(r"\{\w+\}", "", text)):
            self.unmarked.append(text)

    def note(self, key, text):
        assert self.found.setdefault(key, text) == text, f"two texts with the key {key}"


PAGE = Marked((WEB / "index.html").read_text(encoding="utf-8"))


write_languages = runpy.run_path(str(CHECKOUT / "tools" / "build_site"))["write_languages"]


def forms(entry) -> dict[str, str]:
    return entry if isinstance(entry, dict) else {"": entry}


def placeholders(entry) -> set[str]:
    return {name for sentence in forms(entry).values() for name in re.findall(r"\{(\w+)\}", sentence)}


@pytest.fixture(scope="module")
def literals() -> dict[str, list[str]]:
    """The texts in the scripts of web/page: {name of the script: [text...]}."""
    typescript = STYLE / "node_modules/typescript/lib/typescript.js"
    if not typescript.exists():
        subprocess.run(["npm", "ci"], cwd=STYLE, check=True, stdout=subprocess.DEVNULL)
    scripts = sorted((WEB / "page").glob("*.js"))
    command = ["node", Path(__file__).with_name("literals.mjs"), typescript, *scripts]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return {Path(script).name: texts for script, texts in found.items()}


@pytest.mark.parametrize("language", TABLES)
def test_each_table_has_all_sentences_with_all_values(language):
    table = {key: entry for key, entry in TABLES[language].items() if key != "messages"}
    assert list(table) == list(ENGLISH), "in the order of the English table"
    for key, entry in table.items():
        assert placeholders(entry) == placeholders(ENGLISH[key]), key
        assert isinstance(entry, dict) == isinstance(ENGLISH[key], dict), key
        assert all(sentence.strip() == sentence or key == "list.comma" for sentence in forms(entry).values()), key


def test_plurals_have_the_forms_of_their_language():
    script = (
        "process.argv.slice(1).map((language) => new Intl.PluralRules(language).resolvedOptions().pluralCategories)"
    )
    command = ["node", "-p", f"JSON.stringify({script})", *TABLES]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    for (language, table), wanted in zip(TABLES.items(), json.loads(found), strict=True):
        for key, entry in table.items():
            if isinstance(entry, dict) and key != "messages":
                assert set(entry) == set(wanted), (language, key)


def test_the_page_has_the_english_sentences():
    assert {key: ENGLISH.get(key) for key in PAGE.found} == PAGE.found
    assert set(PAGE.unmarked) == NAMES | {WITHOUT_SCRIPTS}, "text without a key"


def test_each_sentence_is_used_and_each_key_is_there(literals):
    texts = {text for texts in literals.values() for text in texts}
    sections = {key.split(".")[0] for key in ENGLISH}
    keys = {text for text in texts if re.fullmatch(r"[a-z_]+\.[a-z_]+", text) and text.split(".")[0] in sections}
    assert keys - set(ENGLISH) - {"bench.json"} == set()
    assert set(ENGLISH) - texts - set(PAGE.found) == set()


def test_no_script_has_a_sentence_of_its_own(literals):
    found = [
        (script, text)
        for script, texts in literals.items()
        for text in texts
        if text not in NOT_SHOWN
        if re.search(r"[A-Za-z]{2,}[,;:]? [A-Za-z]{2,}", text) or re.match(r"[A-Z][a-z]", text)
    ]
    assert found == []


def test_translated_messages_are_those_of_the_sources():
    """Each fixed part of an English message is in a source, where a sentence may be in several literals."""
    files = [*WEB.glob("audio/*.js"), *WEB.glob("worker/**/*.js"), WEB / "engine.js"]
    files += [*(CHECKOUT / "app" / "voxtab").rglob("*.py")]
    source = "\n".join(file.read_text(encoding="utf-8") for file in files)
    source = re.sub(r'["`]\s*\+?\s*f?["`]', "", source)
    for language, table in TABLES.items():
        for message, sentence in table.get("messages", {}).items():
            assert placeholders(sentence) == placeholders(message), (language, message)
            for part in re.split(r"\{\w+\}", message):
                assert part.strip() in source, (language, part)


def test_the_page_names_its_languages(tmp_path):
    """As tools/build_site would name them, so that the checkout's page has them too."""
    shutil.copy(WEB / "index.html", tmp_path)
    write_languages(tmp_path / "index.html", WEB / "words")
    assert (tmp_path / "index.html").read_text("utf-8") == (WEB / "index.html").read_text("utf-8")
