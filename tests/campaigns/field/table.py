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
    "trilinear": (_sampler("border", "normalised", align_corners=True),),
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

_SUM = (("GSO003", "as read", "index", None),)
# What has several rows here is another where the exporter bakes sizes or lays indices out otherwise: see docs/field.md.
FOURTH: dict[str, tuple[Found, ...]] = {
    "affine_transformer": (_bilinear("interior", "pixel"),),
    "attention_of_one_level": (Found((("GSO008", "zeros", "unit", False),)),),
    "b_spline": (_structural("GSO101"),),
    "box_sums": (_structural("GSO112"),),
    "catmull_rom": (_sampler("border", "pixel"),),
    "colour_table": (_sampler("border", "pixel"),),
    "correlation_pyramid": (
        _bilinear("zeros", "pixel", count=2),
        Found(2 * _SUM, ("GSO102", "GSO102")),
    ),
    "cube_map": (_structural("GSO114"),),
    "cut_off_features": (_sampler("border", "pixel"),),
    "delay_line": (_sampler("wrap", "pixel"),),
    "delay_line_wrapped_once": (_structural("GSO102"),),
    "dense_grid": (_sampler("border", "pixel"),),
    "fraction_of_texture": _ONE_BORDER,
    "hash_grid": (_structural("GSO102"),),
    "log_polar_rings": (
        *_ONE_BORDER,
        _structural("GSO111"),
    ),
    "mip_levels": (_bilinear("border", "unit", align_corners=False, count=2),),
    "over_their_sum": _ONE_BORDER,
    "over_those_valid": (_bilinear("zeros", "pixel"),),
    "palette": (_sampler("border", "pixel"),),
    "panorama_of_directions": (_bilinear("cylinder", "pixel"),),
    "panorama_with_margin": (
        _bilinear("cylinder", "pixel"),
        _structural("GSO112"),
    ),
    "perlin_noise": (_structural("GSO102"),),
    "point_features": (_bilinear("zeros", "unit", align_corners=False),),
    "position_bias": (_bilinear("border", "normalised", align_corners=True),),
    "repeated_texture": (_bilinear("wrap", "pixel"),),
    "rotated_roi_align": (_bilinear("border-reach", "pixel"),),
    "rounded_features": (_sampler("zeros", "pixel"),),
    "shift_volume": (Found(()),),
    "stereo_shift": (_sampler("zeros", "pixel"),),
    "time_warp": (_sampler("border", "pixel"),),
    "triplane": (_bilinear("zeros", "normalised", align_corners=True, count=3),),
    "undistorted": _TWO_BORDERS,
    "voxel_flow": _TWO_BORDERS,
}
"""What `forms.second` exports."""

