"""The Worker alone: the same tokens as the native engine from wherever a model comes, and errors that say what to do.

Most cases share one booted Worker: a second model replaces the first, and an error leaves it usable.
"""

import hashlib
import json
import struct
from pathlib import Path

import pytest

ORACLES = Path(__file__).parents[1] / "oracle"
BOTH = pytest.mark.parametrize("oracle", ["delay480", "delay160"])


@pytest.fixture(scope="module")
def bare(browser, server):
    page = browser.new_page()
    page.goto(f"{server.url}/site/bare.html")
    yield page
    page.close()


def open_url(page, url: str | None, **more) -> dict:
    return page.evaluate("([url, more]) => openUrl(url, more)", [url, more])


def open_chosen(page, paths: list[Path]) -> dict:
    page.set_input_files("input", paths)
    return page.evaluate("openChosen()")


def error_of(answer: dict) -> tuple[str, str]:
    assert "error" in answer, answer
    return answer["error"]["kind"], answer["error"]["message"]


def check_tokens(page, server, oracle: str, opened: dict, chunk: int = 16000):
    assert "error" not in opened, opened
    expected = json.loads((ORACLES / oracle / "expected.json").read_text())
    answer = page.evaluate(
        "([url, delay, chunk]) => transcribe(url, delay, chunk)",
        [f"{server.url}/files/{oracle}/clip.f32", expected["delay_ms"], chunk],
    )
    assert "error" not in answer, answer
    assert answer["tokens"] == expected["tokens_q4_0"]
    assert answer["text"] and answer["words"][0]["start"] <= answer["words"][0]["end"]
    return answer


def cut(data: bytes, *at: int) -> list[bytes]:
    return [data[start:end] for start, end in zip((0, *at), (*at, len(data)))]


def manifest(folder: Path, shards: list[bytes], piece_bytes: int | None = None, **more) -> str:
    """Shards and their manifest in `folder`, with sums of pieces if a size is given; the manifest's path under /files/."""
    folder.mkdir()
    entries = []
    for i, shard in enumerate(shards):
        (folder / f"part-{i}").write_bytes(shard)
        entries.append({"path": f"part-{i}", "bytes": len(shard), "sha256": hashlib.sha256(shard).hexdigest()})
        if piece_bytes:
            sums = [
                hashlib.sha256(shard[at : at + piece_bytes]).hexdigest() for at in range(0, len(shard), piece_bytes)
            ]
            # The whole's sum is another's: it is not asked for.
            entries[-1] |= {"pieces": {"bytes": piece_bytes, "sha256": sums}, "sha256": "0" * 64}
    (folder / "model.json").write_text(json.dumps({"shards": entries, "tokenizer": "../delay160/tekken.json", **more}))
    return f"{folder.name}/model.json"


@pytest.fixture(scope="session")
def model() -> bytes:
    return (ORACLES / "delay160" / "tiny-q4.gguf").read_bytes()


# --- where a model comes from


@BOTH
def test_by_url(bare, server, oracle):
    opened = open_url(bare, f"/files/{oracle}/tiny-q4.gguf")
    check_tokens(bare, server, oracle, opened)
    assert opened["dialect"] == "gguf" and opened["vocabulary"] == 2048
    assert opened["model_bytes"] < opened["gpu_bytes"]
    assert opened["adapter"]["software"] or opened["adapter"]["vendor"] != "google"
    assert opened["warning"] is None


@BOTH
def test_chosen_file(bare, server, oracle):
    opened = open_chosen(bare, [ORACLES / oracle / name for name in ("tekken.json", "tiny-q4.gguf")])
    check_tokens(bare, server, oracle, opened)


