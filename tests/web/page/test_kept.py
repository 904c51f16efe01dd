"""What the page shows of the models that are kept on this machine, and when it may use the network."""

import pytest
from playwright.sync_api import expect

from web.fake_engine import MODEL, at, calls, hear, page_on, wait_for

LOST = {"event": "lost", "message": "The GPU was lost."}
ADDRESS = "https://models.example/voxtral-q4.gguf"

KEPT = """async () => {
  const store = await (await navigator.storage.getDirectory()).getDirectoryHandle("models", { create: true });
  const folder = await store.getDirectoryHandle("0123", { create: true });
  const put = async (name, content) => {
    const file = await (await folder.getFileHandle(name, { create: true })).createWritable();
    await file.write(content);
    await file.close();
  };
  const sum = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
  const signed = async (object) => {
    const json = JSON.stringify(object);
    return `${json}\\n${await sum(new TextEncoder().encode(json))}\\n`;
  };
  const bytes = new Uint8Array(3000);
  for (const name of ["shard-0", "tokenizer"]) {
    await put(name, bytes);
    const header = await signed({ url: null, bytes: 3000, tag: null, piece_bytes: 2000 });
    const sums = [await sum(bytes.subarray(0, 2000)), await sum(bytes.subarray(2000)), "-".repeat(64)];
    await put(`${name}.pieces`, header + sums.map((sum) => `${sum}\\n`).join(""));
  }
  const place = (name) => ({ url: null, bytes: 3000, store: { model: "0123", name } });
  await put("record", await signed({ name: "voxtral-q4.gguf", address: "https://models.example/voxtral-q4.gguf",
    added: "2026-11-29T08:00:00+00:00", shards: [place("shard-0")], tokenizer: place("tokenizer") }));
}"""


def load(page, opened=None):
    """Load a model from an address, to its end."""
    at(page, "model-url").fill(ADDRESS)
    at(page, "load-url").click()
    wait_for(page, "ready")
    assert calls(page, "open")[-1]["model"] == {"url": ADDRESS}


def test_the_list(browser, url):
    script = {"open": [{}, {"result": MODEL | {"kept": "0123"}}, {}]}
    with page_on(browser, url, script) as page:
        kept = at(page, "kept")
        expect(at(page, "model")).to_be_visible()
        expect(kept).to_be_hidden()  # there is none
        page.evaluate(KEPT)
        page.reload()
        expect(at(page, "kept-list")).to_contain_text("voxtral-q4.gguf 6 kB, since 11/29/2026, from models.example")
        kept.get_by_role("button", name="More voxtral-q4.gguf").click()
        kept.get_by_role("button", name="Check voxtral-q4.gguf").click()
        expect(at(page, "kept-status")).to_have_text("voxtral-q4.gguf: all 4 pieces are right.")
        kept.get_by_role("button", name="Use voxtral-q4.gguf").click()
        wait_for(page, "ready")
        assert calls(page, "open")[-1]["model"] == {"kept": "0123"}
        expect(at(page, "speak")).to_be_focused()
        expect(kept.get_by_role("button", name="Use voxtral-q4.gguf")).to_be_disabled()  # it is open
        expect(kept).to_contain_text(f"private storage for {page.evaluate('location.host')} (OPFS)")
        expect(at(page, "kept-frame")).to_be_hidden()
        # A list that was asked for before, and comes after another, is not shown.
        page.evaluate("""() => {
            const { text } = File.prototype;
            File.prototype.text = async function () {
                File.prototype.text = text;
                const found = await text.call(this);
                await new Promise((later) => Object.assign(window, { later }));
                return found;
            };
        }""")
        at(page, "use-self-test").click()  # the list may have changed with it
        page.wait_for_function("Boolean(window.later)")
        kept.get_by_role("button", name="Remove voxtral-q4.gguf").click()
        expect(at(page, "kept-status")).to_have_text("voxtral-q4.gguf was removed.")
        expect(at(page, "kept-status")).to_be_visible()
        expect(at(page, "kept-list").locator("li")).to_have_count(0)
        page.evaluate("() => { later(); return new Promise((resolve) => setTimeout(resolve, 100)); }")
        expect(at(page, "kept-list").locator("li")).to_have_count(0)


