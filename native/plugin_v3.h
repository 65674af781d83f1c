// IPluginV3: TensorRT >= 10 and TensorRT-RTX.
#pragma once

#include "node.h"

namespace onnxgs {

using namespace nvinfer1;

class Plugin final : public IPluginV3, public IPluginV3OneCore, public IPluginV3OneBuild, public IPluginV3OneRuntime {
public:
    explicit Plugin(Attributes const& attributes) : mAttributes(attributes) {}
    Plugin(Plugin const& other) : Plugin(other.mAttributes) {}

    IPluginCapability* getCapabilityInterface(PluginCapabilityType type) noexcept override {
        switch (type) {
            case PluginCapabilityType::kCORE: return static_cast<IPluginV3OneCore*>(this);
            case PluginCapabilityType::kBUILD: return static_cast<IPluginV3OneBuild*>(this);
            case PluginCapabilityType::kRUNTIME: return static_cast<IPluginV3OneRuntime*>(this);
        }
        return nullptr;
    }
    IPluginV3* clone() noexcept override { return new Plugin(*this); }

    AsciiChar const* getPluginName() const noexcept override { return mAttributes.name(); }
    AsciiChar const* getPluginVersion() const noexcept override { return kVersion; }
    AsciiChar const* getPluginNamespace() const noexcept override { return kNamespace; }

    int32_t configurePlugin(DynamicPluginTensorDesc const*, int32_t, DynamicPluginTensorDesc const*,
                            int32_t) noexcept override {
        return 0;
    }
    int32_t getOutputDataTypes(DataType* outputs, int32_t count, DataType const* inputs,
                               int32_t) const noexcept override {
        for (int32_t i = 0; i < count; ++i) outputs[i] = inputs[0];
        return 0;
    }
    int32_t getOutputShapes(DimsExprs const* inputs, int32_t count, DimsExprs const*, int32_t, DimsExprs* outputs,
                            int32_t, IExprBuilder& builder) noexcept override {
        if (count != 2 || inputs[0].nbDims != 4 || inputs[1].nbDims != 4) return 1;
        outputs[0] = output_dims(mAttributes.codes(), inputs);
        if (mAttributes.has_mask()) outputs[1] = mask_dims(mAttributes, inputs, builder);
        return 0;
    }
    bool supportsFormatCombination(int32_t pos, DynamicPluginTensorDesc const* in_out, int32_t,
                                   int32_t) noexcept override {
        return supports(pos, in_out[0].desc, in_out[pos].desc);
    }
    int32_t getNbOutputs() const noexcept override { return mAttributes.outputs(); }
    size_t getWorkspaceSize(DynamicPluginTensorDesc const* inputs, int32_t, DynamicPluginTensorDesc const*,
                            int32_t) const noexcept override {
        return workspace(mAttributes.codes(), inputs[0].desc, inputs[0].max, inputs[1].max);
    }

    int32_t onShapeChange(PluginTensorDesc const*, int32_t, PluginTensorDesc const*, int32_t) noexcept override {
        return 0;
    }
    int32_t enqueue(PluginTensorDesc const* in, PluginTensorDesc const*, void const* const* inputs,
                    void* const* outputs, void* space, cudaStream_t stream) noexcept override {
        return onnxgs::enqueue(mAttributes, in, inputs, outputs, space, stream);
    }
    IPluginV3* attachToContext(IPluginResourceContext*) noexcept override { return clone(); }
    PluginFieldCollection const* getFieldsToSerialize() noexcept override {
        for (int k = 0; k < Attributes::kCount; ++k) mFields[k] = mAttributes.field(k, true);
        mCollection = {Attributes::kCount, mFields};
        return &mCollection;
    }

private:
    Attributes mAttributes;
    PluginField mFields[Attributes::kCount];
    PluginFieldCollection mCollection{};
};

class Creator final : public IPluginCreatorV3One {
public:
    explicit Creator(char const* name) : mName(name) {
        for (int k = 0; k < Attributes::kCount; ++k) mFields[k] = Attributes{}.field(k, false);
    }
    AsciiChar const* getPluginName() const noexcept override { return mName; }
    AsciiChar const* getPluginVersion() const noexcept override { return kVersion; }
    AsciiChar const* getPluginNamespace() const noexcept override { return kNamespace; }
    PluginFieldCollection const* getFieldNames() noexcept override { return &mCollection; }

    IPluginV3* createPlugin(AsciiChar const*, PluginFieldCollection const* fields, TensorRTPhase) noexcept override {
        Attributes attributes;
        return attributes.read(fields, mName) ? new Plugin(attributes) : nullptr;
    }

private:
    PluginField mFields[Attributes::kCount];
    PluginFieldCollection mCollection{Attributes::kCount, mFields};
    char const* mName;
};

}  // namespace onnxgs

extern "C" __attribute__((visibility("default"))) void setLoggerFinder(nvinfer1::ILoggerFinder*) {}

extern "C" __attribute__((visibility("default"))) nvinfer1::IPluginCreatorInterface* const* getCreators(
    int32_t& count) {
    static onnxgs::Creator every[onnxgs::kOperators] = {onnxgs::Creator(onnxgs::kNames[0]),
                                                        onnxgs::Creator(onnxgs::kNames[1]),
                                                        onnxgs::Creator(onnxgs::kNames[2])};
    static nvinfer1::IPluginCreatorInterface* const creators[] = {&every[0], &every[1], &every[2]};
    count = onnxgs::kOperators;
    return creators;
}
