"""GGUF byte strings made with struct alone, so that a test can make any number wrong."""

from struct import pack

UINT8, INT8, UINT16, INT16, UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY, UINT64, INT64, FLOAT64 = range(13)
F32, F16, Q4_0, Q8_0, BF16 = 0, 1, 2, 8, 30


def string(text: str | bytes, length: int | None = None) -> bytes:
    data = text if isinstance(text, bytes) else text.encode()
    return pack("<Q", len(data) if length is None else length) + data


def key(name: str | bytes, kind: int, value: bytes) -> bytes:
    return string(name) + pack("<I", kind) + value


def array(kind: int, values: list[bytes], count: int | None = None) -> bytes:
    return pack("<IQ", kind, len(values) if count is None else count) + b"".join(values)


def tensor(name: str | bytes, shape: tuple[int, ...], kind=F32, offset=0, dims: int | None = None) -> bytes:
    """`shape` is outermost first, as everywhere in Voxtab; the file has it the other way round."""
    dims = len(shape) if dims is None else dims
    return string(name) + pack(f"<I{len(shape)}QIQ", dims, *reversed(shape), kind, offset)


def header(keys=(), tensors=(), *, magic=b"GGUF", version=3, key_count=None, tensor_count=None) -> bytes:
    """All up to the last tensor's entry; the data begin at the next multiple of the alignment."""
    counts = (
        len(tensors) if tensor_count is None else tensor_count,
        len(keys) if key_count is None else key_count,
    )
    return magic + pack("<IQQ", version, *counts) + b"".join(keys) + b"".join(tensors)


def with_data(head: bytes, data: bytes, alignment: int = 32) -> bytes:
    return head + bytes(-len(head) % alignment) + data


def small_header() -> bytes:
    """One of each kind of metadata, three tensors with 1408 bytes of data: for cutting and damaging."""
    keys = [
        key("general.architecture", STRING, string("voxtral_realtime")),
        key("a.u8", UINT8, pack("<B", 200)),
        key("a.i8", INT8, pack("<b", -100)),
        key("a.u16", UINT16, pack("<H", 60000)),
        key("a.i16", INT16, pack("<h", -30000)),
        key("a.u32", UINT32, pack("<I", 4_000_000_000)),
        key("a.i32", INT32, pack("<i", -2_000_000_000)),
        key("a.f32", FLOAT32, pack("<f", 0.1)),
        key("a.bool", BOOL, pack("<?", True)),
        key("a.u64", UINT64, pack("<Q", 2**63 + 1)),
        key("a.i64", INT64, pack("<q", -(2**62))),
        key("a.f64", FLOAT64, pack("<d", 1e-300)),
        key("a.numbers", ARRAY, array(INT16, [pack("<h", i) for i in range(5)])),
        key("a.words", ARRAY, array(STRING, [string("né"), string(""), string("x" * 30)])),
        key("a.nested", ARRAY, array(ARRAY, [array(UINT8, [b"\1", b"\2"]), array(STRING, [string("y")])])),
        key("a.nothing", ARRAY, array(STRING, [])),
        key("z.last", STRING, string("")),
    ]
    tensors = [
        tensor("wq.weight", (3, 64), Q4_0, 0),  # 108 bytes
        tensor("conv.weight", (4, 5, 3), F16, 128),  # 120 bytes
        tensor("norm.weight", (288,), F32, 256),  # 1152 bytes
    ]
    return header(keys, tensors)


SMALL_DATA = 256 + 1152  # bytes of data that `small_header` asks for
