// One call of DeformableAttention: its sizes and tensors, and how it is divided into tasks.
#pragma once

#include <cstdint>

namespace onnxgs {

// output [B, Q, H, D] of value [B, S, H, D], levels [L, 2] rows and columns, locations [B, Q, H, L, P, 2] and weights
// [B, Q, H, L, P]; all are float32 but for the levels.
struct Attention {
    int64_t batch, pixels, heads, depth, queries, levels, points;
    const float* value;
    const int64_t* sizes;
    const float* locations;
    const float* weights;
    float* output;

    static constexpr int64_t kTaskQueries = 32;
    int64_t terms() const { return levels * points; }
    int64_t parts() const { return (queries + kTaskQueries - 1) / kTaskQueries; }
    int64_t tasks() const { return batch * parts(); }
};

}  // namespace onnxgs
