// The kernels of onnxgs::BilinearSample. No header is needed, so that nvcc, NVRTC and a host compiler take it.
//
//   image [N, C, H, W] (or [N, H, W, C]), fp32 or fp16;  grid [N, Ho, Wo, 2], x then y, fp32
//   output [N, C, Ho, Wo] (or [N, Ho, Wo, C]), of the image's type; sums are fp32
//   mask [N, Ho, Wo], optional, of the image's type: 1 where both coordinates are in the window, else 0
//
// A cell is the 2x2 pixels around a point p. It never leaves the image: on each axis its first pixel is
// b = clamp(floor(p), 0, S-2), and with d = p - b the weights of b and b+1 are
//   zeros:              relu(min(1-d, 1+d)), relu(min(d, 2-d))    with p clamped to [-1, S]
//   border, reflection: 1-d, d                                    with p clamped to [0, S-1]
// times 0 where p is outside the window. Clamping maps NaN into the image too: every read is in bounds.
#pragma once

namespace onnxgs {

// Codes of the node's attributes: they are in models and engines, so they may be added to and never changed.
enum Border { kZeros = 0, kBorder = 1, kReflectCentres = 2, kReflectEdges = 3, kBorders = 4, kWrap = 4, kTapBorders = 5 };
enum Coordinates { kPixel = 0, kNormalised = 1, kNormalisedCorners = 2, kCoordinates = 3 };
enum Layout { kNCHW = 0, kNHWC = 1, kLayouts = 2 };
enum Kernel {
    kLinear = 0, kNearest = 1, kNearestEven = 2, kNearestAway = 3, kNearestDown = 4, kFloor = 5, kCubic = 6, kCubicHalf = 7,
    kKernels = 8
};
enum { kWindows = 8 };

constexpr int kThreads = 256;

// One axis: p = (g + shift) * scale + move; the window is [low, high]; p is clamped to [least, most].
struct Axis {
    int size;
    float shift, scale, move;
    float low, high;
    float least, most;
};

struct Sampler {
    Axis x, y;
    int batch, channels;
    int plane;   // H * W
    int points;  // Ho * Wo
};

struct half_t { unsigned short bits; };
struct alignas(8) Pair { float x, y; };

// A host compiler brings its own ONNXGS_DEVICE, ONNXGS_BOTH, ONNXGS_KERNEL, ONNXGS_SHARED and the intrinsics.
#ifdef __CUDACC__
#define ONNXGS_BOTH __host__ __device__ inline
#define ONNXGS_DEVICE __device__ __forceinline__
#define ONNXGS_KERNEL __global__ void __launch_bounds__(kThreads)
#define ONNXGS_SHARED __shared__
ONNXGS_DEVICE float half_to_float(unsigned short bits) {
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(bits));
    return f;
}
ONNXGS_DEVICE unsigned short float_to_half(float f) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(f));
    return bits;
}
// The pointer itself, as a value that the compiler does not take apart again at each use.
template <typename T>
ONNXGS_DEVICE T* settled(T* at) {
    asm("" : "+l"(at));
    return at;
}
#endif

ONNXGS_DEVICE float read(const float* at) { return __ldg(at); }
ONNXGS_DEVICE float read(const half_t* at) { return half_to_float(__ldg(&at->bits)); }
ONNXGS_DEVICE Pair read_once(const Pair* at) {
    float2 v = __ldcs(reinterpret_cast<const float2*>(at));
    return {v.x, v.y};
}
ONNXGS_DEVICE void write(float* at, float v) { __stcs(at, v); }
ONNXGS_DEVICE void write(half_t* at, float v) { __stcs(&at->bits, float_to_half(v)); }

