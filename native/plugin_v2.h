// IPluginV2DynamicExt: TensorRT 8.5 and 8.6.
#pragma once

#include <dlfcn.h>

#include <string>

#include "node.h"

namespace onnxgs {

using namespace nvinfer1;

class Plugin final : public IPluginV2DynamicExt {
public:
    explicit Plugin(Attributes const& attributes) : mAttributes(attributes) {}

    IPluginV2DynamicExt* clone() const noexcept override {
        auto copy = new Plugin(mAttributes);
        copy->mNamespace = mNamespace;
        return copy;
    }

    char const* getPluginType() const noexcept override { return mAttributes.name(); }
    char const* getPluginVersion() const noexcept override { return kVersion; }
    void setPluginNamespace(char const* name) noexcept override { mNamespace = name == nullptr ? "" : name; }
    char const* getPluginNamespace() const noexcept override { return mNamespace.c_str(); }

    int32_t getNbOutputs() const noexcept override { return mAttributes.outputs(); }
    DataType getOutputDataType(int32_t, DataType const* inputs, int32_t) const noexcept override { return inputs[0]; }
    DimsExprs getOutputDimensions(int32_t index, DimsExprs const* inputs, int32_t, IExprBuilder& builder) noexcept override {
        return index == 1 ? mask_dims(mAttributes, inputs, builder) : output_dims(mAttributes.codes(), inputs);
    }
    bool supportsFormatCombination(int32_t pos, PluginTensorDesc const* in_out, int32_t, int32_t) noexcept override {
        return supports(pos, in_out[0], in_out[pos]);
    }
    void configurePlugin(DynamicPluginTensorDesc const*, int32_t, DynamicPluginTensorDesc const*,
                         int32_t) noexcept override {}
    size_t getWorkspaceSize(PluginTensorDesc const* inputs, int32_t, PluginTensorDesc const*,
                            int32_t) const noexcept override {
        return workspace(mAttributes.codes(), inputs[0], inputs[0].dims, inputs[1].dims);
    }
    int32_t enqueue(PluginTensorDesc const* in, PluginTensorDesc const*, void const* const* inputs,
                    void* const* outputs, void* space, cudaStream_t stream) noexcept override {
        return onnxgs::enqueue(mAttributes, in, inputs, outputs, space, stream);
    }

    int32_t initialize() noexcept override { return 0; }
    void terminate() noexcept override {}
    void destroy() noexcept override { delete this; }
    size_t getSerializationSize() const noexcept override { return sizeof(mAttributes.value); }
    void serialize(void* buffer) const noexcept override {
        std::memcpy(buffer, mAttributes.value, sizeof(mAttributes.value));
    }

private:
    Attributes mAttributes;
    std::string mNamespace{kNamespace};
};

class Creator final : public IPluginCreator {
public:
    explicit Creator(char const* name) : mName(name) {
        for (int k = 0; k < Attributes::kCount; ++k) mFields[k] = Attributes{}.field(k, false);
    }
    char const* getPluginName() const noexcept override { return mName; }
    char const* getPluginVersion() const noexcept override { return kVersion; }
    void setPluginNamespace(char const* name) noexcept override { mNamespace = name == nullptr ? "" : name; }
    char const* getPluginNamespace() const noexcept override { return mNamespace.c_str(); }
    PluginFieldCollection const* getFieldNames() noexcept override { return &mCollection; }

    IPluginV2* createPlugin(char const*, PluginFieldCollection const* fields) noexcept override {
        Attributes attributes;
        return attributes.read(fields, mName) ? made(attributes) : nullptr;
    }
    IPluginV2* deserializePlugin(char const*, void const* data, size_t length) noexcept override {
        Attributes attributes;
        // Of engines that were built before there was a mask, or another kernel.
        constexpr size_t kBeforeMasks = 4 * sizeof(int32_t), kBeforeKernels = 5 * sizeof(int32_t);
        if (length != sizeof(attributes.value) && length != kBeforeMasks && length != kBeforeKernels) return nullptr;
        std::memcpy(attributes.value, data, length);
        return attributes.valid() ? made(attributes) : nullptr;
    }

private:
    Plugin* made(Attributes const& attributes) const {
        auto plugin = new Plugin(attributes);
        plugin->setPluginNamespace(mNamespace.c_str());
        return plugin;
    }

    PluginField mFields[Attributes::kCount];
    PluginFieldCollection mCollection{Attributes::kCount, mFields};
    std::string mNamespace{kNamespace};
    char const* mName;
};

inline Creator& creator(int which) {
    static Creator every[kOperators] = {Creator(kNames[0]), Creator(kNames[1]), Creator(kNames[2])};
    return every[which];
}

}  // namespace onnxgs

#if NV_TENSORRT_MAJOR == 8 && NV_TENSORRT_MINOR >= 6

extern "C" __attribute__((visibility("default"))) void setLoggerFinder(nvinfer1::ILoggerFinder*) {}

extern "C" __attribute__((visibility("default"))) nvinfer1::IPluginCreator* const* getPluginCreators(int32_t& count) {
    static nvinfer1::IPluginCreator* const creators[] = {&onnxgs::creator(0), &onnxgs::creator(1), &onnxgs::creator(2)};
    count = onnxgs::kOperators;
    return creators;
}

#else

// TensorRT 8.5 only opens the library, so it registers itself with the nvinfer that the process has loaded.
__attribute__((constructor)) static void register_with_the_process() {
    using Find = nvinfer1::IPluginRegistry* (*)();
    if (auto find = reinterpret_cast<Find>(dlsym(RTLD_DEFAULT, "getPluginRegistry")))
        for (int i = 0; i < onnxgs::kOperators; ++i) find()->registerCreator(onnxgs::creator(i), onnxgs::kNamespace);
}

#endif
