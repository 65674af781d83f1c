// The library that onnxruntime loads: RegisterCustomOps, and the operators on CPUs.
#include "attention_operator.h"
#include "operator.h"

#include <cmath>
#include <vector>

#if defined(_WIN32)
#define ONNXGS_EXPORT extern "C" __declspec(dllexport)
#else
#define ONNXGS_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace onnxgs {

namespace baseline { Kernels kernels(); }
#ifdef ONNXGS_AVX2
namespace avx2 { Kernels kernels(); }
#endif
#ifdef ONNXGS_CUDA
ort::Status* add_cuda_operators(const ort::Api* api, ort::CustomOpDomain* domain);
#endif

namespace {

Kernels best_kernels() {
#ifdef ONNXGS_AVX2
    if (__builtin_cpu_supports("avx2")) return avx2::kernels();
#endif
    return baseline::kernels();
}

struct Kernel {
    const ort::Api* api;
    Codes codes;
    Kernels kernels;
};

// One pair of types: onnxruntime chooses among operators of a name by their types.
struct Operator : Described {
    Type image, grid;
};

const Operator& typed(const ort::CustomOp* op) { return *static_cast<const Operator*>(op); }

template <typename CALL, void (*Kernels::*STEP)(const CALL&, int64_t)>
struct LoopOf {
    const CALL& call;
    const Kernels& kernels;