@BOTH
def test_chosen_shards(bare, server, oracle, tmp_path):
    """Cut at odd places: inside the header, inside a 4-byte word, with a shard of one byte."""
    data = (ORACLES / oracle / "tiny-q4.gguf").read_bytes()
    names = []
    for letter, shard in zip("abcdef", cut(data, 1001, 200_003, 200_004, 500_002), strict=False):
        names.append(tmp_path / f"shard-a{letter}")
        names[-1].write_bytes(shard)
    # The order is the names', whatever the order of choosing.
    opened = open_chosen(bare, [*names[::-1], ORACLES / oracle / "tekken.json"])
    check_tokens(bare, server, oracle, opened, chunk=777)


def test_the_sites_own_model(bare, site):
    opened = open_url(bare, None)
    assert "error" not in opened, opened
    assert opened["name"] == json.loads((site / "site.json").read_text())["name"]


def test_manifest(bare, server, files, model):
    path = manifest(files / "whole", cut(model, 4097, 300_001))
    check_tokens(bare, server, "delay160", open_url(bare, f"/files/{path}"))


@pytest.mark.parametrize(
    "behaviour", ["files", "no_ranges/files", "no_length/files", "cut/files", "cut_no_ranges/files"]
)
def test_manifest_with_pieces(bare, server, files, model, behaviour):
    """A shard of one piece, of pieces that fit and that do not, with a part of a word behind each."""
    folder = files / f"pieces-{behaviour.partition('/')[0]}"
    path = manifest(folder, cut(model, 4097, 4097 + 3 * 20_001), 20_001, tokenizer="tekken.json")
    (folder / "tekken.json").symlink_to(ORACLES / "delay160/tekken.json")
    check_tokens(bare, server, "delay160", open_url(bare, f"/{behaviour}/{path}"))


def test_shards_that_no_cache_keeps(bare, server, files, model):
    """A shard that, by its manifest, is too large for the browser's cache is asked for past it, others are not."""
    path = manifest(files / "huge", cut(model, 300_000))
    said = json.loads((files / "huge/model.json").read_text())
    said["shards"][1]["bytes"] = 1 << 29
    (files / "huge/model.json").write_text(json.dumps(said))
    kind, message = error_of(open_url(bare, f"/files/{path}"))
    assert kind == "model" and "part-1 has" in message
    assert {name for name in server.uncached if "/huge/" in name} == {"/files/huge/part-1"}


def test_long_header(bare, server, files, model):
    """A header of several reads: one more key, a vocabulary, of a length that keeps the data aligned."""
    words = b"".join(struct.pack("<Q", 25) + b"%025d" % i for i in range(32_000))
    key = b"vocabulary.with.a.name.of.33bytes"
    key = struct.pack("<Q", len(key)) + key + struct.pack("<IIQ", 9, 8, 32_000) + words
    fill = (
        struct.pack("<Q", 1)
        + b"x"
        + struct.pack("<I", 8)
        + struct.pack("<Q", -(len(key) + 21) % 32)
        + bytes(-(len(key) + 21) % 32)
    )
    tensors, keys = struct.unpack_from("<QQ", model, 8)
    (files / "long").mkdir()
    (files / "long/model.gguf").write_bytes(model[:8] + struct.pack("<QQ", tensors, keys + 2) + key + fill + model[24:])
    opened = open_url(bare, "/files/long/model.gguf", tokenizer={"url": f"{server.url}/files/delay160/tekken.json"})
    check_tokens(bare, server, "delay160", opened)


@pytest.mark.parametrize("behaviour", ["moved", "no_ranges", "no_length", "cut", "cut_no_ranges"])
def test_servers(bare, server, elsewhere, behaviour):
    """A redirect to another origin; a server without ranges, or without sizes; a connection that breaks in the middle, on both kinds."""
    asked, asked_elsewhere = len(server.requests), len(elsewhere.requests)
    opened = open_url(bare, f"/{behaviour}/files/delay160/tiny-q4.gguf")
    assert "error" not in opened, opened
    ranges = [range for path, range in server.requests[asked:] if path.endswith(".gguf")]
    assert ranges[0] is None and len(ranges) == (2 if behaviour.startswith("cut") else 1)
    # What the browser had not handed over when the connection broke, it throws away.
    assert behaviour not in ("cut", "cut_no_ranges") or 100_000 < int(ranges[1].strip("bytes=-")) <= 400_001
    assert (len(elsewhere.requests) > asked_elsewhere) == (behaviour == "moved")
    check_tokens(bare, server, "delay160", opened)


