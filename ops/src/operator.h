// What BilinearSample, NearestSample and CubicSample are to onnxruntime, whatever computes them: attributes, types, tensors
// of a call.
#pragma once

#include <cstdio>

#include "onnxruntime_interface.h"
#include "sampler.h"

namespace onnxgs {

// A failed call of the interface ends the caller with its status.
#define ONNXGS_TRY(call) \
    if (ort::Status* status = (call)) return status

inline ort::Status* refusal(const ort::Api* api, const char* sentence) {
    return api->CreateStatus()(ort::kInvalidArgument, sentence);
}

inline int64_t attribute(const ort::Api* api, const ort::KernelInfo* info, const char* name) {
    int64_t value = 0;
    if (ort::Status* absent = api->KernelInfoGetAttribute_int64()(info, name, &value)) {
        api->ReleaseStatus()(absent);
        return 0;
    }
    return value;
}

// An operator: its name, and the kernels that its nodes may have.
struct Family {
    const char* name;
    int64_t first, last, borders;
};
constexpr Family kFamilies[] = {{"BilinearSample", kLinear, kLinear, kBorders},
                                {"NearestSample", kNearest, kFloor, kTapBorders},
                                {"CubicSample", kCubic, kCubicHalf, kTapBorders}};

// The node's attributes, or a sentence on a code that this library does not know.
inline ort::Status* read_codes(const ort::Api* api, const ort::KernelInfo* info, const Family& of, Codes& codes) {
    codes = {attribute(api, info, "border"), attribute(api, info, "window"), attribute(api, info, "coordinates"),
             attribute(api, info, "layout"), attribute(api, info, "kernel"), attribute(api, info, "mask")};
    auto known = [](int64_t code, int64_t count) { return code >= 0 && code < count; };
    const bool takes = codes.kernel >= of.first && codes.kernel <= of.last;
    const char* unknown = !known(codes.border, of.borders)                 ? "border"
                          : !known(codes.window, kWindows)                 ? "window"
                          : !known(codes.coordinates, kCoordinates)        ? "coordinates"
                          : !known(codes.layout, kLayouts)                 ? "layout"
                          : !known(codes.mask, kMasks)                     ? "mask"
                          : !takes                                         ? "kernel"
                                                                           : nullptr;
    if (unknown == nullptr) return nullptr;
    char sentence[128];
    std::snprintf(sentence, sizeof sentence, "onnxgs::%s: unknown code of `%s`", of.name, unknown);
    return refusal(api, sentence);
}

// An input's four sizes and its data.
inline ort::Status* read_input(const ort::Api* api, ort::KernelContext* context, size_t index, int64_t (&dims)[4],
                               const void*& data) {
    const ort::Value* value = nullptr;
    ONNXGS_TRY(api->KernelContext_GetInput()(context, index, &value));
    ort::TensorInfo* info = nullptr;
    ONNXGS_TRY(api->GetTensorTypeAndShape()(value, &info));
    size_t rank = 0;
    ort::Status* status = api->GetDimensionsCount()(info, &rank);
    if (status == nullptr && rank == 4) status = api->GetDimensions()(info, dims, 4);
    api->ReleaseTensorTypeAndShapeInfo()(info);
    if (status != nullptr) return status;
    if (rank != 4) return refusal(api, "onnxgs: image and grid must have four axes");
    void* at = nullptr;
    ONNXGS_TRY(api->GetTensorMutableData()(const_cast<ort::Value*>(value), &at));
    data = at;
    return nullptr;
}

inline ort::Status* make_output(const ort::Api* api, ort::KernelContext* context, size_t index, const int64_t* dims,
                                size_t rank, void*& data) {
    ort::Value* value = nullptr;
    ONNXGS_TRY(api->KernelContext_GetOutput()(context, index, dims, rank, &value));
    data = nullptr;
    return value == nullptr ? nullptr : api->GetTensorMutableData()(value, &data);
}

// Sizes and tensors of a call, and its outputs, made. `codes` and the types are known.
inline ort::Status* read_call(const ort::Api* api, ort::KernelContext* context, Call& call) {
    constexpr int64_t kMost = INT64_C(0x7fffffff);
    int64_t image[4], grid[4];
    ONNXGS_TRY(read_input(api, context, 0, image, call.image));
    ONNXGS_TRY(read_input(api, context, 1, grid, call.grid));
    const bool last = call.codes.layout == kNHWC;
    if (grid[3] != 2) return refusal(api, "onnxgs: the last axis of grid must be 2: x, then y");
    if (grid[0] != image[0]) return refusal(api, "onnxgs: image and grid differ in their batch");
    call.batch = image[0];
    call.channels = image[last ? 3 : 1];
    call.height = image[last ? 1 : 2];
    call.width = image[last ? 2 : 3];
    call.points = grid[1] * grid[2];
    if (call.height > kMost || call.width > kMost || call.height * call.width > kMost)
        return refusal(api, "onnxgs: a plane of the image has 2^31 pixels or more");
    const int64_t first[4] = {call.batch, call.channels, grid[1], grid[2]};
    const int64_t rows[4] = {call.batch, grid[1], grid[2], call.channels};
    ONNXGS_TRY(make_output(api, context, 0, last ? rows : first, 4, call.output));
    size_t outputs = 0;
    ONNXGS_TRY(api->KernelContext_GetOutputCount()(context, &outputs));
    call.mask = nullptr;
    if (outputs < 2) return nullptr;
    const int64_t beside[4] = {call.batch, 1, grid[1], grid[2]};
    const int64_t behind[4] = {call.batch, grid[1], grid[2], 1};
    const bool between = call.codes.mask == kMaskN1HW;
    return make_output(api, context, 1, between ? beside : behind, between || call.codes.mask == kMaskNHW1 ? 4 : 3,
                       call.mask);
}

// Memory of onnxruntime's own arena on a device, for one call. It is given back before a stream is done with it, as
// onnxruntime itself does: what takes it next runs on the same stream.
class Scratch {
  public:
    explicit Scratch(const ort::Api* api) : api_(api) {}
    Scratch(const Scratch&) = delete;
    ~Scratch() {
        if (at_ != nullptr)
            if (ort::Status* status = api_->AllocatorFree()(allocator_, at_)) api_->ReleaseStatus()(status);
        if (info_ != nullptr) api_->ReleaseMemoryInfo()(info_);
    }

