"""The store (web/worker/store/): a model is fetched once, whatever ends a tab, and what is kept is right."""

import hashlib
import json
import os
import random
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from web.conftest import CHECKOUT, CHROMIUM, developer_tools
from web.site_server import Handler, Server
from web.worker.test_weights import TIMES, refused, run, sums

PIECE = 16_384  # bytes
SIZES = {"one": 40 * PIECE + 77, "two": 30 * PIECE}
SHARDS = {
    name: np.random.default_rng(i).integers(0, 256, size, np.uint8).tobytes()
    for i, (name, size) in enumerate(SIZES.items())
}
MODEL = b"".join(SHARDS.values())
MOST_AGAIN = 16  # pieces; with pieces of 4 MiB, 64 MB


class Paced(Handler):
    """/paced/files/... brings 16 KB every 20 ms."""

    def do_paced(self, file):
        self.send_file(file, step=PIECE, pause=0.02)

    def do_crawling(self, file):
        self.send_file(file, step=PIECE, pause=0.1)

    def do_broken(self, file):
        """Every other connection breaks after 100 kB, in the middle of a piece."""
        self.server.uses[self.path] = self.server.uses.get(self.path, 0) + 1
        self.send_file(file, stop_after=100_001 if self.server.uses[self.path] % 2 else None)


