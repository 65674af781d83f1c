"""A policy as LaTeX: what is read, with which weight, and what happens outside the image."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from onnxgs_opt.report.model import SiteReport
from onnxgs_opt.samplers.border import borders_along
from onnxgs_opt.samplers.kernel import CUBICS, KERNELS, TORCH
from onnxgs_opt.samplers.policy import ATTENTION, DEFORMABLE, WINDOWS, Policy, Window
from onnxgs_opt.samplers.site import BILINEAR

_AXES = {"z": ("D", "s", "k"), "y": ("H", "r", "a"), "x": ("W", "q", "b")}
"""Of each coordinate the size, the index that is read, and the number of the tap."""

_OUTSIDE = {
    "border": r"\min(\max({i},0),{s}-1)",
    "reflection": r"\text{{mirror}}({i},{s})",
    "symmetric": r"\text{{mirror at edges}}({i},{s})",
    "wrap": r"{i}-{s}\lfloor {i}/{s}\rfloor",
}
_ROUNDED = {
    "nearest": r"\lfloor {p}+\frac{{1}}{{2}}\rfloor",
    "nearest-down": r"\lceil {p}-\frac{{1}}{{2}}\rceil",
    "nearest-even": r"\text{{round}}({p})",
    "nearest-away": r"\text{{round}}({p})",
}
_TIES = {
    "nearest-even": r"\text{round: halves go to the even neighbour}",
    "nearest-away": r"\text{round: halves go to the neighbour further from 0}",
}
_BINS = (
    r"\text{of box } k:\quad y_m=y_0+m\,d_y,\quad x_m=x_0+m\,d_x",
    r"\mathrm{bin}_{k,c,i,j}=\frac{1}{s^2}\sum_{m=si}^{si+s-1}\sum_{n=sj}^{sj+s-1}\mathrm{out}_{k,c}(y_m,x_n)",
)
_POINTS = (
    r"\text{of point } k:\quad y_k=s_y i-p_y+d_y k_y+\Delta y_{n,k,i,j},\quad x_k=s_x j-p_x+d_x k_x+\Delta x_{n,k,i,j}",
    r"\mathrm{conv}_{n,o,i,j}=b_o+\sum_{c}\sum_{k} W_{o,c,k}\,m_{n,k,i,j}\,\mathrm{out}_{n,c}(y_k,x_k)",
)
"""Of a deformable convolution: strides s, pads p, dilations d; each point k of the kernel has an offset and a mask."""

_TERMS = (
    r"\text{of level } l,\text{ with }H_l\times W_l\text{ pixels:}\quad x=x_{b,q,h,l,p}\,W_l-\tfrac12,"
    r"\quad y=y_{b,q,h,l,p}\,H_l-\tfrac12",
    r"\mathrm{att}_{b,q,h,d}=\sum_{l}\sum_{p} A_{b,q,h,l,p}\,\mathrm{out}^{(l)}_{b,h,d}(x,y)",
)
"""Of deformable attention: item b, query q, head h, point p and channel d."""

_OF_NAMED = {"RoIAlign": _BINS, DEFORMABLE: _POINTS, ATTENTION: _TERMS}

_PARAMETERS: dict[str, Fraction] = dict(zip((kernel.name for kernel in CUBICS), (TORCH, Fraction(-1, 2)), strict=True))


def formulas(site: SiteReport, policy: Policy | None, kernels: Sequence[str] = BILINEAR) -> tuple[str, ...]:
    """The lines of a site's definition, LaTeX in math mode; they hold no name of the model."""
    if policy is None:
        return (r"\mathrm{out}=\sum_{k} w_k\, T[\mathrm{index}_k]",)
    axes = list(zip("zyx"[-len(kernels) :], kernels, strict=True))
    window = _window(WINDOWS[policy.window], [letter for letter, _ in axes])
    lines = [
        _total(axes, window, policy),
        *_weights(kernels),
        *(_TIES[name] for name in dict.fromkeys(kernels) if name in _TIES),
    ]
    if window == "" or policy.border != "zeros":
        lines.append(_outside(policy, [letter for letter, _ in axes]))
    own = (lines for name, lines in _OF_NAMED.items() if site.policy.kind.startswith(name))
    lines += next(own, (_coordinates(site, [letter for letter, _ in axes]),))
    return tuple(line for line in lines if line)


