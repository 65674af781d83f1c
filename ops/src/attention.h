// One call of DeformableAttention: its sizes and tensors, and how it is divided into tasks.
#pragma once

#include <cstdint>

namespace onnxgs {

// output [B, Q, H, D] of value [B, S, H, D], levels [L, 3] (rows, columns and points of each), locations [B, Q, H, T, 2] and
// weights [B, Q, H, T], whose terms are the points of the first level, then those of the next. Locations are float32;
// value, weights and output are all float32 or all float16.
struct Attention {
    int64_t batch, pixels, heads, depth, queries, levels, terms;
    bool halves;
    const void* value;
    const int64_t* sizes;
    const float* locations;
    const void* weights;
    void* output;

    static constexpr int64_t kTaskQueries = 32, kPerLevel = 3;
    int64_t height(int64_t level) const { return sizes[kPerLevel * level]; }
    int64_t width(int64_t level) const { return sizes[kPerLevel * level + 1]; }
    int64_t points(int64_t level) const { return sizes[kPerLevel * level + 2]; }
    int64_t parts() const { return (queries + kTaskQueries - 1) / kTaskQueries; }
    int64_t tasks() const { return batch * parts(); }
};

}  // namespace onnxgs