@pytest.fixture(scope="module")
def served(page_only, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    (folder / "blank.html").write_text("<!doctype html><input type=file multiple>")
    for name, data in SHARDS.items():
        (folder / name).write_bytes(data)
    server = Server({"site": page_only, "files": folder}, handler=Paced)
    server.folder = folder
    yield server
    server.close()


@contextmanager
def tab(browser, served, context=None):
    """A page in a context of its own, or in this one."""
    own = context or browser.new_context()
    page = own.new_page()
    page.goto(f"{served.url}/files/blank.html")
    try:
        yield page
    finally:
        page.close()
        if not context:
            own.close()


@pytest.fixture
def page(browser, served):
    with tab(browser, served) as page:
        yield page


def shards(served, behaviour="files", model="model", pieces=False, described=True) -> list[dict]:
    """The model's shards, kept under this name."""
    return [
        {
            "url": f"{served.url}/{behaviour}/{name}",
            "bytes": len(data) if described else None,
            "pieces": sums(data, PIECE) if pieces else None,
            "store": {"model": model, "name": name},
        }
        for name, data in SHARDS.items()
    ]


READ = """async (Source, shards, options) => {
    const { report } = await import("/site/modules/worker/weights/source.js");
    window.said ??= [];
    report(({ tell, warn }) => said.push(tell ?? warn));
    const files = [...document.querySelector("input").files];
    for (const shard of shards) if (shard.chosen) shard.file = files.find((file) => file.name === shard.name);
    const source = new Source(shards, options);
    let taken = 0;
    await fetch(`/taken/${taken}`);
    try {
        await source.open();
        const all = [];
        for (let bytes; (bytes = await source.next(1e9)); ) {
            all.push(bytes.slice());
            window.got = all.length;
            taken += bytes.length;
            fetch(`/taken/${taken}`);
        }
        window.kept = source.isKept;
        return new Uint8Array(await new Blob(all).arrayBuffer());
    } finally {
        source.close();
    }
}"""


def read(page, wanted, **options):
    """All bytes, or {kind, message}. Afterwards `said` in the page has what the user was told."""
    return run(page, READ, wanted, {"chunkBytes": PIECE, "times": TIMES, **options})


def start(page, wanted, **options):
    """Begin to read; `got` in the page is how many pieces have come, and `answer` becomes the SHA-256 of all bytes."""
    page.evaluate(
        """([script, shards, options]) => {
            window.got = 0;
            window.answer = null;
            import("/site/modules/worker/weights/source.js")
                .then(({ Source }) => eval(script)(Source, shards, options))
                .then((bytes) => crypto.subtle.digest("SHA-256", bytes))
                .then((digest) => { window.answer = new Uint8Array(digest).toHex(); });
        }""",
        [READ, wanted, {"chunkBytes": PIECE, **options}],
    )


def said(page) -> str:
    return " ".join(sentence for sentence in page.evaluate("said") if sentence)


@contextmanager
def asked(served):
    """The requests (path, Range) for shards that are made in the block."""
    since, found = len(served.requests), []
    yield found
    found += [(path, range) for path, range in served.requests[since:] if path.rpartition("/")[2] in SHARDS]


def change(page, name, script, model="model"):
    """Change a file of the store: `script` is a function of its bytes."""
    page.evaluate(
        """async ([model, name, script]) => {
            const models = await (await navigator.storage.getDirectory()).getDirectoryHandle("models");
            const handle = await (await models.getDirectoryHandle(model)).getFileHandle(name);
            const bytes = new Uint8Array(await (await handle.getFile()).arrayBuffer());
            const written = await handle.createWritable();
            await written.write(eval(script)(bytes) ?? bytes);
            await written.close();
        }""",
        [model, name, script],
    )


# --- kept once, read again


@pytest.mark.parametrize("pieces, described", [(True, True), (False, True), (False, False)])
def test_a_model_is_fetched_once(page, served, pieces, described):
    """With and without sums in a manifest, with and without sizes. The second time, not even one request."""
    wanted = shards(served, pieces=pieces, described=described)
    with asked(served) as first:
        assert read(page, wanted) == MODEL
    assert first == [("/files/one", "bytes=0-"), ("/files/two", "bytes=0-")]
    with asked(served) as again:
        assert read(page, wanted, network=False) == MODEL
        assert read(page, wanted) == MODEL
    assert not again and page.evaluate("kept")
    assert not [told for told in page.evaluate("said") if told and "Nothing has come" not in told]


def test_what_is_not_kept_is_not_fetched_without_a_question(page, served):
    with asked(served) as requests:
        refused(read(page, shards(served), network=False), "kept", "one is not whole on this machine", "fetch what")
    assert not requests


def test_a_connection_that_breaks(page, served):
    """It goes on where it broke, in the middle of a piece; a network that does not come back loses nothing."""
    with asked(served) as requests:
        assert read(page, shards(served, "broken/files")) == MODEL
    starts = [int(range.removeprefix("bytes=").strip("-")) for _, range in requests]
    assert len(starts) == 4 and starts[0] == starts[2] == 0 and 16_384 < starts[1] <= 100_001


def test_a_tab_that_is_closed(browser, served):
    """The next one goes on at the first piece that is missing."""
    context = browser.new_context()
    with tab(browser, served, context) as page:
        start(page, shards(served, "crawling/files"))
        page.wait_for_function("window.got > 5")
    with tab(browser, served, context) as page, asked(served) as requests:
        assert read(page, shards(served)) == MODEL
    path, first = requests[0]
    first_byte = int(first.removeprefix("bytes=").strip("-"))
    assert first_byte % PIECE == 0 and first_byte > 5 * PIECE
    context.close()


KILLED = """<!doctype html><script type="module">
import { Source } from "/site/modules/worker/weights/source.js";
const [shards, options] = await (await fetch("wanted.json")).json();
const source = new Source(shards, options);
await source.open();
const all = [];
for (let bytes; (bytes = await source.next(1e9)); ) {
  all.push(bytes.slice());
  fetch(`/got/${all.length}`);
}
const digest = await crypto.subtle.digest("SHA-256", await new Blob(all).arrayBuffer());
fetch(`/done/${new Uint8Array(digest).toHex()}`);
</script>"""


def test_a_browser_that_is_killed_at_any_moment(browser, served, tmp_path):
    """kill -9 at 20 random moments: at most 64 MB (16 pieces) again, the right bytes, and never a broken store."""
    if browser.browser_type.name != "chromium":
        pytest.skip("Firefox opens the tabs of the killed one again, beside the new one.")
    wanted = shards(served, "paced/files")
    (served.folder / "killed.html").write_text(KILLED)
    (served.folder / "wanted.json").write_text(json.dumps([wanted, {"chunkBytes": PIECE}]))
    moments = random.Random(7)
    kept, again = 0, []  # pieces that came in all, and in each session the pieces that had come before
    for kill in range(21):
        since = len(served.requests)
        running = subprocess.Popen(
            [CHROMIUM, "--no-sandbox", "--remote-debugging-port=0", f"--user-data-dir={tmp_path}"]
            + [f"{served.url}/files/killed.html"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            if kill == 20:
                done = wait_for(
                    lambda since=since: [path for path, _ in served.requests[since:] if path.startswith("/done/")]
                )
                assert done == [f"/done/{hashlib.sha256(MODEL).hexdigest()}"]
            else:
                # A quarter of the moments lie before the first new piece, when files and their headers are made.
                least = min(71, kept + (0 if kill % 4 == 0 else moments.randint(1, 4)))
                wait_for(lambda since=since, least=least: got(served, since) >= least)
                threading.Event().wait(moments.random() * 0.03)
        finally:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
        asked = [
            (list(SHARDS).index(path.rpartition("/")[2]), int(range.removeprefix("bytes=").split("-")[0]))
            for path, range in served.requests[since:]
            if path.startswith("/paced/")
        ]
        if asked:
            shard, first_byte = min(asked)
            again.append(max(0, kept - (41 * shard + first_byte // PIECE)))
        kept = max(kept, got(served, since))
    assert kept > 60 and len(again) > 15, "the kills were not spread over the download"
    assert max(again) <= MOST_AGAIN
    print(f"20 kills: {sum(again)} pieces were fetched again, {max(again)} at most after one")


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it did not happen"
        threading.Event().wait(0.002)
    return found


def got(served, since) -> int:
    """How many pieces the page has used, as it says."""
    return max((int(path[5:]) for path, _ in served.requests[since:] if path.startswith("/got/")), default=0)


# --- damage


@pytest.mark.parametrize("pieces", [True, False])
@pytest.mark.parametrize("piece", [0, 17, 39, 40])
def test_a_damaged_piece_alone_is_fetched_again(page, served, piece, pieces):
    wanted = shards(served, pieces=pieces)
    assert read(page, wanted) == MODEL
    change(page, "one", f"bytes => {{ bytes[{piece * PIECE + 5}] ^= 4; }}")
    refused(read(page, wanted, network=False), "kept", "one is not whole on this machine")
    change(page, "one", f"bytes => {{ bytes[{piece * PIECE + 6}] ^= 4; }}")
    with asked(served) as requests:
        assert read(page, wanted) == MODEL
        assert read(page, wanted, network=False) == MODEL
    end = min(len(SHARDS["one"]), (piece + 1) * PIECE) - 1
    assert requests == [("/files/one", f"bytes={piece * PIECE}-{end if piece < 40 else ''}")]


READ_WHILE_DESCRIBED = """async () => {
    const code = `import { KeptShard } from "${location.origin}/site/modules/worker/store/kept_shard.js";
        const open = FileSystemFileHandle.prototype.createSyncAccessHandle;
        FileSystemFileHandle.prototype.createSyncAccessHandle = async function (options) {
            if (options?.mode !== "read-only") await new Promise((resolve) => setTimeout(resolve, 300));
            return open.call(this, options);
        };
        const kept = await KeptShard.open({ model: "model", name: "one" });
        await kept.take(() => {});
        const described = kept.describe(kept.header).then(() => "", ({ message }) => message);
        await new Promise((resolve) => setTimeout(resolve, 150));
        const bytes = await kept.read(0, 1000);
        self.postMessage([bytes?.length, await described]);
        kept.close();`;
    const worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })), { type: "module" });
    const { data } = await new Promise((resolve) => { worker.onmessage = resolve; });
    worker.terminate();
    return data;
}"""


def test_a_piece_is_read_while_the_files_are_opened_to_write(page, served):
    """It does not open them to read: then nobody could write."""
    assert read(page, shards(served)) == MODEL
    assert run(page, READ_WHILE_DESCRIBED) == [1000, ""]


@pytest.mark.parametrize(
    "damage",
    [
        "bytes => bytes.subarray(0, 9 * 16384 + 5)",  # cut short
        "bytes => { bytes[3 * 16384] ^= 1; bytes[4 * 16384] ^= 1; bytes[39 * 16384] ^= 1; }",
        "bytes => new Uint8Array(0)",
        "bytes => bytes.fill(0)",
    ],
)
def test_a_damaged_file(page, served, damage):
    wanted = shards(served)
    assert read(page, wanted) == MODEL
    change(page, "one", damage)
    assert read(page, wanted) == MODEL
    with asked(served) as requests:
        assert read(page, wanted, network=False) == MODEL
    assert not requests


@pytest.mark.parametrize("at", ["20", "bytes.indexOf(10) + 9", "bytes.length - 20 * 65", "bytes.length - 1"])
@pytest.mark.parametrize("how", ["bytes[{at}] ^= 1", "bytes[{at}] ^= 4", "bytes[{at}] = 0"])
def test_a_damaged_sidecar(page, served, at, how):
    """In the header, its sum, the sum of a piece, and at the end: at most that piece is fetched again."""
    wanted = shards(served)
    assert read(page, wanted) == MODEL
    change(page, "one.pieces", f"bytes => {{ {how.format(at=at)}; }}")
    with asked(served) as requests:
        assert read(page, wanted) == MODEL
        assert read(page, wanted, network=False) == MODEL
    # A new header needs an answer, which is broken off.
    pieces = [range for _, range in requests if range != "bytes=0-"]
    assert all(range.removeprefix("bytes=").split("-")[1] for range in pieces)
    assert len(pieces) <= 1 and len(requests) <= 1


@pytest.mark.parametrize("text", ["", "{", "null\n", "[" * 100_000, '{"bytes": 1e300}\n'])
def test_a_sidecar_of_nonsense(page, served, text):
    wanted = shards(served)
    assert read(page, wanted) == MODEL
    change(page, "one.pieces", f"bytes => new TextEncoder().encode({text!r})")
    assert read(page, wanted) == MODEL
    assert read(page, wanted, network=False) == MODEL


def test_a_file_that_changed_at_its_address(page, served):
    """Half of the old file is kept: the new one is not mixed with it, and the user reads what to do."""
    wanted = shards(served, "crawling/files")[:1]
    start(page, wanted)
    page.wait_for_function("window.got > 5")
    page.reload()
    (served.folder / "one").write_bytes(SHARDS["one"][::-1])
    try:
        served.tag = '"other"'
        refused(read(page, shards(served)[:1]), "model", "one has changed", "remove the model")
    finally:
        served.tag = '"tag"'
        (served.folder / "one").write_bytes(SHARDS["one"])


# --- several tabs


def test_two_tabs(browser, served):
    """One downloads, the other waits and says so; both get the model, and it was fetched once."""
    context = browser.new_context()
    with tab(browser, served, context) as one, tab(browser, served, context) as two, asked(served) as requests:
        wanted = shards(served, "crawling/files")
        start(one, wanted)
        one.wait_for_function("window.got > 2")
        start(two, wanted)
        two.wait_for_function("window.said?.some(sentence => sentence?.includes('Another tab is downloading'))")
        for page in (one, two):
            page.wait_for_function("window.answer", timeout=60000)
            assert page.evaluate("answer") == hashlib.sha256(MODEL).hexdigest()
    assert sorted(requests) == [("/crawling/files/one", "bytes=0-"), ("/crawling/files/two", "bytes=0-")]
    context.close()


def test_the_tab_that_downloads_is_closed(browser, served):
    """The one that waits goes on where it ended."""
    context = browser.new_context()
    with tab(browser, served, context) as two, asked(served) as requests:
        with tab(browser, served, context) as one:
            start(one, shards(served, "crawling/files"))
            one.wait_for_function("window.got > 5")
            start(two, shards(served))
            two.wait_for_function("window.said?.length")
        two.wait_for_function("window.answer", timeout=60000)
        assert two.evaluate("answer") == hashlib.sha256(MODEL).hexdigest()
    path, first = requests[1]
    assert path == "/files/one" and int(first.removeprefix("bytes=").strip("-")) >= 5 * PIECE
    context.close()


# --- in order


def test_sums_that_are_ready_in_another_order(page, served):
    """Firefox computes several digests at a time. A piece must not take the place of the one before it."""
    slow = """{
        const { subtle } = crypto;
        const digest = subtle.digest.bind(subtle);
        let count = 0;
        subtle.digest = async (...what) => {
            const found = await digest(...what);
            if (count++ % 2 === 0) await new Promise((resolve) => setTimeout(resolve, 10));
            return found;
        };
    }"""
    checker = (CHECKOUT / "web/worker/weights/checker.js").read_text()
    page.route("**/checker.js", lambda route: route.fulfill(content_type="text/javascript", body=slow + checker))
    assert read(page, shards(served)) == MODEL
    assert read(page, shards(served), network=False) == MODEL


# --- what cannot be kept


@pytest.mark.parametrize("room", [1, 300_000])
def test_a_full_disk(page, served, room):
    """The model is read to its end all the same, and the user is told. What fits is kept."""
    control = developer_tools(page)
    control.send("Storage.overrideQuotaForOrigin", {"origin": served.url, "quotaSize": room})
    assert read(page, shards(served)) == MODEL
    assert "The disk is full" in said(page) and not page.evaluate("kept")
    control.send("Storage.overrideQuotaForOrigin", {"origin": served.url})
    with asked(served) as requests:
        assert read(page, shards(served)) == MODEL
    assert page.evaluate("kept")
    if room > 1:
        assert int(requests[0][1].removeprefix("bytes=").split("-")[0]) >= PIECE


@pytest.mark.parametrize(
    "patch, words",
    [
        (
            "navigator.storage.getDirectory = () => Promise.reject(new DOMException('', 'SecurityError'));",
            "is it private",
        ),
        ("Object.defineProperty(navigator.storage, 'getDirectory', { value: undefined });", "cannot keep models"),
        (
            "FileSystemFileHandle.prototype.createSyncAccessHandle = "
            "() => Promise.reject(new DOMException('', 'NotAllowedError'));",
            "could not write to its storage (NotAllowedError)",
        ),
    ],
)
def test_a_browser_that_keeps_nothing(page, served, patch, words):
    reader = (CHECKOUT / "web/worker/weights/reader.js").read_text()
    page.route("**/reader.js", lambda route: route.fulfill(content_type="text/javascript", body=patch + reader))
    assert read(page, shards(served)) == MODEL
    assert words in said(page) and "downloaded again next time" in said(page) and not page.evaluate("kept")
    assert page.evaluate("said.filter(sentence => sentence).length") == 1, "each sentence once"


def test_a_server_that_tells_no_size(page, served):
    assert read(page, shards(served, "no_length/files", described=False)) == MODEL
    assert "does not say how large it is" in said(page) and not page.evaluate("kept")


# --- files of this machine


def test_chosen_files_are_kept(page, served, tmp_path):
    for name, data in SHARDS.items():
        (tmp_path / name).write_bytes(data)
    page.set_input_files("input", [tmp_path / name for name in SHARDS])
    place = {name: {"store": {"model": "files", "name": name}, "name": name} for name in SHARDS}
    assert read(page, [shard | {"chosen": True} for shard in place.values()]) == MODEL
    page.reload()
    assert read(page, list(place.values())) == MODEL
    change(page, "one", "bytes => { bytes[5] ^= 1; }", "files")
    refused(read(page, list(place.values())), "kept", "one is not whole", "choose the model's files again")


# --- the list


LIST = """async (Source, script, ...values) =>
    eval(script)(await import("/site/modules/worker/store/models.js"), ...values)"""


def models(page, script, *values):
    return run(page, LIST, script, *values)


IN_WORKER = """async (Source, script, ...values) => {
    const code = `import * as store from "${location.origin}/site/modules/worker/store/models.js";
        self.onmessage = async ({ data }) => { await (${script})(...data); self.postMessage(null); };
        self.postMessage(null);`;
    const worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })), { type: "module" });
    const next = () => new Promise(resolve => { worker.onmessage = resolve; });
    await next();
    worker.postMessage(values);
    await next();
    worker.terminate();
}"""

RECORD = """(shards, model) => store.writeRecord(model, JSON.stringify({
    name: "a.gguf", address: shards[0].url, added: "2026-11-29T08:00:00+00:00",
    shards: shards.slice(0, 1), tokenizer: shards[1] }))"""
KEEP_VOCABULARY = "(place, bytes) => store.keepVocabulary(place, new Uint8Array(bytes))"


def test_the_list(page, served):
    wanted = shards(served)
    assert models(page, "store => store.list()") == []
    run(page, IN_WORKER, RECORD, wanted, "model")
    (entry,) = models(page, "store => store.list()")
    assert (entry["model"], entry["kept"], entry["bytes"]) == ("model", 0, len(MODEL))
    assert entry["record"]["name"] == "a.gguf"
    assert read(page, wanted) == MODEL
    assert models(page, "store => store.list()")[0]["kept"] == len(MODEL)
    assert models(page, "store => store.verify('model', () => {})") == {"pieces": 71, "damaged": 0}
    change(page, "one", "bytes => { bytes[5] ^= 1; bytes[700000 - 60000] ^= 1; }")
    assert models(page, "store => store.verify('model', () => {})") == {"pieces": 71, "damaged": 2}
    assert models(page, "store => store.list()")[0]["kept"] == len(MODEL) - 2 * PIECE
    with asked(served) as requests:
        assert read(page, wanted) == MODEL
    assert len(requests) == 2
    assert models(page, "store => store.remove('model')") is None
    assert models(page, "store => store.list()") == []
    with asked(served) as requests:
        assert read(page, wanted) == MODEL
    assert len(requests) == 2


def test_a_damaged_record(page, served):
    run(page, IN_WORKER, RECORD, shards(served), "model")
    change(page, "record", "bytes => { bytes[9] ^= 1; }")
    (entry,) = models(page, "store => store.list()")
    assert entry["record"] is None
    assert models(page, "store => store.readRecord('model')") is None
    assert models(page, "store => store.remove('model')") is None


def test_a_model_that_is_read_is_not_removed(page, served):
    assert read(page, shards(served)) == MODEL
    answer = run(
        page,
        """async (Source, shards) => {
            const store = await import("/site/modules/worker/store/models.js");
            const source = new Source(shards);
            await source.open();
            try {
                await store.remove("model");
            } finally {
                source.close();
            }
        }""",
        shards(served),
    )
    refused(answer, "kept", "A tab is reading this model")


def test_mutated_sidecars():
    count = int(os.environ.get("MUTATIONS", 100_000)) // 10
    script, parser = Path(__file__).with_name("mutate_sidecars.mjs"), CHECKOUT / "web/worker/store/sidecar.js"
    done = subprocess.run(["node", script, parser, str(count)], stdout=subprocess.PIPE, check=True, text=True)
    ends = json.loads(done.stdout)
    assert min(ends.values()) > count / 20 and sum(ends.values()) == count


def test_the_vocabulary_of_a_tokenizer_that_has_not_changed(page, served):
    """What Python has packed comes back as long as the store has the same tokenizer."""
    place = {"model": "model", "name": "one"}
    there = "(store, place) => store.keptVocabulary(place).then((bytes) => bytes && [...bytes])"
    assert models(page, there, place) is None
    run(page, IN_WORKER, RECORD, shards(served), "model")
    assert read(page, shards(served)) == MODEL
    run(page, IN_WORKER, KEEP_VOCABULARY, place, [1, 2, 3])
    assert models(page, there, place) == [1, 2, 3]
    change(page, "one", "bytes => { bytes[5] ^= 1; }")
    assert models(page, "store => store.verify('model', () => {})")["damaged"] == 1
    assert models(page, there, place) is None
    assert read(page, shards(served)) == MODEL
    assert models(page, there, place) == [1, 2, 3]
