"""The part of webgpu.h that the native device calls, in wgpu-native: the C library that the package `wgpu` brings.

That package's own Python is not imported. It parses its C header in every process, and again for every struct that is
used for the first time: together more than a second. Its wrappers take 14 us a launch, where these calls take 2.

wgpu-native may be called from several threads at once: its objects are counted references (Rust's Arc), and wgpu-core
behind them locks what it shares. Only an encoder and its pass belong to one thread at a time. A call reports its error
to the device's error callback before it returns, in the thread that called; so a fault is kept by thread: `take_fault`.

`FUNCTIONS` and the structs are compared with the header in tests/native/test_webgpu.py.
"""

import ctypes
import importlib.util
import sys
import threading
from ctypes import POINTER, Structure, c_char_p, c_double, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from functools import cache
from pathlib import Path

from voxtab.errors import DeviceError

VERSION = 29  # of wgpu-native; its structs change with it

# Values of enums and flags.
SHADER_SOURCE_WGSL = 2
UNIFORM, STORAGE, READ_ONLY_STORAGE = 2, 3, 4
BINDING_TYPES = {"uniform": UNIFORM, "storage": STORAGE, "read-only-storage": READ_ONLY_STORAGE}
COMPUTE = 4
MAP_READ, MAP_WRITE = 1, 2
USAGE_MAP_READ, USAGE_MAP_WRITE, USAGE_COPY_SRC, USAGE_COPY_DST, USAGE_UNIFORM, USAGE_STORAGE = 1, 2, 4, 8, 64, 128
ALLOW_PROCESS_EVENTS, ALLOW_SPONTANEOUS = 2, 3
SUCCESS = 1
OUT_OF_MEMORY = 3
CPU = 3
STRONGEST_FIRST = 1, 2, 4, CPU  # kinds of adapters: discrete, integrated, unknown
PRIMARY_BACKENDS, ALL_BACKENDS = 0b101101, 0  # Vulkan, Metal, DirectX 12; and OpenGL, which takes a while to look for
INSTANCE_EXTRAS = 0x30004
BACKENDS = {1: "Null", 2: "WebGPU", 3: "D3D11", 4: "D3D12", 5: "Metal", 6: "Vulkan", 7: "OpenGL", 8: "OpenGLES"}
SUBGROUP = 0x30021
LOG_OFF = 0


class StringView(Structure):
    _fields_ = [("data", c_char_p), ("length", c_size_t)]

    def __str__(self):
        address = c_void_p.from_buffer(self).value  # not `data`, which ends at the first zero byte, wherever that is
        return ctypes.string_at(address, self.length).decode(errors="replace") if address else ""


def text(string: str) -> StringView:
    data = string.encode()
    return StringView(data, len(data))


class ChainedStruct(Structure):
    pass


ChainedStruct._fields_ = [("next", POINTER(ChainedStruct)), ("sType", c_int)]


def _struct(name: str, *fields, chain: bool = True) -> type[Structure]:
    first = [("nextInChain", POINTER(ChainedStruct))] if chain else []
    return type(name, (Structure,), {"_fields_": first + list(fields)})


def _callback(name: str, function) -> type[Structure]:
    return _struct(name, ("mode", c_int), ("callback", function), ("userdata1", c_void_p), ("userdata2", c_void_p))


OnDevice = ctypes.CFUNCTYPE(None, c_int, c_void_p, StringView, c_void_p, c_void_p)
OnMapped = ctypes.CFUNCTYPE(None, c_int, StringView, c_void_p, c_void_p)
OnError = OnLost = ctypes.CFUNCTYPE(None, POINTER(c_void_p), c_int, StringView, c_void_p, c_void_p)

_LIMITS_64 = {"maxUniformBufferBindingSize", "maxStorageBufferBindingSize", "maxBufferSize"}
_LIMITS = [
    "maxTextureDimension1D",
    "maxTextureDimension2D",
    "maxTextureDimension3D",
    "maxTextureArrayLayers",
    "maxBindGroups",
    "maxBindGroupsPlusVertexBuffers",
    "maxBindingsPerBindGroup",
    "maxDynamicUniformBuffersPerPipelineLayout",
    "maxDynamicStorageBuffersPerPipelineLayout",
    "maxSampledTexturesPerShaderStage",
    "maxSamplersPerShaderStage",
    "maxStorageBuffersPerShaderStage",
    "maxStorageTexturesPerShaderStage",
    "maxUniformBuffersPerShaderStage",
    "maxUniformBufferBindingSize",
    "maxStorageBufferBindingSize",
    "minUniformBufferOffsetAlignment",
    "minStorageBufferOffsetAlignment",
    "maxVertexBuffers",
    "maxBufferSize",
    "maxVertexAttributes",
    "maxVertexBufferArrayStride",
    "maxInterStageShaderVariables",
    "maxColorAttachments",
    "maxColorAttachmentBytesPerSample",
    "maxComputeWorkgroupStorageSize",
    "maxComputeInvocationsPerWorkgroup",
    "maxComputeWorkgroupSizeX",
    "maxComputeWorkgroupSizeY",
    "maxComputeWorkgroupSizeZ",
    "maxComputeWorkgroupsPerDimension",
    "maxImmediateSize",
]


