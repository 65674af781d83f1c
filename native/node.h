// What both generations of the plugin share: the node's attributes and the call, in TensorRT's types.
#pragma once

#include <NvInfer.h>
#include <cuda_runtime_api.h>

#include <cstring>

#include "launch.cuh"

namespace onnxgs {

constexpr char const* kNames[] = {"BilinearSample", "NearestSample", "CubicSample"};
constexpr int kOperators = 3;
constexpr char const* kVersion = "1";
constexpr char const* kNamespace = "onnxgs";

// Forms of the mask: [N, Ho, Wo], [N, 1, Ho, Wo], [N, Ho, Wo, 1].
enum Mask { kNoMask, kMaskNHW, kMaskN1HW, kMaskNHW1 };

// The attributes as plugin fields: int32, because that is how parsers hand over ONNX's INT.
struct Attributes {
    static constexpr int kCount = 6;
    int32_t value[kCount] = {kZeros, 0, kPixel, kNCHW, 0, kLinear};

    static constexpr char const* kFields[kCount] = {"border", "window", "coordinates", "layout", "mask", "kernel"};

    Codes codes() const { return {value[0], value[1], value[2], value[3], value[5]}; }
    // The operator that has the kernel.
    char const* name() const { return kNames[value[5] == kLinear ? 0 : value[5] < kCubic ? 1 : 2]; }
    // TensorRT asks for the number of outputs before it knows the node: an attribute says it.
    bool has_mask() const { return value[4] != kNoMask; }
    bool valid() const { return codes().valid() && value[4] >= kNoMask && value[4] <= kMaskNHW1; }
    int32_t outputs() const { return has_mask() ? 2 : 1; }

    // False when a field is no scalar int32, or a code is unknown or another operator's. Other fields, such as
    // plugin_version, are not read.
    bool read(nvinfer1::PluginFieldCollection const* fields, char const* of) {
        for (int32_t i = 0; fields != nullptr && i < fields->nbFields; ++i) {
            nvinfer1::PluginField const& field = fields->fields[i];
            for (int k = 0; k < kCount; ++k) {
                if (std::strcmp(field.name, kFields[k]) != 0) continue;
                if (field.type != nvinfer1::PluginFieldType::kINT32 || field.length != 1 || field.data == nullptr)
                    return false;
                std::memcpy(&value[k], field.data, sizeof(int32_t));
            }
        }
        return valid() && std::strcmp(name(), of) == 0;
    }

    nvinfer1::PluginField field(int k, bool with_value) const {
        return {kFields[k], with_value ? &value[k] : nullptr, nvinfer1::PluginFieldType::kINT32, 1};
    }
};

inline bool is_half(nvinfer1::DataType type) { return type == nvinfer1::DataType::kHALF; }

// Linear tensors: an fp32 or fp16 image, an fp32 grid, outputs of the image's type.
inline bool supports(int32_t pos, nvinfer1::PluginTensorDesc const& image, nvinfer1::PluginTensorDesc const& desc) {
    using nvinfer1::DataType;
    if (desc.format != nvinfer1::TensorFormat::kLINEAR) return false;
    if (pos == 0) return desc.type == DataType::kFLOAT || desc.type == DataType::kHALF;
    return desc.type == (pos == 1 ? DataType::kFLOAT : image.type);
}

inline bool sampler_of(Codes const& codes, nvinfer1::Dims const& image, nvinfer1::Dims const& grid, Sampler& s) {
    if (image.nbDims != 4 || grid.nbDims != 4 || grid.d[0] != image.d[0] || grid.d[3] != 2) return false;
    bool last = codes.layout == kNHWC;
    return make_sampler(codes, {image.d[0], image.d[last ? 3 : 1], image.d[last ? 1 : 2], image.d[last ? 2 : 3],
                                grid.d[1], grid.d[2]}, s);
}

inline nvinfer1::DimsExprs output_dims(Codes const& codes, nvinfer1::DimsExprs const* inputs) {
    nvinfer1::DimsExprs dims = inputs[0];
    int row = codes.layout == kNHWC ? 1 : 2;
    dims.d[row] = inputs[1].d[1];
    dims.d[row + 1] = inputs[1].d[2];
    return dims;
}

inline nvinfer1::DimsExprs mask_dims(Attributes const& node, nvinfer1::DimsExprs const* inputs,
                                     nvinfer1::IExprBuilder& builder) {
    int32_t form = node.value[4];
    nvinfer1::DimsExprs dims = inputs[1];
    int first = form == kMaskN1HW ? 2 : 1;
    dims.nbDims = form == kMaskNHW ? 3 : 4;
    dims.d[first] = inputs[1].d[1];
    dims.d[first + 1] = inputs[1].d[2];
    if (dims.nbDims == 4) dims.d[form == kMaskN1HW ? 1 : 3] = builder.constant(1);
    return dims;
}

inline size_t workspace(Codes const& codes, nvinfer1::PluginTensorDesc const& image, nvinfer1::Dims const& image_dims,
                        nvinfer1::Dims const& grid_dims) {
    Sampler s;
    if (!sampler_of(codes, image_dims, grid_dims, s)) return 0;
    return is_half(image.type) ? workspace_bytes<half_t>(s, codes) : workspace_bytes<float>(s, codes);
}

template <typename T>
void enqueue_as(Attributes const& node, Sampler const& s, void const* const* inputs, void* const* outputs,
                void* workspace, cudaStream_t stream) {
    Codes codes = node.codes();
    sample<T>(static_cast<T const*>(inputs[0]), static_cast<Pair const*>(inputs[1]), static_cast<T*>(outputs[0]),
              static_cast<T*>(node.has_mask() ? outputs[1] : nullptr), s, codes,
              uses_workspace<T>(s, codes) ? workspace : nullptr, stream);
}

// 0 on success, as TensorRT wants it.
inline int32_t enqueue(Attributes const& node, nvinfer1::PluginTensorDesc const* in, void const* const* inputs,
                       void* const* outputs, void* workspace, cudaStream_t stream) {
    Sampler s;
    if (!sampler_of(node.codes(), in[0].dims, in[1].dims, s)) return 1;
    if (s.plane == 0) {
        size_t bytes = static_cast<size_t>(s.batch) * s.channels * s.points * (is_half(in[0].type) ? 2 : 4);
        if (cudaMemsetAsync(outputs[0], 0, bytes, stream) != cudaSuccess) return 1;
    }
    if (is_half(in[0].type))
        enqueue_as<half_t>(node, s, inputs, outputs, workspace, stream);
    else
        enqueue_as<float>(node, s, inputs, outputs, workspace, stream);
    return cudaPeekAtLastError() != cudaSuccess;
}

}  // namespace onnxgs
