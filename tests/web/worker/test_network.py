"""A network as it is: each kind of server, proxy and fault ends in the right bytes, or in one sentence that is true.

tests/README.md counts them.
"""

import email.utils
import gzip
import json
import os
import re
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from web.conftest import CHECKOUT
from web.site_server import Handler, Server
from web.worker.test_store import tab
from web.worker.test_weights import TIMES, refused, run, sums

DATA = np.random.default_rng(3).integers(0, 256, 300_003, np.uint8).tobytes()
PIECE = 65_536
CUT = 100_001  # bytes after which a connection breaks, in the middle of a piece


class Faulty(Handler):
    """/fault/ANY/NAME is DATA, answered as FAULTS says."""

    def do_GET(self):
        fault = re.match(r"/fault/(\w+)/(\w+)", self.path)
        if not fault:
            return super().do_GET()
        self.server.requests.append((self.path, self.headers["Range"]))
        past = self.server.uses[self.path] = self.server.uses.get(self.path, -1) + 1
        first, last = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "bytes=0-").groups()
        self.ranged = self.headers["Range"] is not None
        self.first, self.end = int(first), int(last or len(DATA) - 1) + 1
        FAULTS[fault[2]](self, past)

    def answer(self, status=None, body=None, stop=None, **headers):
        """A right answer, but for what is given; `stop`: the connection breaks after that many bytes."""
        body = (DATA[self.first : self.end] if self.ranged else DATA) if body is None else body
        self.send_response(status or (206 if self.ranged else 200))
        usual = {"Content-Length": len(body), "ETag": '"one"', "Content-Type": "application/octet-stream"}
        if self.ranged:
            usual["Content-Range"] = f"bytes {self.first}-{self.end - 1}/{len(DATA)}"
        if self.server.cors:
            usual["Access-Control-Allow-Origin"] = "*"
        for name, value in (usual | {name.replace("_", "-"): value for name, value in headers.items()}).items():
            if value is not None:
                self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body[:stop])
        if stop is not None:
            self.wfile.flush()
            self.wait_for_delivery(self.first, stop)
            self.close_connection = True

    def whole(self, **headers):
        """As a server without ranges answers."""
        self.ranged = False
        self.answer(**headers)

    def small(self):
        """As a server that answers 40 kB at a time."""
        self.end = min(self.end, self.first + 40_000)
        self.answer()

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def stall(self, sent=None):
        if sent is not None:
            self.answer(stop=sent)
        threading.Event().wait(3)
        self.close_connection = True

    def chunked(self, body, **headers):
        self.answer(body=b"", Content_Length=None, Transfer_Encoding="chunked", **headers)
        self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))

    def move(self, to):
        self.answer(302, b"", Location=to, Content_Range=None)

    def wait_answer(self, status, after):
        self.answer(status, b"", Retry_After=after, Content_Range=None)


def then(fault, usual=Faulty.answer):
    """The fault at the first request only."""
    return lambda server, past: fault(server) if past == 0 else usual(server)


def cut_then(fault):
    """The first connection breaks; the fault is what comes then."""
    return lambda server, past: server.answer(stop=CUT) if past == 0 else fault(server)


def at_first(fault):
    return lambda server, past: fault(server)


def signed(server, past):
    """A hub: each request is led to another address, good for one use."""
    if "signature" not in server.path:
        return server.move(f"{server.path}?signature={past}")
    server.answer(stop=CUT) if past == 0 else server.answer(403, b"expired", Content_Range=None)


ELSEWHERE = DATA[7 : 7 + len(DATA)]
LATER = email.utils.formatdate(time.time() + 3600 * 24, usegmt=True)