class Limits(Structure):
    _fields_ = [
        ("nextInChain", POINTER(ChainedStruct)),
        *((name, c_uint64 if name in _LIMITS_64 else c_uint32) for name in _LIMITS),
    ]


class AdapterInfo(Structure):
    _fields_ = [
        ("nextInChain", POINTER(ChainedStruct)),
        *((name, StringView) for name in ("vendor", "architecture", "device", "description")),
        ("backendType", c_int),
        ("adapterType", c_int),
        *((name, c_uint32) for name in ("vendorID", "deviceID", "subgroupMinSize", "subgroupMaxSize")),
    ]


InstanceDescriptor = _struct(
    "InstanceDescriptor",
    ("requiredFeatureCount", c_size_t),
    ("requiredFeatures", c_void_p),
    ("requiredLimits", c_void_p),
)
DisplayHandle = _struct("NativeDisplayHandle", ("type", c_int), ("data", c_void_p * 2), chain=False)
InstanceExtras = _struct(
    "InstanceExtras",
    ("chain", ChainedStruct),
    ("backends", c_uint64),
    ("flags", c_uint64),
    *((name, c_int) for name in ("dx12ShaderCompiler", "gles3MinorVersion", "glFenceBehaviour")),
    ("dxcPath", StringView),
    *((name, c_int) for name in ("dxcMaxShaderModel", "dx12PresentationSystem")),
    ("budgetForDeviceCreation", c_void_p),
    ("budgetForDeviceLoss", c_void_p),
    ("displayHandle", DisplayHandle),
    chain=False,
)
QueueDescriptor = _struct("QueueDescriptor", ("label", StringView))
RequestDeviceCallbackInfo = _callback("RequestDeviceCallbackInfo", OnDevice)
DeviceLostCallbackInfo = _callback("DeviceLostCallbackInfo", OnLost)
UncapturedErrorCallbackInfo = _struct(
    "UncapturedErrorCallbackInfo", ("callback", OnError), ("userdata1", c_void_p), ("userdata2", c_void_p)
)
DeviceDescriptor = _struct(
    "DeviceDescriptor",
    ("label", StringView),
    ("requiredFeatureCount", c_size_t),
    ("requiredFeatures", POINTER(c_int)),
    ("requiredLimits", POINTER(Limits)),
    ("defaultQueue", QueueDescriptor),
    ("deviceLostCallbackInfo", DeviceLostCallbackInfo),
    ("uncapturedErrorCallbackInfo", UncapturedErrorCallbackInfo),
)
BufferDescriptor = _struct(
    "BufferDescriptor", ("label", StringView), ("usage", c_uint64), ("size", c_uint64), ("mappedAtCreation", c_uint32)
)
BufferMapCallbackInfo = _callback("BufferMapCallbackInfo", OnMapped)
ShaderSourceWGSL = _struct("ShaderSourceWGSL", ("chain", ChainedStruct), ("code", StringView), chain=False)
ShaderModuleDescriptor = _struct("ShaderModuleDescriptor", ("label", StringView))
BufferBindingLayout = _struct(
    "BufferBindingLayout", ("type", c_int), ("hasDynamicOffset", c_uint32), ("minBindingSize", c_uint64)
)
SamplerBindingLayout = _struct("SamplerBindingLayout", ("type", c_int))
TextureBindingLayout = _struct(
    "TextureBindingLayout", ("sampleType", c_int), ("viewDimension", c_int), ("multisampled", c_uint32)
)
StorageTextureBindingLayout = _struct(
    "StorageTextureBindingLayout", ("access", c_int), ("format", c_int), ("viewDimension", c_int)
)
BindGroupLayoutEntry = _struct(
    "BindGroupLayoutEntry",
    ("binding", c_uint32),
    ("visibility", c_uint64),
    ("bindingArraySize", c_uint32),
    ("buffer", BufferBindingLayout),
    ("sampler", SamplerBindingLayout),
    ("texture", TextureBindingLayout),
    ("storageTexture", StorageTextureBindingLayout),
)
BindGroupLayoutDescriptor = _struct(
    "BindGroupLayoutDescriptor",
    ("label", StringView),
    ("entryCount", c_size_t),
    ("entries", POINTER(BindGroupLayoutEntry)),
)
PipelineLayoutDescriptor = _struct(
    "PipelineLayoutDescriptor",
    ("label", StringView),
    ("bindGroupLayoutCount", c_size_t),
    ("bindGroupLayouts", POINTER(c_void_p)),
    ("immediateSize", c_uint32),
)
ConstantEntry = _struct("ConstantEntry", ("key", StringView), ("value", c_double))
ComputeState = _struct(
    "ComputeState",
    ("module", c_void_p),
    ("entryPoint", StringView),
    ("constantCount", c_size_t),
    ("constants", POINTER(ConstantEntry)),
)
ComputePipelineDescriptor = _struct(
    "ComputePipelineDescriptor", ("label", StringView), ("layout", c_void_p), ("compute", ComputeState)
)
BindGroupEntry = _struct(
    "BindGroupEntry",
    ("binding", c_uint32),
    ("buffer", c_void_p),
    ("offset", c_uint64),
    ("size", c_uint64),
    ("sampler", c_void_p),
    ("textureView", c_void_p),
)
BindGroupDescriptor = _struct(
    "BindGroupDescriptor",
    ("label", StringView),
    ("layout", c_void_p),
    ("entryCount", c_size_t),
    ("entries", POINTER(BindGroupEntry)),
)

