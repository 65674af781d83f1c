// The kernels of onnxgs::NearestSample, one pixel a sample, and of onnxgs::CubicSample, four along each axis. A border acts
// on the index of a pixel. See numbers.h for how it is included.
#pragma once

#include "numbers.h"

namespace onnxgs {
namespace ONNXGS_ISA {
namespace {

// -- whole numbers ------------------------------------------------------------------------------------
//
// By additions, which every processor does several at a time: beyond `many` there are no fractions.

template <typename G>
ONNXGS_INLINE G to_even(G p) {
    const G many = sizeof(G) == sizeof(float) ? G(8388608) : G(4503599627370496), size = std::fabs(p);
    const G near = (size + many) - many;
    return std::copysign(size < many ? near : size, p);
}

template <typename G>
ONNXGS_INLINE G floor_of(G p) {
    const G near = to_even(p);
    return near > p ? near - 1 : near;
}

// `half` is 0 of kFloor, which is then kNearest.
template <int KERNEL, typename G>
ONNXGS_INLINE G rounded(G p, G half) {
    switch (KERNEL) {
        case kNearestDown: return 0 - floor_of(half - p);
        case kNearestAway: return p >= 0 ? floor_of(p + half) : 0 - floor_of(half - p);
        case kNearestEven: return to_even(p);
        default: return floor_of(p + half);
    }
}

// -- from coordinates to pixels ---------------------------------------------------------------------------

// A border that moves pixels leaves them within a `period`, mirrored where `back` is 1. `lenient`: those outside count.
template <typename G>
struct TapAxis : Axis<G> {
    G last, period, back, half;
    bool lenient;
};

template <typename G>
TapAxis<G> tap_axis_of(int64_t length, const Codes& codes) {
    const G size = static_cast<G>(length), times = codes.border == kWrap ? G(1) : G(2);
    const G period = times * size + (codes.border == kReflection ? G(-2) : G(0));
    const G back = codes.border == kWrap ? G(2) : G(1), half = codes.kernel == kFloor ? G(0) : G(0.5);
    return {axis_of<G>(length, codes), size - 1, largest_of<G>(period, 1), back, half, codes.border != kZeros};
}

// The index of a whole number, and whether that pixel counts. NaN becomes 0. MOVES: by periods, not to the edge alone.
template <bool MOVES, typename G>
ONNXGS_INLINE int32_t index_of(G tap, const TapAxis<G>& axis, bool& counts) {
    G i = tap;
    if (MOVES) {
        const G shifted = tap + axis.margin, phase = shifted - axis.period * floor_of(shifted / axis.period);
        i = least_of(phase, axis.period * axis.back - phase) - axis.margin;
    }
    i = least_of(largest_of<G>(i, 0), axis.last);
    counts = axis.lenient | (i == tap);
    return static_cast<int32_t>(i);
}

template <typename G>
ONNXGS_INLINE bool within(G px, G py, const TapAxis<G>& x, const TapAxis<G>& y) {
    return (px >= x.low) & (px <= x.high) & (py >= y.low) & (py <= y.high);
}

// -- one pixel --------------------------------------------------------------------------------------------

// Offset of the pixel in the plane; all bits where it counts, else none; 1 inside of the window.
struct Pixels {
    int32_t offset[kMostBlock], keep[kMostBlock];
    float inside[kMostBlock];
};

template <int KERNEL, bool MOVES, typename G>
void place_pixels(const G* ONNXGS_RESTRICT grid, int count, TapAxis<G> x, TapAxis<G> y, Pixels* ONNXGS_RESTRICT to) {
    for (int i = 0; i < count; ++i) {
        G px = (grid[2 * i] + x.shift) * x.scale + x.move, py = (grid[2 * i + 1] + y.shift) * y.scale + y.move;
        bool inside = within(px, py, x, y), column_counts, row_counts;
        int32_t column = index_of<MOVES>(rounded<KERNEL>(px, x.half), x, column_counts);
        int32_t row = index_of<MOVES>(rounded<KERNEL>(py, y.half), y, row_counts);
        to->offset[i] = row * x.size + column;
        to->keep[i] = inside & column_counts & row_counts ? -1 : 0;
        to->inside[i] = inside ? 1.0f : 0.0f;
    }
}

template <typename G>
using PlacePixels = void (*)(const G* ONNXGS_RESTRICT, int, TapAxis<G>, TapAxis<G>, Pixels* ONNXGS_RESTRICT);

template <bool MOVES, typename G>
PlacePixels<G> place_pixels_for(int64_t kernel) {
    switch (kernel) {
        case kNearestEven: return place_pixels<kNearestEven, MOVES, G>;
        case kNearestAway: return place_pixels<kNearestAway, MOVES, G>;
        case kNearestDown: return place_pixels<kNearestDown, MOVES, G>;
        default: return place_pixels<kNearest, MOVES, G>;
    }
}

template <int BYTES>
struct Bits { using type = uint32_t; };
template <>
struct Bits<2> { using type = uint16_t; };
template <>
struct Bits<8> { using type = uint64_t; };

#ifdef __AVX2__
// Pixels of 8 points in one register: eight loads cost less than a gather instruction.
ONNXGS_INLINE __m256i eight(const uint32_t* base, const int32_t* offset) {
    auto one = [&](int i) { return _mm_cvtsi32_si128(static_cast<int>(base[offset[i]])); };
    auto four = [&](int i) {
        return _mm_unpacklo_epi64(_mm_unpacklo_epi32(one(i), one(i + 1)), _mm_unpacklo_epi32(one(i + 2), one(i + 3)));
    };
    return _mm256_inserti128_si256(_mm256_castsi128_si256(four(0)), four(4), 1);
}

ONNXGS_INLINE int pick_eights(const uint32_t* plane, const Pixels& at, int count, uint32_t* output) {
    int i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256i keep = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at.keep + i));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(output + i), _mm256_and_si256(eight(plane, at.offset + i), keep));
    }
    return i;
}
#else
ONNXGS_INLINE int pick_eights(const uint32_t*, const Pixels&, int, uint32_t*) { return 0; }
#endif
template <typename U>
ONNXGS_INLINE int pick_eights(const U*, const Pixels&, int, U*) { return 0; }

