// The kernel of onnxgs::DeformableAttention, plain code that a compiler vectorises. See numbers.h for how it is included.
//
// A term reads four rows of channels anywhere in its level: what takes the time is waiting for them. So the rows of the
// next head are fetched while those of the one before it are added up.
#pragma once

#include <vector>

#include "attention.h"
#include "numbers.h"

namespace onnxgs {
namespace ONNXGS_ISA {
namespace {

constexpr int kTerms = 64;  // whose cells are kept at a time
constexpr int kDepth = 32;  // channels whose sums are kept in registers

// Of a run of terms of a head: sizes and first pixel of their levels, and how far the next column and row of pixels are.
struct Levels {
    float width[kTerms], height[kTerms];
    int32_t start[kTerms], across[kTerms];
    int64_t right[kTerms], down[kTerms];
};

// The first pixel of each one's cell, and the weights of its four.
struct Corners {
    int32_t pixel[kTerms];
    float w00[kTerms], w01[kTerms], w10[kTerms], w11[kTerms];
};

// Along one axis: the first pixel, and the weights of it and the next; zeros outside.
ONNXGS_INLINE int32_t cell(float place, float size, float& w0, float& w1) {
    const float p = least_of(largest_of(place * size - 0.5f, -1.0f), size);
    int32_t first = static_cast<int32_t>(least_of(p, size - 2));  // rounded towards 0, which what is below is clamped to
    first = first > 0 ? first : 0;
    const float d = p - static_cast<float>(first);
    w0 = largest_of(least_of(1 - d, 1 + d), 0.0f);
    w1 = largest_of(least_of(d, 2 - d), 0.0f) * least_of(size - 1, 1.0f);
    return first;
}

// Levels of the terms `from` to `from + count`; `row` is how far apart pixels of the value are.
ONNXGS_INLINE void find_levels(const Attention& call, int64_t from, int count, int64_t row, Levels* ONNXGS_RESTRICT of) {
    int64_t first = 0, level = 0, end = call.points(0);
    for (int i = 0; i < count; ++i) {
        for (; from + i >= end; end += call.points(++level)) first += call.height(level) * call.width(level);
        const int64_t height = call.height(level), width = call.width(level);
        of->height[i] = static_cast<float>(height);
        of->width[i] = static_cast<float>(width);
        of->start[i] = static_cast<int32_t>(first);
        of->across[i] = static_cast<int32_t>(width);
        of->right[i] = width > 1 ? row : 0;
        of->down[i] = height > 1 ? width * row : 0;
    }
}

template <typename T>
ONNXGS_INLINE void find_corners(const Levels& of, const float* ONNXGS_RESTRICT places, const T* ONNXGS_RESTRICT weights,
                                int count, Corners* ONNXGS_RESTRICT corners) {
    for (int i = 0; i < count; ++i) {
        float x0, x1, y0, y1;
        const int32_t x = cell(places[2 * i], of.width[i], x0, x1);
        const int32_t y = cell(places[2 * i + 1], of.height[i], y0, y1);
        const float weight = number(weights[i]), top = y0 * weight, bottom = y1 * weight;
        corners->pixel[i] = of.start[i] + y * of.across[i] + x;
        corners->w00[i] = top * x0;
        corners->w01[i] = top * x1;
        corners->w10[i] = bottom * x0;
        corners->w11[i] = bottom * x1;
    }
}

// The terms of one head.
template <typename T>
struct Head {
    const T* value;
    int64_t row;
    const Levels& levels;
    const Corners& corners;
    int count;