# Each function's result and arguments. A handle, and a pointer to what is left out, is a c_void_p: an integer or None.
FUNCTIONS: dict[str, tuple] = {
    "GetVersion": (c_uint32,),
    "SetLogLevel": (None, c_int),
    "CreateInstance": (c_void_p, POINTER(InstanceDescriptor)),
    "InstanceEnumerateAdapters": (c_size_t, c_void_p, c_void_p, POINTER(c_void_p)),
    "AdapterGetInfo": (c_int, c_void_p, POINTER(AdapterInfo)),
    "AdapterInfoFreeMembers": (None, AdapterInfo),
    "AdapterGetLimits": (c_int, c_void_p, POINTER(Limits)),
    "AdapterHasFeature": (c_uint32, c_void_p, c_int),
    "AdapterRequestDevice": (c_uint64, c_void_p, POINTER(DeviceDescriptor), RequestDeviceCallbackInfo),
    "AdapterRelease": (None, c_void_p),
    "InstanceRelease": (None, c_void_p),
    "DeviceGetQueue": (c_void_p, c_void_p),
    "DevicePoll": (c_uint32, c_void_p, c_uint32, POINTER(c_uint64)),
    "DeviceDestroy": (None, c_void_p),
    "DeviceRelease": (None, c_void_p),
    "QueueRelease": (None, c_void_p),
    "DeviceCreateBuffer": (c_void_p, c_void_p, POINTER(BufferDescriptor)),
    "BufferMapAsync": (c_uint64, c_void_p, c_uint64, c_size_t, c_size_t, BufferMapCallbackInfo),
    "BufferGetMappedRange": (c_void_p, c_void_p, c_size_t, c_size_t),
    "BufferGetConstMappedRange": (c_void_p, c_void_p, c_size_t, c_size_t),
    "BufferUnmap": (None, c_void_p),
    "BufferDestroy": (None, c_void_p),
    "BufferRelease": (None, c_void_p),
    "QueueWriteBuffer": (None, c_void_p, c_void_p, c_uint64, c_void_p, c_size_t),
    "QueueSubmitForIndex": (c_uint64, c_void_p, c_size_t, POINTER(c_void_p)),
    "DeviceCreateShaderModule": (c_void_p, c_void_p, POINTER(ShaderModuleDescriptor)),
    "ShaderModuleRelease": (None, c_void_p),
    "DeviceCreateBindGroupLayout": (c_void_p, c_void_p, POINTER(BindGroupLayoutDescriptor)),
    "BindGroupLayoutRelease": (None, c_void_p),
    "DeviceCreatePipelineLayout": (c_void_p, c_void_p, POINTER(PipelineLayoutDescriptor)),
    "PipelineLayoutRelease": (None, c_void_p),
    "DeviceCreateComputePipeline": (c_void_p, c_void_p, POINTER(ComputePipelineDescriptor)),
    "ComputePipelineRelease": (None, c_void_p),
    "DeviceCreateBindGroup": (c_void_p, c_void_p, POINTER(BindGroupDescriptor)),
    "BindGroupRelease": (None, c_void_p),
    "DeviceCreateCommandEncoder": (c_void_p, c_void_p, c_void_p),
    "CommandEncoderBeginComputePass": (c_void_p, c_void_p, c_void_p),
    "CommandEncoderCopyBufferToBuffer": (None, c_void_p, c_void_p, c_uint64, c_void_p, c_uint64, c_uint64),
    "CommandEncoderFinish": (c_void_p, c_void_p, c_void_p),
    "CommandEncoderRelease": (None, c_void_p),
    "CommandBufferRelease": (None, c_void_p),
    "ComputePassEncoderSetPipeline": (None, c_void_p, c_void_p),
    "ComputePassEncoderSetBindGroup": (None, c_void_p, c_uint32, c_void_p, c_size_t, c_void_p),
    "ComputePassEncoderDispatchWorkgroups": (None, c_void_p, c_uint32, c_uint32, c_uint32),
    "ComputePassEncoderEnd": (None, c_void_p),
    "ComputePassEncoderRelease": (None, c_void_p),
}


