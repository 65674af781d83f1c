// Numbers of every type, and axes: from a coordinate of the grid to one in pixels. Included once for each instruction set,
// which names the namespace ONNXGS_ISA. Nothing here may be shared between them: all has internal linkage.
//
// No multiplication is fused with an addition (-ffp-contract=off), so that a coordinate is rounded as the operator's
// function body rounds it, and a result is the same on every machine.
#pragma once

#include <cmath>
#include <cstring>

#ifdef __AVX2__
#include <immintrin.h>
#endif

#include "sampler.h"

#ifdef _MSC_VER
#define ONNXGS_RESTRICT __restrict
#define ONNXGS_PREFETCH(at) (void)(at)
#define ONNXGS_INLINE static __forceinline
#else
#define ONNXGS_RESTRICT __restrict__
#define ONNXGS_PREFETCH(at) __builtin_prefetch(at)
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

// -- axes --------------------------------------------------------------------------------------

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


}  // namespace
}  // namespace ONNXGS_ISA
}  // namespace onnxgs
