"""Random models as files: the published layout, and alive enough to time and to prove something with."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

import ggml
import synthetic
from synthetic import HALVES, SMALL, VOXTRAL_4B, directory, write_model, write_safetensors
from voxtab.config import FIRST_TEXT_TOKEN, PAD
from voxtab.drafting import EXPECTED, passes_of
from voxtab.native import cli, models
from voxtab.native.making.values import decode
from voxtab.transcriber import Transcriber
from voxtab.weights.directory import Tensor, tensor_nbytes

CLIP = Path(__file__).parents[1] / "oracle" / "delay480" / "clip.flac"
PIECE = 100_000
SHARD = 300_001  # bytes: cut inside tensors, inside blocks, inside words


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic") / "small"
    write_model(folder, SMALL, shard_bytes=SHARD, piece_bytes=PIECE)
    return folder


def whole(folder) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("shard-*")))


def test_shards_are_one_file_cut_and_the_manifest_tells_them(folder, tmp_path):
    write_model(tmp_path / "one", SMALL)
    data = (tmp_path / "one" / "model.gguf").read_bytes()
    assert whole(folder) == data
    assert (tmp_path / "one" / "tekken.json").read_bytes() == (folder / "tekken.json").read_bytes()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest == {
        "tokenizer": "tekken.json",
        "shards": [
            {
                "path": f"shard-a{chr(97 + i)}",
                "bytes": len(shard),
                "sha256": hashlib.sha256(shard).hexdigest(),
                "pieces": {
                    "bytes": PIECE,
                    "sha256": [
                        hashlib.sha256(shard[at : at + PIECE]).hexdigest() for at in range(0, len(shard), PIECE)
                    ],
                },
            }
            for i, shard in enumerate(data[at : at + SHARD] for at in range(0, len(data), SHARD))
        ],
    }


def test_another_seed_is_another_model(folder, tmp_path):
    write_model(tmp_path / "other", SMALL, seed=1, shard_bytes=SHARD)
    ours, other = whole(folder), whole(tmp_path / "other")
    assert len(ours) == len(other) and sum(a != b for a, b in zip(ours, other)) > len(ours) / 2


def test_it_reads_as_what_it_was_made_from(folder):
    found = models.read_model(folder)
    assert found.config == SMALL and len(found.tokenizer) == SMALL.vocabulary
    assert {name: (tensor.type, tensor.shape) for name, tensor in found.directory.tensors.items()} == {
        name: (tensor.type, tensor.shape) for name, tensor in directory(SMALL).tensors.items()
    }
    text = b"".join(found.tokenizer.token_bytes(FIRST_TEXT_TOKEN + rank) for rank in range(256, 512)).decode()
    assert text.split() and text.replace(" ", "").isalpha()


def test_mistrals_own_layout(tmp_path, folder):
    """consolidated.safetensors as BF16, with what params.json says."""
    write_safetensors(tmp_path / "bf16", SMALL)
    found = models.read_model(tmp_path / "bf16")
    assert found.config == models.read_model(folder).config and found.directory.dialect == "Mistral"
    assert {tensor.type for tensor in found.directory.tensors.values()} == {"BF16"}
    for name in ("layers.3.attention.wo.weight", "layers.0.attention.wq.weight"):
        tensor = found.directory.tensors[name]
        values = decode(found.source.read(tensor.offset, tensor.nbytes), "BF16", tensor.shape)
        right = synthetic._Chunk(SMALL, tensor, (0,), 0, tensor.nbytes)._deviation()
        assert values.std() == pytest.approx(right, rel=0.02) and abs(values.mean()) < right / 20


@pytest.mark.parametrize("type", HALVES)
def test_another_type(type):
    """Values of about the deviation that the matrix should have, around zero; nothing is infinite."""
    tensor = Tensor("layers.0.attention.wq.weight", type, (64, 3072), 0, 64 * tensor_nbytes(type, (3072,)))
    chunk = synthetic._Chunk(VOXTRAL_4B, tensor, (0, 1, 2), 0, tensor.nbytes)
    values = ggml.dequantise(chunk().tobytes(), type, tensor.shape) / chunk._deviation()
    assert abs(values.mean()) < 0.2 and 0.7 < values.std() < 1.4, (values.mean(), values.std())


def test_the_published_layout():
    """Spec 9.3: 711 tensors, their bytes, and the file's 2.51 GB."""
    tensors = directory(VOXTRAL_4B).tensors.values()
    assert len(tensors) == 711 and sum(tensor.nbytes for tensor in tensors) == 2_511_866_880


def transcribe(run, model, samples) -> list[int]:
    """The tokens after the prompt."""
    transcriber = Transcriber(model)

    async def all_of_it():
        transcriber.feed(samples)
        transcriber.finish()
        async for _ in transcriber.text():
            pass

    run(all_of_it())
    return transcriber.tokens[len(transcriber.schedule.prompt) :]


def test_tokens_vary_and_pads_come_again_and_again(folder, device, run):
    """Tokens also depend on the audio: silence of the same length gives other tokens."""
    found = models.read_model(folder)
    model = run(found.load(device))
    samples = soundfile.read(CLIP, dtype="float32")[0]

    heard = transcribe(run, model, samples)
    assert len(set(heard)) > len(heard) / 3 and 0 < heard.count(PAD) < len(heard) / 2
    assert transcribe(run, model, 0 * samples) != heard


def test_pads_can_come_as_in_speech(tmp_path, device, run):
    """So a pass with drafts makes as many tokens as `drafting.EXPECTED` says of real speech."""
    write_model(tmp_path / "speech", SMALL, pad_lead=-0.46)
    model = run(models.read_model(tmp_path / "speech").load(device))
    samples = np.resize(soundfile.read(CLIP, dtype="float32")[0], 30 * 16000)
    tokens = transcribe(run, model, samples)
    assert 0.55 < tokens.count(PAD) / len(tokens) < 0.75 and len(set(tokens)) > 10
    for rows, expected in EXPECTED.items():
        assert len(tokens) / passes_of(tokens, rows) == pytest.approx(expected, rel=0.12)


def test_the_command_line_takes_the_folder(folder, capsys, monkeypatch):
    for arguments, words in (
        (["info", folder], "encoder     4 layers of 64"),
        (["transcribe", "--model", folder, CLIP], ""),
    ):
        monkeypatch.setattr("sys.argv", ["voxtab", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out = capsys.readouterr().out
        assert not end.value.code and out.strip() and words in out
