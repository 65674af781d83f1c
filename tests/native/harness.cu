// One C function over the kernels, on host memory: nvcc compiles it for the device, and, with host_shim.h, a
// host compiler for the host. Device buffers have exactly the bytes they need, and the output is poisoned.
#ifndef __CUDACC__
#include "host_shim.h"
#endif
#include <vector>

#include "attention.cuh"
#include "launch.cuh"

using namespace onnxgs;

namespace {

struct Bytes {
    size_t image, grid, output, mask, workspace;
};

template <typename T>
void run(void* const* at, const Sampler& s, const Codes& codes, cudaStream_t stream) {
    sample<T>(static_cast<const T*>(at[0]), static_cast<const Pair*>(at[1]), static_cast<T*>(at[2]),
              static_cast<T*>(at[3]), s, codes, at[4], stream);
}

// `at`: image, grid, output, mask and workspace, of which the last two may be null.
void run_any(void* const* at, const Sampler& s, const Codes& codes, int is_half, cudaStream_t stream) {
    if (is_half)
        run<half_t>(at, s, codes, stream);
    else
        run<float>(at, s, codes, stream);
}

#ifdef __CUDACC__
int run_host(const void* image, const void* grid, void* output, void* mask, const Sampler& s, const Codes& codes,
             int is_half, const Bytes& bytes) {
    void* device[5] = {};
    size_t sizes[5] = {bytes.image, bytes.grid, bytes.output, bytes.mask, bytes.workspace};
    for (int i = 0; i < 5; ++i)
        if (sizes[i]) cudaMalloc(&device[i], sizes[i]);
    if (bytes.image) cudaMemcpy(device[0], image, bytes.image, cudaMemcpyHostToDevice);
    if (bytes.grid) cudaMemcpy(device[1], grid, bytes.grid, cudaMemcpyHostToDevice);
    if (bytes.output) cudaMemset(device[2], 0xff, bytes.output);
    if (bytes.mask) cudaMemset(device[3], 0xff, bytes.mask);
    run_any(device, s, codes, is_half, nullptr);
    cudaDeviceSynchronize();
    if (bytes.output) cudaMemcpy(output, device[2], bytes.output, cudaMemcpyDeviceToHost);
    if (bytes.mask) cudaMemcpy(mask, device[3], bytes.mask, cudaMemcpyDeviceToHost);
    for (void* pointer : device) cudaFree(pointer);
    return static_cast<int>(cudaGetLastError());
}
#else
int run_host(const void* image, const void* grid, void* output, void* mask, const Sampler& s, const Codes& codes,
             int is_half, const Bytes& bytes) {
    std::vector<uint4> workspace(bytes.workspace / sizeof(uint4) + 1);
    void* at[5] = {const_cast<void*>(image), const_cast<void*>(grid), output, mask,
                   bytes.workspace ? workspace.data() : nullptr};
    run_any(at, s, codes, is_half, nullptr);
    return 0;
}
#endif

}  // namespace

// sizes: batch, channels, height, width, out_height, out_width; codes: border, window, coordinates, layout,
// kernel.
// `mask` may be null.
extern "C" int onnxgs_sample(const void* image, const void* grid, void* output, void* mask, const long long* z,
                             const int* c, int is_half, int through_rows) {
    Sampler s;
    Codes codes{c[0], c[1], c[2], c[3], c[4]};
    if (!codes.valid() || !make_sampler(codes, {z[0], z[1], z[2], z[3], z[4], z[5]}, s)) return -1;
    size_t element = is_half ? 2 : 4, batch = s.batch, channels = s.channels;
    size_t rows = is_half ? rows_bytes<half_t>(s) : rows_bytes<float>(s);
    Bytes bytes{batch * channels * s.plane * element, batch * s.points * 8, batch * channels * s.points * element,
                mask == nullptr ? 0 : batch * s.points * element, through_rows ? kFlagBytes + rows : 0};
    return run_host(image, grid, output, mask, s, codes, is_half, bytes);
}

namespace {

template <typename T>
int attend_host(const void* value, const float* locations, const void* weights, void* output, const Attention& s) {
#ifdef __CUDACC__
    const long long rows = s.batch * s.queries * s.heads, terms = rows * s.terms();
    const size_t bytes[] = {sizeof(T) * s.batch * s.pixels * s.heads * s.depth, static_cast<size_t>(8 * terms),
                            sizeof(T) * terms, sizeof(T) * s.outputs()};
    const void* host[] = {value, locations, weights, output};
    void* on[4] = {};
    for (int i = 0; i < 4; ++i) {
        if (bytes[i]) cudaMalloc(&on[i], bytes[i]);
        if (bytes[i]) cudaMemcpy(on[i], host[i], bytes[i], cudaMemcpyHostToDevice);
    }
    const bool done = attend_all(static_cast<const T*>(on[0]), static_cast<const float*>(on[1]),
                                 static_cast<const T*>(on[2]), static_cast<T*>(on[3]), s, cudaStream_t{});
    cudaDeviceSynchronize();
    if (bytes[3]) cudaMemcpy(output, on[3], bytes[3], cudaMemcpyDeviceToHost);
    for (void* pointer : on) cudaFree(pointer);
    return done ? static_cast<int>(cudaGetLastError()) : -1;
#else
    const bool done = attend_all(static_cast<const T*>(value), locations, static_cast<const T*>(weights),
                                 static_cast<T*>(output), s, cudaStream_t{});
    return done ? 0 : -1;
#endif
}

}  // namespace

// sizes: B, S, Q, H, D, L; levels: rows, columns and points of each. The tensors' sizes follow from them.
extern "C" int onnxgs_attend(const void* value, const float* locations, const void* weights, void* output,
                             const long long* z, const long long* levels, int is_half) {
    Attention s{z[0], z[1], z[2], static_cast<int>(z[3]), static_cast<int>(z[4]), static_cast<int>(z[5]), {}, {}, {}};
    for (int l = 0; l < s.levels; ++l) {
        s.height[l] = static_cast<int>(levels[3 * l]);
        s.width[l] = static_cast<int>(levels[3 * l + 1]);
        s.points[l] = static_cast<int>(levels[3 * l + 2]);
    }
    if (is_half) return attend_host<half_t>(value, locations, weights, output, s);
    return attend_host<float>(value, locations, weights, output, s);
}