def test_a_damaged_model_is_checked(browser, url):
    with page_on(browser, url) as page:
        page.evaluate(KEPT)
        page.evaluate(
            """async () => {
                const models = await (await navigator.storage.getDirectory()).getDirectoryHandle("models");
                const handle = await (await models.getDirectoryHandle("0123")).getFileHandle("shard-0");
                const file = await handle.createWritable({ keepExistingData: true });
                await file.write({ type: "write", position: 2500, data: new Uint8Array([1]) });
                await file.close();
            }"""
        )
        page.reload()
        at(page, "kept").get_by_role("button", name="More").click()
        at(page, "kept").get_by_role("button", name="Check").click()
        expect(at(page, "kept-status")).to_contain_text("1 of 4 pieces are damaged. Only they are fetched again")
        expect(at(page, "kept-list")).to_contain_text("5 kB of 6 kB so far")
        expect(at(page, "kept").get_by_role("button", name="Finish and use")).to_be_visible()


def test_a_model_of_which_nothing_has_come_is_not_listed(browser, url):
    """Its loading was stopped before the first byte: it can be got as if it had never been asked for."""
    with page_on(browser, url, query="") as page:
        page.evaluate(KEPT)
        page.evaluate("""async () => {
            const models = await (await navigator.storage.getDirectory()).getDirectoryHandle("models");
            const folder = await models.getDirectoryHandle("0123");
            for (const name of ["shard-0", "tokenizer"]) await folder.removeEntry(`${name}.pieces`);
        }""")
        page.reload()
        wait_for(page, "ready")
        page.wait_for_function("document.querySelector('#kept-room').textContent")
        expect(at(page, "kept-list").locator("li")).to_have_count(0)
        expect(at(page, "get-model")).to_contain_text("Get the model (")


@pytest.mark.parametrize("kept", ["0123", None])
def test_a_lost_gpu_opens_from_the_store_or_asks(browser, url, kept):
    with page_on(browser, url, {"open": [{}, {"result": MODEL | {"kept": kept}}]}) as page:
        load(page)
        opened = len(calls(page, "open"))
        hear(page, **LOST)
        if kept:
            wait_for(page, "ready")
            assert calls(page, "open")[-1]["network"] is False
            expect(at(page, "error")).to_contain_text("The model is being opened again.")
        else:
            expect(at(page, "error")).to_contain_text(
                "not kept on this machine: to open it again, it must be downloaded"
            )
            assert len(calls(page, "open")) == opened
            at(page, "retry").click()
            wait_for(page, "ready")
            assert calls(page, "open")[-1]["network"] is True


def test_the_store_is_damaged_when_the_gpu_is_lost(browser, url):
    """What is missing is fetched only after a question."""
    error = {"kind": "kept", "message": "shard-0 is not whole on this machine any more: fetch what is missing."}
    with page_on(browser, url, {"open": [{}, {"result": MODEL | {"kept": "0123"}}, {"error": error}, {}]}) as page:
        load(page)
        hear(page, **LOST)
        expect(at(page, "error")).to_contain_text("fetch what is missing")
        assert calls(page, "open")[-1]["network"] is False
        at(page, "retry").click()
        wait_for(page, "ready")
        assert calls(page, "open")[-1]["network"] is True


def test_what_a_download_waits_for_is_told(browser, url):
    with page_on(browser, url, {"open": [{"silent": True}]}, state="loading") as page:
        hear(page, event="progress", stage="device", done=0, total=0)
        expect(at(page, "status")).to_have_text("Opening the GPU…")
        hear(page, event="network", downloading=True)
        hear(page, event="network", tell="models.example asks to wait 40 s.")
        expect(at(page, "download")).to_have_text("models.example asks to wait 40 s.")
        # The status above it says nothing else, whatever else is done meanwhile.
        expect(at(page, "status")).to_have_text("Waiting for the self-test model…")
        hear(page, event="progress", stage="kernels", done=0, total=0)
        expect(at(page, "status")).to_have_text("Waiting for the self-test model…")
        # It counts down; screen readers say it once.
        hear(page, event="network", tell="models.example asks to wait 39 s.")
        expect(at(page, "download")).to_have_text("models.example asks to wait 39 s.")
        expect(page.get_by_role("status").filter(has_text="asks to wait")).to_have_count(0)
        expect(page.get_by_role("log").locator("p")).to_have_text(["models.example asks to wait 40 s."])
        hear(page, event="network", tell="Nothing has come from models.example for 10 s.")
        expect(page.get_by_role("log").locator("p").last).to_contain_text("Nothing has come from models.example")
        hear(page, event="network", tell=None)
        expect(at(page, "download")).to_be_hidden()
        expect(at(page, "status")).to_have_text("Preparing the GPU's programs…")
        for paused, label in ((True, "Go on downloading"), (False, "Pause the download")):
            at(page, "pause").click()
            expect(at(page, "pause")).to_have_text(label)
            page.wait_for_function(
                "paused => window.heard.findLast(({ call }) => call?.verb === 'pause')?.call.paused === paused",
                arg=paused,
            )
        hear(page, event="network", warn="The disk is full.")
        expect(at(page, "not-kept")).to_have_text("The disk is full.")


