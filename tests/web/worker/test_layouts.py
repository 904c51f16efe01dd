"""Models in every layout that the command opens, in the tab: by address, as chosen files, and from the store again.

The oracle in other programs' files; the tokens must be transformers'. What is missing is one sentence.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from web.conftest import ORACLES
from web.site_server import Handler, Server
from web.worker.test_worker import check_tokens, error_of, open_chosen, open_url
from weights import dialect_files

ORACLE = ORACLES / "delay480"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(Handler):
    """/OWNER/NAME/resolve/REVISION/FILE and the list of files, over the folders in `roots["files"]`."""

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append((path, self.headers["Range"]))
        folders = self.server.roots["files"]
        if found := re.fullmatch("/api/models/me/([^/]+)/revision/main", path):
            siblings = [{"rfilename": file.name} for file in sorted((folders / found[1]).iterdir())]
            body = json.dumps({"sha": COMMIT, "siblings": siblings}).encode()
            return self.reply(200, body, {"Content-Type": "application/json"})
        if found := re.fullmatch("/me/([^/]+)/resolve/(main|" + COMMIT + ")/([^/]+)", path):
            return self.send_file(folders / found[1] / found[3])
        self.reply(404, b"no such file")


@pytest.fixture(scope="module")
def layouts(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("layouts")
    for dialect in ("Mistral", "llama.cpp", "CrispASR"):
        dialect_files.write(folder / dialect, dialect)
    for name, write in (("index", dialect_files.write_index), ("parts", dialect_files.write_parts)):
        (folder / name).mkdir()
        write(folder / name)
    return folder


@pytest.fixture(scope="module")
def hub(layouts):
    server = Server({"files": layouts}, cors=True, handler=Hub)
    yield server
    server.close()


def check(page, server, opened, tokens="tokens_f32"):
    check_tokens(page, server, "delay480", opened, tokens=tokens)


PIN = {"variants": "no=1"}  # refused once all has been read but the weights


def check_read(opened):
    """Whether a model was found and its directory, numbers and vocabulary read, where PIN came with the request."""
    assert "'no=1' is not a kernel variant" in error_of(opened)[1]


def test_shards_of_safetensors_as_chosen_files(bare, server, layouts):
    """All at once; then without what belongs to them."""
    files = sorted((layouts / "index").iterdir())
    opened = open_chosen(bare, files)
    check(bare, server, opened)
    assert opened["dialect"] == "Hugging Face"
    for missing, says in (
        ("model-00002-of-00002.safetensors", "is missing, one of the 2 files of this model: choose them together"),
        ("config.json", "model-00001-of-00002.safetensors needs config.json: choose them together"),
        ("model.safetensors.index.json", "choose model.safetensors.index.json together with the shards"),
        ("tekken.json", "The model does not carry its vocabulary: now choose its tekken.json too"),
    ):
        assert says in error_of(open_chosen(bare, [file for file in files if file.name != missing]))[1]


def test_two_files_of_llama_cpp(bare, layouts, hub):
    """Chosen; and by the text model's address on a hub, which lists the other one."""
    both = sorted((layouts / "llama.cpp").glob("*.gguf"))
    check_read(open_chosen(bare, both, **PIN))
    assert "what was chosen holds no .gguf files with mmproj" in error_of(open_chosen(bare, both[1:]))[1]
    check_read(open_url(bare, f"{hub.url}/me/llama.cpp/resolve/main/model.gguf", **PIN))
    assert any(path.endswith(f"{COMMIT}/mmproj-model.gguf") for path, _ in hub.requests)


def test_a_repository(bare, layouts, hub):
    """Its page stands for the model in it, with what belongs to that."""
    check_read(open_url(bare, f"{hub.url}/me/Mistral/tree/main", **PIN))
    asked = {path.rpartition("/")[2] for path, _ in hub.requests if path.startswith("/me/Mistral/resolve")}
    assert {"consolidated.safetensors", "params.json"} <= asked
    assert "does not say which files" in error_of(open_url(bare, f"{hub.url}/me/none/tree/main"))[1]
    shutil.copy(layouts / "CrispASR/model.gguf", layouts / "llama.cpp/another.gguf")
    says = error_of(open_url(bare, f"{hub.url}/me/llama.cpp/tree/main"))[1]
    assert f"holds 2 models: give the address of one, such as {hub.url}/me/llama.cpp/resolve/{COMMIT}/another" in says


def test_parts_of_gguf_split_by_the_address_of_any(bare, server, files, layouts):
    """The vocabulary is in the first part: no tekken.json is asked for. All is kept, and opens without the network."""
    shutil.copytree(layouts / "parts", files / "parts")
    opened = open_url(bare, "/files/parts/tiny-00002-of-00003.gguf")
    check(bare, server, opened)
    listed = bare.evaluate("import('./modules/worker/store/models.js').then(({ list }) => list())")
    (found,) = (model for model in listed if model["model"] == opened["kept"])
    assert found["bytes"] == found["kept"] == sum(part.stat().st_size for part in (files / "parts").iterdir())
    asked = [path for path, _ in server.requests if path.startswith("/files/parts/")]
    assert "/files/parts/tekken.json" not in asked
    check_read(
        bare.evaluate("([kept, more]) => ask('open', {model: {kept}, network: false, ...more})", [opened["kept"], PIN])
    )
    assert [path for path, _ in server.requests if path.startswith("/files/parts/")] == asked


def test_a_vocabulary_in_a_tensor(bare, layouts):
    """CrispASR's, behind the header."""
    check_read(open_chosen(bare, [layouts / "CrispASR/model.gguf"], **PIN))


def test_a_model_that_was_converted_and_cut(bare, server, files):
    """By gguf-py's rule, so that the tokens are those of the oracle in Q4_0."""
    voxtab = [sys.executable, "-m", "voxtab"]
    made = files / "made/tiny.gguf"
    convert = [*voxtab, "convert", ORACLE / "model.safetensors", made, "--type", "q4_0", "--scales", "ggml"]
    subprocess.run(convert, check=True, capture_output=True)
    subprocess.run([*voxtab, "shard", made, files / "cut", "--bytes", "200K"], check=True, capture_output=True)
    opened = open_url(bare, "/files/cut/manifest.json")
    check(bare, server, opened, "tokens_q4_0")
