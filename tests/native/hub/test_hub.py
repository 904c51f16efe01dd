"""Models by their name on the hub, the catalogue, and publishing: against a small hub of our own on loopback."""

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from hub_server import Hub
from voxtab.native.hub.catalogue import known_models
from voxtab.native.hub.names import HubName, hub_name
from voxtab.weights import dialects, directory

ROOT = Path(__file__).parents[3]
ORACLE = ROOT / "tests/oracle/delay480"
GGUF, TEKKEN = (ORACLE / "tiny-q4.gguf").read_bytes(), (ORACLE / "tekken.json").read_bytes()
SAFETENSORS = {name: (ORACLE / name).read_bytes() for name in ("model.safetensors", "config.json", "tekken.json")}


@pytest.fixture
def hub():
    hub = Hub()
    yield hub
    hub.close()


@pytest.fixture
def program(hub, tmp_path):
    """Runs the command with that hub and an empty cache: (status, stdout, stderr)."""
    settings = {"HF_ENDPOINT": hub.address, "HF_HUB_CACHE": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1"}

    def run(*words, code=None, **environment):
        command = [sys.executable, *(["-c", code] if code else ["-m", "voxtab"]), *map(str, words)]
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=120, env=os.environ | settings | environment, cwd=tmp_path
        )
        return ended.returncode, ended.stdout, ended.stderr

    return run