def test_sub_path_in_a_frame(browser, server, elsewhere):
    """Under another path, in a frame of another origin; no request leaves but for the frame's own site."""
    page = browser.new_page()
    page.goto(f"{elsewhere.url}/files/delay160/tekken.json")
    page.set_content(f'<iframe src="{server.url}/some/where/site/bare.html"></iframe>')
    frame = page.frames[1]
    frame.wait_for_load_state()
    asked = len(server.requests)
    opened = frame.evaluate("openUrl(null)")
    assert "error" not in opened, opened
    assert all(path.startswith("/some/where/site/") for path, _ in server.requests[asked:])
    page.close()


def test_no_request_leaves_the_origin(browser, server):
    context = browser.new_context()
    asked = []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.goto(f"{server.url}/site/bare.html")
    assert "error" not in open_url(page, None)
    context.close()
    assert len(asked) > 10 and all(url.startswith(server.url) for url in asked)


# --- what can be wrong with a model


@pytest.mark.parametrize(
    "behaviour, kind, words",
    [
        ("gone", "model", "does not exist (404)"),
        ("html", "model", "is a web page and not a file"),
        ("once", "model", "the link has expired"),
        ("replaced", "model", "changed while it was read"),
        ("cut_for_good", "network", " MB of http://"),
    ],
)
def test_broken_servers(bare, server, behaviour, kind, words):
    found, message = error_of(open_url(bare, f"/{behaviour}/files/delay160/tiny-q4.gguf?signature=secret"))
    assert found == kind and words in message and "tiny-q4.gguf" in message and "secret" not in message


def test_another_origin_refuses(bare, server, files, browser):
    from web.site_server import Server

    closed = Server({"files": files})
    kind, message = error_of(open_url(bare, f"{closed.url}/files/delay160/tiny-q4.gguf"))
    assert kind == "network" and "does not allow other sites" in message
    closed.close()
    kind, message = error_of(open_url(bare, f"{closed.url}/files/delay160/tiny-q4.gguf"))
    assert kind == "network" and "cannot be reached" in message


def test_shard_short(bare, server, files, model):
    path = manifest(files / "short", cut(model, 300_000))
    (files / "short/part-1").write_bytes(model[300_000:-1000])
    kind, message = error_of(open_url(bare, f"/files/{path}"))
    assert kind == "model" and "part-1" in message and "cut short" in message


def test_shard_changed(bare, server, files, model):
    path = manifest(files / "changed", cut(model, 300_000))
    broken = bytearray(model[300_000:])
    broken[5000] ^= 1
    (files / "changed/part-1").write_bytes(broken)
    kind, message = error_of(open_url(bare, f"/files/{path}"))
    assert kind == "model" and "part-1" in message and "SHA-256" in message
    assert "error" not in open_url(bare, f"/files/{path}", check=False)


@pytest.mark.parametrize("flipped", [5000, 200_000, -1])
def test_shard_changed_in_a_piece(bare, server, files, model, flipped):
    path = manifest(files / f"piece{flipped}", cut(model, 300_000), 20_001)
    broken = bytearray(model[300_000:])
    broken[flipped] ^= 1
    (files / f"piece{flipped}/part-1").write_bytes(broken)
    kind, message = error_of(open_url(bare, f"/files/{path}"))
    assert kind == "model" and "part-1" in message and "SHA-256" in message
    assert "error" not in open_url(bare, f"/files/{path}", check=False)