# name: (what the server does, None for the right bytes or words of the refusal)
FAULTS_AND_ENDS = {
    # --- servers that are only different
    "usual": (at_first(Faulty.answer), None),
    "no_ranges": (at_first(Faulty.whole), None),
    "chunked": (at_first(lambda s: s.chunked(DATA[s.first :])), None),
    "no_total": (at_first(lambda s: s.answer(Content_Range=f"bytes {s.first}-{s.end - 1}/*")), None),
    "small_answers": (
        at_first(Faulty.small),
        None,
    ),
    "compressed_whole": (
        at_first(lambda s: s.whole(body=gzip.compress(DATA), Content_Encoding="gzip")),
        None,
    ),
    "compressed_range": (
        lambda s, past: (
            s.answer(body=gzip.compress(DATA[s.first : s.end]), Content_Encoding="gzip") if s.ranged else s.answer()
        ),
        None,
    ),
    "moved": (lambda s, past: s.answer() if "to" in s.path else s.move(f"{s.path}?to"), None),
    "signed": (signed, None),
    # --- connections that break
    "cut": (then(lambda s: s.answer(stop=CUT)), None),
    "cut_always": (at_first(lambda s: s.answer(stop=CUT)), None),
    "cut_no_ranges": (lambda s, past: s.whole(stop=CUT) if past == 0 else s.whole(), None),
    "cut_for_good": (cut_then(Faulty.reset), ("network", "broke after 0.1 MB", "did not come back")),
    "reset_at_first": (then(Faulty.reset), None),
    "reset_twice": (lambda s, past: s.reset() if past < 2 else s.answer(), None),
    "reset_always": (at_first(Faulty.reset), ("network", "cannot be reached")),
    "stall_at_first": (then(Faulty.stall), None),
    "stall_later": (then(lambda s: s.stall(CUT)), None),
    "stall_always": (at_first(Faulty.stall), ("network", "cannot be reached")),
    # --- servers that ask to wait
    "wait_429": (then(lambda s: s.wait_answer(429, 1)), None),
    "wait_503": (then(lambda s: s.wait_answer(503, 0)), None),
    "wait_date": (then(lambda s: s.wait_answer(503, email.utils.formatdate(time.time() + 5, usegmt=True))), None),
    "wait_later": (cut_then(lambda s: s.wait_answer(503, None) if s.server.uses[s.path] == 1 else s.answer()), None),
    "wait_500": (then(lambda s: s.wait_answer(500, None)), None),
    "wait_nonsense": (then(lambda s: s.wait_answer(429, "soon")), None),
    "wait_always": (at_first(lambda s: s.wait_answer(503, None)), ("network", "answered 503", "try again later")),
    "wait_a_day": (at_first(lambda s: s.wait_answer(429, LATER)), ("network", "answered 429", "try again later")),
    # --- ranges that are not what was asked for
    "other_start": (
        lambda s, past: (
            s.answer(body=ELSEWHERE, Content_Range=f"bytes 7-{len(DATA) - 1}/{len(DATA)}") if s.ranged else s.answer()
        ),
        None,
    ),
    "other_start_no_total": (
        lambda s, past: (
            s.answer(body=ELSEWHERE, Content_Range=f"bytes 7-{len(DATA) - 1}/*") if s.ranged else s.answer()
        ),
        None,
    ),
    "no_content_range": (
        lambda s, past: s.answer(body=ELSEWHERE, Content_Range=None) if s.ranged else s.answer(),
        None,
    ),
    "content_range_of_nonsense": (
        lambda s, past: s.answer(body=ELSEWHERE, Content_Range="bytes all") if s.ranged else s.answer(),
        None,
    ),
    "content_range_backwards": (
        lambda s, past: s.answer(Content_Range=f"bytes 9-3/{len(DATA)}") if s.ranged else s.answer(),
        None,
    ),
    "multipart": (
        lambda s, past: s.answer(Content_Type="multipart/byteranges; boundary=x") if s.ranged else s.answer(),
        None,
    ),
    "more_than_said": (
        then(lambda s: s.chunked(DATA[s.first :] + b"more", Content_Range=f"bytes {s.first}-299999/{len(DATA)}")),
        None,
    ),
    "less_than_said": (at_first(lambda s: s.chunked(b"")), ("network", "broke after 0.0 MB")),
    "part_without_range": (
        at_first(lambda s: s.answer(206, ELSEWHERE, Content_Range="bytes 7-9/*")),
        ("network", "sends only a part"),
    ),
    # --- another file than before, or none
    "changed_tag": (cut_then(lambda s: s.answer(ETag='"two"')), ("model", "changed while it was read")),
    "changed_date": (
        lambda s, past: s.answer(ETag=None, Last_Modified=f"Sun, 29 Nov 2026 08:00:0{past} GMT", stop=CUT),
        ("model", "changed while it was read"),
    ),
    "changed_size": (
        cut_then(lambda s: s.answer(Content_Range=f"bytes {s.first}-{s.end - 1}/{len(DATA) + 5}")),
        ("model", "changed while it was read"),
    ),
    "shorter": (
        cut_then(lambda s: s.answer(416, b"", Content_Range="bytes */100000")),
        ("model", "became shorter"),
    ),
    "ends_early": (
        cut_then(lambda s: s.answer(416, b"", Content_Range=None)),
        ("model", "100001 bytes, and had 300003"),
    ),
    "empty": (at_first(lambda s: s.answer(204, b"", Content_Range=None)), ("network", "answered 204")),
    "gone": (at_first(lambda s: s.answer(404, b"", Content_Range=None)), ("model", "does not exist (404)")),
    "expired": (cut_then(lambda s: s.answer(403, b"", Content_Range=None)), ("model", "the link has expired")),
    "login_page": (
        at_first(lambda s: s.answer(200, b"<html>", Content_Type="text/html", Content_Range=None)),
        ("model", "is a web page", "log in first"),
    ),
    "teapot": (at_first(lambda s: s.answer(418, b"", Content_Range=None)), ("network", "answered 418")),
}
FAULTS = {name: fault for name, (fault, _) in FAULTS_AND_ENDS.items()}