@cache
def library() -> ctypes.CDLL:
    """wgpu-native, with its functions declared. DeviceError if it is missing or of another version."""
    spec = importlib.util.find_spec("wgpu")
    if not spec or not spec.origin:
        raise DeviceError("The package wgpu is missing: run pip install wgpu.")
    name = {"win32": "wgpu_native-release.dll", "darwin": "libwgpu_native-release.dylib"}.get(
        sys.platform, "libwgpu_native-release.so"
    )
    path = Path(spec.origin).parent / "resources" / name
    try:
        found = ctypes.CDLL(str(path))
    except OSError as error:
        raise DeviceError(f"{path} cannot be loaded ({error}): install the package wgpu again.") from None
    for function, (result, *arguments) in FUNCTIONS.items():
        called = getattr(found, "wgpu" + function)
        called.restype, called.argtypes = result, arguments
    if found.wgpuGetVersion() >> 24 != VERSION:
        raise DeviceError(
            f"The package wgpu has wgpu-native {found.wgpuGetVersion() >> 24}, and {VERSION} is needed: "
            "install Voxtab again."
        )
    found.wgpuSetLogLevel(LOG_OFF)  # errors come by `take_fault`
    return found


@cache
def adapters() -> list[int]:
    """Handles of all GPUs. They, and the library's instance, live as long as the process."""
    lib = library()
    for backends in (PRIMARY_BACKENDS, ALL_BACKENDS):
        extras = InstanceExtras(ChainedStruct(None, INSTANCE_EXTRAS), backends)
        instance = lib.wgpuCreateInstance(InstanceDescriptor(ctypes.pointer(extras.chain)))
        count = lib.wgpuInstanceEnumerateAdapters(instance, None, None)
        found = (c_void_p * count)()
        lib.wgpuInstanceEnumerateAdapters(instance, None, found)
        if count:
            return list(found)
        lib.wgpuInstanceRelease(instance)
    return []


def create_device(adapter: int, limits: Limits, features: list[int]) -> int:
    """A handle. DeviceError if the driver refuses."""
    result: list = []

    @OnDevice
    def on_device(status, device, message, _1, _2):
        result.append(device if status == SUCCESS else str(message))

    descriptor = DeviceDescriptor(
        None,
        text(""),
        len(features),
        (c_int * len(features))(*features),
        ctypes.pointer(limits),
        QueueDescriptor(None, text("")),
        DeviceLostCallbackInfo(None, ALLOW_SPONTANEOUS, on_lost),
        UncapturedErrorCallbackInfo(None, on_error),
    )
    # It calls back before it returns.
    library().wgpuAdapterRequestDevice(
        adapter, descriptor, RequestDeviceCallbackInfo(None, ALLOW_PROCESS_EVENTS, on_device)
    )
    (device,) = result
    if isinstance(device, str):
        raise DeviceError(f"The GPU cannot be opened ({' '.join(device.split())}): update its driver.")
    return device


def create_buffer(lib: ctypes.CDLL, device: int, nbytes: int, usage: int, label: str = "", mapped: bool = False) -> int:
    """A handle; of a broken buffer if there is a fault."""
    return lib.wgpuDeviceCreateBuffer(device, BufferDescriptor(None, text(label), usage, nbytes, mapped))


# --- faults

_kept = threading.local()


@OnError
def on_error(_device, kind, message, _1, _2):
    """A device's error callback."""
    if kind == OUT_OF_MEMORY:
        _keep(DeviceError("The GPU has no memory left: close what else uses it, or use a smaller model."))
    else:
        _keep(RuntimeError(str(message)))


@OnLost
def on_lost(_device, _reason, message, _1, _2):
    """A device's callback for being lost."""
    _keep(DeviceError(f"The GPU stopped working ({' '.join(str(message).split())}): start again."))


def _keep(fault: Exception) -> None:
    if not getattr(_kept, "fault", None):  # the first one: others follow from it
        _kept.fault = fault


def take_fault() -> Exception | None:
    """The error of this thread's last calls, which is then forgotten. RuntimeError is Voxtab's own fault."""
    fault = getattr(_kept, "fault", None)
    _kept.fault = None
    return fault


def raise_fault() -> None:
    if fault := take_fault():
        raise fault