@pytest.mark.parametrize("missing", ["reader", "checker"])
def test_no_reader_and_no_checker(browser, server, files, model, missing):
    """The site lacks the Worker that reads the model, or that which checks its pieces: nothing unchecked opens."""
    path = manifest(files / f"no_{missing}", cut(model, 300_000), 20_001)
    page = browser.new_page()
    page.goto(f"{server.url}/site/bare.html")
    page.evaluate(f"boot('./patched_worker.js?no_{missing}')")
    page.wait_for_function("events.filter(event => event.stage === 'python' && event.done).length")
    kind, message = error_of(open_url(page, f"/files/{path}"))
    assert kind == "network" and f"{missing}.js did not load" in message
    page.close()


@pytest.mark.parametrize("change, words", [(-1000, "cut short"), (1000, "it is another file"), (100_000, "SHA-256")])
def test_shard_of_pieces_and_another_size(bare, server, files, model, change, words):
    """From a server that tells no sizes: the shard's end tells, or a piece that should not be."""
    path = manifest(files / f"size{change}", cut(model, 300_000), 20_001)
    (files / f"size{change}/part-1").write_bytes(
        model[300_000:change] if change < 0 else model[300_000:] + bytes(change)
    )
    kind, message = error_of(
        open_url(bare, f"/no_length/files/{path}", tokenizer={"url": f"{server.url}/files/delay160/tekken.json"})
    )
    assert kind == "model" and "part-1" in message and words in message


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"shards": []}',
        '{"shards": [{"path": "a"}]}',
        '{"shards": [{"path": "a", "bytes": -1}]}',
        '{"shards": [{"path": "a", "bytes": 9, "sha256": "none"}]}',
        '{"shards": [{"path": "a", "bytes": 1e999}]}',
        '{"shards": [{"path": "a", "bytes": 9, "pieces": {"bytes": 0, "sha256": []}}]}',
        '{"shards": [{"path": "a", "bytes": 9, "pieces": {"bytes": 1e99, "sha256": ["%s"]}}]}' % ("0" * 64),
        '{"shards": [{"path": "a", "bytes": 9, "pieces": {"bytes": 5, "sha256": ["%s"]}}]}' % ("0" * 64),
        '{"shards": [{"path": "a", "bytes": 9, "pieces": {"bytes": 9, "sha256": ["none"]}}]}',
        '{"shards": [{"path": "a", "bytes": 9, "pieces": 9}]}',
        '{"shards": [{"path": "https://elsewhere.example/a", "bytes": 9}]}',
        '{"shards": [{"path": "a", "bytes": 9}], "tokenizer": "//elsewhere.example/tekken.json"}',
    ],
)
def test_no_manifest(bare, server, files, text):
    (files / "none.json").write_text(text)
    kind, message = error_of(open_url(bare, "/files/none.json"))
    assert kind == "model" and "none.json is no manifest" in message


def test_chosen_wrong_files(bare, tmp_path, model):
    tekken = ORACLES / "delay160/tekken.json"
    (tmp_path / "model.gguf").write_bytes(model[:500_000])
    kind, message = error_of(open_chosen(bare, [tmp_path / "model.gguf", tekken]))
    assert kind == "model" and "short" in message
    (tmp_path / "note.txt").write_text("a note")
    kind, message = error_of(open_chosen(bare, [tmp_path / "note.txt", tekken]))
    assert kind == "model" and "no GGUF file" in message
    (tmp_path / "empty.gguf").write_bytes(b"")
    kind, message = error_of(open_chosen(bare, [tmp_path / "empty.gguf", tekken]))
    assert kind == "model"
    kind, message = error_of(open_chosen(bare, [tekken]))
    assert kind == "model" and "No model file" in message
    kind, message = error_of(open_chosen(bare, [ORACLES / "delay160/tiny-q4.gguf", ORACLES / "delay160/config.json"]))
    assert kind == "tokenizer" and "vocabulary" in message


def test_no_tokenizer(bare, server, files, model):
    (files / "alone").mkdir()
    (files / "alone/model.gguf").write_bytes(model)
    bare.evaluate("events.length = 0")
    kind, message = error_of(open_url(bare, "/stuck/files/alone/model.gguf"))
    assert kind == "tokenizer" and "alone/tekken.json does not exist" in message
    # The weights, which come at the same time, were given up.
    assert not any(event.get("stage") == "kernels" for event in bare.evaluate("events"))


