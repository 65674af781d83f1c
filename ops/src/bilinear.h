// The kernel of onnxgs::BilinearSample, plain code that a compiler vectorises. See numbers.h for how it is included.
#pragma once

#include "numbers.h"

namespace onnxgs {
namespace ONNXGS_ISA {
namespace {

// -- from coordinates to cells ------------------------------------------------------------------------

// The cells of a block of points: offset of the first pixel in the plane, weights of the four, 1 inside of the window.
template <typename A>
struct Cells {
    int32_t offset[kMostBlock];
    A w00[kMostBlock], w01[kMostBlock], w10[kMostBlock], w11[kMostBlock], inside[kMostBlock];
};

template <typename G>
ONNXGS_INLINE G mirrored(G p, const Axis<G>& axis) {
    G period = largest_of<G>(2 * (axis.size - 1 + 2 * axis.margin), 1);
    G far = std::fabs(p + axis.margin);  // a mirror image of itself, and near 0 its digits are kept
    far = far - period * std::floor(far / period);
    return least_of(far, period - far) - axis.margin;
}

// Along one axis: the first pixel, and the weights of it and the next.
template <int BORDER, typename G>
ONNXGS_INLINE int32_t place(G p, const Axis<G>& axis, G& w0, G& w1) {
    if (BORDER >= kReflection) p = mirrored(p, axis);
    p = least_of(largest_of(p, axis.least), axis.most);
    int32_t first = static_cast<int32_t>(p);  // rounded towards 0, which -1 < p < 0 is clamped to anyway
    first = first < axis.size - 2 ? first : axis.size - 2;
    first = first > 0 ? first : 0;
    G d = p - static_cast<G>(first);
    w0 = 1 - d;
    w1 = d;
    if (BORDER != kZeros) return first;
    w0 = largest_of<G>(least_of<G>(w0, 1 + d), 0);
    w1 = largest_of<G>(least_of<G>(d, 2 - d), 0);
    return first;
}

// `x` and `y` by value, so that a compiler knows that no store changes them.
template <int BORDER, typename G, typename A>
void place_block(const G* ONNXGS_RESTRICT grid, int count, Axis<G> x, Axis<G> y, Cells<A>* ONNXGS_RESTRICT cells) {
    const G right = x.size > 1 ? G(1) : G(0), down = y.size > 1 ? G(1) : G(0);
    for (int i = 0; i < count; ++i) {
        G px = (grid[2 * i] + x.shift) * x.scale + x.move, py = (grid[2 * i + 1] + y.shift) * y.scale + y.move;
        bool within = (px >= x.low) & (px <= x.high) & (py >= y.low) & (py <= y.high);
        G x0, x1, y0, y1;
        int32_t column = place<BORDER>(px, x, x0, x1), row = place<BORDER>(py, y, y0, y1);
        A inside = within ? A(1) : A(0);
        A a0 = static_cast<A>(x0), a1 = static_cast<A>(x1 * right);
        A b0 = static_cast<A>(y0) * inside, b1 = static_cast<A>(y1 * down) * inside;
        cells->offset[i] = row * x.size + column;
        cells->inside[i] = inside;
        cells->w00[i] = a0 * b0;
        cells->w01[i] = a1 * b0;
        cells->w10[i] = a0 * b1;
        cells->w11[i] = a1 * b1;
    }
}

template <typename G, typename A>
using PlaceBlock = void (*)(const G* ONNXGS_RESTRICT, int, Axis<G>, Axis<G>, Cells<A>* ONNXGS_RESTRICT);

template <typename G, typename A>
PlaceBlock<G, A> place_for(const Codes& codes) {
    const Window window = kWindowTable[codes.window];
    // A window within the image leaves nothing to the border, and the cheapest serves; but a mirrored border that moves
    // the origin rounds what is inside too.
    if (codes.border != kSymmetric && window.bounded && window.low >= 0 && window.high < 0) return place_block<kBorder, G, A>;
    switch (codes.border) {
        case kZeros: return place_block<kZeros, G, A>;
        case kBorder: return place_block<kBorder, G, A>;
        default: return place_block<kReflection, G, A>;
    }
}

// -- channels first -----------------------------------------------------------------------------------

// One plane at a block of points. `right` and `down` lead to a cell's other pixels; 0 on an axis of one pixel.
template <typename T, typename A>
ONNXGS_INLINE void sample_plane(const T* ONNXGS_RESTRICT plane, const Cells<A>& cells, int from, int count, int right,
                                int down, T* ONNXGS_RESTRICT output) {
    for (int i = from; i < count; ++i) {
        const T* top = plane + cells.offset[i];
        const T* bottom = top + down;
        put(output + i, (number(top[0]) * cells.w00[i] + number(top[right]) * cells.w01[i]) +
                            (number(bottom[0]) * cells.w10[i] + number(bottom[right]) * cells.w11[i]));
    }
}

#ifdef __AVX2__
// Two neighbours of 8 points, read as pairs: eight loads of 64 bits cost less than a gather instruction.
ONNXGS_INLINE void pairs(const float* base, const int32_t* offset, __m256& left, __m256& right) {
    auto two = [&](int i, int j) {
        __m128 low = _mm_castsi128_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(base + offset[i])));
        return _mm_loadh_pi(low, reinterpret_cast<const __m64*>(base + offset[j]));
    };
    __m256 a = _mm256_insertf128_ps(_mm256_castps128_ps256(two(0, 1)), two(4, 5), 1);
    __m256 b = _mm256_insertf128_ps(_mm256_castps128_ps256(two(2, 3)), two(6, 7), 1);
    left = _mm256_shuffle_ps(a, b, 0x88);
    right = _mm256_shuffle_ps(a, b, 0xdd);
}

ONNXGS_INLINE __m256 blend(const Cells<float>& cells, int i, __m256 v00, __m256 v01, __m256 v10, __m256 v11) {
    __m256 top = _mm256_add_ps(_mm256_mul_ps(v00, _mm256_loadu_ps(cells.w00 + i)),
                               _mm256_mul_ps(v01, _mm256_loadu_ps(cells.w01 + i)));
    __m256 bottom = _mm256_add_ps(_mm256_mul_ps(v10, _mm256_loadu_ps(cells.w10 + i)),
                                  _mm256_mul_ps(v11, _mm256_loadu_ps(cells.w11 + i)));
    return _mm256_add_ps(top, bottom);
}

// `ahead`: bytes that are wanted next. Scattered points would wait for each of their cache lines by itself.
ONNXGS_INLINE int sample_pairs(const float* plane, const Cells<float>& cells, int count, int down, float* output,
                               const char* ahead, int64_t bytes) {
    const int64_t lines = ahead == nullptr ? 0 : (bytes / 64 * 8 + count - 1) / count;
    int i = 0;
    for (; i + 8 <= count; i += 8) {
        for (int64_t line = 0; line < lines; ++line) _mm_prefetch(ahead += 64, _MM_HINT_T0);
        __m256 v00, v01, v10, v11;
        pairs(plane, cells.offset + i, v00, v01);
        pairs(plane + down, cells.offset + i, v10, v11);
        _mm256_storeu_ps(output + i, blend(cells, i, v00, v01, v10, v11));
    }
    return i;
}
#else
ONNXGS_INLINE int sample_pairs(const float*, const Cells<float>&, int, int, float*, const char*, int64_t) { return 0; }
#endif
template <typename T, typename A>
ONNXGS_INLINE int sample_pairs(const T*, const Cells<A>&, int, int, T*, const char*, int64_t) { return 0; }

// -- channels last ------------------------------------------------------------------------------------

// CHANNELS: their number where it is known to the compiler, else 0.
template <int CHANNELS, typename T, typename A>
ONNXGS_INLINE void sample_rows(const T* image, const Cells<A>& cells, int count, int64_t channels, int64_t right,
                               int64_t down, T* ONNXGS_RESTRICT output) {
    const int64_t many = CHANNELS > 0 ? CHANNELS : channels;
    for (int i = 0; i < count; ++i) {
        const T* ONNXGS_RESTRICT v00 = image + cells.offset[i] * many;
        const T* ONNXGS_RESTRICT v01 = v00 + right;
        const T* ONNXGS_RESTRICT v10 = v00 + down;
        const T* ONNXGS_RESTRICT v11 = v10 + right;
        const A w00 = cells.w00[i], w01 = cells.w01[i], w10 = cells.w10[i], w11 = cells.w11[i];
        T* ONNXGS_RESTRICT to = output + i * many;
        for (int64_t c = 0; c < many; ++c)
            put(to + c, (number(v00[c]) * w00 + number(v01[c]) * w01) + (number(v10[c]) * w10 + number(v11[c]) * w11));
    }
}

// -- scattered points, few channels -------------------------------------------------------------------
//
// A scattered point waits for every cache line and page that it reads, two of each plane or more. In a copy its channels
// lie side by side.

template <typename T>
void copy_row(const Call& call, int64_t task) {
    const int64_t item = task / call.height, row = task % call.height, plane = call.height * call.width;
    const T* first = static_cast<const T*>(call.image) + item * call.channels * plane + row * call.width;
    const T* second = first + (call.channels > 1 ? 1 : 0) * plane;
    const T* third = first + (call.channels > 2 ? 2 : 0) * plane;
    const T* fourth = first + (call.channels > 3 ? 3 : 0) * plane;
    T* ONNXGS_RESTRICT to = static_cast<T*>(call.rows) + (item * plane + row * call.width) * kCopyChannels;
    for (int64_t x = 0; x < call.width; ++x) {
        to[4 * x] = first[x];
        to[4 * x + 1] = second[x];
        to[4 * x + 2] = third[x];
        to[4 * x + 3] = fourth[x];
    }
}

template <typename T, typename A>
ONNXGS_INLINE void sample_copy(const T* rows, const Cells<A>& cells, int count, int channels, int right, int down,
                               int64_t stride, T* output) {
    T samples[kBlock * 4];
    sample_rows<4>(rows, cells, count, 4, right * 4, static_cast<int64_t>(down) * 4, samples);
    for (int c = 0; c < channels; ++c) {
        T* ONNXGS_RESTRICT to = output + c * stride;
        for (int i = 0; i < count; ++i) to[i] = samples[i * 4 + c];
    }
}

// -- the operator ---------------------------------------------------------------------------------------

template <typename T, typename G>
struct Linear {
    using A = typename Sum<T>::type;
    using Block = Cells<A>;

