// One call of an operator: its attributes, sizes, tensors, and how it is divided into tasks.
#pragma once

#include <algorithm>
#include <cstdint>

#include "attention.h"

namespace onnxgs {

enum Border { kZeros, kBorder, kReflection, kSymmetric, kBorders, kWrap = kBorders, kTapBorders };  // kWrap: not of linear
enum Coordinates { kPixel, kNormalised, kNormalisedCorners, kCoordinates };
enum Layout { kNCHW, kNHWC, kLayouts };
enum Mask { kNoMask, kMaskNHW, kMaskN1HW, kMaskNHW1, kMasks };
enum Kernel { kLinear, kNearest, kNearestEven, kNearestAway, kNearestDown, kFloor, kCubic, kCubicHalf, kKernels };
constexpr int64_t kWindows = 8;
constexpr bool is_cubic(int64_t kernel) { return kernel == kCubic || kernel == kCubicHalf; }

// The node's attributes; the codes are the operator's contract and may be added to, never changed.
struct Codes {
    int64_t border = kZeros, window = 0, coordinates = kPixel, layout = kNCHW, kernel = kLinear, mask = kNoMask;
};

// Types of tensors, by onnxruntime's numbers.
enum Type : int { kFloat = 1, kHalf = 10, kDouble = 11 };

struct half_t {
    uint16_t bits;
};

struct Call {
    Codes codes;
    Type image_type, grid_type;
    int64_t batch, channels, height, width, points;  // points: Ho * Wo
    const void* image;
    const void* grid;
    void* output;
    void* mask;  // null where the node has no second output
    void* rows;  // null, or room for a copy of the image with kCopyChannels values a pixel

    // A task is some points of one item, for some channels; of the copy, some rows of the image.
    int64_t task_points, task_channels;
    bool ahead;     // whether what comes next is fetched: of linear the next plane, of cubic a later point
    int64_t block;  // points whose cells are kept at a time
    int64_t point_parts() const { return (points + task_points - 1) / task_points; }
    int64_t channel_parts() const { return std::max<int64_t>(1, (channels + task_channels - 1) / task_channels); }
    int64_t tasks() const { return batch * channel_parts() * point_parts(); }
};

// A task's share of a call.
struct Part {
    const Call& call;
    int64_t item, first_channel, channels, first_point;

    template <typename T>
    const T* image_plane() const {
        return static_cast<const T*>(call.image) + (item * call.channels + first_channel) * call.height * call.width;
    }
    template <typename T>
    T* output_plane(int64_t point) const {
        return static_cast<T*>(call.output) + (item * call.channels + first_channel) * call.points + point;
    }
    template <typename T>
    const T* image_rows() const {
        return static_cast<const T*>(call.image) + item * call.height * call.width * channels;
    }
    template <typename T>
    T* output_rows(int64_t point) const {
        return static_cast<T*>(call.output) + (item * call.points + point) * channels;
    }
};

constexpr int64_t kBlock = 512, kMostBlock = 4096;
constexpr int64_t kTaskPoints = 8192;
constexpr int64_t kTaskChannels = 32;
constexpr int64_t kCopyChannels = 4;  // of the copy for scattered points; more channels are read plane by plane

// Few channels, or sixteen pixels a point: blocks stay in the first cache. Many: a plane serves more points while it is in
// the second one.
inline void divide(Call& call) {
    const bool planes = call.codes.layout == kNCHW;
    const bool many = planes && call.channels > kCopyChannels && !is_cubic(call.codes.kernel);
    call.block = many ? kMostBlock : kBlock;
    call.task_points = many ? kMostBlock : kTaskPoints;
    call.task_channels = planes ? kTaskChannels : std::max<int64_t>(1, call.channels);
    if (!planes) call.task_points = std::max<int64_t>(64, kTaskPoints * 4 / std::max<int64_t>(4, call.channels));
}

// The same functions, compiled for several instruction sets.
struct Kernels {
    void (*sample)(const Call&, int64_t task);
    void (*copy)(const Call&, int64_t row);  // one row of one item, into `rows`
    void (*attend)(const Attention&, int64_t task);
};

}  // namespace onnxgs
