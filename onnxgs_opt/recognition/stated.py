"""What the user says of sizes, held against those that a claim covers: it has to cover some of them."""

from __future__ import annotations

from math import prod

from onnxgs_opt.recognition.lifting.dynamic_dims import SizeSets
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN
from onnxgs_opt.recognition.match import Miss
from onnxgs_opt.samplers.site import Domain, SizeRange
from onnxgs_opt.samplers.view import View, spans

TOO_SMALL, INEXACT = OUTSIDE = "GSO113", "GSO110"
"""The codes that an image of these sizes has in a model without dynamic ones."""

HINT = "Ask for sizes that it is proven for, by --shape or --inputs, if the model is run at others too."


def excluded(sizes: SizeSets, domain: Domain, image: View) -> Miss | None:
    """Why no size that the user says is in a claim's domain; None where some is, or none is said."""
    if apart := " and ".join(SizeRange(name, *ends).words for name, ends in sizes.contradicted.items()):
        return Miss(f"{apart} are asked for, and it is proven where these are one size", 4, TOO_SMALL, hint=HINT)
    for size in domain.sizes:
        said = SizeRange(size.name, *sizes.stated.get(size.name, (size.at_least, None)))
        if size.at_most is not None and said.at_least > size.at_most:
            return Miss(f"{said.words} is asked for, and it is proven for {size.words}", 4, INEXACT, hint=HINT)
        if size.name in sizes.stated and (said.at_most or 0) < size.at_least > 2:
            return Miss(f"{said.words} is asked for, and it is proven for {size.words}", 4, TOO_SMALL, hint=HINT)
    shapes = (facts.get(image.tensor, UNKNOWN).shape for facts in sizes.ends)
    least, most = ([] if shape is None else spans(image, shape)[2:] for shape in shapes)
    asked = ", ".join(SizeRange(name, *ends).words for name, ends in sizes.stated.items())
    at = f"at the sizes that are asked for ({asked}) '{image.tensor}'"
    if most and min(most) < 2:
        why = f"{at} has an axis of {min(most)} pixel, and a sampler needs 2 along each"
        return Miss(why, 4, TOO_SMALL, hint=HINT)
    if least and domain.pixels is not None and prod(least) > domain.pixels:
        why = f"{at} has more than {domain.pixels} pixels, up to which its indices are exact"
        return Miss(why, 4, INEXACT, hint=HINT)
    return None
