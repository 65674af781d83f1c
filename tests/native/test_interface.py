"""The entries of onnxruntime's C interface that ops/ declares by hand, against the real header where there is one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.native import ops

HEADER = "onnxruntime_c_api.h"
FOLDERS = (Path("/usr/include/onnxruntime"), Path("/usr/local/include/onnxruntime"), Path("/opt/onnxruntime/include"))
PROGRAM = """
#include <onnxruntime_c_api.h>
#include <cstddef>
#include <type_traits>
#include "onnxruntime_interface.h"

template <typename A, typename B>
constexpr bool alike = sizeof(A) == sizeof(B) && std::is_pointer<A>::value == std::is_pointer<B>::value;
template <typename A, typename B>
struct Same : std::false_type {};
template <typename R, typename... A, typename S, typename... B, bool QUIET>
struct Same<R (*)(A...) noexcept(QUIET), S (*)(B...)> {
    static constexpr bool check() {
        if constexpr (sizeof...(A) != sizeof...(B)) return false;
        else return std::is_void<R>::value == std::is_void<S>::value && (alike<A, B> && ...);
    }
    static constexpr bool value = check();
};

#define CHECK(place, name, result, arguments)                                                          \\
    static_assert(offsetof(OrtApi, name) == (place) * sizeof(void*), #name " is at another place");    \\
    static_assert(Same<decltype(OrtApi::name), onnxgs::ort::Api::name##_t>::value, #name " differs");
ONNXGS_ENTRIES(CHECK)

#define MEMBER(name)                                                                                   \\
    static_assert(offsetof(OrtCustomOp, name) == offsetof(onnxgs::ort::CustomOp, name), #name);        \\
    static_assert(Same<decltype(OrtCustomOp::name), decltype(onnxgs::ort::CustomOp::name)>::value, #name);
MEMBER(CreateKernel) MEMBER(GetName) MEMBER(GetExecutionProviderType) MEMBER(GetInputType) MEMBER(GetInputTypeCount)
MEMBER(GetOutputType) MEMBER(GetOutputTypeCount) MEMBER(KernelCompute) MEMBER(KernelDestroy)
MEMBER(GetInputCharacteristic) MEMBER(GetOutputCharacteristic) MEMBER(GetInputMemoryType)
MEMBER(GetVariadicInputMinArity) MEMBER(GetVariadicInputHomogeneity) MEMBER(GetVariadicOutputMinArity)
MEMBER(GetVariadicOutputHomogeneity) MEMBER(CreateKernelV2) MEMBER(KernelComputeV2) MEMBER(InferOutputShapeFn)
MEMBER(GetStartVersion) MEMBER(GetEndVersion)

#define CODE(a, b) static_assert(static_cast<int>(a) == static_cast<int>(b), #a);
CODE(ORT_FAIL, onnxgs::ort::kFail) CODE(ORT_INVALID_ARGUMENT, onnxgs::ort::kInvalidArgument)
CODE(OrtMemTypeCPUInput, onnxgs::ort::kHostInput)
CODE(ORT_NOT_IMPLEMENTED, onnxgs::ort::kNotImplemented) CODE(OrtArenaAllocator, onnxgs::ort::kArenaAllocator)
CODE(OrtMemTypeDefault, onnxgs::ort::kDefaultMemory) CODE(INPUT_OUTPUT_REQUIRED, onnxgs::ort::kRequired)
CODE(INPUT_OUTPUT_OPTIONAL, onnxgs::ort::kOptional) CODE(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, 1)
CODE(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, 10) CODE(ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, 11)
"""


def folder_of_header() -> Path:
    """The folder that ONNXRUNTIME_INCLUDE names, or where packages and archives put it."""
    named = os.environ.get("ONNXRUNTIME_INCLUDE")
    for folder in (Path(named),) if named else FOLDERS:
        for found in sorted(folder.rglob(HEADER)) if folder.is_dir() else ():
            return found.parent
    pytest.skip(f"no {HEADER} here; ONNXRUNTIME_INCLUDE names the folder of one")


def test_places_and_signatures_are_those_of_the_header(tmp_path: Path) -> None:
    header, source = folder_of_header(), tmp_path / "check.cpp"
    source.write_text(PROGRAM, encoding="utf-8")
    command = [ops.compiler(), "-std=c++17", "-fsyntax-only", "-w", f"-I{header}", f"-I{ops.SOURCES}", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:4000]
