"""The page's files, as any client may ask for them."""

import http.client

import pytest

from voxtab.errors import UserError
from voxtab.native.server.app import application
from voxtab.native.server.run import serving
from voxtab.native.server.site import Site

FILE = "/models/a.gguf"
WHOLE = bytes(range(100))


@pytest.fixture(scope="module")
def get(site):
    """GET a path with headers -> (status, headers, body)."""
    with serving(application(Site(site), None)) as url:

        def get(path, method="GET", **headers):
            connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
            connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            return answer.status, answer.headers, body

        yield get


@pytest.mark.parametrize(
    "path, type",
    [
        ("/", "text/html"),
        ("/a.css", "text/css"),
        ("/a.js", "text/javascript"),
        ("/a.mjs", "text/javascript"),
        ("/a.wasm", "application/wasm"),
        ("/a.json", "application/json"),
        ("/a.wgsl", "text/plain"),
        (FILE, "application/octet-stream"),
        ("/a.svg", "image/svg+xml"),
        ("/a.webmanifest", "application/manifest+json"),
    ],
)
def test_types(get, path, type):
    status, headers, _ = get(path)
    assert status == 200 and headers.get_content_type() == type
    assert headers.get_all("X-Content-Type-Options") == ["nosniff"]
    (policy,) = headers.get_all("Content-Security-Policy")
    assert "default-src 'none'" in policy and "connect-src 'self';" in policy
    assert headers["Access-Control-Allow-Origin"] is None


def test_one_worker_may_leave_the_origin(get):
    (policy,) = get("/worker/weights/reader.js")[1].get_all("Content-Security-Policy")
    assert "connect-src 'self' https: http:;" in policy


@pytest.mark.parametrize(
    "asked, first, last",
    [
        ("bytes=0-0", 0, 0),
        ("bytes=3-5", 3, 5),
        ("bytes=90-", 90, 99),
        ("bytes=99-99", 99, 99),
        ("bytes=0-1000", 0, 99),
        ("bytes=-1", 99, 99),
        ("bytes=-30", 70, 99),
        ("bytes=-1000", 0, 99),
        (" BYTES = 3 - 5 ", 3, 5),
    ],
)
def test_ranges(get, asked, first, last):
    status, headers, body = get(FILE, Range=asked)
    assert (status, body) == (206, WHOLE[first : last + 1])
    assert headers["Content-Range"] == f"bytes {first}-{last}/100" and headers["Content-Length"] == str(len(body))


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=100-200", "bytes=99999999999999999999-", "bytes=-0"])
def test_ranges_that_are_not_there(get, asked):
    status, headers, _ = get(FILE, Range=asked)
    assert (status, headers["Content-Range"]) == (416, "bytes */100")


@pytest.mark.parametrize(
    "asked", ["bytes=", "bytes=-", "bytes=a-b", "bytes=--5", "bytes=0-1,5-6", "bytes", "lines=0-1", "bytes=²-3", ""]
)
def test_ranges_that_are_ignored(get, asked):
    assert get(FILE, Range=asked.encode())[::2] == (200, WHOLE)


def test_a_range_whose_end_comes_first_is_refused(get):
    assert get(FILE, Range="bytes=5-3")[0] == 400


def test_ranges_are_for_get_and_the_same_file(get):
    status, headers, body = get(FILE, "HEAD", Range="bytes=0-9")
    assert (status, headers["Content-Length"], body) == (200, "100", b"")
    tag = headers["ETag"]
    assert get(FILE, Range="bytes=0-9", If_Range=tag)[0] == 206
    assert get(FILE, Range="bytes=0-9", If_Range='"another"')[::2] == (200, WHOLE)


def test_an_empty_file(get):
    assert get("/empty.txt")[::2] == (200, b"")
    assert get("/empty.txt", Range="bytes=0-0")[0] == 416


def test_unchanged_files_are_not_sent_again(get):
    _, headers, _ = get("/a.js")
    assert headers["Cache-Control"] == "no-cache"
    assert get("/a.js", If_None_Match=headers["ETag"])[0] == 304


@pytest.mark.parametrize(
    "path", ["/none", "/../secret", "/%2e%2e/secret", "/models/../../secret", "//etc/hosts", "/%00"]
)
def test_nothing_else(get, path):
    assert get(path)[0] == 404


def test_nothing_is_written(get):
    assert get("/a.js", "POST")[0] == 405


def test_files_that_change_meanwhile(get, site):
    (site / "new.js").write_text("old")
    assert get("/new.js")[2] == b"old"
    (site / "new.js").write_text("newer")
    assert get("/new.js")[2] == b"newer"


def test_no_site(tmp_path):
    with pytest.raises(UserError, match="holds no index.html"):
        Site(tmp_path)