    const T* cell(int i) const { return value + corners.pixel[i] * row; }
    void fetch(int i) const {
        constexpr int kLine = 64 / sizeof(T);
        const T* first = cell(i);
        for (const T* at : {first, first + levels.right[i]}) {
            ONNXGS_PREFETCH(at);
            ONNXGS_PREFETCH(at + kLine);
            ONNXGS_PREFETCH(at + levels.down[i]);
            ONNXGS_PREFETCH(at + levels.down[i] + kLine);
        }
    }
};

// CHANNELS: their number where it is known to the compiler, else 0. `sums` go on from what they hold.
template <int CHANNELS, typename T>
ONNXGS_INLINE void add_terms(const Head<T>& of, int64_t from, int channels, const Head<T>* next,
                             float* ONNXGS_RESTRICT sums) {
    const int many = CHANNELS > 0 ? CHANNELS : channels;
    float own[kDepth];
    for (int c = 0; c < many; ++c) own[c] = sums[c];
    for (int i = 0; i < of.count; ++i) {
        if (next != nullptr) next->fetch(i);
        const T* v00 = of.cell(i) + from;
        const T* v01 = v00 + of.levels.right[i];
        const T* v10 = v00 + of.levels.down[i];
        const T* v11 = v10 + of.levels.right[i];
        const float w00 = of.corners.w00[i], w01 = of.corners.w01[i], w10 = of.corners.w10[i], w11 = of.corners.w11[i];
        for (int c = 0; c < many; ++c)
            own[c] += (number(v00[c]) * w00 + number(v01[c]) * w01) + (number(v10[c]) * w10 + number(v11[c]) * w11);
    }
    for (int c = 0; c < many; ++c) sums[c] = own[c];
}

template <typename T>
ONNXGS_INLINE void add_head(const Head<T>& of, int64_t depth, const Head<T>* next, float* sums) {
    int64_t c = 0;
    for (; c + kDepth <= depth; c += kDepth, next = nullptr) add_terms<kDepth>(of, c, kDepth, next, sums + c);
    for (; c + 8 <= depth; c += 8, next = nullptr) add_terms<8>(of, c, 8, next, sums + c);
    if (c < depth) add_terms<0>(of, c, static_cast<int>(depth - c), next, sums + c);
}

// Adds to `sums`, [queries, H, D] of the task, what those of heads `begin` to `end` are.
template <typename T>
void add_heads(const Attention& call, int64_t item, int64_t begin, int64_t end, float* sums) {
    const int64_t row = call.heads * call.depth, terms = call.terms;
    const T* value = static_cast<const T*>(call.value) + item * call.pixels * row;
    const T* weights = static_cast<const T*>(call.weights);
    Levels levels;
    Corners corners[2];
    for (int64_t from = 0; from < terms; from += kTerms) {
        const int count = static_cast<int>(std::min<int64_t>(kTerms, terms - from));
        find_levels(call, from, count, row, &levels);
        auto found = [&](int64_t own) {
            const int64_t term = own * terms + from;
            find_corners(levels, call.locations + 2 * term, weights + term, count, &corners[own % 2]);
            return Head<T>{value + own % call.heads * call.depth, row, levels, corners[own % 2], count};
        };
        if (begin < end) found(begin);
        for (int64_t own = begin; own < end; ++own) {
            const Head<T> head{value + own % call.heads * call.depth, row, levels, corners[own % 2], count};
            const Head<T> next = own + 1 < end ? found(own + 1) : head;
            add_head(head, call.depth, own + 1 < end ? &next : nullptr, sums + (own - begin) * call.depth);
        }
    }
}

void attend(const Attention& call, int64_t task) {
    const int64_t item = task / call.parts(), first = task % call.parts() * Attention::kTaskQueries;
    const int64_t begin = (item * call.queries + first) * call.heads;
    const int64_t end = (item * call.queries + std::min(call.queries, first + Attention::kTaskQueries)) * call.heads;
    const int64_t count = (end - begin) * call.depth;
    if (!call.halves) {
        float* sums = static_cast<float*>(call.output) + begin * call.depth;
        std::fill(sums, sums + count, 0.0f);
        return add_heads<float>(call, item, begin, end, sums);
    }
    std::vector<float> sums(static_cast<size_t>(count));
    add_heads<half_t>(call, item, begin, end, sums.data());
    half_t* output = static_cast<half_t*>(call.output) + begin * call.depth;
    for (int64_t i = 0; i < count; ++i) put(output + i, sums[static_cast<size_t>(i)]);
}

}  // namespace
}  // namespace ONNXGS_ISA
}  // namespace onnxgs
