// One task of a call, whatever its kernel and types: included once for each instruction set, see numbers.h.

#include "attend.h"
#include "bilinear.h"
#include "taps.h"

namespace onnxgs {
namespace ONNXGS_ISA {
namespace {

template <typename T, typename A>
ONNXGS_INLINE void write_mask(const A* ONNXGS_RESTRICT inside, int count, T* ONNXGS_RESTRICT mask) {
    for (int i = 0; i < count; ++i) put(mask + i, static_cast<typename Sum<T>::type>(inside[i]));
}

template <typename T>
void fill_zeros(T* output, int64_t count) { std::memset(static_cast<void*>(output), 0, sizeof(T) * count); }

// KERNEL: where pixels of a block of points are (`Block`, `place`), and the samples of planes or rows there.
template <typename T, typename G, typename KERNEL>
struct Task {
    Part part;

    void zeros(int64_t point, int count) const {
        if (part.call.codes.layout == kNHWC) return fill_zeros(part.output_rows<T>(point), count * part.channels);
        for (int64_t c = 0; c < part.channels; ++c) fill_zeros(part.output_plane<T>(point) + c * part.call.points, count);
    }

    void run() const {
        const Call& call = part.call;
        const KERNEL kernel(call);
        const G* grid = static_cast<const G*>(call.grid) + part.item * call.points * 2;
        T* mask = part.first_channel > 0 || call.mask == nullptr ? nullptr
                                                                 : static_cast<T*>(call.mask) + part.item * call.points;
        const int64_t end = std::min(call.points, part.first_point + call.task_points);
        typename KERNEL::Block cells;
        for (int64_t point = part.first_point; point < end; point += call.block) {
            const int count = static_cast<int>(std::min(call.block, end - point));
            kernel.place(grid + 2 * point, count, &cells);
            if (mask != nullptr) write_mask(cells.inside, count, mask + point);
            if (call.height * call.width == 0)
                zeros(point, count);
            else if (call.codes.layout == kNHWC)
                KERNEL::rows(part, cells, point, count);
            else
                KERNEL::planes(part, cells, point, count);
        }
    }
};

template <typename T, typename G>
void sample_as(const Call& call, int64_t task) {
    int64_t part = task % call.point_parts(), rest = task / call.point_parts();
    int64_t group = rest % call.channel_parts(), item = rest / call.channel_parts();
    int64_t first = group * call.task_channels;
    const Part of{call, item, first, std::min(call.task_channels, call.channels - first), part * call.task_points};
    if (call.codes.kernel == kLinear) return Task<T, G, Linear<T, G>>{of}.run();
    if (is_cubic(call.codes.kernel)) return Task<T, G, Cubic<T, G>>{of}.run();
    Task<T, G, Nearest<T, G>>{of}.run();
}

void sample(const Call& call, int64_t task) {
    bool wide = call.grid_type == kDouble;
    switch (call.image_type) {
        case kHalf: return wide ? sample_as<half_t, double>(call, task) : sample_as<half_t, float>(call, task);
        case kDouble: return wide ? sample_as<double, double>(call, task) : sample_as<double, float>(call, task);
        default: return wide ? sample_as<float, double>(call, task) : sample_as<float, float>(call, task);
    }
}

void copy(const Call& call, int64_t row) {
    switch (call.image_type) {
        case kHalf: return copy_row<half_t>(call, row);
        case kDouble: return copy_row<double>(call, row);
        default: return copy_row<float>(call, row);
    }
}

}  // namespace

Kernels kernels() { return {sample, copy, attend}; }

}  // namespace ONNXGS_ISA
}  // namespace onnxgs