    Axis<G> x, y;
    PlaceBlock<G, A> placed;

    explicit Linear(const Call& call)
        : x(axis_of<G>(call.width, call.codes)), y(axis_of<G>(call.height, call.codes)),
          placed(place_for<G, A>(call.codes)) {}

    void place(const G* grid, int count, Block* cells) const { placed(grid, count, x, y, cells); }

    static void planes(const Part& part, const Block& cells, int64_t point, int count) {
        const Call& call = part.call;
        const int64_t plane = call.height * call.width;
        const int right = call.width > 1 ? 1 : 0, down = call.height > 1 ? static_cast<int>(call.width) : 0;
        T* output = part.output_plane<T>(point);
        if (call.rows != nullptr)
            return sample_copy(static_cast<const T*>(call.rows) + part.item * plane * kCopyChannels, cells, count,
                               static_cast<int>(part.channels), right, down, call.points, output);
        const T* image = part.image_plane<T>();
        for (int64_t c = 0; c < part.channels; ++c, image += plane, output += call.points) {
            const T* next = call.ahead && c + 1 < part.channels ? image + plane : nullptr;
            int done = right ? sample_pairs(image, cells, count, down, output, reinterpret_cast<const char*>(next),
                                            plane * static_cast<int64_t>(sizeof(T))) : 0;
            sample_plane(image, cells, done, count, right, down, output);
        }
    }

    static void rows(const Part& part, const Block& cells, int64_t point, int count) {
        const Call& call = part.call;
        const int64_t channels = part.channels;
        const int64_t right = call.width > 1 ? channels : 0, down = call.height > 1 ? call.width * channels : 0;
        const T* image = part.image_rows<T>();
        T* output = part.output_rows<T>(point);
        switch (channels) {
            case 1: return sample_rows<1>(image, cells, count, channels, right, down, output);
            case 2: return sample_rows<2>(image, cells, count, channels, right, down, output);
            case 3: return sample_rows<3>(image, cells, count, channels, right, down, output);
            case 4: return sample_rows<4>(image, cells, count, channels, right, down, output);
            default: return sample_rows<0>(image, cells, count, channels, right, down, output);
        }
    }
};

}  // namespace
}  // namespace ONNXGS_ISA
}  // namespace onnxgs