// One plane at a block of points.
template <typename U>
ONNXGS_INLINE void pick(const U* ONNXGS_RESTRICT plane, const Pixels& at, int count, U* ONNXGS_RESTRICT output) {
    for (int i = pick_eights(plane, at, count, output); i < count; ++i)
        output[i] = plane[at.offset[i]] & static_cast<U>(at.keep[i]);
}

// CHANNELS: their number where it is known to the compiler, else 0.
template <int CHANNELS, typename U>
ONNXGS_INLINE void pick_rows(const U* ONNXGS_RESTRICT image, const Pixels& at, int count, int64_t channels,
                             U* ONNXGS_RESTRICT output) {
    const int64_t many = CHANNELS > 0 ? CHANNELS : channels;
    for (int i = 0; i < count; ++i) {
        const U* from = image + at.offset[i] * many;
        const U keep = static_cast<U>(at.keep[i]);
        for (int64_t c = 0; c < many; ++c) output[i * many + c] = from[c] & keep;
    }
}

// Bits are copied, whatever they mean: a pixel that does not count is 0, be it infinite.
template <typename T>
struct Picked {
    using U = typename Bits<sizeof(T)>::type;

    static void planes(const Part& part, const Pixels& at, int64_t point, int count) {
        const int64_t plane = part.call.height * part.call.width;
        const U* ONNXGS_RESTRICT image = part.image_plane<U>();
        U* ONNXGS_RESTRICT output = part.output_plane<U>(point);
        for (int64_t c = 0; c < part.channels; ++c, image += plane, output += part.call.points)
            pick(image, at, count, output);
    }

