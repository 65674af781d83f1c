// The kernels of onnxgs::NearestSample, one pixel a sample, and of onnxgs::CubicSample, four along each axis.
//
// A border acts on the index of a pixel. A thread has one point and every 2^lane_bits-th channel of a chunk: channels last,
// so that the threads of a point read beside each other. blockIdx: x points, y chunks of channels, z items of the batch.
#pragma once

#include "bilinear_sample.cuh"

namespace onnxgs {

// What a launch is told beside its tensors; the batch's items are those from the pointers on.
struct Taps {
    Sampler s;
    Codes codes;
    int chunk, lane_bits;
};

ONNXGS_DEVICE float tap_floor(float p, int kernel) {
    switch (kernel) {
        case kNearest: return floorf(__fadd_rn(p, 0.5f));
        case kNearestEven: return rintf(p);
        case kNearestAway: return p >= 0.0f ? floorf(__fadd_rn(p, 0.5f)) : 0.0f - floorf(__fadd_rn(0.5f, -p));
        case kNearestDown: return 0.0f - floorf(__fadd_rn(0.5f, -p));
        default: return floorf(p);
    }
}

// The index of a whole number, and whether that pixel counts; NaN becomes 0.
ONNXGS_DEVICE int tap_index(float tap, int size, int border, bool& counts) {
    float i = tap, length = static_cast<float>(size);
    if (border >= kReflectCentres) {
        float margin = border == kReflectEdges ? 0.5f : 0.0f;
        float period = border == kWrap ? length : 2.0f * length - (border == kReflectCentres ? 2.0f : 0.0f);
        period = fmaxf(period, 1.0f);
        float shifted = __fadd_rn(tap, margin);
        float phase = __fadd_rn(shifted, -__fmul_rn(period, floorf(shifted / period)));
        i = border == kWrap ? phase : __fadd_rn(fminf(phase, period - phase), -margin);
    }
    i = fminf(fmaxf(i, 0.0f), length - 1.0f);
    counts = border != kZeros || i == tap;
    return static_cast<int>(i);
}

// A point of a thread, and where its channels are.
template <typename T>
struct TapThread {
    Pair at;
    const T* image;  // the item's
    T* output;
    long long pixel_step, image_step, output_step;
    int channel, end, lanes;
    bool inside, works;

    ONNXGS_DEVICE TapThread(const T* first, const Pair* grid, T* to, const Taps& call) {
        const Sampler& s = call.s;
        int point = blockIdx.x * (kThreads >> call.lane_bits) + (threadIdx.x >> call.lane_bits);
        lanes = 1 << call.lane_bits;
        channel = blockIdx.y * call.chunk + (threadIdx.x & (lanes - 1));
        end = blockIdx.y * call.chunk + call.chunk < s.channels ? blockIdx.y * call.chunk + call.chunk : s.channels;
        works = point < s.points && channel < end;
        if (!works) return;
        bool last = call.codes.layout == kNHWC;
        pixel_step = last ? s.channels : 1;
        image_step = last ? 1 : s.plane;
        output_step = last ? 1 : s.points;
        long long item = blockIdx.z;
        image = first + item * s.channels * s.plane + channel * image_step;
        output = to + item * s.channels * s.points + point * pixel_step + channel * output_step;
        Pair g = grid[item * s.points + point];
        at = {in_pixels(g.x, s.x), in_pixels(g.y, s.y)};
        inside = at.x >= s.x.low && at.x <= s.x.high && at.y >= s.y.low && at.y <= s.y.high;
    }

    ONNXGS_DEVICE void next() {
        channel += lanes;
        image += lanes * image_step;
        output += lanes * output_step;
    }
};

ONNXGS_DEVICE float copied(const float* at) { return __ldg(at); }
ONNXGS_DEVICE half_t copied(const half_t* at) { return {__ldg(&at->bits)}; }
ONNXGS_DEVICE void put(float* at, float v) { __stcs(at, v); }
ONNXGS_DEVICE void put(half_t* at, half_t v) { __stcs(&at->bits, v.bits); }

// Bits are copied, whatever they mean: a pixel that does not count is 0, be it infinite.
template <typename T>
ONNXGS_KERNEL sample_nearest(const T* first, const Pair* grid, T* to, Taps call) {
    TapThread<T> thread(first, grid, to, call);
    if (!thread.works) return;
    const Sampler& s = call.s;
    bool column_counts, row_counts;
    int column = tap_index(tap_floor(thread.at.x, call.codes.kernel), s.x.size, call.codes.border, column_counts);
    int row = tap_index(tap_floor(thread.at.y, call.codes.kernel), s.y.size, call.codes.border, row_counts);
    bool counts = thread.inside && column_counts && row_counts;
    long long offset = (static_cast<long long>(row) * s.x.size + column) * thread.pixel_step;
    for (; thread.channel < thread.end; thread.next()) put(thread.output, counts ? copied(thread.image + offset) : T{});
}

ONNXGS_DEVICE float cubic_inner(float d, float a) {
    float slope = __fadd_rn(__fmul_rn(a + 2.0f, d), -(a + 3.0f));
    return __fadd_rn(__fmul_rn(slope, __fmul_rn(d, d)), 1.0f);
}
ONNXGS_DEVICE float cubic_outer(float d, float a) {
    float slope = __fadd_rn(__fmul_rn(__fadd_rn(d, -5.0f), d), 8.0f);
    return __fmul_rn(a, __fadd_rn(__fmul_rn(slope, d), -4.0f));
}

// Along one axis: indices and weights of the pixels -1, 0, 1, 2 beside the cell's first one; each rounding is one of the
// node's function body.
ONNXGS_DEVICE void place_taps(float p, int size, const Codes& codes, int (&index)[4], float (&w)[4]) {
    float a = codes.kernel == kCubic ? -0.75f : -0.5f, first = floorf(p), t = p - first, rest = 1.0f - t;
    w[0] = cubic_outer(__fadd_rn(t, 1.0f), a);
    w[1] = cubic_inner(t, a);
    w[2] = cubic_inner(rest, a);
    w[3] = cubic_outer(__fadd_rn(rest, 1.0f), a);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        bool counts;
        index[k] = tap_index(first + static_cast<float>(k - 1), size, codes.border, counts);
        if (!counts) w[k] = 0.0f;
    }
}

template <typename T>
ONNXGS_KERNEL sample_cubic(const T* first, const Pair* grid, T* to, Taps call) {
    TapThread<T> thread(first, grid, to, call);
    if (!thread.works) return;
    int columns[4], rows[4];
    float across[4], down[4];
    place_taps(thread.at.x, call.s.x.size, call.codes, columns, across);
    place_taps(thread.at.y, call.s.y.size, call.codes, rows, down);
#pragma unroll
    for (int k = 0; k < 4; ++k)
        if (!thread.inside) down[k] = 0.0f;
    for (; thread.channel < thread.end; thread.next()) {
        float v[4][4], sum = 0.0f;
#pragma unroll
        for (int r = 0; r < 4; ++r) {
            const T* line = thread.image + static_cast<long long>(rows[r]) * call.s.x.size * thread.pixel_step;
#pragma unroll
            for (int k = 0; k < 4; ++k) v[r][k] = read(line + columns[k] * thread.pixel_step);
        }
#pragma unroll
        for (int r = 0; r < 4; ++r)
            sum += ((v[r][0] * across[0] + v[r][1] * across[1]) + (v[r][2] * across[2] + v[r][3] * across[3])) * down[r];
        write(thread.output, sum);
    }
}

}  // namespace onnxgs
