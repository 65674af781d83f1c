// The entries of onnxruntime's C interface that the library uses, declared by hand, so that it builds without a header.
//
// The interface is a table of function pointers that only grows: an entry keeps its place for good. So a place and a
// signature are all that is needed, and a library that asks for version 17 runs on every later onnxruntime.
// tests/native/test_interface.py holds this file against a real header where one is found.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef _WIN32
#define ONNXGS_CALL __stdcall
#else
#define ONNXGS_CALL
#endif

namespace onnxgs {
namespace ort {

constexpr uint32_t kVersion = 17;  // of the interface: the first with a loop over onnxruntime's own threads

struct Allocator;
struct CustomOpDomain;
struct KernelContext;
struct KernelInfo;
struct MemoryInfo;
struct SessionOptions;
struct ShapeContext;
struct Status;
struct TensorInfo;
struct Value;

enum ErrorCode : int { kFail = 1, kInvalidArgument = 2, kNotImplemented = 9 };
enum AllocatorType : int { kArenaAllocator = 1 };
enum MemoryType : int { kHostInput = -2, kDefaultMemory = 0 };
enum Characteristic : int { kRequired = 0, kOptional = 1 };

// Entry: its place in the table and its signature. X(place, name, result, arguments)
#define ONNXGS_ENTRIES(X)                                                                                             \
    X(0, CreateStatus, Status*, (ErrorCode code, const char* message))                                                \
    X(26, CreateCustomOpDomain, Status*, (const char* name, CustomOpDomain** out))                                    \
    X(27, CustomOpDomain_Add, Status*, (CustomOpDomain* domain, const struct CustomOp* op))                           \
    X(28, AddCustomOpDomain, Status*, (SessionOptions* options, CustomOpDomain* domain))                              \
    X(51, GetTensorMutableData, Status*, (Value* value, void** out))                                                  \
    X(61, GetDimensionsCount, Status*, (const TensorInfo* info, size_t* out))                                         \
    X(62, GetDimensions, Status*, (const TensorInfo* info, int64_t* out, size_t count))                               \
    X(65, GetTensorTypeAndShape, Status*, (const Value* value, TensorInfo** out))                                     \
    X(68, CreateMemoryInfo, Status*,                                                                                  \
      (const char* name, AllocatorType allocator, int id, MemoryType memory, MemoryInfo** out))                       \
    X(75, AllocatorAlloc, Status*, (Allocator* allocator, size_t bytes, void** out))                                  \
    X(76, AllocatorFree, Status*, (Allocator* allocator, void* at))                                                   \
    X(86, KernelInfoGetAttribute_int64, Status*, (const KernelInfo* info, const char* name, int64_t* out))            \
    X(89, KernelContext_GetOutputCount, Status*, (const KernelContext* context, size_t* out))                         \
    X(90, KernelContext_GetInput, Status*, (const KernelContext* context, size_t index, const Value** out))           \
    X(91, KernelContext_GetOutput, Status*,                                                                           \
      (KernelContext* context, size_t index, const int64_t* dims, size_t count, Value** out))                         \
    X(93, ReleaseStatus, void, (Status* status))                                                                      \
    X(94, ReleaseMemoryInfo, void, (MemoryInfo* info))                                                                \
    X(99, ReleaseTensorTypeAndShapeInfo, void, (TensorInfo* info))                                                    \
    X(193, KernelContext_GetGPUComputeStream, Status*, (const KernelContext* context, void** out))                    \
    X(253, KernelContext_GetAllocator, Status*,                                                                       \
      (const KernelContext* context, const MemoryInfo* info, Allocator** out))                                        \
    X(274, KernelContext_ParallelFor, Status*,                                                                        \
      (const KernelContext* context, void (*task)(void*, size_t), size_t total, size_t batches, void* data))

class Api {
  public:
#define ONNXGS_ENTRY(place, name, result, arguments)                                             \
    using name##_t = result(ONNXGS_CALL*) arguments;                                             \
    static constexpr size_t k##name = place;                                                     \
    name##_t name() const { return reinterpret_cast<name##_t>(entries_[place]); }
    ONNXGS_ENTRIES(ONNXGS_ENTRY)
#undef ONNXGS_ENTRY

  private:
    void* entries_[1];
};

struct ApiBase {
    const Api*(ONNXGS_CALL* GetApi)(uint32_t version);
    const char*(ONNXGS_CALL* GetVersionString)();
};

// An operator as onnxruntime sees it. `version` says how many of the entries are there; those that are null are not used.
struct CustomOp {
    uint32_t version;
    void*(ONNXGS_CALL* CreateKernel)(const CustomOp*, const Api*, const KernelInfo*);
    const char*(ONNXGS_CALL* GetName)(const CustomOp*);
    const char*(ONNXGS_CALL* GetExecutionProviderType)(const CustomOp*);
    int(ONNXGS_CALL* GetInputType)(const CustomOp*, size_t);
    size_t(ONNXGS_CALL* GetInputTypeCount)(const CustomOp*);
    int(ONNXGS_CALL* GetOutputType)(const CustomOp*, size_t);
    size_t(ONNXGS_CALL* GetOutputTypeCount)(const CustomOp*);
    void(ONNXGS_CALL* KernelCompute)(void*, KernelContext*);
    void(ONNXGS_CALL* KernelDestroy)(void*);
    Characteristic(ONNXGS_CALL* GetInputCharacteristic)(const CustomOp*, size_t);
    Characteristic(ONNXGS_CALL* GetOutputCharacteristic)(const CustomOp*, size_t);
    MemoryType(ONNXGS_CALL* GetInputMemoryType)(const CustomOp*, size_t);
    int(ONNXGS_CALL* GetVariadicInputMinArity)(const CustomOp*);
    int(ONNXGS_CALL* GetVariadicInputHomogeneity)(const CustomOp*);
    int(ONNXGS_CALL* GetVariadicOutputMinArity)(const CustomOp*);
    int(ONNXGS_CALL* GetVariadicOutputHomogeneity)(const CustomOp*);
    Status*(ONNXGS_CALL* CreateKernelV2)(const CustomOp*, const Api*, const KernelInfo*, void**);
    Status*(ONNXGS_CALL* KernelComputeV2)(void*, KernelContext*);
    Status*(ONNXGS_CALL* InferOutputShapeFn)(const CustomOp*, ShapeContext*);
    int(ONNXGS_CALL* GetStartVersion)(const CustomOp*);
    int(ONNXGS_CALL* GetEndVersion)(const CustomOp*);
};

}  // namespace ort
}  // namespace onnxgs