// 16 bytes at once: 4 floats or 8 halves.
ONNXGS_DEVICE void unpack(uint4 raw, float (&v)[4]) {
    v[0] = __uint_as_float(raw.x);
    v[1] = __uint_as_float(raw.y);
    v[2] = __uint_as_float(raw.z);
    v[3] = __uint_as_float(raw.w);
}
ONNXGS_DEVICE void unpack(uint4 raw, float (&v)[8]) {
    unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        v[2 * i] = half_to_float(static_cast<unsigned short>(words[i] & 0xffffu));
        v[2 * i + 1] = half_to_float(static_cast<unsigned short>(words[i] >> 16));
    }
}
ONNXGS_DEVICE uint4 pack(const float (&v)[4]) {
    return {__float_as_uint(v[0]), __float_as_uint(v[1]), __float_as_uint(v[2]), __float_as_uint(v[3])};
}
ONNXGS_DEVICE uint4 pack(const float (&v)[8]) {
    unsigned words[4];
#pragma unroll
    for (int i = 0; i < 4; ++i)
        words[i] = float_to_half(v[2 * i]) | static_cast<unsigned>(float_to_half(v[2 * i + 1])) << 16;
    return {words[0], words[1], words[2], words[3]};
}

// -- from attributes and sizes to a Sampler ---------------------------------------------------------

// The node's attributes.
struct Codes {
    int border = kZeros, window = 0, coordinates = kPixel, layout = kNCHW, kernel = kLinear;  // taps.cuh: other kernels

    ONNXGS_BOTH bool valid() const {
        return kernel >= 0 && kernel < kKernels && border >= 0 && border < (kernel == kLinear ? kBorders : kTapBorders) && window >= 0 && window < kWindows && coordinates >= 0 &&
               coordinates < kCoordinates && layout >= 0 && layout < kLayouts;
    }
};

// Sizes of one call, as the tensors' descriptions give them.
struct Sizes {
    long long batch, channels, height, width, out_height, out_width;
};

// The bounds lo and S + hi of each window code, closed or open.
struct Window {
    float lo, hi;
    bool bounded, lo_closed, hi_closed;
};
ONNXGS_BOTH Window window_of(int code) {
    constexpr Window kTable[kWindows] = {
        {0, 0, false, true, true},     // all
        {0, -1, true, true, false},    // interior
        {0, -1, true, true, true},     // interior-closed
        {0, -1, true, false, false},   // interior-open
        {0, -1, true, false, true},    // interior-open-low
        {-1, 0, true, false, false},   // reach
        {-1, 0, true, true, true},     // reach-closed
        {0, 0, true, true, false},     // cells
    };
    return kTable[code];
}

// A window within the image leaves nothing to the border, and the cheapest serves; but one that is mirrored about its edges
// rounds what is inside too.
ONNXGS_BOTH int border_of(const Codes& codes) {
    Window window = window_of(codes.window);
    bool within = window.bounded && window.lo >= 0 && window.hi < 0;
    return within && codes.border != kReflectEdges ? kBorder : codes.border;
}

ONNXGS_BOTH Axis axis_of(int size, const Codes& codes) {
    float largest = 3.402823466e+38f, infinity = largest * 2.0f;
    Axis axis{size, 0.0f, 1.0f, 0.0f, -infinity, infinity, 0.0f, size - 1.0f};
    if (codes.coordinates == kNormalised) axis = {size, 1.0f, size * 0.5f, -0.5f, axis.low, axis.high, 0.0f, size - 1.0f};
    if (codes.coordinates == kNormalisedCorners) {
        axis.shift = 1.0f;
        axis.scale = size * 0.5f - 0.5f;
    }
    if (border_of(codes) == kZeros) {
        axis.least = -1.0f;
        axis.most = static_cast<float>(size);
    }
    Window window = window_of(codes.window);
    if (!window.bounded) return axis;
    axis.low = window.lo_closed ? window.lo : nextafterf(window.lo, infinity);
    float high = size + window.hi;
    axis.high = window.hi_closed ? high : nextafterf(high, -infinity);
    return axis;
}

