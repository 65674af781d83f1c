// The kernel of onnxgs::DeformableAttention. As bilinear_sample.cuh, it needs no header.
//
//   value [B, S, H, D], weights [B, Q, H, T], output [B, Q, H, D], fp32 or fp16;  locations [B, Q, H, T, 2], fp32
//   T: the points of the first level, then those of the next; sums are fp32
//
// A thread has some channels of one query and head: its neighbours read the same locations and weights, and the rows of
// pixels beside each other. Cells are those of bilinear_sample.cuh with zeros outside, so that every read is in bounds.
#pragma once

#include "launch.cuh"

namespace onnxgs {

constexpr int kMostLevels = 16;

struct Attention {
    long long batch, pixels, queries;
    int heads, depth, levels;
    int height[kMostLevels], width[kMostLevels], points[kMostLevels];

    ONNXGS_BOTH long long outputs() const { return batch * queries * heads * depth; }
    ONNXGS_BOTH long long terms() const {
        long long sum = 0;
        for (int l = 0; l < levels; ++l) sum += points[l];
        return sum;
    }
};

// N channels at once.
template <typename T, int N>
struct alignas(sizeof(T) * N) Channels {
    T at[N];
};

ONNXGS_DEVICE float wide(float v) { return v; }
ONNXGS_DEVICE float wide(half_t v) { return half_to_float(v.bits); }
ONNXGS_DEVICE void narrow(float v, float& to) { to = v; }
ONNXGS_DEVICE void narrow(float v, half_t& to) { to.bits = float_to_half(v); }

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

template <typename T, int N>
ONNXGS_DEVICE void add_pixel(const T* at, float weight, float (&sums)[N]) {
    const Channels<T, N> own = *reinterpret_cast<const Channels<T, N>*>(at);
    for (int c = 0; c < N; ++c) sums[c] += wide(own.at[c]) * weight;
}

// `terms` are those of all levels.
template <typename T, int N>
ONNXGS_KERNEL attend(const T* value, const float* locations, const T* weights, T* output, Attention s, long long terms) {
    const long long index = static_cast<long long>(blockIdx.x) * kThreads + threadIdx.x;
    const int lanes = s.depth / N;
    const long long own = index / lanes;
    if (own >= s.batch * s.queries * s.heads) return;
    const int channel = static_cast<int>(index % lanes) * N;
    const long long row = static_cast<long long>(s.heads) * s.depth;
    const T* level = value + own / (s.queries * s.heads) * s.pixels * row + own % s.heads * s.depth + channel;
    long long term = own * terms;
    float sums[N] = {};
    for (int l = 0; l < s.levels; ++l) {
        const int height = s.height[l], width = s.width[l];
        const long long right = width > 1 ? row : 0, down = height > 1 ? width * row : 0;
        for (const long long end = term + s.points[l]; term < end; ++term) {
            float x0, x1, y0, y1;
            const int x = place_in_level(read(locations + 2 * term), width, x0, x1);
            const int y = place_in_level(read(locations + 2 * term + 1), height, y0, y1);
            const float weight = read(weights + term), top = y0 * weight, bottom = y1 * weight;
            const T* at = level + (static_cast<long long>(y) * width + x) * row;
            add_pixel<T, N>(at, top * x0, sums);
            add_pixel<T, N>(at + right, top * x1, sums);
            add_pixel<T, N>(at + down, bottom * x0, sums);
            add_pixel<T, N>(at + down + right, bottom * x1, sums);
        }
        level += static_cast<long long>(height) * width * row;
    }
    Channels<T, N> made;
    for (int c = 0; c < N; ++c) narrow(sums[c], made.at[c]);
    *reinterpret_cast<Channels<T, N>*>(output + own * s.depth + channel) = made;
}

// -- host code --------------------------------------------------------------------------------------------

// False for more blocks than a launch has.
template <typename T, typename Stream>
bool attend_all(const T* value, const float* locations, const T* weights, T* output, const Attention& s, Stream stream) {
    constexpr int kVector = 4;  // channels a thread: fewer read at once, more leave too few threads
    const size_t bits = reinterpret_cast<size_t>(value) | reinterpret_cast<size_t>(output);
    const bool many = s.depth % kVector == 0 && bits % sizeof(Channels<T, kVector>) == 0;
    const long long blocks = (s.outputs() / (many ? kVector : 1) + kThreads - 1) / kThreads;
    if (blocks > 0x7fffffffLL) return false;
    if (blocks == 0) return true;
    const unsigned count = static_cast<unsigned>(blocks);
    if (many)
        ONNXGS_LAUNCH((attend<T, kVector>), count, stream, value, locations, weights, output, s, s.terms());
    else
        ONNXGS_LAUNCH((attend<T, 1>), count, stream, value, locations, weights, output, s, s.terms());
    return true;
}

}  // namespace onnxgs