# --- requests


def test_events_while_opening(bare, server):
    bare.evaluate("events.length = 0")
    assert "error" not in open_url(bare, "/files/delay160/tiny-q4.gguf")
    events = [event for event in bare.evaluate("events") if event["event"] == "progress"]
    stages = list(dict.fromkeys(event["stage"] for event in events))
    assert stages == ["device", "weights", "kernels"]
    last = [event for event in events if event["stage"] == "weights"][-1]
    assert last["done"] == last["total"] > 0


def test_text_comes_while_feeding(bare, server):
    """Live: text before the end, a flush in the middle, and the pieces make the transcript."""
    open_url(bare, "/files/delay160/tiny-q4.gguf")
    result = bare.evaluate(
        """async url => {
      events.length = 0;
      const samples = new Float32Array(await (await fetch(url)).arrayBuffer());
      await ask('start', { delay_ms: 160, left_silence_tokens: null });
      await ask('feed', { samples: samples.slice(0, 24000) });
      await ask('flush');
      for (let i = 0; i < 3000 && !events.some(event => event.event === 'text'); i++) await new Promise(resolve => setTimeout(resolve, 20));
      window.early = events.some(event => event.event === 'text');
      await ask('feed', { samples: samples.slice(24000) });
      return ask('finish');
    }""",
        f"{server.url}/files/delay160/clip.f32",
    )
    assert bare.evaluate("early")
    events = bare.evaluate("events")
    texts = [event for event in events if event["event"] == "text"]
    assert "".join(event["text"] for event in texts) == result["text"]
    assert 0 < texts[0]["audio_seconds"] < texts[-1]["audio_seconds"] <= result["audio_seconds"]
    assert set(result) == {"text", "tokens", "words", "audio_seconds", "delay_ms", "model", "timings"}


def test_stop_and_start_again(bare, server):
    opened = open_url(bare, "/files/delay160/tiny-q4.gguf")
    finished = bare.evaluate(
        """async url => {
      const samples = new Float32Array(await (await fetch(url)).arrayBuffer());
      await ask('start', { delay_ms: 160, left_silence_tokens: null });
      await ask('feed', { samples });
      const finished = ask('finish');
      await ask('stop');
      return finished;
    }""",
        f"{server.url}/files/delay160/clip.f32",
    )
    assert error_of(finished)[0] == "aborted"
    check_tokens(bare, server, "delay160", opened)


def test_cancel_an_open(bare, server):
    """It answers at once, and the download stops."""
    answer = bare.evaluate(
        """async url => {
      events.length = 0;
      let over = false;
      const opened = openUrl(url).finally(() => { over = true; });
      while (!over && !events.some(event => event.stage === 'weights')) await new Promise(resolve => setTimeout(resolve, 10));
      await ask('cancel');
      return opened;
    }""",
        f"{server.url}/slow/files/delay160/tiny-q4.gguf",
    )
    assert error_of(answer)[0] == "aborted"
    assert error_of(bare.evaluate("ask('start', {})")) == ("model", "No model is open: open one first.")


def test_requests_out_of_turn(bare, server):
    open_url(bare, "/files/delay160/tiny-q4.gguf")
    assert "No transcription is under way" in error_of(bare.evaluate("ask('finish')"))[1]
    assert (
        "100 ms is not one" in error_of(bare.evaluate("ask('start', { delay_ms: 100, left_silence_tokens: null })"))[1]
    )
    kind, message = error_of(
        bare.evaluate("""(async () => {
      await ask('start', { delay_ms: 160, left_silence_tokens: null });
      await ask('feed', { samples: new Float32Array([0, NaN]) });
      return ask('finish');
    })()""")
    )
    assert kind == "audio" and "no finite numbers" in message


