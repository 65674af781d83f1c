// What the operator on CUDA devices is made of: the kernels are compiled by nvcc, all else by the host's compiler.
#pragma once

#include "operator.h"

namespace onnxgs {

// One call on a stream: float32 or float16 images, float32 grids. `workspace_bytes` are what `sample` wants.
struct CudaCall {
    const Call* call;
    int64_t out_height, out_width;
    void* stream;

    int64_t workspace_bytes() const;
    // Zero, or an error of CUDA's. Nothing is waited for.
    int sample(void* workspace) const;
};

// Deformable attention on a stream, of at most kMostDeviceLevels levels; zero, or an error of CUDA's.
constexpr int64_t kMostDeviceLevels = 16;
int attend_on_device(const Attention& call, void* stream);

int current_device();

ort::Status* add_cuda_operators(const ort::Api* api, ort::CustomOpDomain* domain);

}  // namespace onnxgs