// False when a size is beyond what the kernels' indices hold. On a longer axis fp32 has no fractions of a pixel.
ONNXGS_BOTH bool make_sampler(const Codes& codes, const Sizes& z, Sampler& s) {
    constexpr long long kMost = (1LL << 31) - 4096, kLongest = 1LL << 23;
    if (z.height > kLongest || z.width > kLongest) return false;
    long long plane = z.height * z.width, points = z.out_height * z.out_width;
    if (plane > kMost || points > kMost || z.channels > kMost || z.batch > kMost) return false;
    s = {axis_of(static_cast<int>(z.width), codes), axis_of(static_cast<int>(z.height), codes),
         static_cast<int>(z.batch), static_cast<int>(z.channels), static_cast<int>(plane), static_cast<int>(points)};
    return true;
}

// -- one point ------------------------------------------------------------------------------------

struct Cell {
    int offset;       // of its first pixel in the plane
    int right, down;  // steps to the others; 0 on an axis of size 1
    float w00, w01, w10, w11;
};

// Mirrored about the centres of the outer pixels (origin 0, span S-1) or about their edges (-0.5, S).
ONNXGS_DEVICE float reflect(float p, float origin, float span) {
    if (!(span > 0.0f)) return 0.0f;
    float distance = fabsf(p - origin);
    float flips = floorf(distance / span);
    float extra = fmodf(distance, span);
    bool odd = fmodf(flips, 2.0f) != 0.0f;
    return (odd ? span - extra : extra) + origin;
}

ONNXGS_DEVICE float in_pixels(float g, const Axis& axis) {
    return __fadd_rn(__fmul_rn(__fadd_rn(g, axis.shift), axis.scale), axis.move);
}

// Where the border puts p: within [least, most], whatever p is.
template <int BORDER>
ONNXGS_DEVICE float bounded(float p, const Axis& axis) {
    if constexpr (BORDER == kReflectCentres) p = reflect(p, 0.0f, axis.size - 1.0f);
    if constexpr (BORDER == kReflectEdges) p = reflect(p, -0.5f, static_cast<float>(axis.size));
    return fminf(fmaxf(p, axis.least), axis.most);
}

// Along one axis: the first pixel and both weights. Each rounding is one of the node's function body.
template <int BORDER>
ONNXGS_DEVICE bool place(float g, const Axis& axis, int& first, float& w0, float& w1) {
    float p = in_pixels(g, axis);
    bool inside = p >= axis.low && p <= axis.high;
    p = bounded<BORDER>(p, axis);
    float cells = axis.size > 1 ? axis.size - 2.0f : 0.0f;
    float b = fminf(fmaxf(floorf(p), 0.0f), cells);
    float d = p - b;
    first = static_cast<int>(b);
    w0 = 1.0f - d;
    w1 = d;
    if constexpr (BORDER == kZeros) {
        w0 = fmaxf(fminf(w0, 1.0f + d), 0.0f);
        w1 = fmaxf(fminf(d, 2.0f - d), 0.0f);
    }
    if (axis.size < 2) w1 = 0.0f;
    return inside;
}

template <int BORDER>
ONNXGS_DEVICE Cell cell_at(Pair g, const Sampler& s) {
    int column, row;
    float x0, x1, y0, y1;
    bool inside = place<BORDER>(g.x, s.x, column, x0, x1);
    inside = place<BORDER>(g.y, s.y, row, y0, y1) && inside;
    float mask = inside ? 1.0f : 0.0f;
    y0 *= mask;
    y1 *= mask;
    Cell cell;
    cell.offset = row * s.x.size + column;
    cell.right = s.x.size > 1 ? 1 : 0;
    cell.down = s.y.size > 1 ? s.x.size : 0;
    cell.w00 = x0 * y0;
    cell.w01 = x1 * y0;
    cell.w10 = x0 * y1;
    cell.w11 = x1 * y1;
    return cell;
}

ONNXGS_DEVICE float blend(const Cell& cell, float v00, float v01, float v10, float v11) {
    return (v00 * cell.w00 + v01 * cell.w01) + (v10 * cell.w10 + v11 * cell.w11);
}