@pytest.fixture(scope="module")
def faulty(page_only, tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    (folder / "blank.html").write_text("<!doctype html>")
    server = Server({"site": page_only, "files": folder}, handler=Faulty)
    other = Server({}, cors=True, handler=Faulty)
    server.other = other
    yield server
    server.close()
    other.close()


@pytest.fixture(scope="module")
def page(browser, faulty):
    with tab(browser, faulty) as page:
        yield page


READ = """async (Source, shard, options) => {
    const { report } = await import("/site/modules/worker/weights/source.js");
    window.said = [];
    report(({ tell, warn }) => said.push(tell ?? warn));
    const source = new Source([shard], options);
    let taken = 0;
    await fetch(`/taken/${taken}`);
    try {
        const all = [];
        for (let bytes; (bytes = await source.next(1e9)); ) {
            all.push(bytes.slice());
            taken += bytes.length;
            fetch(`/taken/${taken}`);
        }
        return new Uint8Array(await new Blob(all).arrayBuffer());
    } finally {
        source.close();
    }
}"""


def read(page, server, fault, kept=True, **described):
    name = f"{fault}-{kept}-{len(described)}-{server.server_port}"
    shard = {"url": f"{server.url}/fault/{len(described)}{int(kept)}/{fault}", **described}
    if kept:
        shard["store"] = {"model": name, "name": "shard"}
    times = TIMES | ({"tell": 0.1, "again": 0.5} if fault.startswith("stall") else {})
    return run(page, READ, shard, {"chunkBytes": PIECE, "times": times})


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault(page, faulty, fault):
    end = FAULTS_AND_ENDS[fault][1]
    answer = read(page, faulty, fault)
    if end:
        refused(answer, *end)
    else:
        assert answer == DATA
    said = " ".join(filter(None, page.evaluate("said")))
    if fault in ("stall_at_first", "stall_later", "stall_always"):
        assert "Nothing has come from 127.0.0.1" in said
    if fault in ("wait_429", "wait_date"):
        assert re.search("127.0.0.1:[0-9]+ asks to wait [1-5] s", said)


WAIT = """async ([pause, after]) => {
    const { Patience } = await import("/site/modules/worker/weights/patience.js");
    const [said, slept] = [[], []];
    const usual = window.setTimeout;
    window.setTimeout = (act, ms) => slept.push(ms) && act();
    const patience = new Patience((sentence) => said.push(sentence), { pauses: [pause], longest: 9 });
    await patience.wait({ after }, 1, "a.example");
    window.setTimeout = usual;
    return [said, slept];
}"""


def test_a_wait_counts_down(page):
    """Each second, from what the server asks for, or from a pause that is drawn; a short one is not told."""
    said, slept = page.evaluate(WAIT, [0.3, 2.5])
    assert said == [f"a.example asks to wait {count} s." for count in (3, 2, 1)] and slept == [500, 1000, 1000]
    said, slept = page.evaluate(WAIT, [4, None])
    told = r"Nothing comes from a\.example\. It is asked again in (\d+) s\."
    counts = [int(re.fullmatch(told, sentence)[1]) for sentence in said]
    assert counts == list(range(len(said), 0, -1)) and 3000 <= sum(slept) <= 5000
    said, slept = page.evaluate(WAIT, [0.3, None])
    assert said == [] and len(slept) == 1


@pytest.mark.parametrize("fault", ["changed_tag", "cut_always", "other_start", "no_content_range"])
def test_with_sums(page, faulty, fault):
    """Where a manifest has the sums, they alone say whether the bytes are right."""
    assert read(page, faulty, fault, bytes=len(DATA), pieces=sums(DATA, PIECE)) == DATA


@pytest.mark.parametrize("fault", ["usual", "cut", "cut_no_ranges", "no_content_range", "reset_twice", "small_answers"])
def test_on_another_origin_that_hides_its_headers(page, faulty, fault):
    """It lets this page read the bytes, but neither Content-Range nor ETag."""
    assert read(page, faulty.other, fault) == DATA


@pytest.mark.parametrize("fault", ["usual", "cut", "stall_later", "wait_later", "other_start", "chunked"])
def test_without_the_store(page, faulty, fault):
    """Then the first request names no range."""
    assert read(page, faulty, fault, kept=False) == DATA


def test_a_length_that_is_too_small(page, faulty):
    FAULTS["short"] = lambda s, past: s.whole(body=DATA[:200_000])
    refused(read(page, faulty, "short", bytes=len(DATA)), "model", "has 200000 bytes, but its manifest says 300003")


def test_a_damaged_transfer_is_repaired(page, faulty):
    """A byte was flipped on the way: only its piece is fetched again. If that is wrong too, the file is refused."""
    wrong = bytearray(DATA)
    wrong[70_000] ^= 1
    FAULTS["flip"] = lambda s, past: s.answer(body=bytes(wrong[s.first : s.end]) if past == 0 else None)
    since = len(faulty.requests)
    assert read(page, faulty, "flip", bytes=len(DATA), pieces=sums(DATA, PIECE)) == DATA
    ranges = [range for path, range in faulty.requests[since:] if path.endswith("/flip")]
    assert ranges == ["bytes=0-", "bytes=65536-131071"]
    FAULTS["flips"] = lambda s, past: s.answer(body=bytes(wrong[s.first : s.end]))
    refused(read(page, faulty, "flips", bytes=len(DATA), pieces=sums(DATA, PIECE)), "model", "SHA-256")


def test_pause(page, faulty):
    """A download that is paused asks for nothing, and then goes on where it was."""

    def slow(server, past):
        server.answer(body=b"", Content_Length=server.end - server.first)
        for at in range(server.first, server.end, 10_000):
            server.wfile.write(DATA[at : min(server.end, at + 10_000)])
            threading.Event().wait(0.05)

    FAULTS["slow"] = slow
    since = len(faulty.requests)
    answer = run(
        page,
        """async (Source, shard, options) => {
            const { pause, report } = await import("/site/modules/worker/weights/source.js");
            const said = [];
            report(({ tell }) => said.push(tell));
            const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
            const source = new Source([shard], options);
            const all = [(await source.next(1e9)).slice()];
            pause(true);
            while (!said.includes("The download is paused.")) await sleep(20);
            await sleep(300);
            pause(false);
            for (let bytes; (bytes = await source.next(1e9)); ) all.push(bytes.slice());
            source.close();
            return new Uint8Array(await new Blob(all).arrayBuffer());
        }""",
        {"url": f"{faulty.url}/fault/11/slow", "store": {"model": "slow", "name": "shard"}},
        {"chunkBytes": PIECE},
    )
    assert answer == DATA
    ranges = [range for path, range in faulty.requests[since:] if path.endswith("/slow")]
    assert len(ranges) == 2 and int(ranges[1].strip("bytes=-")) >= PIECE


def test_mutated_answers():
    """Of servers and hubs, through the reader's own code in node. test_hostile.py has what Python reads."""
    count = int(os.environ.get("MUTATIONS", 100_000))
    script, reader = Path(__file__).with_name("mutate_answers.mjs"), CHECKOUT / "web/worker/weights"
    done = subprocess.run(["node", script, reader, str(count)], stdout=subprocess.PIPE, check=True, text=True)
    ends = json.loads(done.stdout)
    print(ends)
    assert min(ends.values()) > count / 100 and sum(ends.values()) == count


HUB = "a" * 39 + "b"


def test_a_hub_says_which_version_and_its_sum(page, faulty):
    """The address is pinned to the commit, and the pointer in git has the size and the SHA-256."""
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "c" * 64 + "\nsize 2511866880\n"

    def raw(route):
        headers = {"X-Repo-Commit": HUB, "Access-Control-Allow-Origin": "*"}
        route.fulfill(headers=headers | {"Access-Control-Expose-Headers": "X-Repo-Commit"}, body=pointer)

    page.route("**/owner/repo/raw/main/sub/model.gguf", raw)
    ask = """async (Source, url) => [await (await import("/site/modules/worker/weights/source.js")).pinned(url)]"""
    assert run(page, ask, f"{faulty.url}/owner/repo/resolve/main/sub/model.gguf?download=true") == [
        {
            "url": f"{faulty.url}/owner/repo/resolve/{HUB}/sub/model.gguf?download=true",
            "bytes": 2511866880,
            "sha256": "c" * 64,
        }
    ]
    for url in (f"{faulty.url}/owner/repo/resolve/none/model.gguf", f"{faulty.url}/a/model.gguf"):
        assert run(page, ask, url) == [{"url": url, "bytes": None, "sha256": None}]
