"""The Worker without the page: the native engine's tokens from wherever a model comes, and errors that tell what to do.

Cases share a Worker that has started: a second model replaces the first, and an error leaves it usable. What
test_weights.py shows of the bytes alone is not repeated here with Python.
"""

import hashlib
import json
import struct
from contextlib import contextmanager
from pathlib import Path

import gguf as gguf_py
import numpy as np
import pytest

from voxtab.weights import checkpoint, gguf
from web.conftest import ORACLES
from web.worker.conftest import started
from weights.dialect_files import add_vocabulary


def open_url(page, url: str | None, **more) -> dict:
    return page.evaluate("([url, more]) => openUrl(url, more)", [url, more])


def open_chosen(page, paths: list[Path], **more) -> dict:
    page.set_input_files("input", paths)
    return page.evaluate("more => openChosen(more)", more)


def error_of(answer: dict) -> tuple[str, str]:
    assert "error" in answer, answer
    return answer["error"]["kind"], answer["error"]["message"]


def check_tokens(page, server, oracle: str, opened: dict, chunk: int = 16000, tokens: str = "tokens_q4_0"):
    assert "error" not in opened, opened
    expected = json.loads((ORACLES / oracle / "expected.json").read_text())
    answer = page.evaluate(
        "([url, delay, chunk]) => transcribe(url, delay, chunk)",
        [f"{server.url}/files/{oracle}/clip.f32", expected["delay_ms"], chunk],
    )
    assert "error" not in answer, answer
    assert answer["tokens"] == expected[tokens]
    assert answer["text"] and answer["words"][0]["start"] <= answer["words"][0]["end"]
    return answer


def cut(data: bytes, *at: int) -> list[bytes]:
    return [data[start:end] for start, end in zip((0, *at), (*at, len(data)))]


def manifest(folder: Path, shards: list[bytes], piece_bytes: int | None = None, **more) -> str:
    """Shards and their manifest in `folder`, with sums of pieces if a size is given. Returns its path under /files/."""
    folder.mkdir()
    entries = []
    for i, shard in enumerate(shards):
        (folder / f"part-{i}").write_bytes(shard)
        entries.append({"path": f"part-{i}", "bytes": len(shard)})
        if piece_bytes:
            sums = [
                hashlib.sha256(shard[at : at + piece_bytes]).hexdigest() for at in range(0, len(shard), piece_bytes)
            ]
            # The sum of the whole shard is wrong, but it is not used.
            entries[-1] |= {"pieces": {"bytes": piece_bytes, "sha256": sums}, "sha256": "0" * 64}
    (folder / "model.json").write_text(json.dumps({"shards": entries, "tokenizer": "../delay160/tekken.json", **more}))
    return f"{folder.name}/model.json"


@pytest.fixture(scope="session")
def model() -> bytes:
    return (ORACLES / "delay160" / "tiny-q4.gguf").read_bytes()


# --- where a model comes from


@pytest.mark.parametrize("oracle", ["delay480", "delay160"])
def test_by_url(bare, server, oracle):
    opened = open_url(bare, f"/files/{oracle}/tiny-q4.gguf")
    check_tokens(bare, server, oracle, opened)
    assert opened["dialect"] == "Mistral" and opened["vocabulary"] == 2048
    assert opened["model_bytes"] < opened["gpu_bytes"]
    assert opened["gpu"]["software"] or opened["gpu"]["vendor"] != "google"
    assert opened["warning"] is None


def test_chosen_file(bare, server):
    opened = open_chosen(bare, [ORACLES / "delay480" / name for name in ("tekken.json", "tiny-q4.gguf")])
    check_tokens(bare, server, "delay480", opened)


def test_another_type_with_its_vocabulary_inside(bare, server, files):
    """By its address, with no tekken.json there: the oracle's Q4_0 as Q4_1, which has the same values."""
    (files / "q4_1").mkdir()
    write_q4_1(ORACLES / "delay480/tiny-q4.gguf", files / "q4_1/model.gguf")
    check_tokens(bare, server, "delay480", open_url(bare, "/files/q4_1/model.gguf"))
    assert not [path for path, _ in server.requests if "q4_1/tekken.json" in path]