// Whether neighbouring points lie apart: then planes are read a sector a pixel, and channels last pays.
// Every thread of every block asks with equal arguments; 256 pairs are read.
ONNXGS_DEVICE bool is_scattered(const Pair* grid, const Sampler& s) {
    long long all = static_cast<long long>(s.batch) * s.points - 1;
    long long i = all * threadIdx.x / kThreads;
    Pair a = grid[i], b = grid[i + (all > 0)];
    float dx = fabsf(b.x - a.x) * s.x.scale, dy = fabsf(b.y - a.y) * s.y.scale;
    return __syncthreads_count(!(dx + dy < 8.0f)) > kThreads / 2;
}

// -- channels first -------------------------------------------------------------------------------
//
// A thread has POINTS points, a block apart, so that a warp's reads stay side by side, and takes UNROLL
// channels at a time of the block's `chunk`. blockIdx: x points, y chunks of channels, z items of the batch.
// `skip`, where there is one, points to a nonzero int when other kernels do the work.

template <typename T, int POINTS, int UNROLL>
ONNXGS_DEVICE void sample_channels(const T* image, T* output, const Sampler& s, const Cell (&cells)[POINTS],
                                   const int (&point)[POINTS]) {
    float v[UNROLL][POINTS][4];
#pragma unroll
    for (int u = 0; u < UNROLL; ++u) {
        const T* plane = image + static_cast<long long>(u) * s.plane;
#pragma unroll
        for (int k = 0; k < POINTS; ++k) {
            const T* at = plane + cells[k].offset;
            v[u][k][0] = read(at);
            v[u][k][1] = read(at + cells[k].right);
            v[u][k][2] = read(at + cells[k].down);
            v[u][k][3] = read(at + cells[k].down + cells[k].right);
        }
    }
#pragma unroll
    for (int u = 0; u < UNROLL; ++u) {
#pragma unroll
        for (int k = 0; k < POINTS; ++k) {
            float sum = blend(cells[k], v[u][k][0], v[u][k][1], v[u][k][2], v[u][k][3]);
            if (point[k] < s.points) write(output + static_cast<long long>(u) * s.points + point[k], sum);
        }
    }
}

template <typename T, int BORDER, int POINTS, int UNROLL>
ONNXGS_KERNEL sample_planes(const T* image, const Pair* grid, T* output, Sampler s, int chunk, const int* skip) {
    Cell cells[POINTS];
    int point[POINTS];
    int item = blockIdx.z;
    grid += static_cast<long long>(item) * s.points;
#pragma unroll
    for (int k = 0; k < POINTS; ++k) {
        point[k] = (blockIdx.x * POINTS + k) * kThreads + threadIdx.x;
        const Pair* at = grid + (point[k] < s.points ? point[k] : s.points - 1);
        cells[k] = cell_at<BORDER>(*at, s);
    }
    if (skip != nullptr && *skip != 0) return;
    int channel = blockIdx.y * chunk;
    int end = channel + chunk < s.channels ? channel + chunk : s.channels;
    long long first = static_cast<long long>(item) * s.channels + channel;
    image += first * s.plane;
    output += first * s.points;
    for (; channel + UNROLL <= end; channel += UNROLL) {
        sample_channels<T, POINTS, UNROLL>(image, output, s, cells, point);
        image += static_cast<long long>(UNROLL) * s.plane;
        output += static_cast<long long>(UNROLL) * s.points;
    }
    for (; channel < end; ++channel) {
        sample_channels<T, POINTS, 1>(image, output, s, cells, point);
        image += s.plane;
        output += s.points;
    }
}

// -- one channel -----------------------------------------------------------------------------------
//
// Of an image of at least 2x2 pixels. Such a call is short of instructions, not of bytes: so the weights are applied
// axis by axis, no Cell is made, and the steps to the other pixels are known. A thread has POINTS points, a block
// apart. blockIdx: x points, z items of the batch. `pixels`: the grid holds p itself.

// Floor of a p in [0, 2^23), and the same as an integer: adding 2^23 leaves the mantissa no bits for a fraction.
// A conversion has a quarter of an addition's throughput.
ONNXGS_DEVICE float floor_of(float p, int& whole) {
    constexpr float kShift = 8388608.0f;
    float shifted = __fadd_rd(p, kShift);
    whole = __float_as_int(shifted) - 0x4b000000;
    return shifted - kShift;
}