    ort::Status* run(const ort::Api* api, const ort::KernelContext* context, int64_t tasks) {
        if (tasks == 1) return (kernels.*STEP)(call, 0), nullptr;
        if (tasks <= 0) return nullptr;
        auto step = [](void* data, size_t task) {
            LoopOf* loop = static_cast<LoopOf*>(data);
            (loop->kernels.*STEP)(loop->call, static_cast<int64_t>(task));
        };
        return api->KernelContext_ParallelFor()(context, step, static_cast<size_t>(tasks), 0, this);
    }
};

template <void (*Kernels::*STEP)(const Call&, int64_t)>
using Loop = LoopOf<Call, STEP>;

// -- the copy for scattered points ----------------------------------------------------------------------

constexpr int64_t kCopyFrom = 1 << 18;  // pixels of a plane: the addresses of smaller ones are kept by the processor
constexpr int64_t kAheadUpTo = 1 << 16;  // pixels of a plane: what the second cache holds beside the cells
constexpr int kProbes = 64;

template <typename G>
bool scattered(const Call& call) {
    const G* grid = static_cast<const G*>(call.grid);
    const G scale = call.codes.coordinates == kPixel ? G(1) : static_cast<G>(call.height) / 2;
    const int64_t last = call.batch * call.points - 1;
    int apart = 0;
    for (int i = 0; i < kProbes; ++i) {
        const G* at = grid + 2 * ((last - 1) * i / (kProbes - 1));
        apart += !(std::fabs(at[3] - at[1]) * scale < 8);
    }
    return apart > kProbes / 2;
}

bool is_scattered(const Call& call) {
    return call.points > kProbes && (call.grid_type == kDouble ? scattered<double>(call) : scattered<float>(call));
}

// How planes are read: of scattered points, few channels from a copy, many with each plane fetched ahead of its use; with
// cubic weights, each point's rows.
bool plan_copy(Call& call) {
    const int64_t plane = call.height * call.width;
    if (call.codes.layout != kNCHW) return false;
    if (is_cubic(call.codes.kernel)) return call.ahead = is_scattered(call), false;
    if (call.codes.kernel != kLinear || call.channels < 2 || call.points < plane / 2) return false;
    const bool few = call.channels <= kCopyChannels;
    if (few ? plane < kCopyFrom : plane > kAheadUpTo) return false;
    if (!is_scattered(call)) return false;
    call.ahead = !few;
    return few;
}

size_t bytes_of(Type type) { return type == kHalf ? 2 : type == kFloat ? 4 : 8; }

// -- the operator -----------------------------------------------------------------------------------------

struct TypedKernel : Kernel {
    Type image, grid;
};

ort::Status* ONNXGS_CALL create(const ort::CustomOp* op, const ort::Api* api, const ort::KernelInfo* info, void** out) {
    Codes codes;
    ONNXGS_TRY(read_codes(api, info, family_of(op), codes));
    *out = new TypedKernel{{api, codes, best_kernels()}, typed(op).image, typed(op).grid};
    return nullptr;
}

ort::Status* ONNXGS_CALL compute(void* self, ort::KernelContext* context) {
    const TypedKernel& kernel = *static_cast<TypedKernel*>(self);
    const ort::Api* api = kernel.api;
    Call call{};
    call.codes = kernel.codes;
    call.image_type = kernel.image;
    call.grid_type = kernel.grid;
    ONNXGS_TRY(read_call(api, context, call));
    if (call.batch == 0 || call.points == 0) return nullptr;
    divide(call);
    Scratch scratch(api);
    if (plan_copy(call)) {
        const int64_t pixels = call.batch * call.height * call.width;
        ONNXGS_TRY(scratch.take(context, "Cpu", 0, bytes_of(call.image_type) * kCopyChannels * pixels, call.rows));
        ONNXGS_TRY((Loop<&Kernels::copy>{call, kernel.kernels}.run(api, context, call.batch * call.height)));
    }
    return Loop<&Kernels::sample>{call, kernel.kernels}.run(api, context, call.tasks());
}

Operator cpu_operator(const Family& family, Type image, Type grid) {
    Operator op{described(family), image, grid};
    op.GetExecutionProviderType = [](const ort::CustomOp*) -> const char* { return nullptr; };
    op.GetInputType = [](const ort::CustomOp* self, size_t i) -> int { return i == 0 ? typed(self).image : typed(self).grid; };
    op.GetOutputType = [](const ort::CustomOp* self, size_t) -> int { return typed(self).image; };
    op.CreateKernelV2 = create;
    op.KernelComputeV2 = compute;
    op.KernelDestroy = [](void* self) { delete static_cast<TypedKernel*>(self); };
    return op;
}

struct AttentionKernel {
    const ort::Api* api;
    Kernels kernels;
    Type element;
};

ort::Status* ONNXGS_CALL attend(void* self, ort::KernelContext* context) {
    const AttentionKernel& kernel = *static_cast<AttentionKernel*>(self);
    Attention call{};
    ONNXGS_TRY(read_attention(kernel.api, context, kernel.element, call));
    if (call.heads * call.depth == 0) return nullptr;
    return LoopOf<Attention, &Kernels::attend>{call, kernel.kernels}.run(kernel.api, context, call.tasks());
}

AttentionOperator cpu_attention(Type element) {
    AttentionOperator op = described_attention(element);
    op.GetExecutionProviderType = [](const ort::CustomOp*) -> const char* { return nullptr; };
    op.CreateKernelV2 = [](const ort::CustomOp* self, const ort::Api* api, const ort::KernelInfo*,
                           void** out) -> ort::Status* {
        *out = new AttentionKernel{api, best_kernels(), element_of(self)};
        return nullptr;
    };
    op.KernelComputeV2 = attend;
    op.KernelDestroy = [](void* self) { delete static_cast<AttentionKernel*>(self); };
    return op;
}

std::vector<Operator> every_operator() {
    std::vector<Operator> operators;
    for (const Family& family : kFamilies)
        for (Type image : {kFloat, kHalf, kDouble})
            for (Type grid : {kFloat, kDouble}) operators.push_back(cpu_operator(family, image, grid));
    return operators;
}

}  // namespace
}  // namespace onnxgs

// What a session's `register_custom_ops_library` calls.
ONNXGS_EXPORT onnxgs::ort::Status* ONNXGS_CALL RegisterCustomOps(onnxgs::ort::SessionOptions* options,
                                                                 const onnxgs::ort::ApiBase* base) {
    using namespace onnxgs;
    const ort::Api* api = base->GetApi(ort::kVersion);
    if (api == nullptr) {
        const ort::Api* old = base->GetApi(1);
        return old->CreateStatus()(ort::kNotImplemented, "onnxgs-ops needs onnxruntime 1.17 or later");
    }
    static const std::vector<Operator> operators = every_operator();
    static const AttentionOperator attentions[] = {cpu_attention(kFloat), cpu_attention(kHalf)};
    ort::CustomOpDomain* domain = nullptr;
    ONNXGS_TRY(api->CreateCustomOpDomain()("onnxgs", &domain));
    for (const Operator& op : operators) ONNXGS_TRY(api->CustomOpDomain_Add()(domain, &op));
    for (const AttentionOperator& op : attentions) ONNXGS_TRY(api->CustomOpDomain_Add()(domain, &op));
#ifdef ONNXGS_CUDA
    ONNXGS_TRY(add_cuda_operators(api, domain));
#endif
    return api->AddCustomOpDomain()(options, domain);
}
