"""Who may ask the server."""

import json
from http.client import HTTPConnection

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from native.server.process import served

KEY = "s3cret-ключ"


@pytest.fixture(scope="module")
def locked(site):
    with served(site, "--host", "127.0.0.1", VOXTAB_API_KEY=KEY) as server:
        yield server


def error(answer) -> dict:
    return json.loads(answer[2])["error"]


@pytest.mark.parametrize("path", ["/", "/a.js", "/health", "/v1/models", "/metrics"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "10.0.0.1", "", "[::"])
def test_other_names_are_refused(server, path, host):
    """A name that its owner lets point to 127.0.0.1: the page there is of that name's origin."""
    answer = server.ask(path, Host=host)
    assert answer[0] == 403 and error(answer)["code"] == "host_not_allowed"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:9000", "127.8.8.8", "[::1]:80"])
def test_this_machines_names_are_not(server, host):
    assert server.ask("/v1/models", Host=host)[0] == 200


def test_pages_of_other_sites_are_refused(server):
    for path, method in (("/v1/models", "GET"), ("/v1/audio/transcriptions", "POST"), ("/metrics", "GET")):
        answer = server.ask(path, method, Origin="https://evil.example")
        assert answer[0] == 403 and error(answer)["code"] == "origin_not_allowed"
        assert server.ask(path, method, Origin="null")[0] == 403
    with pytest.raises(InvalidStatus) as refused, connect(server.socket, origin="https://evil.example"):
        pass
    assert refused.value.response.status_code == 403
    assert server.ask("/", Origin="https://evil.example")[1]["Access-Control-Allow-Origin"] is None


def test_pages_of_this_machine_are_not(server):
    origin = "http://localhost:3000"
    assert server.ask("/v1/models", Origin=origin)[1]["Access-Control-Allow-Origin"] == origin
    status, headers, _ = server.ask(
        "/v1/audio/transcriptions", "OPTIONS", Origin=origin, Access_Control_Request_Method="POST"
    )
    assert status == 200 and headers["Access-Control-Allow-Origin"] == origin
    with connect(server.socket, origin=origin) as session:
        assert json.loads(session.recv())["type"] == "session.created"


@pytest.mark.parametrize("given", [None, "Bearer wrong", "Bearer ", f"Basic {KEY}", f"Bearer {KEY}x"])
def test_a_key(locked, given):
    headers = {"Authorization": given.encode()} if given else {}
    for path in ("/v1/models", "/metrics", "/v1/none"):
        answer = locked.ask(path, **headers)
        assert answer[0] == 401 and error(answer)["code"] == "invalid_api_key"
    assert locked.ask("/", **headers)[0] == locked.ask("/health", **headers)[0] == 200


def test_with_the_key_any_page_and_any_name(locked):
    status, headers, _ = locked.ask(
        "/v1/models", Host="voice.example", Origin="https://app.example", Authorization=f"Bearer {KEY}".encode()
    )
    assert status == 200 and headers["Access-Control-Allow-Origin"] == "*"
    status, headers, _ = locked.ask(  # a browser asks first, without the key
        "/v1/models", "OPTIONS", Origin="https://app.example", Access_Control_Request_Method="GET"
    )
    assert status == 200 and headers["Access-Control-Allow-Origin"] == "*"


def test_a_browsers_web_socket_sends_the_key_as_a_protocol(site):
    with served(site, "--api-key", "k1") as server:
        with connect(server.socket, subprotocols=["realtime", "openai-insecure-api-key.k1"]) as session:
            assert session.subprotocol == "realtime" and json.loads(session.recv())["type"] == "session.created"
        with pytest.raises(InvalidStatus), connect(server.socket, subprotocols=["realtime"]):
            pass


def test_other_machines_may_have_the_page_alone(site):
    with served(site, "--host", "0.0.0.0", "--no-api") as server:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("GET", "/", headers={"Host": "voice.example"})
        assert connection.getresponse().status == 200
        connection.close()