def write_q4_1(source: Path, path: Path) -> None:
    """d (q - 8) = d q + m, with m = -8 d."""
    reader, writer = gguf_py.GGUFReader(source), gguf_py.GGUFWriter(path, "voxtral_realtime")
    for key, field in reader.fields.items():
        if key.startswith("voxtral_realtime."):
            value = field.contents()
            (writer.add_uint32 if isinstance(value, int) else writer.add_float32)(key, value)
    add_vocabulary(writer, "llama.cpp")
    for tensor in reader.tensors:
        data, kind = np.asarray(tensor.data), tensor.tensor_type
        if kind == gguf_py.GGMLQuantizationType.Q4_0:
            blocks = data.reshape(-1, 18)
            least = (-8 * blocks[:, :2].copy().view("<f2")).astype("<f2").view(np.uint8)
            raw = np.concatenate([blocks[:, :2], least, blocks[:, 2:]], axis=1)
            data, kind = raw.reshape(len(data), -1), gguf_py.GGMLQuantizationType.Q4_1
        writer.add_tensor(tensor.name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_chosen_shards(bare, server, model, tmp_path):
    """Cut at odd places: inside the header, inside a 4-byte word, with a shard of one byte."""
    names = []
    for letter, shard in zip("abcdef", cut(model, 1001, 200_003, 200_004, 500_002), strict=False):
        names.append(tmp_path / f"shard-a{letter}")
        names[-1].write_bytes(shard)
    # The names give the order, not the order of choosing.
    opened = open_chosen(bare, [*names[::-1], ORACLES / "delay160" / "tekken.json"])
    check_tokens(bare, server, "delay160", opened, chunk=777)


def test_the_sites_own_model(bare, site):
    opened = open_url(bare, None)
    assert "error" not in opened, opened
    assert opened["name"] == json.loads((site / "site.json").read_text())["name"]


@pytest.mark.parametrize("piece_bytes", [None, 20_001])
def test_manifest(bare, server, files, model, piece_bytes):
    """Shards that end in a word, one of them of a single piece; the tokenizer lies elsewhere."""
    path = manifest(files / f"pieces-{piece_bytes}", cut(model, 4097, 300_001), piece_bytes)
    check_tokens(bare, server, "delay160", open_url(bare, f"/files/{path}"))


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


def test_a_server_that_tells_no_sizes(bare, server):
    check_tokens(bare, server, "delay160", open_url(bare, "/no_length/files/delay160/tiny-q4.gguf"))


def test_sub_path_in_a_frame(browser, server, elsewhere):
    """Under another path, in a frame of another origin; every request is under that path."""
    context = browser.new_context()
    asked = []
    page = context.new_page()
    page.goto(f"{elsewhere.url}/files/delay160/tekken.json")
    context.on("request", lambda request: asked.append(request.url))
    page.set_content(f'<iframe src="{server.url}/some/where/site/bare.html"></iframe>')
    frame = page.frames[1]
    frame.wait_for_load_state()
    served = len(server.requests)
    opened = frame.evaluate("openUrl(null)")
    assert "error" not in opened, opened
    assert all(path.startswith("/some/where/site/") for path, _ in server.requests[served:])
    assert len(asked) > 10 and all(url.startswith(f"{server.url}/some/where/site/") for url in asked)
    context.close()


# --- what can be wrong with a model


def test_a_broken_server(bare, server):
    found, message = error_of(open_url(bare, "/gone/files/delay160/tiny-q4.gguf?signature=secret"))
    assert found == "model" and "tiny-q4.gguf does not exist (404)" in message and "secret" not in message


@pytest.mark.parametrize("right", [True, False])
def test_manifest_with_sums_of_whole_shards_only(bare, server, files, model, right):
    path = manifest(files / f"whole-{right}", cut(model, 300_000))
    said = json.loads((files / path).read_text())
    said["shards"][1]["sha256"] = hashlib.sha256(model[300_000 if right else 300_001 :]).hexdigest()
    (files / path).write_text(json.dumps(said))
    opened = open_url(bare, f"/files/{path}")
    if right:
        check_tokens(bare, server, "delay160", opened)
    else:
        kind, message = error_of(opened)
        assert kind == "model" and "part-1 is not the file" in message and "SHA-256" in message


def test_shard_changed(bare, server, files, model):
    """The error is near the end, whose check is the last one awaited."""
    path = manifest(files / "changed", cut(model, 300_000), 20_001)
    broken = bytearray(model[300_000:])
    broken[-5 * 20_001] ^= 1
    (files / "changed/part-1").write_bytes(broken)
    kind, message = error_of(open_url(bare, f"/files/{path}"))
    assert kind == "model" and "part-1" in message and "SHA-256" in message


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"shards": []}',
        '{"shards": [{"path": "a"}]}',
        '{"shards": [{"path": "a", "bytes": -1}]}',
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
    assert kind == "model" and "none.json is not a manifest" in message


