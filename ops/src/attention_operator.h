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
    int64_t pixels = 0, terms = 0;
    if (call.pixels > INT64_C(0x7fffffff)) return "onnxgs::DeformableAttention: value has 2^31 pixels or more";
    for (int64_t level = 0; level < call.levels; ++level) {
        const int64_t height = call.height(level), width = call.width(level), points = call.points(level);
        if (height < 1 || width < 1 || height > call.pixels || width > call.pixels)
            return "onnxgs::DeformableAttention: a level has no pixels, or more than value";
        if (points < 0 || points > call.terms) return "onnxgs::DeformableAttention: a level has more points than there are";
        pixels += height * width;
        terms += points;
    }
    if (terms != call.terms) return "onnxgs::DeformableAttention: levels have other points than locations";
    return pixels == call.pixels ? nullptr : "onnxgs::DeformableAttention: levels have other pixels than value";
}

// Sizes and tensors of a call, and its output, made. The levels are in the host's memory wherever the rest is.
inline ort::Status* read_attention(const ort::Api* api, ort::KernelContext* context, Type element, Attention& call) {
    int64_t value[4] = {}, levels[2] = {}, places[5] = {}, weights[4] = {};
    const void* data[kAttentionInputs] = {};
    ONNXGS_TRY(read_tensor(api, context, 0, 4, value, data[0]));
    ONNXGS_TRY(read_tensor(api, context, 1, 2, levels, data[1]));
    ONNXGS_TRY(read_tensor(api, context, 2, 5, places, data[2]));
    ONNXGS_TRY(read_tensor(api, context, 3, 4, weights, data[3]));
    bool alike = places[0] == value[0] && places[2] == value[2] && levels[1] == Attention::kPerLevel;
    for (int axis = 0; axis < 4; ++axis) alike = alike && weights[axis] == places[axis];
    if (!alike || places[4] != 2) return refusal(api, "onnxgs::DeformableAttention: sizes of its inputs contradict");
    call = {value[0], value[1], value[2], value[3], places[1], levels[0], places[3], element == kHalf, data[0],
            static_cast<const int64_t*>(data[1]), static_cast<const float*>(data[2]), data[3], nullptr};
    if (const char* wrong = wrong_levels(call)) return refusal(api, wrong);
    const int64_t made[4] = {call.batch, call.queries, call.heads, call.depth};
    return make_output(api, context, 0, made, 4, call.output);
}

// The operator for one type of value, weights and output.
struct AttentionOperator : Described {
    Type element;
};

inline Type element_of(const ort::CustomOp* op) { return static_cast<const AttentionOperator*>(op)->element; }

// The entries that are the same for every provider.
inline AttentionOperator described_attention(Type element) {
    using ort::CustomOp;
    AttentionOperator op{described(kAttention), element};
    op.GetInputTypeCount = [](const CustomOp*) { return kAttentionInputs; };
    op.GetOutputTypeCount = [](const CustomOp*) -> size_t { return 1; };
    op.GetInputType = [](const CustomOp* self, size_t i) -> int {
        return i == 1 ? kInt64 : i == 2 ? kFloat : element_of(self);
    };
    op.GetOutputType = [](const CustomOp* self, size_t) -> int { return element_of(self); };
    return op;
}

}  // namespace onnxgs
