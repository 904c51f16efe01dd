"""A model's bytes on their way through web/worker/weights/, without Python: the right ones, or a refusal."""

import base64
import hashlib
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from web.conftest import CHECKOUT
from web.site_server import Server

PIECE = 20_001  # bytes: pieces end in the middle of words and of chunks
PIECES = 12
MODEL = np.random.default_rng(0).integers(0, 256, PIECES * PIECE - 777, np.uint8).tobytes()
LARGE = np.random.default_rng(1).integers(0, 256, 1_000_003, np.uint8).tobytes()  # the server's behaviours begin later


@pytest.fixture(scope="module")
def served(page_only, tmp_path_factory):
    """The page without Python, and a folder for models, which another origin serves as well."""
    folder = tmp_path_factory.mktemp("weights")
    (folder / "blank.html").write_text("<!doctype html><input type=file>")
    (folder / "large").write_bytes(LARGE)
    (folder / "whole").write_bytes(MODEL)
    elsewhere = Server({"files": folder}, cors=True)
    server = Server({"site": page_only, "files": folder})
    server.folder, server.elsewhere, server.other = folder, elsewhere.url, elsewhere
    yield server
    server.close()
    elsewhere.close()


@pytest.fixture(scope="module")
def page(browser, served):
    page = browser.new_page()
    page.goto(f"{served.url}/files/blank.html")
    yield page
    page.close()


def run(page, script: str, *values):
    """What an async function of (Source, ...values) gives in the page: bytes, another value, or its failure."""
    answer = page.evaluate(
        """async ([script, values]) => {
            const { Source } = await import("/site/modules/worker/weights/source.js");
            try {
                const found = await eval(script)(Source, ...values);
                return found instanceof Uint8Array ? { bytes: found.toBase64() } : found;
            } catch (error) {
                return { kind: error.kind, message: error.message };
            }
        }""",
        [script, values],
    )
    return base64.b64decode(answer["bytes"]) if isinstance(answer, dict) and "bytes" in answer else answer


READ = """async (Source, shards, most, times) => {
    for (const shard of shards) if (shard.chosen) shard.file = document.querySelector("input").files[0];
    const source = new Source(shards, { chunkBytes: 65536, times });
    let taken = 0;
    await fetch(`/taken/${taken}`);
    try {
        await source.open();
        await source.head(1000);
        const all = [];
        for (let bytes; (bytes = await source.next(most)); ) {
            all.push(bytes.slice());
            taken += bytes.length;
            fetch(`/taken/${taken}`);
        }
        await source.end();
        return new Uint8Array(await new Blob(all).arrayBuffer());
    } finally {
        source.close();
    }
}"""


# How long a download waits, in seconds (patience.js). Its pauses are a hundredth of what users wait. It waits for bytes
# as long as for users, except where a server stalls: on a busy machine nothing may come for a while.
TIMES = {"tell": 10, "again": 30, "pauses": [0.01, 0.02, 0.04, 0.08, 0.15, 0.3], "longest": 9}


def read(page, shards, most=1 << 20) -> bytes:
    """All bytes of the shards, {url, bytes, pieces} or {chosen} each, as an upload reads them; or {kind, message}."""
    return run(page, READ, shards, most, TIMES)


def refused(answer, kind, *words):
    """Whether what `read` gave is a failure of this kind, which has these words in it."""
    assert isinstance(answer, dict), "nothing was refused"
    assert answer["kind"] == kind and all(word in answer["message"] for word in words), answer
    assert "secret" not in answer["message"]


def sums(data: bytes, piece=PIECE) -> dict:
    return {
        "bytes": piece,
        "sha256": [hashlib.sha256(data[at : at + piece]).hexdigest() for at in range(0, len(data), piece)],
    }


def shard(served, name: str, data: bytes, behaviour: str = "files", stored: bytes | None = None) -> dict:
    """A shard as a manifest describes it; `stored` is what the server has instead."""
    (served.folder / name).write_bytes(data if stored is None else stored)
    return {"url": f"{served.url}/{behaviour}/{name}", "bytes": len(data), "pieces": sums(data)}


# --- the right bytes


@pytest.mark.parametrize("pieces", [None, sums(LARGE)], ids=["unchecked", "pieces"])
@pytest.mark.parametrize("behaviour", ["", "moved/", "no_ranges/", "no_length/", "cut/", "cut_no_ranges/"])
def test_servers(page, served, behaviour, pieces):
    """A redirect to another origin; no ranges, or no sizes; a connection that breaks in the middle, on both kinds."""
    url = f"{served.url}/{behaviour}files/large?{'checked' if pieces else 'unchecked'}"
    asked, asked_elsewhere = len(served.requests), len(served.other.requests)
    assert read(page, [{"url": url, "pieces": pieces}], 70_001) == LARGE
    ranges = [range for path, range in served.requests[asked:] if path.endswith("large")]
    assert ranges[0] is None and len(ranges) == (2 if behaviour.startswith("cut") else 1)
    # The browser discards data it had not yet delivered.
    assert len(ranges) == 1 or 100_000 < int(ranges[1].strip("bytes=-")) <= 400_001
    assert (len(served.other.requests) > asked_elsewhere) == (behaviour == "moved/")