def test_another_model_than_the_one_whose_download_waits(browser, url):
    with page_on(browser, url, {"open": [{"silent": True}]}, state="loading") as page:
        page.wait_for_function("window.heard.some(({ call }) => call?.verb === 'open')")
        hear(page, event="network", tell="models.example asks to wait 40 s.")
        expect(at(page, "download")).to_be_visible()
        at(page, "model-url").fill(ADDRESS)
        at(page, "load-url").click()
        page.wait_for_function("window.heard.filter(({ call }) => call?.verb === 'open').length === 2")
        expect(at(page, "download")).to_be_hidden()
        hear(page, event="progress", stage="device", done=0, total=0)
        expect(at(page, "status")).to_have_text("Opening the GPU…")


def test_how_fast_a_download_is_and_how_long_it_takes_yet(browser, url):
    """Of the last ten seconds; neither what the store had counts, nor a pause."""
    with page_on(browser, url, {"open": [{"silent": True}]}, state="loading") as page:
        page.clock.install(time=0)
        page.clock.pause_at(1000)
        done = 0

        def come(rate, seconds=1):
            """In MB/s."""
            nonlocal done
            for _ in range(seconds):
                done += rate * 1_000_000
                page.clock.run_for(1000)
                hear(page, event="progress", stage="weights", done=done, total=2_500_000_000)
            return expect(page.locator("#amount"))

        come(500).to_have_text("500.0 MB of 2.50 GB")  # from the store
        hear(page, event="network", downloading=True)
        come(10, 2).to_have_text("520.0 MB of 2.50 GB")
        come(10, 3).to_have_text("550.0 MB of 2.50 GB, 10.0 MB/s, 4 min left")
        come(0).to_have_text("550.0 MB of 2.50 GB, 8.0 MB/s, 5 min left")
        come(20, 12).to_have_text("790.0 MB of 2.50 GB, 20.0 MB/s, 86 s left")
        come(10).to_have_text("800.0 MB of 2.50 GB, 19.1 MB/s, 90 s left")
        at(page, "pause").click()
        expect(page.locator("#amount")).to_have_text("800.0 MB of 2.50 GB")
        page.clock.fast_forward(60_000)
        at(page, "pause").click()
        come(30, 2).to_have_text("860.0 MB of 2.50 GB")
        come(30, 2).to_have_text("920.0 MB of 2.50 GB, 30.0 MB/s, 53 s left")
        come(2).to_have_text("922.0 MB of 2.50 GB, 23.0 MB/s, 69 s left")


def test_persistence_is_asked_for_at_the_click(browser, url):
    with page_on(browser, url, query="?model=m.gguf") as page:
        page.evaluate(
            """() => {
                window.persisting = 0;
                navigator.storage.persist = async () => { window.persisting += 1; };
            }"""
        )
        at(page, "use-self-test").click()
        wait_for(page, "ready")
        assert page.evaluate("window.persisting") == 0
        load(page)
        assert page.evaluate("window.persisting") == 1


def test_chosen_files_can_be_kept(browser, url):
    files = [{"name": name, "mimeType": "", "buffer": b"x"} for name in ("a.gguf", "tekken.json")]
    with page_on(browser, url) as page:
        for keep in (False, True):
            at(page, "keep-files").set_checked(keep)
            at(page, "model-files").set_input_files(files)
            wait_for(page, "ready")
            assert calls(page, "open")[-1]["model"]["keep"] is keep


def test_in_another_site(browser, url):
    """The page says that such a frame gets less room."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(url.replace("127.0.0.1", "localhost") + "/models/")
    page.set_content(f'<iframe src="{url}/"></iframe>')
    expect(page.frame_locator("iframe").get_by_test_id("kept-frame")).to_contain_text("only a tenth of the room")
    context.close()