    // `where` is onnxruntime's name of the kind of device: "Cpu" or "Cuda".
    ort::Status* take(const ort::KernelContext* context, const char* where, int device, size_t bytes, void*& at) {
        ONNXGS_TRY(api_->CreateMemoryInfo()(where, ort::kArenaAllocator, device, ort::kDefaultMemory, &info_));
        ONNXGS_TRY(api_->KernelContext_GetAllocator()(context, info_, &allocator_));
        ONNXGS_TRY(api_->AllocatorAlloc()(allocator_, bytes, &at_));
        at = at_;
        return nullptr;
    }

  private:
    const ort::Api* api_;
    ort::MemoryInfo* info_ = nullptr;
    ort::Allocator* allocator_ = nullptr;
    void* at_ = nullptr;
};

// One operator for one provider and some types.
struct Described : ort::CustomOp {
    const Family* family;
};

inline const Family& family_of(const ort::CustomOp* op) { return *static_cast<const Described*>(op)->family; }

// The entries of an operator that are the same for every pair of types and every provider.
inline Described described(const Family& family) {
    using ort::CustomOp;
    Described op{};
    op.family = &family;
    op.version = ort::kVersion;
    op.GetName = [](const CustomOp* self) { return family_of(self).name; };
    op.GetInputTypeCount = [](const CustomOp*) -> size_t { return 2; };
    op.GetOutputTypeCount = [](const CustomOp*) -> size_t { return 2; };
    op.GetInputCharacteristic = [](const CustomOp*, size_t) { return ort::kRequired; };
    op.GetOutputCharacteristic = [](const CustomOp*, size_t i) { return i == 0 ? ort::kRequired : ort::kOptional; };
    op.GetInputMemoryType = [](const CustomOp*, size_t) { return ort::kDefaultMemory; };
    op.GetVariadicInputMinArity = [](const CustomOp*) { return 1; };
    op.GetVariadicInputHomogeneity = [](const CustomOp*) { return 1; };
    op.GetVariadicOutputMinArity = [](const CustomOp*) { return 1; };
    op.GetVariadicOutputHomogeneity = [](const CustomOp*) { return 1; };
    op.GetStartVersion = [](const CustomOp*) { return 1; };
    op.GetEndVersion = [](const CustomOp*) { return INT32_MAX; };
    return op;
}

}  // namespace onnxgs
