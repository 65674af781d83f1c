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


def _resize(attributes: str) -> Found:
    return Found((("GSO004", attributes, "index", None),))


FIRST: dict[str, tuple[Found, ...]] = {
    "already_merged": (_bilinear("border", "pixel"),),
    "clamped_after_floor": (_bilinear("interior", "pixel"),),
    # Where the exporter or the simplifier folds the table into weights and indices, no coordinate is left.
    "constant_lut": (_bilinear("border", "pixel"), _structural("GSO111")),
    "corner_masks": (_bilinear("zeros", "normalised", align_corners=False),),
    "deform_conv": (_structural("GSO108"),),
    "deformable_attention": (_bilinear("zeros", "unit", align_corners=False, count=2),),
    "grid_sample": (Found((("GSO002", "zeros", "normalised", False),)),),
    "linear_1d": (_structural("GSO112"),),
    "map_coordinates": (_bilinear("border", "pixel"),),
    "masked_interior": (_bilinear("interior", "pixel"),),
    "masked_interior_normalized": (_bilinear("interior", "normalised", align_corners=True),),
    "padded_by_one": (_bilinear("zeros", "normalised", align_corners=False),),
    "resize_lookalike": (_resize("linear half_pixel"),),
    "rows_with_base": (_bilinear("border", "pixel"),),
    "trilinear": (_structural("GSO112"),),
    "unclipped": (_structural("GSO114"),),
}
SECOND: dict[str, tuple[Found, ...]] = {
    "auto_shape_other_inputs": (_bilinear("border", "pixel"),),
    "base_plus_floor_of_flow": (_bilinear("border", "pixel"),),
    "batch_of_coordinates": (_bilinear("interior", "pixel"),),
    "bicubic_hand": (_structural("GSO112"),),
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
    "interp1d_time": (_structural("GSO112"),),
    "isnan": (_bilinear("border", "pixel"),),
    "lut3d": (_structural("GSO112"),),
    "nearest_point_sample": (Found(()),),
    "nearest_resize_index": (_resize("nearest asymmetric floor"),),
    "qwen3vl_pos_embed": (Found((), ("GSO113",)),),
    "reduce_prod_empty": (_bilinear("border", "pixel"),),
    "rfdetr_gather_msda_unopt": (_bilinear("zeros", "normalised", align_corners=False),),
    "roi_separable": (_bilinear("border", "pixel"),),
    "rtdetrv2_discrete": (Found((), ("GSO112",)),),
    "sq21": (_bilinear("border", "pixel", count=3),),
    "torchvision_roi_align_py": (_structural("GSO112"),),
    "volume_5d_gather": (_structural("GSO112"),),
}
"""What was tried second: exports of other frameworks, boxes, fill values, repeated images, other kernels."""

TABLE: dict[str, tuple[Found, ...]] = FIRST | SECOND
"""By the first part of a file's name; one of several, where what is left of a sampler is not always the same."""