FIFTH: dict[str, tuple[Found, ...]] = {
    "aggregated_points": (_bilinear("zeros", "pixel"),),
    "between_checks": (_bilinear("zeros", "normalised", align_corners=True),),
    "between_knots": (Found(2 * _SUM),),
    "boxes_of_items": (_structural("GSO114"),),
    "channel_curves": (_sampler("border", "pixel"),),
    "clipped_after_weights": (
        *_ONE_BORDER,
        Found((), ("GSO113",)),
        _structural("GSO113"),
    ),
    "corner_positions": (Found((), ("GSO111",)),),
    "corner_read_twice": (Found(2 * _SUM, ("GSO112", "GSO112")),),
    "cubic_positions": (_structural("GSO111"),),
    "deformed_keys": (
        _bilinear("zeros", "pixel"),
        _structural("GSO113"),
    ),
    "density_grid": (
        _sampler("zeros", "pixel"),
        _structural("GSO101"),
    ),
    "depth_reprojection": _ONE_BORDER,
    "devoxelized": (_sampler("border", "pixel"),),
    "disparity_candidates": (_sampler("interior-closed", "pixel"),),
    "disparity_lookup": (
        _sampler("zeros", "pixel", count=2),
        Found((("GSO005", "zeros", "pixel", None), *_SUM), ("GSO115",)),
        Found((("GSO005", "zeros", "pixel", None), *_SUM), ("GSO113",)),
    ),
    "distances_to_neighbours": (_bilinear("zeros", "normalised", align_corners=True),),
    "dynamic_upsampler": (_bilinear("border", "normalised", align_corners=False),),
    "fisheye_view": _ONE_BORDER,
    "ground_plane": (_bilinear("interior", "pixel"),),
    "homography_sweep": (_bilinear("zeros", "pixel"),),
    "levels_of_features": _TWO_BORDERS,
    "line_of_frames": (_sampler("border", "pixel"),),
    "linspace_grid_warp": _ONE_BORDER,
    "mapped_over_items": (_bilinear("zeros", "pixel"),),
    "modulated_convolution": (Found((("GSO006", "zeros", "pixel", None),)),),
    "nearest_ensemble": (_sampler("border", "pixel", count=4),),
    "nearest_flow_warp": (_sampler("zeros", "pixel"),),
    "panorama_seam": (_bilinear("cylinder", "pixel"),),
    "periodic_field": (_bilinear("wrap", "pixel"),),
    "periodic_wind": _ONE_BORDER,
    "perspective_warp": (
        _bilinear("zeros", "pixel"),
        Found((), ("GSO113",)),
        _bilinear("zeros", "normalised", align_corners=True),
    ),
    "plane_times_line": (Found((("GSO005", "border", "normalised", True), ("GSO001", "border", "normalised", True))),),
    "precise_pooling": (Found(()),),
    "quarter_offset": (
        Found(2 * _SUM, ("GSO109", "GSO109")),
        Found(2 * _SUM),
    ),
    "remap_in_32nds": (_bilinear("zeros", "pixel"),),
    "resampled_where_valid": (_bilinear("zeros", "pixel"),),
    "rounded_projection": (_sampler("border", "pixel"),),
    "second_order_flow": (_bilinear("zeros", "pixel", count=2),),
    "sinc_resampled": (_structural("GSO102"),),
    "sliced_grid": (
        _structural("GSO102"),
        _structural("GSO108"),
        _structural("GSO101"),
    ),
    "soft_argmax_features": (
        _structural("GSO103"),
        _structural("GSO102"),
    ),
    "spline_rectification": _ONE_BORDER,
    "stacked_planes": (_bilinear("zeros", "pixel"),),
    "stretched_spectrum": (_sampler("zeros", "pixel"),),
    "taken_rows": _ONE_BORDER,
    "tetrahedral_table": (Found(3 * _SUM, ("GSO101", "GSO101", "GSO101", "GSO101", "GSO101", "GSO101")),),
    "three_nearest_points": (Found(_SUM),),
    "tracked_features": (_sampler("border", "pixel"),),
    "transformer_layer": (_structural("GSO103"),),
    "undistorted_lens": (_bilinear("zeros", "pixel"),),
    "volume_at_points": (_sampler("border", "pixel"),),
    "voxels_from_camera": (_bilinear("zeros", "pixel"),),
    "warp_by_floors": _ONE_BORDER,
    "warp_on_a_margin": (_bilinear("zeros", "pixel"),),
    "warp_with_ones": (_bilinear("zeros", "pixel"),),
    "wave_tables": (_sampler("wrap", "pixel"),),
    "weather_fields": (_structural("GSO114"),),
}
"""What `forms.third`, `forms.of_tensorflow` and `forms.of_jax` export."""

SIXTH: dict[str, tuple[Found, ...]] = {
    "anisotropic_probes": (
        _bilinear("wrap", "unit", align_corners=False, count=3),
        _bilinear("wrap", "pixel", count=3),
    ),
    "ceil_lookup": (_sampler("border", "pixel"),),
    "chorus_line": (_sampler("wrap", "pixel"),),
    "environment_light": _ONE_BORDER,
    "fractional_shift": (_sampler("zeros", "pixel"),),
    "free_form_lattice": (_structural("GSO101"),),
    "grouped_costs": (_sampler("zeros", "pixel"),),
    "guarded_table": (_sampler("wrap", "pixel"),),
    # A corner by itself, which says how much it counts, is the pixel that a floor gives.
    "joint_upsampling": tuple(
        Found((*(("GSO005", "border", "pixel", None),) * count, *_SUM), ("GSO101",)) for count in range(3)
    ),
    "label_volume": (_sampler("constant -1", "pixel"),),
    "light_field": (_structural("GSO112"),),
    "motion_blur": _TWO_BORDERS,
    # TorchScript's limits have the sizes of the export: what is outside of these is a factor beside it.
    "occupied_cells": (_sampler("zeros", "pixel"), _sampler("border", "pixel")),
    "octahedral_probe": _ONE_BORDER,
    "phase_accumulator": (_sampler("wrap", "pixel"),),
    "product_of_lines": (_sampler("border", "normalised", align_corners=True, count=3),),
    "radar_scan": (_bilinear("wrap x border", "pixel"),),
    # An image of two rows has no margin of two that is mirrored.
    "reflected_margin": (_bilinear("reflection", "pixel"), _structural("GSO114")),
    "refocused_views": (_bilinear("border", "pixel", count=4),),
    "remap_by_shifts": (_bilinear("zeros", "pixel"),),
    "resized_in_1024ths": (_sampler("border", "pixel"),),
    "rolling_shutter": (_sampler("border", "pixel"),),
    "shading_gains": (_resize("linear align_corners"),),
    "speed_change": (_sampler("border", "pixel"),),
    "splatted_flow": (Found(()),),
    "squared_field": _TWO_BORDERS,
    "stabilised_mesh": _ONE_BORDER,
    "whole_and_part": (_structural(),),
}
"""What `forms.fourth` exports."""

TABLE: dict[str, tuple[Found, ...]] = FIRST | SECOND | THIRD | FOURTH | FIFTH | SIXTH
"""By the first part of a file's name; one of several, where what is left of a sampler is not always the same."""
