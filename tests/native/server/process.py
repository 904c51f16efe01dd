"""`voxtab serve` as a user starts it, for tests; CLIP and MODEL are small, the model's weights random."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ORACLE = Path(__file__).parents[2] / "oracle" / "delay480"
CLIP, MODEL = ORACLE / "clip.flac", ORACLE / "tiny-q4.gguf"
LONG_BYTES = 8_000_000

STARTED: list[subprocess.Popen] = []


@dataclass
class Served:
    process: subprocess.Popen
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/realtime"

    def ask(self, path, method="GET", body=None, **headers):
        """-> (status, headers, body); an underscore in a header's name is a dash."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def health(self) -> dict:
        return json.loads(self.ask("/health")[2])

    def until(self, is_so, what: str) -> None:
        """Wait until `is_so(health)`."""
        end = time.monotonic() + 60
        while not is_so(health := self.health()):
            assert time.monotonic() < end, f"never {what}: {health}"
            time.sleep(0.02)

    def until_free(self) -> None:
        self.until(lambda health: health["running"] == health["waiting"] == 0, "free")


def start(*arguments, cwd=None, before="", **environment) -> subprocess.Popen:
    """`before` is Python that runs in it first."""
    environment = {name: value for name, value in os.environ.items() if name != "VOXTAB_API_KEY"} | environment
    process = subprocess.Popen(
        [sys.executable, "-c", f"{before}\nfrom voxtab.native.cli import main\nmain()", "serve", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=environment | {"PYTHONUNBUFFERED": ""},
        # Python ignores Ctrl-C if it is started from a shell's background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    STARTED.append(process)
    return process


@contextlib.contextmanager
def served(*arguments, **options):
    """A running server, whose stderr must stay empty."""
    process = start(*arguments, "--port", 0, **options)
    try:
        yield Served(process, port_of(process))
    finally:
        process.terminate()
        _, err = process.communicate(timeout=60)
        assert err == ""


def port_of(process) -> int:
    return int(re.search(r":(\d+)/", process.stdout.readline())[1])
