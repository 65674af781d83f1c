// What bilinear_sample.cuh and launch.cuh need of CUDA, on the host: each thread of a block is a fibre, and a
// barrier goes on to the next one. Blocks run one after the other.
#pragma once

#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};
using cudaStream_t = void*;
inline int cudaGetLastError() { return 0; }

namespace host {
inline dim3 thread_index, block_index, grid_size;

struct Fibre {
    ucontext_t context;
    std::vector<char> stack;
    bool done = false;
};

inline std::vector<Fibre> fibres;
inline ucontext_t scheduler;
inline unsigned running;
inline std::function<void()> body;
inline long votes[2];
inline unsigned votes_of_thread;
inline std::vector<int> rounds;  // barriers that each thread has passed

inline void enter() {
    body();
    fibres[running].done = true;
}

inline void barrier() { swapcontext(&fibres[running].context, &scheduler); }

// The round's votes are read by every thread after all have voted; two rounds are kept apart.
inline int count_votes(bool vote) {
    int mine = rounds[running]++ % 2;
    if (running == 0) votes[mine] = 0;
    votes[mine] += vote;
    barrier();
    return static_cast<int>(votes[mine]);
}

inline void run_block(unsigned threads) {
    constexpr size_t kStack = 64 * 1024;
    fibres.resize(threads);
    rounds.assign(threads, 0);
    for (Fibre& fibre : fibres) {
        fibre.stack.resize(kStack);
        fibre.done = false;
        getcontext(&fibre.context);
        fibre.context.uc_stack.ss_sp = fibre.stack.data();
        fibre.context.uc_stack.ss_size = kStack;
        fibre.context.uc_link = &scheduler;
        makecontext(&fibre.context, enter, 0);
    }
    for (bool more = true; more;) {
        more = false;
        for (running = 0; running < threads; ++running) {
            if (fibres[running].done) continue;
            thread_index = dim3(running, 0, 0);
            swapcontext(&scheduler, &fibres[running].context);
            more = more || !fibres[running].done;
        }
    }
}

template <typename Kernel, typename... Args>
void launch(Kernel kernel, dim3 blocks, unsigned threads, Args... args) {
    grid_size = blocks;
    body = [=] { kernel(args...); };
    for (unsigned z = 0; z < blocks.z; ++z)
        for (unsigned y = 0; y < blocks.y; ++y)
            for (unsigned x = 0; x < blocks.x; ++x) {
                block_index = dim3(x, y, z);
                run_block(threads);
            }
}

inline float half_value(unsigned short bits) {
    int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    float size = exponent == 31  ? (mantissa ? NAN : INFINITY)
                 : exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24)
                                 : std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
    return bits & 0x8000 ? -size : size;
}

inline unsigned short half_bits(float f) {
    unsigned short sign = std::signbit(f) ? 0x8000 : 0;
    float size = std::fabs(f);
    if (std::isnan(f)) return sign | 0x7e00;
    if (size >= 65520.0f) return sign | 0x7c00;
    int exponent = size > 0 ? std::ilogb(size) : -15;
    if (exponent < -14) return sign | static_cast<unsigned short>(std::nearbyint(std::ldexp(size, 24)));
    return sign | static_cast<unsigned short>((exponent + 14) * 1024 + std::nearbyint(std::ldexp(size, 10 - exponent)));
}
}  // namespace host

#define threadIdx host::thread_index
#define blockIdx host::block_index
#define gridDim host::grid_size
#define ONNXGS_BOTH inline
#define ONNXGS_DEVICE inline
#define ONNXGS_KERNEL inline void
#define ONNXGS_SHARED static
#define ONNXGS_LAUNCH(kernel, blocks, stream, ...) (void)stream, host::launch(kernel, blocks, kThreads, __VA_ARGS__)

template <typename T>
T __ldg(const T* at) {
    return *at;
}
template <typename T>
T __ldcs(const T* at) {
    return *at;
}
template <typename T>
void __stcs(T* at, T value) {
    *at = value;
}
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rd(float a, float b) {
    double sum = static_cast<double>(a) + b;
    float near = static_cast<float>(sum);
    return near > sum ? std::nextafterf(near, -INFINITY) : near;
}
inline int __float_as_int(float f) {
    int bits;
    std::memcpy(&bits, &f, 4);
    return bits;
}
inline float __uint_as_float(unsigned bits) {
    float f;
    std::memcpy(&f, &bits, 4);
    return f;
}
inline unsigned __float_as_uint(float f) {
    unsigned bits;
    std::memcpy(&bits, &f, 4);
    return bits;
}
inline float half_to_float(unsigned short bits) { return host::half_value(bits); }
inline unsigned short float_to_half(float f) { return host::half_bits(f); }
template <typename T>
T* settled(T* at) {
    return at;
}
inline void __syncthreads() { host::barrier(); }
inline int __syncthreads_count(bool vote) { return host::count_votes(vote); }
using std::fabs;
