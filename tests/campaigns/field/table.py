"""What the samplers of the field are, whichever exporter wrote them and whatever simplified them."""

from __future__ import annotations

from dataclasses import dataclass

from onnxgs_opt.report.model import Report


@dataclass(frozen=True)
class Found:
    """What a report says of a model: each site's (rule, border, coordinates, align_corners), the near-misses' codes."""

    sites: tuple[tuple[str, str, str, bool | None], ...]
    near_misses: tuple[str, ...] = ()

    @classmethod
    def of(cls, report: Report) -> Found:
        """What a report says."""
        policies = ((site.rule, site.policy) for site in report.sites)
        sites = tuple((rule, p.border, p.coordinates, p.align_corners) for rule, p in policies)
        return cls(sites, tuple(miss.code for miss in report.near_misses))


def _bilinear(border: str, coordinates: str, align_corners: bool | None = None, count: int = 1) -> Found:
    return Found((("GSO001", border, coordinates, align_corners),) * count)


def _structural(*codes: str) -> Found:
    return Found((("GSO003", "as read", "index", None),), codes)


def _sampler(border: str, coordinates: str, align_corners: bool | None = None, count: int = 1) -> Found:
    return Found((("GSO005", border, coordinates, align_corners),) * count)


def _roi_align(border: str) -> Found:
    return Found((("GSO007", border, "pixel", None),))


def _resize(attributes: str) -> Found:
    return Found((("GSO004", attributes, "index", None),))


FIRST: dict[str, tuple[Found, ...]] = {
    "already_merged": (_bilinear("border", "pixel"),),
    "clamped_after_floor": (_bilinear("interior", "pixel"),),
    # Where the exporter or the simplifier folds the table into weights and indices, no coordinate is left.
    "constant_lut": (_bilinear("border", "pixel"), _structural("GSO111")),
    "corner_masks": (_bilinear("zeros", "normalised", align_corners=False),),
    "deform_conv": (_structural("GSO108"),),
    "deformable_attention": (Found((("GSO008", "zeros", "unit", False),)),),
    "grid_sample": (Found((("GSO002", "zeros", "normalised", False),)),),
    "linear_1d": (_sampler("border", "pixel"),),
    "map_coordinates": (_bilinear("border", "pixel"),),
    "masked_interior": (_bilinear("interior", "pixel"),),
    "masked_interior_normalized": (_bilinear("interior", "normalised", align_corners=True),),
    "padded_by_one": (_bilinear("zeros", "normalised", align_corners=False),),
    "resize_lookalike": (_resize("linear half_pixel"),),
    "rows_with_base": (_bilinear("border", "pixel"),),
    "trilinear": (_sampler("border", "pixel"),),
    "unclipped": (_structural("GSO114"),),
}
SECOND: dict[str, tuple[Found, ...]] = {
    "auto_shape_other_inputs": (_bilinear("border", "pixel"),),
    "base_plus_floor_of_flow": (_bilinear("border", "pixel"),),
    "batch_of_coordinates": (_bilinear("interior", "pixel"),),
    "bicubic_hand": (_sampler("border", "pixel"),),
    "boxes_separable": (_bilinear("border", "pixel"),),
    "chain2": (_bilinear("border", "pixel", count=2),),
    "constant_fill": (_bilinear("constant 0.5", "pixel"),),
    "corners_by_pool": (_bilinear("border", "pixel"),),
    "far_outside": (_bilinear("border", "pixel"),),
    "float_image_double_points": (_bilinear("border", "normalised", align_corners=True),),
    "flow_warp_arange": (_bilinear("border", "pixel"),),
    "half_image_half_weights": (_bilinear("border", "normalised", align_corners=True),),
    "image_ceil_corners_unopt": (_bilinear("border", "pixel"),),
    "index_modes_jax": (_bilinear("constant 2.5", "pixel"), _bilinear("reflection", "pixel")),
    "interp1d_time": (_sampler("border", "pixel"),),
    "isnan": (_bilinear("border", "pixel"),),
    "lut3d": (_sampler("border", "pixel"),),
    "nearest_point_sample": (_sampler("zeros", "normalised", align_corners=False),),
    "nearest_resize_index": (_resize("nearest asymmetric floor"),),
    "qwen3vl_pos_embed": (Found((), ("GSO113",)),),
    "reduce_prod_empty": (_bilinear("border", "pixel"),),
    "rfdetr_gather_msda_unopt": (_bilinear("zeros", "normalised", align_corners=False),),
    "roi_separable": (_bilinear("border", "pixel"),),
    "rtdetrv2_discrete": (_sampler("border", "pixel", count=2),),
    "sq21": (_bilinear("border", "pixel", count=3),),
    "torchvision_roi_align_py": (_roi_align("border"),),
    "volume_5d_gather": (_sampler("zeros", "normalised", align_corners=False),),
}
"""What was tried second: exports of other frameworks, boxes, fill values, repeated images, other kernels."""

