"""A policy as LaTeX: what is read, with which weight, and what happens outside the image."""

from __future__ import annotations

from onnxgs_opt.report.model import SiteReport
from onnxgs_opt.samplers.policy import WINDOWS, Policy, Window

_CORNERS = r"\lfloor y\rfloor+a", r"\lfloor x\rfloor+b"
_OUTSIDE = {
    "zeros": r"I_{n,c}(r,q)=0 \quad\text{unless}\quad 0\le r<H,\ 0\le q<W",
    "border": r"I_{n,c}(r,q)=I_{n,c}(\min(\max(r,0),H-1),\ \min(\max(q,0),W-1))",
    "reflection": r"I_{n,c}(r,q)=I_{n,c}(\text{mirror}(r,H),\ \text{mirror}(q,W))",
    "symmetric": r"I_{n,c}(-1-r,\ q)=I_{n,c}(2H-1-r,\ q)=I_{n,c}(r,q),\quad\text{and so along}\ q",
    "wrap": r"I_{n,c}(r,q)=I_{n,c}(r-H\lfloor r/H\rfloor,\ q-W\lfloor q/W\rfloor)",
}


def formulas(site: SiteReport, policy: Policy | None) -> tuple[str, ...]:
    """The lines of a site's definition, LaTeX in math mode; they hold no name of the model."""
    if policy is None:
        return (r"\mathrm{out}=\sum_{k} w_k\, T[\mathrm{index}_k]",)
    row, column = _CORNERS
    weights = r"w_a(y-\lfloor y\rfloor)\,w_b(x-\lfloor x\rfloor)"
    pixel, fill = rf"I_{{n,c}}({row},\ {column})", f"{float(policy.fill):g}"
    less = rf"({pixel}-({fill}))" if policy.fill else pixel
    total = rf"\sum_{{a=0}}^{{1}}\sum_{{b=0}}^{{1}}{weights}\,{less}"
    window = _window(WINDOWS[policy.window])
    first = f"{fill}+" if policy.fill else ""
    lines = [rf"\mathrm{{out}}_{{n,c,i,j}}={first}{window}{total}", r"w_0(t)=1-t,\quad w_1(t)=t"]
    outside = _OUTSIDE[policy.border].replace("=0", f"={fill}")
    lines.append(outside if window == "" or policy.border != "zeros" else "")
    lines.append(_coordinates(site))
    return tuple(line for line in lines if line)


def _window(window: Window) -> str:
    """The condition as an Iverson bracket; empty where there is none."""
    bounds = [text for letter, size in (("x", "W"), ("y", "H")) if (text := _bounds(window, letter, size))]
    inside = r",\ ".join(bounds)
    return rf"\left[\,{inside}\,\right]\," if bounds else ""


def _bounds(window: Window, letter: str, size: str) -> str:
    text = letter
    if window.lo is not None:
        text = rf"{window.lo}{_less(window.lo_closed)} {text}"
    if window.hi is not None:
        text = rf"{text}{_less(window.hi_closed)} {size}{window.hi or ''}"
    return "" if text == letter else text


def _less(closed: bool) -> str:
    return r"\le" if closed else "<"


_PIXELS = {
    ("normalised", True): r"{p}=\frac{{({g}+1)({s}-1)}}{{2}}",
    ("normalised", False): r"{p}=\frac{{({g}+1)\,{s}-1}}{{2}}",
    ("unit", True): r"{p}={g}\,({s}-1)",
    ("unit", False): r"{p}={g}\,{s}-\frac{{1}}{{2}}",
}
"""Pixels from what the grid holds, by its units and align_corners."""


def _coordinates(site: SiteReport) -> str:
    """How the pixel coordinates follow from the grid; empty where the site's tensors hold pixels."""
    if not isinstance(site.grid, str):
        return ""
    form = _PIXELS.get((site.policy.coordinates, bool(site.policy.align_corners)), "")
    return r",\quad ".join(form.format(p=p, g=f"g_{p}", s=s) for p, s in (("x", "W"), ("y", "H"))) if form else ""
