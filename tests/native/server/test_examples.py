"""The server with the embedded model: its documentation's examples, and what depends on real speech."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from websockets.sync.client import connect

import voxtab.native.server
from native.server.process import served
from native.server.test_realtime import COMPLETED, DELTA, append, heard, pcm, say
from voxtab import resources

README = Path(voxtab.native.server.__file__).with_name("README.md").read_text()
EXAMPLES = re.findall(r"```(sh|python)\n(.*?)```", README, re.DOTALL)
CLIP = resources.embedded_clips()[0]
(SPOKEN,) = (clip["text"] for clip in json.loads((CLIP.parent / "clips.json").read_text()) if clip["file"] == CLIP.name)


@pytest.fixture(scope="module")
def server(site):
    """Without --model: the embedded one is opened when the first stream comes."""
    with served(site) as server:
        assert server.health() == {"status": "closed", "model": "tiny", "running": 0, "waiting": 0}
        yield server


@pytest.mark.parametrize("language, code", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_documentations_examples(server, tmp_path, language, code):
    shutil.copy(CLIP, tmp_path / "talk.flac")
    command = ["bash", "-e"] if language == "sh" else [sys.executable]
    done = subprocess.run(
        command,
        input=code.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "") and SPOKEN in done.stdout


def test_pauses_end_items_if_the_client_wants_that(server):
    """Speech, three seconds of silence, speech: two items, without a commit in between."""
    speech = pcm(clip=CLIP)
    data = speech + bytes(96000) + speech
    with connect(f"{server.socket}?intent=transcription") as session:
        detection = {"type": "server_vad", "silence_duration_ms": 600}
        audio = {"input": {"format": {"type": "audio/pcm", "rate": 16000}, "turn_detection": detection}}
        say(session, "session.update", session={"type": "transcription", "audio": audio})
        append(session, data)
        events = heard(session, COMPLETED)
        types = [event["type"] for event in events]
        started, stopped = (types.index(f"input_audio_buffer.speech_{what}") for what in ("started", "stopped"))
        assert (
            started
            < types.index(DELTA)
            < stopped
            < types.index("input_audio_buffer.committed")
            < types.index(COMPLETED)
        )
        assert len({event["item_id"] for event in events if "item_id" in event}) == 1
        assert events[started]["audio_start_ms"] < events[stopped]["audio_end_ms"]