def test_no_audio(bare, server):
    """A microphone that is stopped before it gave anything."""
    open_url(bare, "/files/delay160/tiny-q4.gguf")
    result = bare.evaluate("ask('start', { delay_ms: 160, left_silence_tokens: null }).then(() => ask('finish'))")
    assert "error" not in result and result["audio_seconds"] == 0


# --- browsers that are not as usual


@pytest.mark.parametrize(
    "how, kind, words",
    [
        ("no_webgpu", "device", "has no WebGPU"),
        ("no_adapter", "device", "found no GPU"),
        ("low_limits", "device", "maxComputeInvocationsPerWorkgroup 128"),
    ],
)
def test_browsers(browser, server, how, kind, words):
    page = browser.new_page()
    page.goto(f"{server.url}/site/bare.html")
    page.evaluate("how => { boot('./patched_worker.js?' + how); }", how)
    page.wait_for_function("events.some(event => event.stage === 'python' && event.done)")
    found, message = error_of(open_url(page, None))
    assert found == kind and words in message
    page.close()


def test_device_lost(browser, server):
    """The page is told; a pending finish answers; the model can be opened again."""
    page = browser.new_page()
    page.goto(f"{server.url}/site/bare.html")
    page.evaluate("boot('./patched_worker.js?lose')")
    page.wait_for_function("events.filter(event => event.stage === 'python' && event.done).length")
    open_url(page, "/files/delay160/tiny-q4.gguf")
    finished = page.evaluate(
        """async url => {
      const samples = new Float32Array(await (await fetch(url)).arrayBuffer());
      await ask('start', { delay_ms: 160, left_silence_tokens: null });
      await ask('feed', { samples });
      const finished = ask('finish');
      ask('lose');
      return finished;
    }""",
        f"{server.url}/files/delay160/clip.f32",
    )
    kind, message = error_of(finished)
    assert kind == "device" and "was lost" in message
    assert [event["message"] for event in page.evaluate("events") if event["event"] == "lost"] == [message]
    check_tokens(page, server, "delay160", open_url(page, "/files/delay160/tiny-q4.gguf"))
    page.close()


def test_gpu_out_of_memory(browser, server):
    """Told as a loss: the memory is given back, and the model can be opened again."""
    page = browser.new_page()
    page.goto(f"{server.url}/site/bare.html")
    page.evaluate("boot('./patched_worker.js?lose')")
    page.wait_for_function("events.filter(event => event.stage === 'python' && event.done).length")
    open_url(page, "/files/delay160/tiny-q4.gguf")
    finished = page.evaluate(
        "ask('start', { delay_ms: 160 }).then(() => ask('out_of_memory')).then(() => ask('finish'))"
    )
    kind, message = error_of(finished)
    assert kind == "device" and "not enough free memory" in message
    assert [event["message"] for event in page.evaluate("events") if event["event"] == "lost"] == [message]
    check_tokens(page, server, "delay160", open_url(page, "/files/delay160/tiny-q4.gguf"))
    page.close()


def test_gpu_lost_while_its_programs_are_made(browser, server):
    """Then opening fails, and no model seems to be open."""
    page = browser.new_page()
    page.goto(f"{server.url}/site/bare.html")
    page.evaluate("boot('./patched_worker.js?lose')")
    page.wait_for_function("events.filter(event => event.stage === 'python' && event.done).length")
    page.evaluate("worker.addEventListener('message', ({ data }) => data.stage === 'kernels' && ask('lose'))")
    kind, message = error_of(open_url(page, None))
    assert kind == "device" and "was lost" in message
    assert error_of(page.evaluate("ask('start', {})")) == ("model", "No model is open: open one first.")
    page.close()


def test_python_does_not_load(browser, server):
    page = browser.new_page()
    page.route("**/site.json", lambda route: route.fulfill(status=404))
    page.goto(f"{server.url}/site/bare.html")
    page.wait_for_function(
        "events.some(({ event, message }) => event === 'crash' && message.includes('site.json: 404'))"
    )
    page.close()
