import numpy as np
import pytest
import soundfile

from voxtab import resources


@pytest.fixture(scope="session")
def speech():
    """[samples] at 16 kHz: the bundled clips, joined; 7.2 s."""
    return np.concatenate([soundfile.read(clip, dtype="float32")[0] for clip in resources.embedded_clips()])


@pytest.fixture
def file(tmp_path):
    """Writes bytes to a file of that name; its path."""

    def make(name, data):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return make
