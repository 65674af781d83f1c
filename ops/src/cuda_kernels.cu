// The kernels of the TensorRT plugin behind onnxruntime's operator. They have types of the names that this library has
// for its own, so they come here under another namespace.
#define onnxgs onnxgs_device
#include "../native/attention.cuh"
#include "../native/launch.cuh"
#undef onnxgs

#include "cuda.h"

namespace onnxgs {
namespace {

onnxgs_device::Codes codes_of(const Call& call) {
    return {static_cast<int>(call.codes.border), static_cast<int>(call.codes.window),
            static_cast<int>(call.codes.coordinates), static_cast<int>(call.codes.layout),
            static_cast<int>(call.codes.kernel)};
}

bool sampler_of(const CudaCall& of, onnxgs_device::Sampler& s) {
    const Call& call = *of.call;
    return make_sampler(codes_of(call), {call.batch, call.channels, call.height, call.width, of.out_height, of.out_width},
                        s);
}

template <typename T>
void sample_as(const CudaCall& of, const onnxgs_device::Sampler& s, void* workspace) {
    const Call& call = *of.call;
    onnxgs_device::sample<T>(static_cast<const T*>(call.image), static_cast<const onnxgs_device::Pair*>(call.grid),
                             static_cast<T*>(call.output), static_cast<T*>(call.mask), s, codes_of(call), workspace,
                             static_cast<cudaStream_t>(of.stream));
}

template <typename T>
int64_t bytes_as(const onnxgs_device::Sampler& s, const onnxgs_device::Codes& codes) {
    using namespace onnxgs_device;
    return uses_workspace<T>(s, codes) ? static_cast<int64_t>(onnxgs_device::workspace_bytes<T>(s, codes)) : 0;
}

template <typename T>
bool attend_as(const Attention& call, const onnxgs_device::Attention& s, cudaStream_t stream) {
    return onnxgs_device::attend_all(static_cast<const T*>(call.value), call.locations,
                                     static_cast<const T*>(call.weights), static_cast<T*>(call.output), s, stream);
}

}  // namespace

static_assert(kMostDeviceLevels == onnxgs_device::kMostLevels, "levels that a kernel has room for");

int attend_on_device(const Attention& call, void* stream) {
    onnxgs_device::Attention s{call.batch, call.pixels, call.queries, static_cast<int>(call.heads),
                               static_cast<int>(call.depth), static_cast<int>(call.levels), {}, {}, {}};
    for (int level = 0; level < s.levels; ++level) {
        s.height[level] = static_cast<int>(call.height(level));
        s.width[level] = static_cast<int>(call.width(level));
        s.points[level] = static_cast<int>(call.points(level));
    }
    auto on = static_cast<cudaStream_t>(stream);
    const bool launched = call.halves ? attend_as<onnxgs_device::half_t>(call, s, on) : attend_as<float>(call, s, on);
    return launched ? cudaPeekAtLastError() : cudaErrorInvalidValue;
}

int current_device() {
    int device = 0;
    return cudaGetDevice(&device) == cudaSuccess ? device : 0;
}

int64_t CudaCall::workspace_bytes() const {
    onnxgs_device::Sampler s;
    if (!sampler_of(*this, s)) return 0;
    const onnxgs_device::Codes codes = codes_of(*call);
    return call->image_type == kHalf ? bytes_as<onnxgs_device::half_t>(s, codes) : bytes_as<float>(s, codes);
}

int CudaCall::sample(void* workspace) const {
    onnxgs_device::Sampler s;
    if (!sampler_of(*this, s)) return cudaErrorInvalidValue;
    const int64_t values = call->batch * call->channels * call->points;
    auto on = static_cast<cudaStream_t>(stream);
    if (s.plane == 0 && values > 0)
        if (int failed = cudaMemsetAsync(call->output, 0, values * (call->image_type == kHalf ? 2 : 4), on)) return failed;
    if (call->image_type == kHalf)
        sample_as<onnxgs_device::half_t>(*this, s, workspace);
    else
        sample_as<float>(*this, s, workspace);
    return cudaPeekAtLastError();
}

}  // namespace onnxgs