def test_a_connection_that_breaks_again_and_again(page, served):
    """The connection may break again and again, as long as some bytes come in between."""
    assert read(page, [{"url": f"{served.url}/cut_often/files/large"}]) == LARGE


@pytest.mark.parametrize("checked", [True, False])
def test_shards_of_any_size(page, served, checked):
    """A shard of one byte, of less than a piece, of exactly one, of several; and pieces of different sizes."""
    shards, at = [], 0
    for i, size in enumerate((1, 777, PIECE, 3 * PIECE, 5 * PIECE + 1, 65536)):
        shards.append(shard(served, f"any-{i}", MODEL[at : at + size]))
        if not checked:
            shards[-1]["pieces"] = None
        elif i == 4:
            shards[-1]["pieces"] = sums(MODEL[at : at + size], 4096)
        at += size
    assert read(page, shards) == MODEL[:at]


def test_a_chosen_file(page, served, tmp_path):
    (tmp_path / "model").write_bytes(LARGE)
    page.set_input_files("input", tmp_path / "model")
    assert read(page, [{"chosen": True}]) == LARGE
    (tmp_path / "model").write_bytes(LARGE[1:])
    refused(read(page, [{"chosen": True}]), "model", "model cannot be read", "choose it again")


def test_head_skip_and_read(page, served):
    """The beginning may be read several times; then everything is read in any amounts."""
    assert list(
        run(
            page,
            """async (Source, url) => {
                const source = new Source([{ url }], { chunkBytes: 4096 });
                const size = await source.open();
                for (const most of [10, 5000, 70_000]) if ((await source.head(most)).length !== most) return;
                const found = [];
                for (const at of [3, 4_095, 65_537, 300_000]) {
                    await source.skip(at);
                    found.push((await source.read(1))[0]);
                }
                await source.skip(size);
                return [size, ...found, await source.next(1)];
            }""",
            f"{served.url}/files/large",
        )
    ) == [len(LARGE), LARGE[3], LARGE[4_095], LARGE[65_537], LARGE[300_000], None]


def test_a_read_beyond_the_end(page, served):
    answer = run(
        page,
        """async (Source, url) => {
            const source = new Source([{ url }]);
            await source.skip(1e7);
        }""",
        f"{served.url}/files/large?secret",
    )
    refused(answer, "model", "files/large is cut short: it ends at byte 1000003")


def test_a_source_that_is_closed(page, served):
    answer = run(
        page,
        """async (Source, url) => {
            const source = new Source([{ url }]);
            const opening = source.open();
            source.close();
            await opening;
        }""",
        f"{served.url}/files/large",
    )
    refused(answer, "aborted")


def test_what_the_store_keeps_no_cache_keeps(page, served):
    shards = [shard(served, f"cache-{i}", MODEL) for i in range(2)]
    shards[1]["store"] = {"model": "cache", "name": "cache-1"}
    assert read(page, shards) == MODEL * 2
    assert {name for name in served.uncached if "cache-" in name} == {"/files/cache-1"}


# --- a refusal


@pytest.mark.parametrize("piece", range(PIECES))
def test_a_flipped_byte_in_any_piece_is_refused(page, served, piece):
    broken = bytearray(MODEL)
    broken[min(len(MODEL), (piece + 1) * PIECE) - 1] ^= 1
    refused(read(page, [shard(served, f"flipped-{piece}", MODEL, stored=broken)]), "model", "SHA-256")


@pytest.mark.parametrize("piece", range(PIECES))
def test_a_flipped_byte_in_any_shard_is_refused(page, served, piece):
    """Each piece a shard of its own."""
    shards = []
    for i in range(PIECES):
        data = MODEL[i * PIECE : (i + 1) * PIECE]
        broken = bytes([data[0] ^ 1]) + data[1:] if i == piece else data
        shards.append(shard(served, f"shard-{piece}-{i}", data, stored=broken))
    refused(read(page, shards), "model", f"shard-{piece}-{piece} ", "SHA-256")


def test_unread_bytes_are_checked_too(page, served):
    """Bytes after the model's last tensor."""
    broken = MODEL[:-1] + bytes([MODEL[-1] ^ 1])
    answer = run(
        page,
        """async (Source, shard) => {
            const source = new Source([shard], { chunkBytes: 65536 });
            await source.read(10);
            await source.end();
        }""",
        shard(served, "behind", MODEL, stored=broken),
    )
    refused(answer, "model", "SHA-256")


@pytest.mark.parametrize(
    "change, words", [(-1000, "cut short"), (1000, "more than"), (PIECE, "more than"), (777, "more than")]
)
def test_a_shard_of_another_size(page, served, change, words):
    """From a server that tells no sizes: found at the end."""
    stored = MODEL[:change] if change < 0 else MODEL + bytes(change)
    if change == 777:  # unchecked, and the manifest's size is all there is
        described = shard(served, "size", MODEL, "no_length/files", stored) | {"pieces": None}
    else:
        described = shard(served, f"size{change}", MODEL, "no_length/files", stored)
    refused(read(page, [described]), "model", words)


