// The kernel, plain code that a compiler vectorises: included once for each instruction set, which names
// the namespace ONNXGS_ISA. Nothing here may be shared between them: all has internal linkage.
//
// No multiplication is fused with an addition (-ffp-contract=off), so that a coordinate is rounded as the operator's
// function body rounds it, and a result is the same on every machine.

#include <cmath>
#include <cstring>

#ifdef __AVX2__
#include <immintrin.h>
#endif

#include "sampler.h"

#ifdef _MSC_VER
#define ONNXGS_RESTRICT __restrict
#define ONNXGS_INLINE static __forceinline
#else
#define ONNXGS_RESTRICT __restrict__
#define ONNXGS_INLINE static inline __attribute__((always_inline))
#endif

namespace onnxgs {
namespace ONNXGS_ISA {
namespace {

// -- numbers ----------------------------------------------------------------------------------------

template <typename T>
struct Sum { using type = float; };
template <>
struct Sum<double> { using type = double; };

template <typename To, typename From>
ONNXGS_INLINE To bits_of(From value) {
    static_assert(sizeof(To) == sizeof(From), "a copy of bits");
    To result;
    std::memcpy(&result, &value, sizeof result);
    return result;
}

ONNXGS_INLINE float number(float v) { return v; }
ONNXGS_INLINE double number(double v) { return v; }
ONNXGS_INLINE float number(half_t h) {
    uint32_t magnitude = h.bits & 0x7fffu, sign = (h.bits & 0x8000u) << 16;
    float scaled = bits_of<float>(magnitude << 13) * bits_of<float>(0x77800000u);  // 2^112: denormals too
    uint32_t bits = magnitude >= 0x7c00u ? magnitude << 13 | 0x7f800000u : bits_of<uint32_t>(scaled);
    return bits_of<float>(bits | sign);
}

ONNXGS_INLINE void put(float* at, float v) { *at = v; }
ONNXGS_INLINE void put(double* at, double v) { *at = v; }
ONNXGS_INLINE void put(half_t* at, float v) {
    uint32_t bits = bits_of<uint32_t>(v), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    // Adding 1/2 moves a denormal's bits to the end and rounds them; the others are rounded to even by hand.
    uint32_t small = bits_of<uint32_t>(bits_of<float>(magnitude) + 0.5f) - 0x3f000000u;
    uint32_t normal = (magnitude + 0xfffu + (magnitude >> 13 & 1u) - 0x38000000u) >> 13;
    uint32_t result = magnitude < 0x38800000u ? small : normal;
    result = magnitude >= 0x477ff000u ? 0x7c00u : result;
    result = magnitude > 0x7f800000u ? 0x7e00u : result;
    at->bits = static_cast<uint16_t>(result | sign);
}

template <typename G>
ONNXGS_INLINE G least_of(G a, G b) { return a < b ? a : b; }
// The second where the first is NaN: a clamped coordinate is in the image whatever it was.
template <typename G>
ONNXGS_INLINE G largest_of(G a, G b) { return a > b ? a : b; }

// -- from coordinates to cells ------------------------------------------------------------------------

// One axis: p = (g + shift) * scale + move; the window is [low, high]; p is clamped to [least, most].
template <typename G>
struct Axis {
    int size;
    G shift, scale, move, low, high, least, most, margin;
};

struct Window {
    int low, high;
    bool bounded, low_closed, high_closed;
};

constexpr Window kWindowTable[kWindows] = {
    {0, 0, false, true, true}, {0, -1, true, true, false},  {0, -1, true, true, true}, {0, -1, true, false, false},
    {0, -1, true, false, true}, {-1, 0, true, false, false}, {-1, 0, true, true, true}, {0, 0, true, true, false},
};

template <typename G>
Axis<G> axis_of(int64_t length, const Codes& codes) {
    const G infinity = static_cast<G>(HUGE_VAL), size = static_cast<G>(length);
    Axis<G> axis{static_cast<int>(length), 0, 1, 0, -infinity, infinity, 0, size - 1, 0};
    if (codes.coordinates == kNormalised) axis.scale = size * G(0.5), axis.shift = 1, axis.move = G(-0.5);
    if (codes.coordinates == kNormalisedCorners) axis.scale = (size - 1) * G(0.5), axis.shift = 1;
    if (codes.border == kZeros) axis.least = -1, axis.most = size;
    if (codes.border == kSymmetric) axis.margin = G(0.5);
    const Window window = kWindowTable[codes.window];
    if (!window.bounded) return axis;
    G low = static_cast<G>(window.low), high = size + static_cast<G>(window.high);
    axis.low = window.low_closed ? low : std::nextafter(low, infinity);
    axis.high = window.high_closed ? high : std::nextafter(high, -infinity);
    return axis;
}

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

// -- a task -------------------------------------------------------------------------------------------

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

template <typename T, typename A>
ONNXGS_INLINE void write_mask(const Cells<A>& cells, int count, T* ONNXGS_RESTRICT mask) {
    for (int i = 0; i < count; ++i) put(mask + i, cells.inside[i]);
}

template <typename T>
void fill_zeros(T* output, int64_t count) { std::memset(static_cast<void*>(output), 0, sizeof(T) * count); }

template <typename T, typename G>
struct Task {
    using A = typename Sum<T>::type;