    static void rows(const Part& part, const Pixels& at, int64_t point, int count) {
        const U* image = part.image_rows<U>();
        U* output = part.output_rows<U>(point);
        switch (part.channels) {
            case 1: return pick_rows<1>(image, at, count, 1, output);
            case 2: return pick_rows<2>(image, at, count, 2, output);
            case 3: return pick_rows<3>(image, at, count, 3, output);
            case 4: return pick_rows<4>(image, at, count, 4, output);
            default: return pick_rows<0>(image, at, count, part.channels, output);
        }
    }
};

template <typename T, typename G>
struct Nearest : Picked<T> {
    using Block = Pixels;

    TapAxis<G> x, y;
    PlacePixels<G> placed;

    explicit Nearest(const Call& call)
        : x(tap_axis_of<G>(call.width, call.codes)), y(tap_axis_of<G>(call.height, call.codes)),
          placed(call.codes.border < kReflection ? place_pixels_for<false, G>(call.codes.kernel)
                                                 : place_pixels_for<true, G>(call.codes.kernel)) {}

    void place(const G* grid, int count, Block* cells) const { placed(grid, count, x, y, cells); }
};

// -- four pixels an axis --------------------------------------------------------------------------------------

// Of each point four columns and four rows, as offsets in the plane, and their weights, the window's in those of rows.
template <typename A>
struct Patches {
    int32_t column[kBlock][4], row[kBlock][4];
    A across[kBlock][4], down[kBlock][4], inside[kBlock];
};

// The weights of the pixels -1, 0, 1, 2 beside the cell's first one, at a fraction t of it; `a` is the kernel's parameter.
template <typename G>
ONNXGS_INLINE void cubic_weights(G t, G a, G (&w)[4]) {
    auto inner = [a](G d) { return ((a + 2) * d - (a + 3)) * (d * d) + 1; };
    auto outer = [a](G d) { return a * (((d - 5) * d + 8) * d - 4); };
    const G rest = 1 - t;
    w[0] = outer(t + 1);
    w[1] = inner(t);
    w[2] = inner(rest);
    w[3] = outer(rest + 1);
}

template <bool MOVES, typename G, typename A>
void place_patches(const G* ONNXGS_RESTRICT grid, int count, TapAxis<G> x, TapAxis<G> y, G a,
                   Patches<A>* ONNXGS_RESTRICT to) {
    for (int i = 0; i < count; ++i) {
        G px = (grid[2 * i] + x.shift) * x.scale + x.move, py = (grid[2 * i + 1] + y.shift) * y.scale + y.move;
        const bool inside = within(px, py, x, y);
        const G column = floor_of(px), row = floor_of(py);
        G across[4], down[4];
        cubic_weights(px - column, a, across);
        cubic_weights(py - row, a, down);
        for (int k = 0; k < 4; ++k) {
            bool column_counts, row_counts;
            to->column[i][k] = index_of<MOVES>(column + (k - 1), x, column_counts);
            to->row[i][k] = index_of<MOVES>(row + (k - 1), y, row_counts) * x.size;
            to->across[i][k] = column_counts ? static_cast<A>(across[k]) : A(0);
            to->down[i][k] = row_counts & inside ? static_cast<A>(down[k]) : A(0);
        }
        to->inside[i] = inside ? A(1) : A(0);
    }
}

constexpr int kAhead = 12;

template <typename A>
ONNXGS_INLINE A sum_of(A a, A b, A c, A d) { return (a + b) + (c + d); }