// As `place`, for a p in pixels and an axis of at least two.
template <int BORDER>
ONNXGS_DEVICE bool place_pixel(float p, const Axis& axis, int& first, float (&w)[2]) {
    bool inside = p >= axis.low && p <= axis.high;
    p = bounded<BORDER>(p, axis);
    float from = fminf(BORDER == kZeros ? fmaxf(p, 0.0f) : p, axis.size - 2.0f);
    float d = p - floor_of(from, first);
    w[0] = 1.0f - d;
    w[1] = d;
    if constexpr (BORDER == kZeros) {
        w[0] = fmaxf(fminf(w[0], 1.0f + d), 0.0f);
        w[1] = fmaxf(fminf(d, 2.0f - d), 0.0f);
    }
    return inside;
}

// Two pixels beside each other, in 16 bytes that are read at once three times in four: half the requests of two reads,
// which is what points that are far from each other wait for.
ONNXGS_DEVICE void read_pair(const float* at, float& left, float& right) {
    size_t address = reinterpret_cast<size_t>(at);
    unsigned first = address / sizeof(float) % 4;
    float v[4];
    unpack(__ldg(reinterpret_cast<const uint4*>(address & ~static_cast<size_t>(15))), v);
    left = first == 0 ? v[0] : first == 1 ? v[1] : first == 2 ? v[2] : v[3];
    right = first == 0 ? v[1] : first == 1 ? v[2] : first == 2 ? v[3] : read(at + 1);
}

// `aligned`: the image starts and ends at a multiple of 16 bytes, so that 16 bytes around any pixel are its own.
template <typename T, int BORDER, int POINTS>
ONNXGS_KERNEL sample_plane(const T* image, const Pair* grid, T* output, T* mask, Sampler s, bool pixels,
                           bool aligned) {
    int first = blockIdx.x * (POINTS * kThreads) + threadIdx.x;
    image = settled(image + static_cast<long long>(blockIdx.z) * s.plane);
    grid = settled(grid + static_cast<long long>(blockIdx.z) * s.points + first);
    output = settled(output + static_cast<long long>(blockIdx.z) * s.points + first);
    Pair at[POINTS];
#pragma unroll
    for (int k = 0; k < POINTS; ++k)
        at[k] = first + k * kThreads < s.points ? read_once(grid + k * kThreads) : Pair{0.0f, 0.0f};
    if (!pixels) {
#pragma unroll
        for (int k = 0; k < POINTS; ++k) at[k] = {in_pixels(at[k].x, s.x), in_pixels(at[k].y, s.y)};
    }
    float x[POINTS][2], y[POINTS][2], v[POINTS][4];
    bool inside[POINTS];
    int at_pixel[POINTS];
#pragma unroll
    for (int k = 0; k < POINTS; ++k) {
        int column, row;
        inside[k] = place_pixel<BORDER>(at[k].x, s.x, column, x[k]);
        inside[k] = place_pixel<BORDER>(at[k].y, s.y, row, y[k]) && inside[k];
        y[k][0] = inside[k] ? y[k][0] : 0.0f;
        y[k][1] = inside[k] ? y[k][1] : 0.0f;
        at_pixel[k] = row * s.x.size + column;
    }
    bool wide = false;
    if constexpr (sizeof(T) == sizeof(float)) {
        int apart = at_pixel[POINTS - 1] - at_pixel[0], few_rows = 8 * s.x.size;
        wide = aligned && (apart > few_rows || apart < -few_rows);
        if (wide) {
#pragma unroll
            for (int k = 0; k < POINTS; ++k) {
                read_pair(image + at_pixel[k], v[k][0], v[k][1]);
                read_pair(image + at_pixel[k] + s.x.size, v[k][2], v[k][3]);
            }
        }
    }
    if (!wide) {
#pragma unroll
        for (int k = 0; k < POINTS; ++k) {
            const T* above = image + at_pixel[k];
            const T* below = above + s.x.size;
            v[k][0] = read(above);
            v[k][1] = read(above + 1);
            v[k][2] = read(below);
            v[k][3] = read(below + 1);
        }
    }
#pragma unroll
    for (int k = 0; k < POINTS; ++k) {
        float above = v[k][0] * x[k][0] + v[k][1] * x[k][1], below = v[k][2] * x[k][0] + v[k][3] * x[k][1];
        if (first + k * kThreads < s.points) write(output + k * kThreads, above * y[k][0] + below * y[k][1]);
    }
    if (mask == nullptr) return;
    mask += static_cast<long long>(blockIdx.z) * s.points + first;
#pragma unroll
    for (int k = 0; k < POINTS; ++k)
        if (first + k * kThreads < s.points) write(mask + k * kThreads, inside[k] ? 1.0f : 0.0f);
}

