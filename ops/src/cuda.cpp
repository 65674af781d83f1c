// The operator on CUDA devices: onnxruntime takes it where its CUDA provider is used. Types that it has no kernel for
// (double images or grids) go to the operator on CPUs.
#include "attention_operator.h"
#include "cuda.h"

#include <string>
#include <vector>

namespace onnxgs {
namespace {

struct CudaKernel {
    const ort::Api* api;
    Codes codes;
    Type image;
};

struct CudaOperator : Described {
    Type image;
};

ort::Status* ONNXGS_CALL create(const ort::CustomOp* op, const ort::Api* api, const ort::KernelInfo* info, void** out) {
    Codes codes;
    ONNXGS_TRY(read_codes(api, info, family_of(op), codes));
    *out = new CudaKernel{api, codes, static_cast<const CudaOperator*>(op)->image};
    return nullptr;
}

ort::Status* ONNXGS_CALL compute(void* self, ort::KernelContext* context) {
    const CudaKernel& kernel = *static_cast<CudaKernel*>(self);
    const ort::Api* api = kernel.api;
    Call call{};
    call.codes = kernel.codes;
    call.image_type = kernel.image;
    call.grid_type = kFloat;
    ONNXGS_TRY(read_call(api, context, call));
    if (call.batch == 0 || call.points == 0) return nullptr;
    CudaCall on{&call, 1, call.points, nullptr};
    ONNXGS_TRY(api->KernelContext_GetGPUComputeStream()(context, &on.stream));
    Scratch workspace(api);
    void* at = nullptr;
    if (int64_t bytes = on.workspace_bytes())
        ONNXGS_TRY(workspace.take(context, "Cuda", current_device(), static_cast<size_t>(bytes), at));
    if (int failed = on.sample(at)) {
        std::string said = "onnxgs: CUDA's error " + std::to_string(failed);
        return api->CreateStatus()(ort::kFail, said.c_str());
    }
    return nullptr;
}

CudaOperator cuda_operator(const Family& family, Type image) {
    CudaOperator op{described(family), image};
    op.GetExecutionProviderType = [](const ort::CustomOp*) { return "CUDAExecutionProvider"; };
    op.GetInputType = [](const ort::CustomOp* self, size_t i) -> int {
        return i == 0 ? static_cast<const CudaOperator*>(self)->image : kFloat;
    };
    op.GetOutputType = [](const ort::CustomOp* self, size_t) -> int {
        return static_cast<const CudaOperator*>(self)->image;
    };
    op.CreateKernelV2 = create;
    op.KernelComputeV2 = compute;
    op.KernelDestroy = [](void* self) { delete static_cast<CudaKernel*>(self); };
    return op;
}

struct AttentionKernel {
    const ort::Api* api;
    Type element;
};

ort::Status* ONNXGS_CALL attend(void* self, ort::KernelContext* context) {
    const AttentionKernel& kernel = *static_cast<AttentionKernel*>(self);
    const ort::Api* api = kernel.api;
    Attention call{};
    ONNXGS_TRY(read_attention(api, context, kernel.element, call));
    if (call.levels > kMostDeviceLevels) return refusal(api, "onnxgs::DeformableAttention: more than 16 levels");
    if (call.batch * call.queries * call.heads * call.depth == 0) return nullptr;
    void* stream = nullptr;
    ONNXGS_TRY(api->KernelContext_GetGPUComputeStream()(context, &stream));
    if (int failed = attend_on_device(call, stream)) {
        std::string said = "onnxgs: CUDA's error " + std::to_string(failed);
        return api->CreateStatus()(ort::kFail, said.c_str());
    }
    return nullptr;
}

AttentionOperator cuda_attention(Type element) {
    AttentionOperator op = described_attention(element);
    op.GetExecutionProviderType = [](const ort::CustomOp*) { return "CUDAExecutionProvider"; };
    op.GetInputMemoryType = [](const ort::CustomOp*, size_t i) { return i == 1 ? ort::kHostInput : ort::kDefaultMemory; };
    op.CreateKernelV2 = [](const ort::CustomOp* self, const ort::Api* api, const ort::KernelInfo*,
                           void** out) -> ort::Status* {
        *out = new AttentionKernel{api, element_of(self)};
        return nullptr;
    };
    op.KernelComputeV2 = attend;
    op.KernelDestroy = [](void* self) { delete static_cast<AttentionKernel*>(self); };
    return op;
}

std::vector<CudaOperator> every_operator() {
    std::vector<CudaOperator> operators;
    for (const Family& family : kFamilies)
        for (Type image : {kFloat, kHalf}) operators.push_back(cuda_operator(family, image));
    return operators;
}

}  // namespace

ort::Status* add_cuda_operators(const ort::Api* api, ort::CustomOpDomain* domain) {
    static const std::vector<CudaOperator> operators = every_operator();
    static const AttentionOperator attentions[] = {cuda_attention(kFloat), cuda_attention(kHalf)};
    for (const CudaOperator& op : operators) ONNXGS_TRY(api->CustomOpDomain_Add()(domain, &op));
    for (const AttentionOperator& op : attentions) ONNXGS_TRY(api->CustomOpDomain_Add()(domain, &op));
    return nullptr;
}

}  // namespace onnxgs
