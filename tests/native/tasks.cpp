// Every case by several threads, with tensors that end where their memory ends: for AddressSanitizer,
// UndefinedBehaviorSanitizer and ThreadSanitizer. Exits 1 where threads compute other bits than one thread does.
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "sampler.h"

namespace onnxgs {
namespace baseline { Kernels kernels(); }
#ifdef ONNXGS_AVX2
namespace avx2 { Kernels kernels(); }
#endif
}  // namespace onnxgs

using namespace onnxgs;

static const int kThreads = 4;
static uint32_t state = 1;
static double next() { return (state = state * 1664525u + 1013904223u) / 4294967296.0; }
static size_t size_of(Type type) { return type == kHalf ? 2 : type == kFloat ? 4 : 8; }

static std::unique_ptr<char[]> tensor(Type type, int64_t count, double low, double high) {
    std::unique_ptr<char[]> data(new char[count * size_of(type)]);
    for (int64_t i = 0; i < count; ++i) {
        double value = low + (high - low) * next();
        const double odd[] = {NAN, INFINITY, -INFINITY, 1e30, -1e30, low, high, 0};
        if (low < -1 && next() < 0.1) value = odd[static_cast<int>(next() * 8)];
        float single = static_cast<float>(value);
        uint16_t half = static_cast<uint16_t>(0x3000 + i % 0xc00);
        const void* from = type == kHalf ? static_cast<void*>(&half) : type == kFloat ? static_cast<void*>(&single) : &value;
        std::memcpy(data.get() + i * size_of(type), from, size_of(type));
    }
    return data;
}

// Threads that wait for the next call: to start them for each takes longer than the calls.
class Pool {
  public:
    explicit Pool(int threads) {
        for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { serve(); });
    }
    ~Pool() {
        begin(nullptr);
        for (std::thread& thread : threads_) thread.join();
    }
    // Runs `work` in every thread at once, and returns when all are through.
    void run(const std::function<void()>& work) {
        begin(&work);
        std::unique_lock<std::mutex> lock(mutex_);
        ended_.wait(lock, [this] { return left_ == 0; });
    }

  private:
    void begin(const std::function<void()>* work) {
        std::lock_guard<std::mutex> lock(mutex_);
        work_ = work, left_ = threads_.size(), ++turn_;
        begun_.notify_all();
    }
    void serve() {
        for (int64_t seen = 0;; ++seen) {
            std::unique_lock<std::mutex> lock(mutex_);
            begun_.wait(lock, [&] { return turn_ > seen; });
            const auto* work = work_;
            if (work == nullptr) return;
            lock.unlock();
            (*work)();
            lock.lock();
            if (--left_ == 0) ended_.notify_one();
        }
    }

    std::mutex mutex_;
    std::condition_variable begun_, ended_;
    std::vector<std::thread> threads_;
    const std::function<void()>* work_ = nullptr;
    size_t left_ = 0;
    int64_t turn_ = 0;
};

template <typename CALL>
static void all(const CALL& call, int64_t count, void (*step)(const CALL&, int64_t), int threads) {
    static Pool pool(kThreads);
    std::atomic<int64_t> at{0};
    const auto work = [&] { for (int64_t task; (task = at++) < count;) step(call, task); };
    if (threads == 1) return work();
    pool.run(work);
}

static bool same(const Kernels& kernels, Codes codes, Type image_type, Type grid_type, const int64_t (&s)[6], bool copied) {
    Call call{};
    call.codes = codes;
    call.image_type = image_type;
    call.grid_type = grid_type;
    call.batch = s[0], call.channels = s[1], call.height = s[2], call.width = s[3], call.points = s[4] * s[5];
    divide(call);
    call.ahead = s[1] % 2 == 1;
    const int64_t pixels = s[0] * s[2] * s[3], samples = s[0] * s[1] * call.points, points = s[0] * call.points;
    auto image = tensor(image_type, pixels * s[1], -1, 1), grid = tensor(grid_type, 2 * points, -3, s[3] + 2.0);
    auto rows = tensor(image_type, copied ? pixels * kCopyChannels : 0, 0, 1);
    const size_t bytes = samples * size_of(image_type), mask_bytes = points * size_of(image_type);
    std::unique_ptr<char[]> outputs[2], masks[2];
    for (int i = 0; i < 2; ++i) {
        outputs[i].reset(new char[bytes]);
        masks[i].reset(new char[mask_bytes]);
        call.image = image.get(), call.grid = grid.get(), call.output = outputs[i].get(), call.mask = masks[i].get();
        call.rows = copied ? rows.get() : nullptr;
        if (copied) all(call, s[0] * s[2], kernels.copy, i == 0 ? 1 : kThreads);
        if (points > 0) all(call, call.tasks(), kernels.sample, i == 0 ? 1 : kThreads);
    }
    return std::memcmp(outputs[0].get(), outputs[1].get(), bytes) == 0 &&
           std::memcmp(masks[0].get(), masks[1].get(), mask_bytes) == 0;
}

