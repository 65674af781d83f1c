// What DeformableAttention is to onnxruntime, whatever computes it: types, tensors of a call, what is refused.
#pragma once

#include "attention.h"
#include "operator.h"

namespace onnxgs {

constexpr Family kAttention = {"DeformableAttention", 0, 0, 0};
constexpr size_t kAttentionInputs = 4;
constexpr int kInt64 = 7;

// An input's sizes, of which there are `rank`, and its data.
inline ort::Status* read_tensor(const ort::Api* api, ort::KernelContext* context, size_t index, size_t rank,
                                int64_t* dims, const void*& data) {
    const ort::Value* value = nullptr;
    ONNXGS_TRY(api->KernelContext_GetInput()(context, index, &value));
    ort::TensorInfo* info = nullptr;
    ONNXGS_TRY(api->GetTensorTypeAndShape()(value, &info));
    size_t found = 0;
    ort::Status* status = api->GetDimensionsCount()(info, &found);
    if (status == nullptr && found == rank) status = api->GetDimensions()(info, dims, rank);
    api->ReleaseTensorTypeAndShapeInfo()(info);
    if (status != nullptr) return status;
    if (found != rank) return refusal(api, "onnxgs::DeformableAttention: an input has another number of axes");
    void* at = nullptr;
    ONNXGS_TRY(api->GetTensorMutableData()(const_cast<ort::Value*>(value), &at));
    data = at;
    return nullptr;
}

inline const char* wrong_levels(const Attention& call) {
    int64_t pixels = 0;
    if (call.pixels > INT64_C(0x7fffffff)) return "onnxgs::DeformableAttention: value has 2^31 pixels or more";
    for (int64_t level = 0; level < call.levels; ++level) {
        const int64_t height = call.sizes[2 * level], width = call.sizes[2 * level + 1];
        if (height < 1 || width < 1 || height > call.pixels || width > call.pixels)
            return "onnxgs::DeformableAttention: a level has no pixels, or more than value";
        pixels += height * width;
    }
    return pixels == call.pixels ? nullptr : "onnxgs::DeformableAttention: levels have other pixels than value";
}

// Sizes and tensors of a call, and its output, made. The levels are in the host's memory wherever the rest is.
inline ort::Status* read_attention(const ort::Api* api, ort::KernelContext* context, Attention& call) {
    int64_t value[4] = {}, levels[2] = {}, places[6] = {}, weights[5] = {};
    const void* data[kAttentionInputs] = {};
    ONNXGS_TRY(read_tensor(api, context, 0, 4, value, data[0]));
    ONNXGS_TRY(read_tensor(api, context, 1, 2, levels, data[1]));
    ONNXGS_TRY(read_tensor(api, context, 2, 6, places, data[2]));
    ONNXGS_TRY(read_tensor(api, context, 3, 5, weights, data[3]));
    bool alike = places[0] == value[0] && places[2] == value[2] && places[3] == levels[0] && levels[1] == 2;
    for (int axis = 0; axis < 5; ++axis) alike = alike && weights[axis] == places[axis];
    if (!alike || places[5] != 2) return refusal(api, "onnxgs::DeformableAttention: sizes of its inputs contradict");
    call.batch = value[0], call.pixels = value[1], call.heads = value[2], call.depth = value[3];
    call.queries = places[1], call.levels = places[3], call.points = places[4];
    call.value = static_cast<const float*>(data[0]);
    call.sizes = static_cast<const int64_t*>(data[1]);
    call.locations = static_cast<const float*>(data[2]);
    call.weights = static_cast<const float*>(data[3]);
    if (const char* wrong = wrong_levels(call)) return refusal(api, wrong);
    const int64_t made[4] = {call.batch, call.queries, call.heads, call.depth};
    void* output = nullptr;
    ONNXGS_TRY(make_output(api, context, 0, made, 4, output));
    call.output = static_cast<float*>(output);
    return nullptr;
}

// The entries that are the same for every provider.
inline Described described_attention() {
    using ort::CustomOp;
    Described op = described(kAttention);
    op.GetInputTypeCount = [](const CustomOp*) { return kAttentionInputs; };
    op.GetOutputTypeCount = [](const CustomOp*) -> size_t { return 1; };
    op.GetInputType = [](const CustomOp*, size_t i) -> int { return i == 1 ? kInt64 : kFloat; };
    op.GetOutputType = [](const CustomOp*, size_t) -> int { return kFloat; };
    return op;
}

}  // namespace onnxgs