// One plane at a block of points. Four columns beside each other are read as one. AHEAD: rows of a later point are fetched,
// because a processor does not look far enough ahead by itself.
template <bool AHEAD, typename T, typename A>
ONNXGS_INLINE void sample_patches(const T* ONNXGS_RESTRICT plane, const Patches<A>& at, int count, T* ONNXGS_RESTRICT output) {
    for (int i = 0; i < count; ++i) {
        const int32_t(&column)[4] = at.column[i], (&row)[4] = at.row[i];
        if (AHEAD && i + kAhead < count)
            for (int32_t line : at.row[i + kAhead]) ONNXGS_PREFETCH(plane + at.column[i + kAhead][0] + line);
        const A(&across)[4] = at.across[i], (&down)[4] = at.down[i];
        A sums[4];
        if (column[3] - column[0] == 3) {
            const T* first = plane + column[0];
            for (int k = 0; k < 4; ++k)
                sums[k] = sum_of(number(first[row[0] + k]) * down[0], number(first[row[1] + k]) * down[1],
                                 number(first[row[2] + k]) * down[2], number(first[row[3] + k]) * down[3]);
        } else {
            for (int k = 0; k < 4; ++k) {
                const T* from = plane + column[k];
                sums[k] = sum_of(number(from[row[0]]) * down[0], number(from[row[1]]) * down[1],
                                 number(from[row[2]]) * down[2], number(from[row[3]]) * down[3]);
            }
        }
        put(output + i, sum_of(sums[0] * across[0], sums[1] * across[1], sums[2] * across[2], sums[3] * across[3]));
    }
}

// Channels last: one row of the patch after the other is added.
template <typename T, typename A>
ONNXGS_INLINE void sample_patch_rows(const T* ONNXGS_RESTRICT image, const Patches<A>& at, int count, int64_t channels,
                                     T* ONNXGS_RESTRICT output) {
    constexpr int kSome = 64;
    for (int i = 0; i < count; ++i) {
        const A(&w)[4] = at.across[i];
        for (int64_t c = 0; c < channels; c += kSome) {
            const int many = static_cast<int>(std::min<int64_t>(kSome, channels - c));
            A sums[kSome] = {};
            for (int r = 0; r < 4; ++r) {
                const T* line = image + at.row[i][r] * channels + c;
                const T* ONNXGS_RESTRICT v0 = line + at.column[i][0] * channels;
                const T* ONNXGS_RESTRICT v1 = line + at.column[i][1] * channels;
                const T* ONNXGS_RESTRICT v2 = line + at.column[i][2] * channels;
                const T* ONNXGS_RESTRICT v3 = line + at.column[i][3] * channels;
                const A down = at.down[i][r];
                for (int k = 0; k < many; ++k)
                    sums[k] += sum_of(number(v0[k]) * w[0], number(v1[k]) * w[1], number(v2[k]) * w[2],
                                      number(v3[k]) * w[3]) * down;
            }
            for (int k = 0; k < many; ++k) put(output + i * channels + c + k, sums[k]);
        }
    }
}

template <typename T>
struct Patched {
    using Block = Patches<typename Sum<T>::type>;

    static void planes(const Part& part, const Block& at, int64_t point, int count) {
        const int64_t plane = part.call.height * part.call.width;
        const T* image = part.image_plane<T>();
        T* output = part.output_plane<T>(point);
        for (int64_t c = 0; c < part.channels; ++c, image += plane, output += part.call.points)
            part.call.ahead ? sample_patches<true>(image, at, count, output) : sample_patches<false>(image, at, count, output);
    }

    static void rows(const Part& part, const Block& at, int64_t point, int count) {
        sample_patch_rows(part.image_rows<T>(), at, count, part.channels, part.output_rows<T>(point));
    }
};

template <typename T, typename G>
struct Cubic : Patched<T> {
    using Block = typename Patched<T>::Block;

    TapAxis<G> x, y;
    G a;
    bool moves;

    explicit Cubic(const Call& call)
        : x(tap_axis_of<G>(call.width, call.codes)), y(tap_axis_of<G>(call.height, call.codes)),
          a(call.codes.kernel == kCubic ? G(-0.75) : G(-0.5)), moves(call.codes.border >= kReflection) {}

    void place(const G* grid, int count, Block* cells) const {
        if (moves) return place_patches<true>(grid, count, x, y, a, cells);
        place_patches<false>(grid, count, x, y, a, cells);
    }
};

}  // namespace
}  // namespace ONNXGS_ISA
}  // namespace onnxgs
