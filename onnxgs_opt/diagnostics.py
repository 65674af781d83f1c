"""What is said of a place in a model, and the codes: what each means and what to do about it.

GSO0xx are rules (what is found), GSO1xx near-misses (what looks like a site and was refused, one code a
reason), GSO2xx hazards (what is legal in the model and goes wrong in some runtime).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """One code of a report: a title of a few words, what it means, and what to do."""

    code: str
    title: str
    meaning: str
    action: str


_ALL = (
    Code(
        "GSO001",
        "four-read bilinear sampler",
        "Four reads of one image, weighted by the fractions of two coordinates. The weights, the indices "
        "and the border were proven to be those of one bilinear policy.",
        "Nothing: it is lowered. --lowering chooses how, --lowering keep leaves it as exported.",
    ),
    Code(
        "GSO002",
        "GridSample node",
        "A GridSample of any mode, border and opset, over images or, where it is not cubic, volumes: a lowering for "
        "its kernel can replace it, with the rounding of coordinates of onnxruntime's own.",
        "Nothing: it is kept unless another spelling is measured faster; --lowering NAME forces one.",
    ),
    Code(
        "GSO003",
        "multi-tap sum of reads",
        "A weighted sum of reads of one tensor that is not a bilinear sampler (another kernel, another "
        "dimension, an unknown border). Its reads merge into one without knowing what it computes.",
        "Nothing: the merged form is exact. It is kept unless the merge is measured faster; --lowering merged-gather "
        "forces it.",
    ),
    Code(
        "GSO004",
        "Resize spelt as reads",
        "Reads at places, and weights, that no data decides: rows depend on y alone and columns on x alone. Mode, "
        "places of the samples and scales were proven to be those of one Resize.",
        "Nothing: it is kept unless the one node is measured faster; --lowering resize forces it.",
    ),
    Code(
        "GSO005",
        "sampler of another kernel or dimension",
        "Reads of one image at one, two or three coordinates: the nearest pixel, linear or cubic interpolation. The "
        "weights, the indices and the border were proven to be those of one kernel and one policy, halves included.",
        "Nothing: it is lowered where that is measured faster. --lowering chooses how, --lowering keep leaves it as "
        "exported.",
    ),
    Code(
        "GSO006",
        "deformable convolution spelt as a sampler",
        "A bilinear sampler with zeros outside, whose points stand around each position as those of a kernel and are "
        "moved by offsets, and a convolution or a product of matrices that weighs them. Which offset, mask and pixel "
        "each weight meets was traced element by element, and where the kernel's points stand by the numbers added.",
        "Nothing: it becomes one DeformConv where that is measured faster (opset 19), or its sampler another form. "
        "--lowering deform-conv forces the node, --lowering keep leaves it as exported.",
    ),
    Code(
        "GSO007",
        "RoIAlign spelt as reads",
        "Bilinear samples on a regular grid in each of many boxes, or the means of such samples over bins. Where "
        "samples stand, which are averaged, and what counts outside the image were proven to be those of one RoiAlign "
        "node, unless the report says what that node would do otherwise.",
        "Nothing: it becomes one RoiAlign where that is measured faster; --lowering roi-align forces it. Where the "
        "node is refused because boxes may leave the image, clip them to the image before (boxes.clamp).",
    ),
    Code(
        "GSO008",
        "deformable attention spelt as samplers",
        "Bilinear samplers with zeros outside, each of one level of the same tensor, whose samples are weighted and "
        "summed, as in Deformable DETR. Which pixels, which place and which weight each term of the sum has was traced "
        "element by element; weights may be any numbers.",
        "Nothing: it becomes one node of onnxgs-ops (--ops) or TensorRT's own plugin (--target tensorrt) or one Gather "
        "for all levels where that is measured faster, or its samplers another form. --lowering plugin, "
        "tensorrt-attention or row-gather forces the whole, --lowering keep leaves it as exported.",
    ),
    Code(
        "GSO101",
        "weights are not bilinear",
        "The four weights are not the products of (1-u, u) and (1-v, v), u and v being the fractions of "
        "the two coordinates: a weight is scaled, two weights are swapped, or a factor differs from tap "
        "to tap.",
        "Compare the four products with w00=(1-u)(1-v), w01=u(1-v), w10=(1-u)v, w11=uv in the exporting module.",
    ),
    Code(
        "GSO102",
        "indices do not fit the weights",
        "The pixels that are read are not the four around the coordinate that the weights are made of: x "
        "and y transposed, a row stride that is not the width, a corner off by one, or a condition on both axes.",
        "Check the linear index y*W + x and which corner each weight multiplies.",
    ),
    Code(
        "GSO103",
        "border is no known policy",
        "Inside the image this is bilinear; outside, weights and indices follow no one policy, for "
        "example clamped indices with weights of the clamped corners, or a mask inside the weight of some "
        "taps only.",
        "Clamp or mask all four taps alike, or clamp the coordinate before floor.",
    ),
    Code(
        "GSO104",
        "reads of different images",
        "The four reads do not read one tensor through one layout, so no single sampler equals them.",
        "Sample each image by itself, or concatenate the images along the channels first.",
    ),
    Code(
        "GSO105",
        "an interior tensor is read from outside",
        "A tensor between the reads and the sum has another consumer, so removing the cone would remove its input.",
        "Compute what the other consumer needs from the sampler's inputs instead.",
    ),
    Code(
        "GSO106",
        "a graph output inside the cone",
        "A tensor between the reads and the sum is an output of the graph that the rewrite cannot keep.",
        "Export the model without that output, or compute it outside the sampler.",
    ),
    Code(
        "GSO107",
        "mask does not fit",
        "The mask's bounds are no known window of the image (0 <= p < S-1 is one), or it masks some taps only.",
        "Check the comparisons with 0 and S-1 on both axes, and that all four taps carry the same mask.",
    ),
    Code(
        "GSO108",
        "an operator or a layout without a rule",
        "The cone holds an operator, a reshape or an order of axes whose meaning for the index space is "
        "not known, or no tensor holds the coordinates, or a factor of all taps, by itself.",
        "Report it with a small model; until then the reads stay as exported.",
    ),
    Code(
        "GSO109",
        "an index is no rounded coordinate",
        "What says where to read is a whole number as it comes, or is rounded of several tensors at once: there is no "
        "coordinate whose floor it is, and whose fraction the weights could be made of.",
        "Make the corners by floor, of the coordinate whose fractions are the weights.",
    ),
    Code(
        "GSO110",
        "index is not exact in its type",
        "The linear index is computed in a floating type that cannot hold every index of this image (2^24 "
        "in fp32, 2^11 in fp16).",
        "Cast the corners to int64 before y*W + x.",
    ),
    Code(
        "GSO111",
        "indices do not depend on the inputs",
        "The reads stand at fixed positions: rows depend on y alone and columns on x alone, as in a "
        "Resize spelled as reads, or every coordinate is a constant.",
        "Export an interpolation to another size as Resize.",
    ),
    Code(
        "GSO112",
        "another number of pixels or coordinates",
        "A weighted sum of another number of pixels, or at another number of coordinates, than a sampler has: one "
        "pixel is read twice, say, or data choose what is sampled.",
        "Check that each read is of another corner; if it is meant so, nothing: its reads may merge into one (GSO003).",
    ),
    Code(
        "GSO113",
        "image size is not known",
        "The size that bounds, strides or normalises the coordinates could not be traced to the image or follows from "
        "what an input holds, what is computed changes with the dynamic sizes, an axis has less than 2 pixels, or the "
        "sizes are more than any memory holds.",
        "Export with a static size, or derive the size from the shape of the image that is read.",
    ),
    Code(
        "GSO114",
        "indices may leave the image",
        "Nothing clamps or masks the corners, so a coordinate outside would read another row or fail. "
        "That it stays inside is the caller's promise, not the graph's.",
        "Clamp the coordinate before floor, or mask the result and the indices.",
    ),
    Code(
        "GSO115",
        "what is computed changes at a size",
        "A size flows into a minimum, a comparison, a branch, a rounded quotient or a type that does not hold it, so "
        "that what is computed is not the same formula at every size from 2 up.",
        "Export that size as a fixed one, compute the limits from the image's shape alone, or say between which sizes "
        "it will be, by --shape NAME=MIN,OPT,MAX.",
    ),
    Code(
        "GSO116",
        "too much work to decide",
        "Conditions, reads or products behind the reads make so many cases that the search stopped at its bound, "
        "which is a count of steps and the same on every machine.",
        "Report it if it is a sampler; the reads stay as exported.",
    ),
    Code(
        "GSO117",
        "samples are weighted as no kernel's points are",
        "A convolution at every few elements weighs samples, as in a deformable convolution, and what it weighs is not "
        "proven to be the points of one kernel: the reason says which. The sampler is lowered by itself.",
        "Nothing, or export a deformable convolution: points on a grid of whole pixels plus an offset for each, zeros "
        "outside the image.",
    ),
    Code(
        "GSO118",
        "samples of several images are summed otherwise than by deformable attention",
        "Samples of several images are weighted and summed, as in deformable attention, and it is not proven to be "
        "one: the reason says what differs. The samplers are lowered by themselves.",
        "Nothing, or export it as Deformable DETR has it: one tensor with the pixels of all levels, one with a place "
        "from 0 to 1 for every point of every level and one with a weight for each.",
    ),
    Code(
        "GSO201",
        "GridSample mode linear at opset 20",
        "TensorRT before 11.2 runs GridSample with mode linear (the opset 20 name of bilinear) as nearest.",
        "Use TensorRT 11.2 or later, or export at opset 16 to 19.",
    ),
    Code(
        "GSO202",
        "coordinates in fp16",
        "fp16 holds pixel coordinates exactly only up to 2048, and fractions of a pixel far less.",
        "Keep coordinates and indices in fp32.",
    ),
    Code(
        "GSO203",
        "negative linear indices wrap",
        "A linear index y*W + x below zero wraps to the end of the image, one of a negative x to the previous row.",
        "Clamp or mask x and y before the linear index.",
    ),
    Code(
        "GSO204",
        "integer Clip at opset 11",
        "Clip on integers needs opset 12; exporters write it at 11, and onnxruntime rejects the model.",
        "Export at opset 12 or later.",
    ),
    Code(
        "GSO205",
        "start or end of Shape",
        "TensorRT 8.6 takes the whole shape where Shape has a start or an end. The longer shape broadcasts on, or "
        "a view with too many dims is refused.",
        "Use TensorRT 10 or later, or --engine, which writes Shape and Slice in the engine's copy of the model.",
    ),
    Code(
        "GSO206",
        "needs the library of onnxgs-ops to be fast",
        "The model has nodes of the domain onnxgs, chosen because the library of onnxgs-ops runs them fast. Where a "
        "program does not load it, onnxruntime runs the function that comes with them in the same file: it computes "
        "the same, but may be slower than the model as it came.",
        "Load it before the model. Python: options.register_custom_ops_library(onnxgs_ops.get_library_path()); "
        "C++: options.RegisterCustomOpsLibrary(path); C#: options.RegisterCustomOpLibraryV2(path, out handle). "
        "Without the library the node's function computes the same, more slowly; without --ops no node needs one.",
    ),
    Code(
        "GSO207",
        "infinite and NaN numbers may come out otherwise",
        "A lowered sampler agrees with the export on finite numbers. Where a coordinate is infinite or NaN, it may "
        "give 0, a pixel at the border or NaN where the export gives something else or fails. A pixel that is infinite "
        "or NaN may reach results in one of them only.",
        "Nothing where coordinates and pixels are finite; where they are not, clamp or mask them before the sampler, "
        "or keep it by --lowering keep.",
    ),
    Code(
        "GSO208",
        "sizes of 0 or 1 may come out otherwise",
        "The proof of a sampler begins at 2 rows and 2 columns. With one row, one column, no points, no batch or no "
        "channels the lowered sampler was run beside the exported one, and it fails or gives something else, or it "
        "could not be run there.",
        "Nothing where no axis is that small at run time; else choose another lowering, as row-gather, or keep it by "
        "--lowering keep.",
    ),
    Code(
        "GSO209",
        "the target computes coordinates in short floats",
        "On processors with bfloat16, and in halves on GPUs, OpenVINO computes what a Conv or a MatMul reads, and all "
        "that is made of, in the shorter type. Coordinates have 8 or 11 bits then: points move by whole pixels, in the "
        "model as it came as well.",
        "Load it with float32: core.compile_model(model, 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'}).",
    ),
    Code(
        "GSO210",
        "an operator that was to be avoided stays",
        "--avoid names an operator that the result still has: no lowering does without it there, or it is no part of "
        "a site. Forms of sites that have it are refused with this code.",
        "The refusals of its site, with -v, say why each other form is not possible; an operator outside of all sites "
        "has to be exported otherwise.",
    ),
    Code(
        "GSO211",
        "proven between some sizes only",
        "The model computes something else at other sizes, or nothing is proven of them: they are beyond those of "
        "--shape NAME=MIN,OPT,MAX, or beyond what a type holds. What was lowered is right at the sizes that are told.",
        "Run the result at those sizes only, or state a wider range.",
    ),
    Code(
        "GSO212",
        "samples at a step may come out on its other side",
        "What rounds, compares or ranks samples (a Cast to integers, Floor, Greater, ArgMax, TopK, QuantizeLinear) "
        "makes a whole step of any difference. A lowered sampler rounds otherwise than the export, mostly in the last "
        "place: a sample exactly at a step, as those of flat areas and of whole pixels are, may be the next number "
        "behind it, such as a byte that is one off.",
        "Nothing where one step at a tie does not count. Else --rtol 0 --atol 0 allows only forms whose checks show no "
        "difference, and --lowering keep none.",
    ),
)
CODES: dict[str, Code] = {entry.code: entry for entry in _ALL}
"""Every code by name, rules first."""


@dataclass(frozen=True)
class Remark:
    """One observation, made to be printed: a near-miss, a hazard or a refusal.

    Attributes:
        code: The rule or refusal code, such as ``"GSO101"``.
        node: Name of the node that it is about.
        condition: What was seen or what failed, one sentence.
        hint: What the reader can do about it; empty when nothing.
    """

    code: str
    node: str
    condition: str
    hint: str = ""