def absurd_vocabulary(model: bytes) -> bytes:
    """The model's header with a vocabulary of 10^12."""
    rows, width = struct.pack("<Q", 2048), gguf.parse(model, len(model)).tensors[checkpoint.EMBEDDING].shape[1]
    return model.replace(struct.pack("<Q", width) + rows, struct.pack("<QQ", width, 10**12))


def test_hostile_files(bare, server, files, model):
    """Each is refused in one sentence, and the page is usable: the next model opens."""
    (files / "hostile").mkdir()
    shards = [{"path": "a", "bytes": 1}]
    hostile = {
        "deep.json": ("[" * 100_000, "is not a manifest"),
        "many.json": (json.dumps({"shards": shards * 200_000}), "is too large for a manifest"),
        "fewer.json": (json.dumps({"shards": shards * 100_000}), "names 100,000 shards, and 1,000 are possible"),
        "vocabulary.gguf": (absurd_vocabulary(model), "ends at byte"),
        "no_length/vocabulary.gguf": (absurd_vocabulary(model), "does not say how large the file is"),
        "no_length/keys.gguf": (b"GGUF" + struct.pack("<IQQ", 3, 10**12, 10**12), "damaged or cut short"),
        "page.gguf": ("<!doctype html>", "This is a web page, not a model"),
    }
    for name, (content, words) in hostile.items():
        behaviour, _, name = name.rpartition("/")
        (files / "hostile" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        kind, message = error_of(open_url(bare, f"/{behaviour or 'as_it_is'}/files/hostile/{name}"))
        assert kind == "model" and words in message, (name, message)
    (files / "hostile/model.gguf").write_bytes(model)
    for deep in ("[" * 100_000, '{"vocab": [' + '{"a": ' * 100_000):
        (files / "hostile/tekken.json").write_text(deep)
        kind, message = error_of(open_url(bare, f"/files/hostile/model.gguf?{len(deep)}"))
        assert kind == "tokenizer" and "tekken.json" in message
    check_tokens(bare, server, "delay160", open_url(bare, "/files/delay160/tiny-q4.gguf"))


def test_chosen_wrong_files(bare, tmp_path, model):
    tekken = ORACLES / "delay160/tekken.json"
    (tmp_path / "model.gguf").write_bytes(model[:500_000])
    kind, message = error_of(open_chosen(bare, [tmp_path / "model.gguf", tekken]))
    assert kind == "model" and "short" in message
    (tmp_path / "note").write_text("a note")
    kind, message = error_of(open_chosen(bare, [tmp_path / "note", tekken]))
    assert kind == "model" and "not a GGUF file" in message
    (tmp_path / "empty.gguf").write_bytes(b"")
    kind, message = error_of(open_chosen(bare, [tmp_path / "empty.gguf", tekken]))
    assert kind == "model"
    kind, message = error_of(open_chosen(bare, [tekken]))
    assert kind == "model" and "No model file" in message
    kind, message = error_of(open_chosen(bare, [ORACLES / "delay160/tiny-q4.gguf", ORACLES / "delay160/config.json"]))
    assert kind == "tokenizer" and "vocabulary" in message


def test_no_tokenizer(bare, server, files, model):
    path = manifest(files / "alone", [model], 20_001, tokenizer="tekken.json")
    bare.evaluate("events.length = 0")
    kind, message = error_of(open_url(bare, f"/stuck/files/{path}"))
    assert kind == "tokenizer" and "alone/tekken.json does not exist" in message
    # Reading the weights, which runs at the same time, was cancelled.
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
      const early = () => events.some(event => event.event === 'text');
      for (let i = 0; i < 3000 && !early(); i++) await new Promise(resolve => setTimeout(resolve, 20));
      window.early = early();
      await ask('feed', { samples: samples.slice(24000) });
      return (await ask('finish')).result;
    }""",
        f"{server.url}/files/delay160/clip.f32",
    )
    assert bare.evaluate("early")
    events = bare.evaluate("events")
    texts = [event for event in events if event["event"] == "text"]
    assert "".join(event["text"] for event in texts) == result["text"]
    assert 0 < texts[0]["audio_seconds"] < texts[-1]["audio_seconds"] <= result["audio_seconds"]
    assert set(result) == {"text", "segments", "words", "audio_seconds", "delay_ms", "model", "timings"}


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
      while (!over && !events.some(event => event.stage === 'weights'))
        await new Promise(resolve => setTimeout(resolve, 10));
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
      return ask('feed', { samples: new Float32Array([0, NaN]) });
    })()""")
    )
    assert kind == "audio" and "not finite numbers" in message