def _total(axes: Sequence[tuple[str, str]], window: str, policy: Policy) -> str:
    sums, weights, indices = "", [], []
    for letter, name in axes:
        taps, tap = KERNELS[name].taps, _AXES[letter][2]
        whole = _ROUNDED.get(name, r"\lfloor {p}\rfloor").format(p=letter)
        indices.append(whole if taps == 1 else f"{whole}+{tap}")
        if taps > 1:
            begin = KERNELS[name].first
            sums += rf"\sum_{{{tap}={begin}}}^{{{begin + taps - 1}}}"
            weights.append(rf"{_weight(name)}_{tap}({letter}-{whole})")
    place = "i,j" if len(axes) > 1 else "j"
    separator = r",\ "
    read, fill = rf"I_{{n,c}}({separator.join(indices)})", f"{float(policy.fill):g}"
    read = rf"({read}-({fill}))" if policy.fill else read
    first = f"{fill}+" if policy.fill else ""
    product = "".join(rf"{weight}\," for weight in weights)
    return rf"\mathrm{{out}}_{{n,c,{'l,' * (len(axes) > 2)}{place}}}={first}{window}{sums}{product}{read}"


def _weight(name: str) -> str:
    return "w" if name == "linear" else "c"


def _weights(kernels: Sequence[str]) -> list[str]:
    lines = [r"w_0(t)=1-t,\quad w_1(t)=t"] if "linear" in kernels else []
    for name in dict.fromkeys(kernels):
        if name in _PARAMETERS:
            a = _PARAMETERS[name]
            lines += [
                rf"c_k(t)=h(|t-k|),\quad A=-\frac{{{-a.numerator}}}{{{a.denominator}}}",
                r"h(d)=(A+2)d^3-(A+3)d^2+1\ \text{up to}\ d=1,\quad h(d)=A(d^3-5d^2+8d-4)\ \text{up to}\ d=2",
            ]
    return lines


def _outside(policy: Policy, letters: Sequence[str]) -> str:
    indices = [_AXES[letter][1] for letter in letters]
    sizes = [_AXES[letter][0] for letter in letters]
    read = rf"I_{{n,c}}({','.join(indices)})"
    names = [border.name for border in borders_along(policy.border, len(letters))]
    along = list(zip(names, indices, sizes, strict=True))
    inside = r",\ ".join(rf"0\le {i}<{s}" for name, i, s in along if name == "zeros")
    zero = rf"{read}={float(policy.fill):g} \quad\text{{unless}}\quad {inside}" if inside else ""
    placed = r",\ ".join(_OUTSIDE.get(name, "{i}").format(i=i, s=s) for name, i, s in along)
    moved = rf"{read}=I_{{n,c}}({placed})" if set(names) != {"zeros"} else ""
    return r",\quad ".join(part for part in (moved, zero) if part)


def _window(window: Window, letters: Sequence[str]) -> str:
    """The condition as an Iverson bracket; empty where there is none."""
    bounds = [text for letter in reversed(letters) if (text := _bounds(window, letter, _AXES[letter][0]))]
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


def _coordinates(site: SiteReport, letters: Sequence[str]) -> str:
    """How the pixel coordinates follow from the grid; empty where the site's tensors hold pixels."""
    if not isinstance(site.grid, str):
        return ""
    form = _PIXELS.get((site.policy.coordinates, bool(site.policy.align_corners)), "")
    each = (form.format(p=p, g=f"g_{p}", s=_AXES[p][0]) for p in reversed(letters))
    return r",\quad ".join(each) if form else ""