// -- the mask alone -----------------------------------------------------------------------------------

// `everywhere`: there is no window, and NaN is in it, too.
ONNXGS_DEVICE bool in_window(Pair g, const Sampler& s, bool everywhere) {
    float x = in_pixels(g.x, s.x), y = in_pixels(g.y, s.y);
    return everywhere || (x >= s.x.low && x <= s.x.high && y >= s.y.low && y <= s.y.high);
}

// `points` are those of the whole batch.
template <typename T>
ONNXGS_KERNEL mask_points(const Pair* grid, T* mask, Sampler s, long long points, bool everywhere) {
    for (long long i = static_cast<long long>(blockIdx.x) * kThreads + threadIdx.x; i < points;
         i += static_cast<long long>(gridDim.x) * kThreads) {
        write(mask + i, in_window(grid[i], s, everywhere) ? 1.0f : 0.0f);
    }
}

// -- channels last --------------------------------------------------------------------------------
//
// 2^lane_bits threads share a point; each takes 16 bytes of channels at a time, or one channel where their
// count or the address is not a multiple of 16 bytes. blockIdx: x points, z items of the batch.

template <typename T>
ONNXGS_DEVICE void read_vectors(const T* at, const Cell& cell, int pitch, uint4 (&raw)[4]) {
    const T* below = at + static_cast<long long>(cell.down) * pitch;
    raw[0] = __ldg(reinterpret_cast<const uint4*>(at));
    raw[1] = __ldg(reinterpret_cast<const uint4*>(at + cell.right * pitch));
    raw[2] = __ldg(reinterpret_cast<const uint4*>(below));
    raw[3] = __ldg(reinterpret_cast<const uint4*>(below + cell.right * pitch));
}

template <int COUNT>
ONNXGS_DEVICE void blend_vectors(const Cell& cell, const uint4 (&raw)[4], float (&sums)[COUNT]) {
    float v[4][COUNT];
#pragma unroll
    for (int i = 0; i < 4; ++i) unpack(raw[i], v[i]);
#pragma unroll
    for (int i = 0; i < COUNT; ++i) sums[i] = blend(cell, v[0][i], v[1][i], v[2][i], v[3][i]);
}

template <typename T, int BORDER, bool VECTORS>
ONNXGS_KERNEL sample_rows(const T* image, const Pair* grid, T* output, Sampler s, int lane_bits) {
    constexpr int kStep = VECTORS ? 16 / sizeof(T) : 1;
    int point = blockIdx.x * (kThreads >> lane_bits) + (threadIdx.x >> lane_bits);
    if (point >= s.points) return;
    long long index = static_cast<long long>(blockIdx.z) * s.points + point;
    Cell cell = cell_at<BORDER>(grid[index], s);
    image += (static_cast<long long>(blockIdx.z) * s.plane + cell.offset) * s.channels;
    output += index * s.channels;
    int pitch = s.channels, lanes = 1 << lane_bits;
    for (int c = (threadIdx.x & (lanes - 1)) * kStep; c < s.channels; c += lanes * kStep) {
        const T* at = image + c;
        if constexpr (VECTORS) {
            uint4 raw[4];
            float sums[kStep];
            read_vectors(at, cell, pitch, raw);
            blend_vectors(cell, raw, sums);
            *reinterpret_cast<uint4*>(output + c) = pack(sums);
        } else {
            const T* below = at + static_cast<long long>(cell.down) * pitch;
            write(output + c, blend(cell, read(at), read(at + cell.right * pitch), read(below),
                                    read(below + cell.right * pitch)));
        }
    }
}