    const Call& call;
    int64_t item, first_channel, channels, first_point;

    // The block's channels, from cells that are known.
    void planes(const Cells<A>& cells, int64_t point, int count) const {
        const int64_t plane = call.height * call.width;
        const int right = call.width > 1 ? 1 : 0, down = call.height > 1 ? static_cast<int>(call.width) : 0;
        T* output = static_cast<T*>(call.output) + (item * call.channels + first_channel) * call.points + point;
        if (call.rows != nullptr)
            return sample_copy(static_cast<const T*>(call.rows) + item * plane * kCopyChannels, cells, count,
                               static_cast<int>(channels), right, down, call.points, output);
        const T* image = static_cast<const T*>(call.image) + (item * call.channels + first_channel) * plane;
        for (int64_t c = 0; c < channels; ++c, image += plane, output += call.points) {
            const T* next = call.ahead && c + 1 < channels ? image + plane : nullptr;
            int done = right ? sample_pairs(image, cells, count, down, output, reinterpret_cast<const char*>(next),
                                            plane * static_cast<int64_t>(sizeof(T))) : 0;
            sample_plane(image, cells, done, count, right, down, output);
        }
    }

    void rows(const Cells<A>& cells, int64_t point, int count) const {
        const int64_t right = call.width > 1 ? channels : 0, down = call.height > 1 ? call.width * channels : 0;
        const T* image = static_cast<const T*>(call.image) + item * call.height * call.width * channels;
        T* output = static_cast<T*>(call.output) + (item * call.points + point) * channels;
        switch (channels) {
            case 1: return sample_rows<1>(image, cells, count, channels, right, down, output);
            case 2: return sample_rows<2>(image, cells, count, channels, right, down, output);
            case 3: return sample_rows<3>(image, cells, count, channels, right, down, output);
            case 4: return sample_rows<4>(image, cells, count, channels, right, down, output);
            default: return sample_rows<0>(image, cells, count, channels, right, down, output);
        }
    }

    void zeros(int64_t point, int count) const {
        T* output = static_cast<T*>(call.output);
        if (call.codes.layout == kNHWC) return fill_zeros(output + (item * call.points + point) * channels, count * channels);
        for (int64_t c = first_channel; c < first_channel + channels; ++c)
            fill_zeros(output + (item * call.channels + c) * call.points + point, count);
    }

    void run() const {
        const Axis<G> x = axis_of<G>(call.width, call.codes), y = axis_of<G>(call.height, call.codes);
        const PlaceBlock<G, A> place = place_for<G, A>(call.codes);
        const G* grid = static_cast<const G*>(call.grid) + item * call.points * 2;
        T* mask = first_channel > 0 || call.mask == nullptr ? nullptr : static_cast<T*>(call.mask) + item * call.points;
        const int64_t end = std::min(call.points, first_point + call.task_points);
        Cells<A> cells;
        for (int64_t point = first_point; point < end; point += call.block) {
            const int count = static_cast<int>(std::min(call.block, end - point));
            place(grid + 2 * point, count, x, y, &cells);
            if (mask != nullptr) write_mask(cells, count, mask + point);
            if (call.height * call.width == 0)
                zeros(point, count);
            else if (call.codes.layout == kNHWC)
                rows(cells, point, count);
            else
                planes(cells, point, count);
        }
    }
};

template <typename T, typename G>
void sample_as(const Call& call, int64_t task) {
    int64_t part = task % call.point_parts(), rest = task / call.point_parts();
    int64_t group = rest % call.channel_parts(), item = rest / call.channel_parts();
    int64_t first = group * call.task_channels;
    Task<T, G>{call, item, first, std::min(call.task_channels, call.channels - first), part * call.task_points}.run();
}

void sample(const Call& call, int64_t task) {
    bool wide = call.grid_type == kDouble;
    switch (call.image_type) {
        case kHalf: return wide ? sample_as<half_t, double>(call, task) : sample_as<half_t, float>(call, task);
        case kDouble: return wide ? sample_as<double, double>(call, task) : sample_as<double, float>(call, task);
        default: return wide ? sample_as<float, double>(call, task) : sample_as<float, float>(call, task);
    }
}

void copy(const Call& call, int64_t row) {
    switch (call.image_type) {
        case kHalf: return copy_row<half_t>(call, row);
        case kDouble: return copy_row<double>(call, row);
        default: return copy_row<float>(call, row);
    }
}

}  // namespace

Kernels kernels() { return {sample, copy}; }

}  // namespace ONNXGS_ISA
}  // namespace onnxgs
