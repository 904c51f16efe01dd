import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType

from q4_0 import dequantise, quantise

Q4_0 = GGMLQuantizationType.Q4_0


def awkward_weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    gauss = rng.standard_normal((7, 96), np.float32)
    ties = rng.choice(np.float32([-2, -1, 0, 1, 2]), (50, 64))  # the largest is there with both signs
    scales = gauss[:, :1] * np.float32(10) ** rng.integers(-9, 5, (7, 1)).astype(np.float32)
    return {
        "gauss": gauss,
        "one block": gauss[0, :32],
        "three dims": gauss.reshape(7, 3, 32),
        "many sizes": gauss * scales,
        "ties": ties,
        "zeros": np.zeros((2, 32), np.float32),
        "negative zeros": np.full((1, 32), -0.0, np.float32),
        "subnormal scale": gauss * np.float32(1e-37),
        "halves": np.linspace(-8, 8, 33, dtype=np.float32)[:32].reshape(1, 32),
    }


@pytest.mark.parametrize("name, w", awkward_weights().items())
def test_bits_equal_gguf_py(name, w):
    raw = quantise(w)
    expected = gguf.quants.quantize(w, Q4_0)
    assert raw.dtype == np.uint8 and raw.shape == expected.shape
    np.testing.assert_array_equal(raw, expected)
    values = dequantise(raw, w.shape)
    assert values.dtype == np.float32
    # as integers, so that -0 and 0 differ
    np.testing.assert_array_equal(values.view(np.uint32), gguf.quants.dequantize(raw, Q4_0).view(np.uint32))
    np.testing.assert_array_equal(dequantise(raw.tobytes(), w.shape), values)


def test_a_block_by_hand():
    w = np.zeros(32, np.float32)
    w[[0, 1, 16, 31]] = [-4, 1, 3.5, -2]  # d = -4 / -8 = 0.5
    raw = quantise(w)
    # d as f16, then low nibbles = values 0 to 15, high nibbles = values 16 to 31, 8 being zero
    assert raw.tobytes().hex() == "0038" + "f0" + "8a" + "88" * 13 + "48"
    np.testing.assert_array_equal(dequantise(raw, (32,)), w)


def test_too_small_for_a_scale_is_zero_and_silent():
    w = np.full((1, 32), 1e-44, np.float32)
    np.testing.assert_array_equal(dequantise(quantise(w), w.shape), np.zeros_like(w))


def test_rows_must_be_whole_blocks():
    with pytest.raises(ValueError, match="48"):
        quantise(np.zeros((2, 48), np.float32))
