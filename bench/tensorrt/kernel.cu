// The kernels alone, in a CUDA graph, against the time that their bytes take at copy speed.
//   nvcc -std=c++17 -O3 -arch=native -I native -o kernel bench/tensorrt/kernel.cu && ./kernel
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "launch.cuh"

using namespace onnxgs;

namespace {

constexpr double kBytesPerMicrosecond = 4.2e6;  // what a copy on an H200 moves, bytes read and written
constexpr int kCalls = 10, kRepeats = 31;

void check(cudaError_t error) {
    if (error == cudaSuccess) return;
    std::printf("%s\n", cudaGetErrorString(error));
    std::exit(1);
}

__device__ float uniform(unsigned long long i, unsigned seed) {
    unsigned h = static_cast<unsigned>(i) * 2654435761u + seed;
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    return static_cast<float>((h ^ h >> 16) >> 8) * (1.0f / 16777216.0f);
}

__global__ void fill(float* values, long long count) {
    for (long long i = blockIdx.x * 256LL + threadIdx.x; i < count; i += gridDim.x * 256LL)
        values[i] = 2.0f * uniform(i, 7) - 1.0f;
}

// A gently waved identity, or points anywhere within a pixel of the image.
__global__ void make_grid(Pair* grid, long long count, int height, int width, bool random) {
    for (long long i = blockIdx.x * 256LL + threadIdx.x; i < count; i += gridDim.x * 256LL) {
        int x = i % width, y = i / width % height;
        if (random)
            grid[i] = {uniform(i, 1) * (width + 1) - 1, uniform(i, 2) * (height + 1) - 1};
        else
            grid[i] = {x + 3.3f * sinf(y * 0.02f) + 0.37f, y + 2.7f * cosf(x * 0.015f) + 0.21f};
    }
}

template <typename Work>
double microseconds(Work work) {
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t ready;
    cudaEvent_t start, end;
    check(cudaStreamCreate(&stream));
    check(cudaEventCreate(&start));
    check(cudaEventCreate(&end));
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    for (int i = 0; i < kCalls; ++i) work(stream);
    check(cudaStreamEndCapture(stream, &graph));
    check(cudaGraphInstantiate(&ready, graph, 0));
    check(cudaGraphLaunch(ready, stream));
    std::vector<double> times;
    for (int i = 0; i < kRepeats; ++i) {
        float milliseconds;
        check(cudaEventRecord(start, stream));
        check(cudaGraphLaunch(ready, stream));
        check(cudaEventRecord(end, stream));
        check(cudaEventSynchronize(end));
        check(cudaEventElapsedTime(&milliseconds, start, end));
        times.push_back(milliseconds * 1000.0 / kCalls);
    }
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
}

struct Case {
    const char* name;
    int n, c, h, w;
};

void measure(const Case& z) {
    Codes codes{kZeros, 1, kPixel, kNCHW};
    Sampler s;
    make_sampler(codes, {z.n, z.c, z.h, z.w, z.h, z.w}, s);
    long long points = static_cast<long long>(z.n) * s.points, pixels = points * z.c;
    double floor = (pixels * 8.0 + points * 8.0) / kBytesPerMicrosecond;
    float *image, *output;
    Pair* grid;
    void* workspace = nullptr;
    size_t bytes = workspace_bytes<float>(s, kNCHW);
    check(cudaMalloc(&image, pixels * 4));
    check(cudaMalloc(&output, pixels * 4));
    check(cudaMalloc(&grid, points * 8));
    if (bytes) check(cudaMalloc(&workspace, bytes));
    fill<<<1024, 256>>>(image, pixels);
    for (bool random : {false, true}) {
        make_grid<<<1024, 256>>>(grid, points, z.h, z.w, random);
        check(cudaDeviceSynchronize());
        double planes = microseconds([&](cudaStream_t st) { sample<float>(image, grid, output, static_cast<float*>(nullptr), s, codes, nullptr, st); });
        double either = microseconds([&](cudaStream_t st) { sample<float>(image, grid, output, static_cast<float*>(nullptr), s, codes, workspace, st); });
        std::printf("%-3s %-7s floor %6.1f us   planes %8.2f us %5.2f   with workspace %8.2f us %5.2f\n", z.name,
                    random ? "random" : "smooth", floor, planes, planes / floor, either, either / floor);
    }
    for (void* pointer : {static_cast<void*>(image), static_cast<void*>(output), static_cast<void*>(grid), workspace})
        check(cudaFree(pointer));
}

}  // namespace

int main() {
    for (const Case& z : {Case{"a", 1, 1, 1080, 1920}, Case{"b", 1, 64, 135, 240}, Case{"c", 4, 256, 64, 64},
                          Case{"d", 8, 64, 270, 480}, Case{"a8", 8, 3, 1080, 1920}})
        measure(z);
}