def test_no_audio(bare, server):
    """A microphone that is stopped before it gave any samples."""
    open_url(bare, "/files/delay160/tiny-q4.gguf")
    answer = bare.evaluate("ask('start', { delay_ms: 160, left_silence_tokens: null }).then(() => ask('finish'))")
    assert "error" not in answer and answer["result"]["audio_seconds"] == 0


def test_a_measurement_that_is_stopped(bare, server):
    opened = open_url(bare, "/files/delay160/tiny-q4.gguf")
    kind, _ = error_of(
        bare.evaluate(
            """async () => {
      const measured = ask('bench', { samples: new Float32Array(16000), audio: 'silence', repeat: true });
      await new Promise(resolve => setTimeout(resolve, 100));
      await ask('stop');
      return measured;
    }"""
        )
    )
    assert kind == "aborted"
    check_tokens(bare, server, "delay160", opened)


def test_unknown_pins(bare):
    kind, message = error_of(open_url(bare, "/files/delay160/tiny-q4.gguf", variants="nonsense"))
    assert message == "'nonsense' is not a kernel variant: pin, for example, linear=plain, tiles=0 or drafts=3."


# --- unusual browsers; browsers without a GPU are in test_gpu.py


@contextmanager
def patched(browser, server, how):
    """A page whose Worker has started with patched_worker.js."""
    page = browser.new_page()
    page.goto(f"{server.url}/site/bare.html")
    page.evaluate("how => { boot('./patched_worker.js?' + how); }", how)
    started(page)
    yield page
    page.close()


def test_limits_that_are_too_low(browser, server):
    with patched(browser, server, "low_limits") as page:
        kind, message = error_of(open_url(page, None))
        assert kind == "device" and "maxComputeInvocationsPerWorkgroup 128" in message


@pytest.fixture(scope="module")
def losing(browser, server):
    with patched(browser, server, "lose") as page:
        yield page


def test_device_lost(losing, server):
    """The page gets an event; a pending finish gets an answer; the model can be opened again."""
    losing.evaluate("events.length = 0")
    open_url(losing, "/files/delay160/tiny-q4.gguf")
    finished = losing.evaluate(
        """async url => {
      const samples = new Float32Array(await (await fetch(url)).arrayBuffer());
      await ask('start', { delay_ms: 160, left_silence_tokens: null });
      await ask('feed', { samples: samples.slice(0, 16000) });
      const finished = ask('finish');
      ask('lose');
      return finished;
    }""",
        f"{server.url}/files/delay160/clip.f32",
    )
    kind, message = error_of(finished)
    assert kind == "device" and "was lost" in message
    assert [event["message"] for event in losing.evaluate("events") if event["event"] == "lost"] == [message]
    check_tokens(losing, server, "delay160", open_url(losing, "/files/delay160/tiny-q4.gguf"))


def test_gpu_out_of_memory(losing):
    """Reported as a loss: the memory is freed, and the model can be opened again."""
    losing.evaluate("events.length = 0")
    open_url(losing, "/files/delay160/tiny-q4.gguf")
    finished = losing.evaluate(
        "ask('start', { delay_ms: 160 }).then(() => ask('out_of_memory')).then(() => ask('finish'))"
    )
    kind, message = error_of(finished)
    assert kind == "device" and "not have enough free memory" in message
    assert [event["message"] for event in losing.evaluate("events") if event["event"] == "lost"] == [message]


def test_gpu_lost_while_its_programs_are_made(losing):
    """Then opening fails, and no model seems to be open."""
    losing.evaluate(
        """window.lose = ({ data }) => data.stage === 'kernels' && ask('lose');
        worker.addEventListener('message', lose)"""
    )
    kind, message = error_of(open_url(losing, "/files/delay160/tiny-q4.gguf"))
    losing.evaluate("worker.removeEventListener('message', lose)")
    assert kind == "device" and "was lost" in message
    assert error_of(losing.evaluate("ask('start', {})")) == ("model", "No model is open: open one first.")


def test_python_does_not_load(browser, server):
    page = browser.new_page()
    page.route("**/site.json", lambda route: route.fulfill(status=404))
    page.goto(f"{server.url}/site/bare.html")
    page.wait_for_function(
        "events.some(({ event, message }) => event === 'crash' && message.includes('site.json: 404'))"
    )
    page.close()
