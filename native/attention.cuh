// The kernel of onnxgs::DeformableAttention. As bilinear_sample.cuh, it needs no header.
//
//   value [B, S, H, D], locations [B, Q, H, L, P, 2], weights [B, Q, H, L, P], output [B, Q, H, D], fp32
//
// A thread has some channels of one query and head: its neighbours read the same locations and weights, and the rows of
// pixels beside each other. Cells are those of bilinear_sample.cuh with zeros outside, so that every read is in bounds.
#pragma once

#include "launch.cuh"

namespace onnxgs {

constexpr int kMostLevels = 16;

struct Attention {
    long long batch, pixels, queries;
    int heads, depth, levels, points;
    int height[kMostLevels], width[kMostLevels];

    ONNXGS_BOTH long long outputs() const { return batch * queries * heads * depth; }
};

// N channels at once.
template <int N>
struct alignas(4 * N) Channels {
    float at[N];
};

// Along one axis: the first pixel, and the weights of it and the next.
ONNXGS_DEVICE int place_in_level(float place, int size, float& w0, float& w1) {
    const float most = static_cast<float>(size), last = most - 2;
    float p = __fadd_rn(__fmul_rn(place, most), -0.5f);
    p = p > -1 ? p : -1;  // NaN too
    p = p < most ? p : most;
    const int truncated = static_cast<int>(p < last ? p : last), first = truncated > 0 ? truncated : 0;
    const float d = p - static_cast<float>(first), low = 1 - d < 1 + d ? 1 - d : 1 + d, high = d < 2 - d ? d : 2 - d;
    w0 = low > 0 ? low : 0;
    w1 = high > 0 && size > 1 ? high : 0;
    return first;
}

template <int N>
ONNXGS_DEVICE void add_pixel(const float* at, float weight, float (&sums)[N]) {
    const Channels<N> own = *reinterpret_cast<const Channels<N>*>(at);
    for (int c = 0; c < N; ++c) sums[c] += own.at[c] * weight;
}

template <int N>
ONNXGS_KERNEL attend(const float* value, const float* locations, const float* weights, float* output, Attention s) {
    const long long index = static_cast<long long>(blockIdx.x) * kThreads + threadIdx.x;
    const int lanes = s.depth / N;
    const long long own = index / lanes;
    if (own >= s.batch * s.queries * s.heads) return;
    const int channel = static_cast<int>(index % lanes) * N;
    const long long row = static_cast<long long>(s.heads) * s.depth;
    const float* level = value + own / (s.queries * s.heads) * s.pixels * row + own % s.heads * s.depth + channel;
    long long term = own * s.levels * s.points;
    float sums[N] = {};
    for (int l = 0; l < s.levels; ++l) {
        const int height = s.height[l], width = s.width[l];
        const long long right = width > 1 ? row : 0, down = height > 1 ? width * row : 0;
        for (int p = 0; p < s.points; ++p, ++term) {
            float x0, x1, y0, y1;
            const int x = place_in_level(read(locations + 2 * term), width, x0, x1);
            const int y = place_in_level(read(locations + 2 * term + 1), height, y0, y1);
            const float weight = read(weights + term), top = y0 * weight, bottom = y1 * weight;
            const float* at = level + (static_cast<long long>(y) * width + x) * row;
            add_pixel<N>(at, top * x0, sums);
            add_pixel<N>(at + right, top * x1, sums);
            add_pixel<N>(at + down, bottom * x0, sums);
            add_pixel<N>(at + down + right, bottom * x1, sums);
        }
        level += static_cast<long long>(height) * width * row;
    }
    Channels<N> made;
    for (int c = 0; c < N; ++c) made.at[c] = sums[c];
    *reinterpret_cast<Channels<N>*>(output + own * s.depth + channel) = made;
}

// -- host code --------------------------------------------------------------------------------------------

// False for more blocks than a launch has.
inline bool attend_all(const float* value, const float* locations, const float* weights, float* output, const Attention& s,
                       cudaStream_t stream) {
    const size_t bits = reinterpret_cast<size_t>(value) | reinterpret_cast<size_t>(output);
    const bool four = s.depth % 4 == 0 && bits % sizeof(Channels<4>) == 0;
    const long long blocks = (s.outputs() / (four ? 4 : 1) + kThreads - 1) / kThreads;
    if (blocks > 0x7fffffffLL) return false;
    if (blocks == 0) return true;
    const unsigned count = static_cast<unsigned>(blocks);
    if (four)
        ONNXGS_LAUNCH((attend<4>), count, stream, value, locations, weights, output, s);
    else
        ONNXGS_LAUNCH((attend<1>), count, stream, value, locations, weights, output, s);
    return true;
}

}  // namespace onnxgs
