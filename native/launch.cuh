// Which kernels sample, with how many blocks, and how much workspace they want. Host code.
#pragma once

#include <cstddef>

#include "bilinear_sample.cuh"
#include "taps.cuh"

#ifndef ONNXGS_LAUNCH
#include <cuda_runtime.h>
#define ONNXGS_LAUNCH(kernel, blocks, stream, ...) kernel<<<blocks, kThreads, 0, stream>>>(__VA_ARGS__)
#endif

namespace onnxgs {

// -- the copy with channels last -----------------------------------------------------------------

constexpr size_t kFlagBytes = 256;        // in front of the rows, for `scattered`
constexpr size_t kCopyFrom = 64u << 20;   // bytes of rows: a smaller image stays in the L2 cache
constexpr int kCopyChannels = 16;

#ifdef ONNXGS_NO_COPY  // no workspace, for engines that must be small; scattered grids are slower
constexpr bool kCopies = false;
#else
constexpr bool kCopies = true;
#endif

template <typename T>
int pitch_of(const Sampler& s) {
    constexpr int kVector = 16 / sizeof(T);
    return (s.channels + kVector - 1) / kVector * kVector;
}

template <typename T>
size_t rows_bytes(const Sampler& s) {
    return static_cast<size_t>(s.batch) * s.plane * pitch_of<T>(s) * sizeof(T);
}

// Workspace for calls of these sizes or any smaller ones; 0 where planes are always read as they are.
template <typename T>
size_t workspace_bytes(const Sampler& s, const Codes& codes) {
    if (!kCopies || codes.kernel != kLinear || codes.layout != kNCHW || s.channels < kCopyChannels) return 0;
    size_t rows = rows_bytes<T>(s);
    return rows >= kCopyFrom ? kFlagBytes + rows : 0;
}

// Whether a call uses its workspace: not with so few points that the copy would cost more than it saves.
template <typename T>
bool uses_workspace(const Sampler& s, const Codes& codes) {
    return s.points >= s.plane / 2 && workspace_bytes<T>(s, codes) > 0;
}

// -- launches --------------------------------------------------------------------------------------

constexpr int kBlocksZ = 65535;
constexpr int kResidentBlocks = 8 * 132;  // about what fills a large device; more or fewer only costs time

// The mask of a call, alone.
template <typename T, typename Stream>
void mask_all(const Pair* grid, T* mask, const Sampler& s, const Codes& codes, Stream stream) {
    long long points = static_cast<long long>(s.batch) * s.points, blocks = (points + kThreads - 1) / kThreads;
    if (blocks == 0) return;
    dim3 some(static_cast<unsigned>(blocks < 8 * kResidentBlocks ? blocks : 8 * kResidentBlocks));
    ONNXGS_LAUNCH((mask_points<T>), some, stream, grid, mask, s, points, codes.window == 0);
}

// The launches of one call: T and the border are the kernels', the rest is told at run time.
template <typename T, int BORDER, typename Stream>
struct Launcher {
    const T* image;
    const Pair* grid;
    T* output;
    T* mask;  // null where none is wanted
    Sampler s;
    Stream stream;

    template <int POINTS, int UNROLL>
    void planes(int chunk, const int* skip) const {
        long long image_item = static_cast<long long>(s.channels) * s.plane;
        long long output_item = static_cast<long long>(s.channels) * s.points;
        for (int item = 0; item < s.batch; item += kBlocksZ) {
            dim3 blocks((s.points + POINTS * kThreads - 1) / (POINTS * kThreads), (s.channels + chunk - 1) / chunk,
                        s.batch - item < kBlocksZ ? s.batch - item : kBlocksZ);
            ONNXGS_LAUNCH((sample_planes<T, BORDER, POINTS, UNROLL>), blocks, stream, image + item * image_item,
                          grid + static_cast<long long>(item) * s.points, output + item * output_item, s, chunk, skip);
        }
    }

    void plane(bool pixels) const {
        constexpr int kPoints = 3;
        bool aligned = reinterpret_cast<size_t>(image) % 16 == 0 &&
                       static_cast<long long>(s.batch) * s.plane * sizeof(T) % 16 == 0;
        for (int item = 0; item < s.batch; item += kBlocksZ) {
            dim3 blocks((s.points + kPoints * kThreads - 1) / (kPoints * kThreads), 1,
                        s.batch - item < kBlocksZ ? s.batch - item : kBlocksZ);
            ONNXGS_LAUNCH((sample_plane<T, BORDER, kPoints>), blocks, stream,
                          image + static_cast<long long>(item) * s.plane,
                          grid + static_cast<long long>(item) * s.points,
                          output + static_cast<long long>(item) * s.points,
                          mask == nullptr ? mask : mask + static_cast<long long>(item) * s.points, s, pixels,
                          aligned);
        }
    }

    // The kernel of one channel writes the mask beside its samples: it has no time to read the grid twice.
    bool masks_too(const Codes& codes) const {
        return codes.layout == kNCHW && s.channels == 1 && s.x.size > 1 && s.y.size > 1 && codes.window != 0;
    }

    void nchw(const int* skip, bool pixels) const {
        if (s.channels == 1 && skip == nullptr && s.x.size > 1 && s.y.size > 1) return plane(pixels);
        if (s.channels == 3) return planes<1, 3>(3, skip);
        constexpr int kMostBlocks = 65535;
        int least = s.channels / kMostBlocks + 1;
        // Four channels at a time are faster with smooth grids, two with scattered ones.
        if (skip != nullptr) return planes<1, 4>(least > 8 ? least : 8, skip);
        planes<1, 2>(least > 16 ? least : 16, skip);
    }

