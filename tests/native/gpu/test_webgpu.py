"""The declarations of native/gpu/webgpu.py are those of the C header that the package wgpu brings."""

import ctypes
import re
from pathlib import Path

import pytest
import wgpu
from cffi import FFI

from voxtab.native.gpu import webgpu

HEADER = (Path(wgpu.__file__).parent / "resources/combined_header.h").read_text()
STRUCTS = {
    name: value
    for name, value in vars(webgpu).items()
    if isinstance(value, type) and issubclass(value, ctypes.Structure) and value is not ctypes.Structure
}
VALUES = {  # webgpu.py's name -> the header's
    "SHADER_SOURCE_WGSL": "WGPUSType_ShaderSourceWGSL",
    "INSTANCE_EXTRAS": "WGPUSType_InstanceExtras",
    "UNIFORM": "WGPUBufferBindingType_Uniform",
    "STORAGE": "WGPUBufferBindingType_Storage",
    "READ_ONLY_STORAGE": "WGPUBufferBindingType_ReadOnlyStorage",
    "COMPUTE": "WGPUShaderStage_Compute",
    "MAP_READ": "WGPUMapMode_Read",
    "MAP_WRITE": "WGPUMapMode_Write",
    "USAGE_MAP_READ": "WGPUBufferUsage_MapRead",
    "USAGE_MAP_WRITE": "WGPUBufferUsage_MapWrite",
    "USAGE_COPY_SRC": "WGPUBufferUsage_CopySrc",
    "USAGE_COPY_DST": "WGPUBufferUsage_CopyDst",
    "USAGE_UNIFORM": "WGPUBufferUsage_Uniform",
    "USAGE_STORAGE": "WGPUBufferUsage_Storage",
    "ALLOW_PROCESS_EVENTS": "WGPUCallbackMode_AllowProcessEvents",
    "ALLOW_SPONTANEOUS": "WGPUCallbackMode_AllowSpontaneous",
    "OUT_OF_MEMORY": "WGPUErrorType_OutOfMemory",
    "CPU": "WGPUAdapterType_CPU",
    "PRIMARY_BACKENDS": "WGPUInstanceBackend_Primary",
    "ALL_BACKENDS": "WGPUInstanceBackend_All",
    "SUBGROUP": "WGPUNativeFeature_Subgroup",
    "LOG_OFF": "WGPULogLevel_Off",
}


@pytest.fixture(scope="module")
def header():
    ffi = FFI()
    ffi.cdef(HEADER)
    return ffi


@pytest.fixture(scope="module")
def values(header):
    lib = header.dlopen(webgpu.library()._name)

    def value(name):
        if found := re.search(rf"\b{name} = ([^;,\n]+)", HEADER):
            return eval(found[1])  # a number, or flags joined by shifts and bars
        return getattr(lib, name)

    return value


def is_pointer(kind) -> bool:
    return kind in (ctypes.c_void_p, ctypes.c_char_p) or hasattr(kind, "contents") or issubclass(kind, ctypes._CFuncPtr)


def assert_same(where: str, ours, theirs) -> None:
    """A ctypes type and cffi's: both pointers, or of one size and sign, or the struct of one name."""
    if theirs.kind in ("pointer", "function"):
        assert is_pointer(ours), where
    elif theirs.kind in ("struct", "union"):
        assert ctypes.sizeof(ours) == header_size(theirs), where
    elif theirs.kind == "void":
        assert ours is None, where
    else:
        assert ctypes.sizeof(ours) == header_size(theirs) and not is_pointer(ours), where


def header_size(theirs) -> int:
    return FFI().sizeof(theirs)


@pytest.mark.parametrize("name", STRUCTS)
def test_struct(header, name):
    ours, theirs = STRUCTS[name], header.typeof("WGPU" + STRUCTS[name].__name__)
    assert [field for field, *_ in ours._fields_] == [field for field, _ in theirs.fields]
    assert ctypes.sizeof(ours) == header.sizeof(theirs)
    for (field, kind), (_, found) in zip(ours._fields_, theirs.fields):
        assert getattr(ours, field).offset == found.offset, field
        if (name, field) != ("DisplayHandle", "data"):
            assert_same(field, kind, found.type)


@pytest.mark.parametrize("name", webgpu.FUNCTIONS)
def test_function(header, name):
    theirs = header.typeof(header.dlopen(webgpu.library()._name).__getattr__("wgpu" + name))
    result, *arguments = webgpu.FUNCTIONS[name]
    assert_same("result", result, theirs.result)
    assert len(arguments) == len(theirs.args)
    for i, (ours, found) in enumerate(zip(arguments, theirs.args)):
        assert_same(f"argument {i}", ours, found)


@pytest.mark.parametrize(
    "name", ["RequestDeviceCallback", "BufferMapCallback", "UncapturedErrorCallback", "DeviceLostCallback"]
)
def test_callback(header, name):
    ours = {
        "RequestDeviceCallback": webgpu.OnDevice,
        "BufferMapCallback": webgpu.OnMapped,
        "UncapturedErrorCallback": webgpu.OnError,
        "DeviceLostCallback": webgpu.OnLost,
    }[name]
    theirs = header.typeof("WGPU" + name)
    assert ours._restype_ is None and theirs.result.kind == "void"
    for i, (kind, found) in enumerate(zip(ours._argtypes_, theirs.args, strict=True)):
        assert_same(f"argument {i}", kind, found)


def test_values(values):
    assert {name: getattr(webgpu, name) for name in VALUES} == {name: values(found) for name, found in VALUES.items()}
    kinds = ("DiscreteGPU", "IntegratedGPU", "Unknown", "CPU")
    assert tuple(values(f"WGPUAdapterType_{kind}") for kind in kinds) == webgpu.STRONGEST_FIRST
    for number, name in webgpu.BACKENDS.items():
        assert values(f"WGPUBackendType_{name}") == number
    for status in ("RequestDeviceStatus", "MapAsyncStatus"):
        assert values(f"WGPU{status}_Success") == webgpu.SUCCESS
