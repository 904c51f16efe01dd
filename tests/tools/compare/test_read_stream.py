"""tools/compare/read_stream.py: it reads what it claims to read."""

import pytest

from compare.read_stream import read_stream


def test_reads_all_of_a_buffer_in_parts(run, device):
    found = run(read_stream(device, 1, [1, 0.3], [64, 256], [1, 7], least_ms=1, repeats=2))
    assert found["bytes"] == 1 << 20
    assert [(row["part_mib"], row["workgroup"], row["workgroups"]) for row in found["rows"]] == [
        (part, workgroup, workgroups) for part in (1, 0.3) for workgroup in (64, 256) for workgroups in (1, 7)
    ]


def test_a_wrong_sum_is_noticed(run, device, monkeypatch):
    """The sum here is of a buffer that was never filled."""
    pipeline = device.pipeline

    async def without_filling(name, constants):
        return await pipeline(name, {key: value for key, value in constants.items() if key != "FILL"})

    monkeypatch.setattr(device, "pipeline", without_filling)
    with pytest.raises(RuntimeError, match="A sum over"):
        run(read_stream(device, 1, [1], [64], [1], least_ms=1, repeats=1))