// -- channels first through a copy with channels last -----------------------------------------------
//
// Scattered points read a 32-byte sector a channel from planes, and the whole of each sector from rows. The
// first kernel looks at the grid and copies, or leaves it all to sample_planes; `scattered` says which.
// Both kernels go through tiles of kTilePoints x kTileChannels with as many blocks as the device holds.

constexpr int kTilePoints = 32, kTileChannels = 64;

// rows[item][pixel][pitch] = image[item][channel][pixel]; pitch is channels rounded up to 16 bytes.
template <typename T>
ONNXGS_KERNEL copy_to_rows(const T* image, const Pair* grid, T* rows, Sampler s, int pitch, int* scattered) {
    constexpr int kVector = 16 / sizeof(T), kLanes = kTileChannels / kVector;
    ONNXGS_SHARED float tile[kTileChannels][kTilePoints + 1];
    bool copies = is_scattered(grid, s);
    if (blockIdx.x == 0 && threadIdx.x == 0) *scattered = copies;
    if (!copies) return;
    int across = (s.plane + kTilePoints - 1) / kTilePoints;
    int chunks = (pitch + kTileChannels - 1) / kTileChannels;
    long long tiles = static_cast<long long>(s.batch) * across * chunks;
    for (long long t = blockIdx.x; t < tiles; t += gridDim.x) {
        int channel = static_cast<int>(t % chunks) * kTileChannels;
        int pixel = static_cast<int>(t / chunks % across) * kTilePoints;
        long long item = t / chunks / across;
        int column = threadIdx.x % kTilePoints;
        const T* from = image + (item * s.channels + channel) * s.plane + pixel + column;
        constexpr int kRows = kThreads / kTilePoints, kReads = kTileChannels / kRows;
        int row = threadIdx.x / kTilePoints;
        float v[kReads];
#pragma unroll
        for (int i = 0; i < kReads; ++i) {
            bool there = channel + row + i * kRows < s.channels && pixel + column < s.plane;
            v[i] = there ? read(from + static_cast<long long>(row + i * kRows) * s.plane) : 0.0f;
        }
#pragma unroll
        for (int i = 0; i < kReads; ++i) tile[row + i * kRows][column] = v[i];
        __syncthreads();
        int lane = threadIdx.x % kLanes * kVector;
        for (int k = threadIdx.x / kLanes; k < kTilePoints; k += kThreads / kLanes) {
            if (pixel + k >= s.plane || channel + lane >= pitch) continue;
            float packed[kVector];
#pragma unroll
            for (int i = 0; i < kVector; ++i) packed[i] = tile[lane + i][k];
            *reinterpret_cast<uint4*>(rows + (item * s.plane + pixel + k) * pitch + channel + lane) = pack(packed);
        }
        __syncthreads();
    }
}