// Of deformable attention: B, Q, H, D, P, with levels of 3 x 4, 1 x 5 and 6 x 1, of P, 2P and no points.
static bool same_attention(const Kernels& kernels, const int64_t (&s)[5], bool halves) {
    const int64_t sizes[] = {3, 4, s[4], 1, 5, 2 * s[4], 6, 1, 0}, levels = 3, pixels = 23, own = 3 * s[4];
    const Type type = halves ? kHalf : kFloat;
    const int64_t terms = s[0] * s[1] * s[2] * own, made = s[0] * s[1] * s[2] * s[3];
    auto value = tensor(type, s[0] * pixels * s[2] * s[3], -1, 1), weights = tensor(type, terms, -1, 1);
    auto places = tensor(kFloat, 2 * terms, -1.5, 2.5);
    Attention call{s[0],  pixels,      s[2],  s[3], s[1], levels, own, halves, value.get(),
                   sizes, reinterpret_cast<const float*>(places.get()), weights.get(), nullptr};
    std::unique_ptr<char[]> outputs[2];
    const size_t bytes = made * size_of(type);
    for (int i = 0; i < 2; ++i) {
        outputs[i].reset(new char[bytes]);
        call.output = outputs[i].get();
        all(call, call.tasks(), kernels.attend, i == 0 ? 1 : kThreads);
    }
    return std::memcmp(outputs[0].get(), outputs[1].get(), bytes) == 0;
}

int main() {
    const int64_t sizes[][6] = {{1, 1, 5, 7, 3, 11},  {2, 3, 7, 4, 5, 9},  {1, 13, 9, 2, 8, 8},  {1, 1, 1, 1, 4, 4},
                                {2, 5, 1, 6, 4, 5},   {1, 2, 6, 1, 3, 3},  {0, 3, 4, 4, 2, 2},   {1, 0, 4, 4, 2, 2},
                                {1, 3, 4, 4, 0, 5},   {1, 2, 0, 4, 3, 3},  {1, 1, 33, 31, 97, 101}, {1, 70, 9, 11, 71, 73}};
    const Type types[] = {kFloat, kHalf, kDouble};
    std::vector<Kernels> found{baseline::kernels()};
#ifdef ONNXGS_AVX2
    found.push_back(avx2::kernels());
#endif
    const int64_t attentions[][5] = {{2, 7, 3, 5, 4}, {1, 70, 2, 32, 4}, {1, 3, 1, 43, 1}, {1, 2, 2, 9, 30}, {2, 3, 2, 8, 0}};
    for (const Kernels& kernels : found)
        for (const auto& size : attentions)
            for (bool halves : {false, true})
                if (!same_attention(kernels, size, halves))
                    return std::printf("attention of %d channels differs\n", int(size[3])), 1;
    int count = 0;
    for (const Kernels& kernels : found)
        for (int code = 0; code < kBorders * kWindows * kCoordinates * kLayouts * 6; ++code) {
            const Codes codes{code % 4, code / 4 % 8, code / 32 % 3, code / 96 % 2, 0};
            const Type image = types[code / 192 % 3], grid = code / 576 ? kDouble : kFloat;
            const int64_t(&size)[6] = sizes[code % 101 == 0 ? 10 + code % 2 : code % 10];
            const bool copied = codes.layout == kNCHW && size[1] > 1 && size[1] <= kCopyChannels && code % 3 == 0;
            if (!same(kernels, codes, image, grid, size, copied)) return std::printf("case %d differs\n", code), 1;
            ++count;
        }
    for (const Kernels& kernels : found)
        for (int code = 0; code < kTapBorders * kLayouts * 6 * (kKernels - 1); ++code) {
            const Codes codes{code % 5, code % 8, code % 3, code / 5 % 2, kLinear + 1 + code / 60};
            const Type image = types[code / 10 % 3], grid = code / 30 % 2 ? kDouble : kFloat;
            const int64_t(&size)[6] = sizes[code % 61 == 0 ? 10 + code % 2 : code % 10];
            if (!same(kernels, codes, image, grid, size, false)) return std::printf("case %d of taps differs\n", code), 1;
            ++count;
        }
    std::printf("%d cases\n", count);
    return 0;
}
