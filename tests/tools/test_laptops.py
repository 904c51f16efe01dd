"""tools/bench laptops: bytes and instructions, and what follows from them."""

from bench.laptops import GPUS, Instructions, counted, laptops, weights_of_a_pass
from synthetic import VOXTRAL_4B, directory


def test_weights_are_those_that_a_pass_reads():
    shapes = {name: tensor.shape for name, tensor in directory(VOXTRAL_4B).tensors.items()}
    assert weights_of_a_pass() == 26 * (6144 + 4096 + 3 * 9216) * 3072 + 131072 * 3072
    assert (131072, 3072) in shapes.values()


def test_instructions_are_those_of_the_shader():
    """Counted by hand. By bytes: 3 ands and shifts of 4 words, 24 dots, 6 to join sums. In f32: 15 a word to unpack."""
    packed, f32 = counted()["packed"], counted()["f32"]
    assert packed == Instructions(12, 0, 24 + 6, 2)
    assert f32 == Instructions(4 * (7 + 8), 4 * 8, 0, 4 * 8 + 1)
    assert packed.of_weight(4) == (2 * 12 + 4 * 32) / 32


def test_a_slow_memory_hides_rows_and_a_fast_one_does_not():
    found = laptops()["gpus"]
    assert list(found) == [gpu.name for gpu in GPUS]
    slow, fast = found["AMD Radeon 780M"], found["NVIDIA H200"]
    assert slow["pass_ms"][2] == slow["pass_ms"][1] and slow["limit"][1] == "memory"
    assert fast["pass_ms"][8] > 2 * fast["pass_ms"][1]
    assert all(gpu["token_ms"] <= gpu["pass_ms"][1] for gpu in found.values())