template <typename T, int BORDER>
ONNXGS_KERNEL sample_copied_rows(const T* rows, const Pair* grid, T* output, Sampler s, int pitch,
                                 const int* scattered) {
    constexpr int kVector = 16 / sizeof(T), kLanes = kTileChannels / kVector;
    ONNXGS_SHARED float tile[kTileChannels][kTilePoints + 1];
    ONNXGS_SHARED Cell cells[kTilePoints];
    if (*scattered == 0) return;
    int across = (s.points + kTilePoints - 1) / kTilePoints;
    int chunks = (pitch + kTileChannels - 1) / kTileChannels;
    long long tiles = static_cast<long long>(s.batch) * across * chunks;
    for (long long t = blockIdx.x; t < tiles; t += gridDim.x) {
        int channel = static_cast<int>(t % chunks) * kTileChannels;
        int point = static_cast<int>(t / chunks % across) * kTilePoints;
        long long item = t / chunks / across;
        if (threadIdx.x < kTilePoints) {
            int mine = point + static_cast<int>(threadIdx.x);
            if (mine >= s.points) mine = s.points - 1;
            cells[threadIdx.x] = cell_at<BORDER>(grid[item * s.points + mine], s);
        }
        __syncthreads();
        int lane = threadIdx.x % kLanes * kVector;
        if (channel + lane < pitch) {
            const T* image = rows + item * s.plane * pitch + channel + lane;
            constexpr int kSteps = kTilePoints * kLanes / kThreads;
            uint4 raw[kSteps][4];
#pragma unroll
            for (int step = 0; step < kSteps; ++step) {
                const Cell& cell = cells[threadIdx.x / kLanes + step * (kThreads / kLanes)];
                read_vectors(image + static_cast<long long>(cell.offset) * pitch, cell, pitch, raw[step]);
            }
#pragma unroll
            for (int step = 0; step < kSteps; ++step) {
                int k = threadIdx.x / kLanes + step * (kThreads / kLanes);
                float sums[kVector];
                blend_vectors(cells[k], raw[step], sums);
#pragma unroll
                for (int i = 0; i < kVector; ++i) tile[lane + i][k] = sums[i];
            }
        }
        __syncthreads();
        int column = threadIdx.x % kTilePoints;
        T* to = output + (item * s.channels + channel) * s.points + point + column;
        for (int c = threadIdx.x / kTilePoints; c < kTileChannels && channel + c < s.channels;
             c += kThreads / kTilePoints)
            if (point + column < s.points) write(to + static_cast<long long>(c) * s.points, tile[c][column]);
        __syncthreads();
    }
}

// -- any call, plainly ----------------------------------------------------------------------------------
//
// A thread a point, all that is known at run time decided there: for callers that cannot use launch.cuh.

struct Call {
    Codes codes;
    Sizes sizes;
};

template <typename T, int BORDER>
ONNXGS_DEVICE void sample_point(const T* image, const Pair* grid, T* output, const Sampler& s, int layout,
                                long long index) {
    long long item = index / s.points, point = index % s.points;
    Cell cell = cell_at<BORDER>(grid[index], s);
    long long pixel_step = layout == kNHWC ? s.channels : 1, plane_step = layout == kNHWC ? 1 : s.plane;
    long long point_step = layout == kNHWC ? s.channels : 1, output_step = layout == kNHWC ? 1 : s.points;
    image += item * s.channels * s.plane + cell.offset * pixel_step;
    output += item * s.channels * s.points + point * point_step;
    for (int c = 0; c < s.channels; ++c, image += plane_step, output += output_step) {
        const T* below = image + cell.down * pixel_step;
        write(output, blend(cell, read(image), read(image + cell.right * pixel_step), read(below),
                            read(below + cell.right * pixel_step)));
    }
}

template <typename T>
ONNXGS_KERNEL sample_plainly(const T* image, const Pair* grid, T* output, T* mask, Call call) {
    Sampler s;
    if (!make_sampler(call.codes, call.sizes, s)) return;
    long long index = static_cast<long long>(blockIdx.x) * kThreads + threadIdx.x;
    if (index >= static_cast<long long>(s.batch) * s.points) return;
    if (mask != nullptr) write(mask + index, in_window(grid[index], s, call.codes.window == 0) ? 1.0f : 0.0f);
    if (s.plane == 0) return;
    switch (border_of(call.codes)) {
        case kZeros: return sample_point<T, kZeros>(image, grid, output, s, call.codes.layout, index);
        case kBorder: return sample_point<T, kBorder>(image, grid, output, s, call.codes.layout, index);
        case kReflectCentres: return sample_point<T, kReflectCentres>(image, grid, output, s, call.codes.layout, index);
        default: return sample_point<T, kReflectEdges>(image, grid, output, s, call.codes.layout, index);
    }
}

}  // namespace onnxgs