    void nhwc() const {
        constexpr int kVector = 16 / sizeof(T);
        size_t bits = reinterpret_cast<size_t>(image) | reinterpret_cast<size_t>(output);
        bool vectors = s.channels % kVector == 0 && bits % 16 == 0;
        int lanes = vectors ? s.channels / kVector : s.channels, lane_bits = 0;
        while ((1 << lane_bits) < lanes && lane_bits < 5) ++lane_bits;
        int share = kThreads >> lane_bits;
        for (int item = 0; item < s.batch; item += kBlocksZ) {
            dim3 blocks((s.points + share - 1) / share, 1, s.batch - item < kBlocksZ ? s.batch - item : kBlocksZ);
            const T* from = image + static_cast<long long>(item) * s.plane * s.channels;
            const Pair* at = grid + static_cast<long long>(item) * s.points;
            T* to = output + static_cast<long long>(item) * s.points * s.channels;
            if (vectors)
                ONNXGS_LAUNCH((sample_rows<T, BORDER, true>), blocks, stream, from, at, to, s, lane_bits);
            else
                ONNXGS_LAUNCH((sample_rows<T, BORDER, false>), blocks, stream, from, at, to, s, lane_bits);
        }
    }

    void with_mask(const Codes& codes, void* workspace) const {
        mask_all(grid, mask, s, codes, stream);
        Launcher alone = *this;
        alone.mask = nullptr;
        alone.run(codes, workspace);
    }

    dim3 resident(int columns) const {
        long long tiles = static_cast<long long>(s.batch) * ((columns + kTilePoints - 1) / kTilePoints) *
                          ((s.channels + kTileChannels - 1) / kTileChannels);
        return dim3(tiles < kResidentBlocks ? static_cast<unsigned>(tiles) : kResidentBlocks);
    }

    // As the grid is: smooth, from the planes; scattered, from a copy with channels last in `workspace`.
    void either(void* workspace, bool pixels) const {
        int* scattered = static_cast<int*>(workspace);
        T* rows = reinterpret_cast<T*>(static_cast<char*>(workspace) + kFlagBytes);
        int pitch = pitch_of<T>(s);
        ONNXGS_LAUNCH((copy_to_rows<T>), resident(s.plane), stream, image, grid, rows, s, pitch, scattered);
        nchw(scattered, pixels);
        ONNXGS_LAUNCH((sample_copied_rows<T, BORDER>), resident(s.points), stream, rows, grid, output, s, pitch,
                      scattered);
    }

    void run(const Codes& codes, void* workspace) const {
        bool pixels = codes.coordinates == kPixel;
        if (mask != nullptr && !masks_too(codes)) return with_mask(codes, workspace);
        if (codes.layout == kNHWC) return nhwc();
        if (workspace != nullptr) return either(workspace, pixels);
        nchw(nullptr, pixels);
    }
};

// The samples of another kernel than the linear one.
template <typename T, typename Stream>
void sample_taps(const T* image, const Pair* grid, T* output, const Sampler& s, const Codes& codes, Stream stream) {
    bool last = codes.layout == kNHWC, cubic = codes.kernel >= kCubic;
    Taps call{s, codes, 0, 0};
    while (last && (1 << call.lane_bits) < s.channels && call.lane_bits < 5) ++call.lane_bits;
    int least = s.channels / kBlocksZ + 1, usual = last ? s.channels : 8;
    call.chunk = least > usual ? least : usual;
    int share = kThreads >> call.lane_bits;
    for (int item = 0; item < s.batch; item += kBlocksZ) {
        dim3 blocks((s.points + share - 1) / share, (s.channels + call.chunk - 1) / call.chunk,
                    s.batch - item < kBlocksZ ? s.batch - item : kBlocksZ);
        const T* from = image + static_cast<long long>(item) * s.plane * s.channels;
        const Pair* at = grid + static_cast<long long>(item) * s.points;
        T* to = output + static_cast<long long>(item) * s.points * s.channels;
        if (cubic)
            ONNXGS_LAUNCH((sample_cubic<T>), blocks, stream, from, at, to, call);
        else
            ONNXGS_LAUNCH((sample_nearest<T>), blocks, stream, from, at, to, call);
    }
}

// The output is written wholly; an empty one needs no launch. `workspace` has rows_bytes and kFlagBytes, or is
// null: then planes are read as they are. `mask` may be null. An image without pixels is the caller's: it fills the
// output with zeros.
template <typename T, typename Stream>
void sample(const T* image, const Pair* grid, T* output, T* mask, const Sampler& s, const Codes& codes,
            void* workspace, Stream stream) {
    if (s.batch == 0 || s.points == 0) return;
    if (s.channels == 0 || s.plane == 0) {
        if (mask != nullptr) mask_all(grid, mask, s, codes, stream);
        return;
    }
    if (codes.kernel != kLinear) {
        if (mask != nullptr) mask_all(grid, mask, s, codes, stream);
        return sample_taps(image, grid, output, s, codes, stream);
    }
    switch (border_of(codes)) {
        case kZeros:
            return Launcher<T, kZeros, Stream>{image, grid, output, mask, s, stream}.run(codes, workspace);
        case kBorder:
            return Launcher<T, kBorder, Stream>{image, grid, output, mask, s, stream}.run(codes, workspace);
        case kReflectCentres:
            return Launcher<T, kReflectCentres, Stream>{image, grid, output, mask, s, stream}.run(codes, workspace);
        default:
            return Launcher<T, kReflectEdges, Stream>{image, grid, output, mask, s, stream}.run(codes, workspace);
    }
}

}  // namespace onnxgs