_ONE_BORDER = (_bilinear("border", "pixel"),)
_TWO_BORDERS = (_bilinear("border", "pixel", count=2),)
THIRD: dict[str, tuple[Found, ...]] = {
    "addons_interpolate": _ONE_BORDER,
    "along_dim": _ONE_BORDER,
    "averaged_flows": _TWO_BORDERS,
    "bytes_rotated": (_bilinear("zeros", "pixel"),),
    "camera_features": _ONE_BORDER,
    "clamped_by_relu": _ONE_BORDER,
    "clamped_grid": (_bilinear("border", "normalised", align_corners=True), *_ONE_BORDER),
    "correlation_lookup": (_bilinear("zeros", "pixel"),),
    "crop_with_extrapolation": (_bilinear("interior-closed, constant -1", "pixel"),),
    "depth_warp": (_bilinear("zeros", "pixel"),),
    "descriptors": _ONE_BORDER,
    "embedded": (_bilinear("border", "unit", align_corners=True), *_ONE_BORDER),
    "every_second": _ONE_BORDER,
    "floor_and_ceil": (_structural("GSO107"),),  # 0 where a coordinate is whole: not bilinear
    # TorchScript writes // as a cast, which rounds to zero: what it exports is another function between -1 and 0.
    "floor_divided": (*_ONE_BORDER, _structural("GSO103")),
    "fractions": _ONE_BORDER,
    "half_integer_hats": _ONE_BORDER,
    "heatmap_scores": _ONE_BORDER,
    "homography": _ONE_BORDER,
    "in_doubles": _ONE_BORDER,
    "mapped_items": _ONE_BORDER,
    # Where ones are constants, what is summed of them is a number; a table of ones is read as any other.
    "mask_of_ones": (
        _bilinear("zeros", "pixel", count=2),
        Found((("GSO001", "zeros", "pixel", None), ("GSO003", "as read", "index", None)), ("GSO112",)),
    ),
    "mirrored_repeat": (_bilinear("symmetric", "pixel"),),
    "out_of_map": (_bilinear("interior-closed, constant -10", "pixel"),),
    "outer_corners": _ONE_BORDER,
    "painted_points": (_bilinear("interior, constant -1", "pixel"),),
    "panorama": (_bilinear("wrap", "pixel", count=2),),
    "patches": _ONE_BORDER,
    "plane_sweep": (_bilinear("border", "pixel", count=3),),
    "polar": (_bilinear("zeros", "pixel"),),
    "pyramid": _TWO_BORDERS,
    "quadratic_form": _ONE_BORDER,
    "remap_constant": (_bilinear("constant 127", "pixel"),),
    "remap_reflect_101": (_bilinear("reflection", "pixel"),),
    "replicated_margin": _ONE_BORDER,
    "roi_align_averaged": (_roi_align("border"),),
    "rows_then_columns": _ONE_BORDER,
    "safe_corners": (_bilinear("interior", "pixel"),),
    "shifted_copies": _ONE_BORDER,
    "sixteenths": _ONE_BORDER,
    "smoothstep": (_structural("GSO101"),),
    "table_of_corners": _ONE_BORDER,
    "taken": _ONE_BORDER,
    "texture_repeat": (_bilinear("wrap", "unit", align_corners=False), _bilinear("wrap", "pixel")),
    "two_images": _TWO_BORDERS,
    "two_triangles": (_structural("GSO112", "GSO112"), _structural("GSO112")),
    "unfolded_cells": _ONE_BORDER,
    "video_flow": (_bilinear("zeros", "pixel"),),
}
"""What `forms` exports."""

FOURTH: dict[str, tuple[Found, ...]] = {
    "panorama_seam": (_bilinear("cylinder", "pixel"),),
    "volume_at_points": (_sampler("border", "pixel"),),
    "wave_tables": (_sampler("wrap", "pixel"),),
}
"""What `forms.third`, `forms.of_tensorflow` and `forms.of_jax` export."""

TABLE: dict[str, tuple[Found, ...]] = FIRST | SECOND | THIRD | FOURTH
"""By the first part of a file's name; one of several, where what is left of a sampler is not always the same."""
