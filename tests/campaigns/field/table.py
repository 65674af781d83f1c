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


TABLE: dict[str, tuple[Found, ...]] = {
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
    "resize_lookalike": (_structural("GSO111"),),
    "rows_with_base": (_bilinear("border", "pixel"),),
    "trilinear": (_structural("GSO112"),),
    "unclipped": (_structural("GSO114"),),
}
"""By the first part of a file's name; one of several, where what is left of a sampler is not always the same."""