def test_sums_may_be_in_capitals(page, served):
    described = shard(served, "capitals", MODEL)
    described["pieces"]["sha256"] = [sum.upper() for sum in described["pieces"]["sha256"]]
    assert read(page, [described]) == MODEL


@pytest.mark.parametrize(
    "behaviour, kind, words",
    [
        ("gone", "model", "does not exist (404)"),
        ("html", "model", "is a web page, not a model's file"),
        ("once", "model", "the link has expired"),
        ("replaced", "model", "changed while it was read"),
    ],
)
def test_broken_servers(page, served, behaviour, kind, words):
    answer = read(page, [{"url": f"{served.url}/{behaviour}/files/large?signature=secret"}])
    refused(answer, kind, words, "files/large")


def test_a_network_that_does_not_come_back(page, served):
    asked = len(served.requests)
    answer = read(page, [{"url": f"{served.url}/cut_for_good/files/large?signature=secret"}])
    refused(answer, "network", "broke after 0.", " MB of http://", "files/large")
    tries = [path for path, _ in served.requests[asked:] if path.startswith("/cut_for_good/")]
    assert len(tries) == 1 + len(TIMES["pauses"])


def test_another_origin_refuses(page, served):
    closed = Server({"files": served.folder})
    refused(read(page, [{"url": f"{closed.url}/files/large"}]), "network", "does not allow other sites")
    closed.close()
    refused(read(page, [{"url": f"{closed.url}/files/large"}]), "network", "cannot be reached")


@pytest.mark.parametrize("missing", ["reader", "checker"])
def test_no_reader_and_no_checker(browser, page_only, served, tmp_path, missing):
    """The site lacks the Worker that reads the model, or the one that checks its pieces: no unchecked model opens."""
    shutil.copytree(page_only, tmp_path / "site", symlinks=True, ignore=shutil.ignore_patterns(f"{missing}.js"))
    incomplete = Server({"site": tmp_path / "site", "files": served.folder})
    page = browser.new_page()
    page.goto(f"{incomplete.url}/files/blank.html")
    (served.folder / "missing").write_bytes(MODEL)
    described = {"url": f"{incomplete.url}/files/missing", "bytes": len(MODEL), "pieces": sums(MODEL)}
    refused(read(page, [described]), "network", f"{missing}.js did not load")
    page.close()
    incomplete.close()


def test_siblings_end_with_who_wanted_them(browser, served):
    """The reader's checkers too, which are the page's Workers: a terminated Worker leaves none behind."""
    page = browser.new_page()
    page.goto(f"{served.url}/files/blank.html")
    count = """async (Source, url, pieces) => {
        const source = new Source([{ url, bytes: pieces.total, pieces }]);
        await source.open();
        await source.next(1);
        window.sources = [...window.sources ?? [], source];
    }"""
    described = {"total": len(MODEL), **sums(MODEL)}
    for _ in range(2):
        assert run(page, count, f"{served.url}/files/whole", described) is None
    wait_for_workers(page, {"reader.js", "checker.js"})
    page.evaluate("for (const source of sources.splice(0)) source.close()")
    wait_for_workers(page, set())
    page.close()


def wait_for_workers(page, names: set[str], seconds=60):
    until = time.monotonic() + seconds
    while {Path(worker.url).name for worker in page.workers} != names:
        assert time.monotonic() < until, page.workers
        page.wait_for_timeout(20)


def test_the_page_starts_all_workers():
    """Firefox now and then puts a Worker to sleep that has started one itself."""
    starts = [path.name for path in (CHECKOUT / "web").rglob("*.js") if "new Worker(" in path.read_text("utf-8")]
    assert starts == ["start.js"]


# --- out of turn

PARTS = """async (Source, shards) => {
    const source = new Source(shards, { chunkBytes: 65536 });
    try {
        await source.open();
        await source.head(1000);
        const first = await source.part(0, 99_999, 200_001);
        const second = await source.part(1, 230_000, 1_000_000);
        const all = [first.part, second.part, new TextEncoder().encode(`${first.size} ${second.size}`)];
        for (let bytes; (bytes = await source.next(1 << 20)); ) all.push(bytes.slice());
        return new Uint8Array(await new Blob(all).arrayBuffer());
    } finally {
        source.close();
    }
}"""


@pytest.mark.parametrize("behaviour", ["", "no_ranges/"], ids=["ranges", "no ranges"])
def test_a_part_of_a_shard_while_all_is_read(page, served, behaviour):
    """Up to the shard's end at most, with its size; what is read next stays the same."""
    shards = [{"url": f"{served.url}/{behaviour}files/{name}"} for name in ("large", "whole")]
    sizes = f"{len(LARGE)} {len(MODEL)}".encode()
    assert run(page, PARTS, shards) == LARGE[99_999:200_001] + MODEL[230_000:] + sizes + LARGE + MODEL