@pytest.mark.parametrize(
    "text, name",
    [
        ("me/tiny", HubName("me/tiny", None, None)),
        ("me/tiny@main", HubName("me/tiny", "main", None)),
        ("me/tiny:a.gguf", HubName("me/tiny", None, "a.gguf")),
        ("me/tiny@v1.0:sub/a.gguf", HubName("me/tiny", "v1.0", "sub/a.gguf")),
        ("tests/model", None),  # a folder of that name is there
        ("me/tiny.gguf", None),
        ("me/tiny:../../a.gguf", None),
        ("./me/tiny", None),
        ("/me/tiny", None),
        ("me", None),
        ("a/b/c", None),
        ("C:\\a/b", None),
        (Path("me/tiny"), None),
    ],
)
def test_what_is_a_name_on_the_hub(text, name, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert hub_name(text) == name


READ = """
import sys
from voxtab.errors import ModelError
from voxtab.native.models import read_model
for name in sys.argv[1:]:
    try:
        found = read_model(name)
        print(found.name, found.source.paths[0].name, found.tokenizer_path.name)
    except ModelError as error:
        print(error)
"""


def test_a_model_is_downloaded_once_and_opened_from_the_cache(hub, program):
    hub.add("me/tiny", {"sub/tiny-q4.gguf": GGUF, "tekken.json": TEKKEN, "README.md": b"", "huge.bin": b"0" * 100})
    hub.add("me/half", SAFETENSORS)
    hub.add("me/two", {"a.gguf": GGUF, "b.gguf": GGUF, "tekken.json": TEKKEN})
    hub.add("me/none", {"README.md": b""})
    names = ("me/tiny", "me/half@main", "me/two:b.gguf")
    hub.add("me/whisper", SAFETENSORS | {"config.json": b'{"model_type": "whisper"}'})
    fails = ("me/whisper", "me/two", "me/two:c.gguf", "me/none", "me/other", "me/tiny@v2")
    status, out, err = program(*fails, *names, code=READ)
    assert status == 0 and not err
    lines = out.splitlines()
    expected = [
        "me/tiny tiny-q4.gguf tekken.json",
        "me/half@main model.safetensors tekken.json",
        "me/two:b.gguf b.gguf tekken.json",
    ]
    assert lines[6:] == expected
    words = [
        "is a model of the kind whisper",
        "holds 2 models: choose one with me/two:FILE, such as a.gguf, b.gguf",
        "has no file c.gguf, such as a.gguf",
    ]
    words += ["holds no .gguf file", "there is no such model on the hub", "it has no such revision"]
    assert all(word in line for word, line in zip(words, lines)), lines
    assert not [
        asked
        for asked in hub.asked
        if "huge.bin" in asked or "a.gguf" in asked or "whisper/resolve/main/model" in asked
    ]  # only what is needed
    # From now on without the network, and with it nothing is asked.
    before = len(hub.asked)
    assert program(*names, code=READ)[1].splitlines() == expected and len(hub.asked) == before
    _, out, _ = program(*names, "me/three", code=READ, HF_HUB_OFFLINE="1")
    assert out.splitlines()[:3] == expected and "is not whole in the cache" in out.splitlines()[3]
    hub.close()
    assert "could not be downloaded" in program("me/three", code=READ)[1]
    # The list of models has them, as --model takes them.
    status, out, err = program("models", "--json")
    cached = [file["model"] for file in json.loads(out)["cached"]]
    assert cached == ["me/half:model.safetensors", "me/tiny:sub/tiny-q4.gguf", "me/two:b.gguf"]
    assert json.loads(out)["known"][0]["model"] == known_models()[0].hub_name
    _, out, _ = program("models")
    assert known_models()[0].hub_name in out and f"me/two:b.gguf    {len(GGUF) / 1e9:.2f} GB" in out


def test_without_huggingface_hub(program):
    block = "import sys; sys.modules['huggingface_hub'] = None\n"
    _, out, _ = program("me/tiny", code=block + READ)
    assert "pip install 'voxtab[hub]'" in out and out.count("\n") == 1


def test_the_catalogue():
    """Each entry can be opened by what is here, and is complete."""
    for model in known_models():
        assert hub_name(model.hub_name) == HubName(model.repository, None, model.file)
        assert model.type in directory._BLOCKS and model.dialect in [each.name for each in dialects.DIALECTS]
        assert (model.bytes or not model.sha256) and model.gb < model.gpu_gb < model.gpu_full_gb
        assert model.bytes is None or round(model.bytes / 1e9, 2) == model.gb


def model_folder(folder):
    """As voxtab shard writes it, with what does not belong to it."""
    folder.mkdir()
    cut = len(GGUF) // 2
    shards = {"shard-aa": GGUF[:cut], "shard-ab": GGUF[cut:]}
    listed = [{"path": name, "bytes": len(data)} for name, data in shards.items()]
    manifest = {"shards": listed, "tokenizer": "tekken.json"}
    own = {**shards, "manifest.json": json.dumps(manifest).encode(), "tekken.json": TEKKEN}
    for name, data in {**own, "notes.txt": b"private", ".env": b"secret"}.items():
        (folder / name).write_bytes(data)
    return own


def page_folder(folder):
    own = {"index.html": b"<!doctype html>", "site.json": b"{}", "worker/boot.js": b"1", "a.wasm": b"\0asm" * 9}
    for name, data in own.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return own


@pytest.mark.parametrize("make, kind", [(model_folder, "models"), (page_folder, "spaces")])
def test_publishing_sends_what_the_dry_run_lists_and_nothing_else(hub, program, tmp_path, make, kind):
    own = make(tmp_path / "own")
    status, out, err = program("publish", "own", "--hub", "me/there", "--dry-run")
    assert status == 0 and not hub.asked and "Nothing was sent" in out, err
    listed = [line.split() for line in out.splitlines() if len(line.split()) == 3 and len(line.split()[1]) == 64]
    assert {name: (int(size.replace(",", "")), digest) for size, digest, name in listed} == {
        name: (len(data), sha256(data).hexdigest()) for name, data in own.items()
    }
    assert f"{sum(map(len, own.values())):,}  bytes in {len(own)} files" in out
    assert ("left out: notes.txt" in out) == (kind == "models")
    status, out, err = program("publish", "own", "--hub", "me/there", HF_TOKEN="hf_test")
    assert status == 0 and "Published: " in out, err
    assert hub.repositories[kind, "me/there"] == own
    assert hub.created[0].get("sdk") == ("static" if kind == "spaces" else None)


@pytest.mark.parametrize("make, added", [(model_folder, "cors.json"), (page_folder, ".nojekyll")])
def test_publishing_to_a_folder(program, tmp_path, make, added):
    own = make(tmp_path / "own")
    status, out, err = program("publish", "own", "--folder", "site")
    assert status == 0 and added in out, err
    written = {
        path.relative_to(tmp_path / "site").as_posix(): path.read_bytes()
        for path in (tmp_path / "site").rglob("*")
        if path.is_file()
    }
    assert written.pop(added) is not None and written == own
    status, out, err = program("publish", "own", "--folder", "site")
    assert status == 2 and "not empty: name a new folder" in err


def test_what_cannot_be_published(hub, program, tmp_path):
    (tmp_path / "empty").mkdir()
    model_folder(tmp_path / "half")
    (tmp_path / "half/shard-ab").unlink()
    model_folder(tmp_path / "whole")
    for folder, words in (
        ("absent", "is not a folder"),
        ("empty", "holds no model and no page"),
        ("half", "has no shard-ab, which its manifest names"),
    ):
        status, _, err = program("publish", folder, "--hub", "me/there")
        assert status == 2 and words in err and err.count("\n") == 1
    hub.close()
    status, _, err = program("publish", "whole", "--hub", "me/there", HF_TOKEN="hf_test")
    assert status == 2 and "The hub did not take it" in err and err.count("\n") == 1
