"""Models by number: a plain sampler with dynamic sizes, and between a size and its use what changes it, or does not."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fixtures.size_limits import Limits

Sizes = dict[str, int]
USUAL: Sizes = {"N": 2, "C": 2, "H": 6, "W": 5, "P": 4, "Q": 9}
LARGEST = 3000
"""Of what a size is compared with: models are run beyond it."""
MASKED = 0.3
"""Of all models, so many are 0 outside of the image."""


@dataclass(frozen=True)
class Step:
    """ONNX text from an int64 scalar `@v` to another, `@o`; `at` are sizes of its axis at which it changes it.

    `@k` makes its names its own; `@other` is the size of the other axis. `others` are further sizes that it takes.
    """

    name: str
    text: str
    at: tuple[int, ...] = ()
    others: Sizes = field(default_factory=dict)


@dataclass(frozen=True)
class Generated:
    """A model, and the sizes at which what it holds shows; none where it changes nothing."""

    name: str
    limits: Limits
    shows: tuple[Sizes, ...]

    @property
    def is_harmless(self) -> bool:
        """Whether it is a plain sampler at every size from 2 up."""
        return not self.shows


BRANCHES = """@o = If(@kb)<then_branch=@kt () => (int64[] @kx) {@kx = Identity(@then)},
 else_branch=@ke () => (int64[] @ky) {@ky = Identity(@v)}>"""
LIST = "@ka = Unsqueeze(@v, at_0)\n @kb = Concat<axis=0>(@ka, @ka)\n "
LESS = "@ka = Sub(@v, i1)\n "
REMAINDERS = """@km = Mod(@v, @kc)
 @kl = Sub(@km, i1)
 @kq = Mul(@km, @kl)
 @o = Sub(@v, @kq)"""
IS_LEFT = LESS + "@km = Mod(@v, @kc)\n @kb = Equal(@km, @kr)\n "
SCALED = """@kf = Cast<to=1>(@v)
 @ks = Constant<value_float=0.9996>()
 @kg = Mul(@kf, @ks)
 @kh = Add(@kg, half)
 @o = Cast<to=7>(@kh)"""


def _number(value: int) -> str:
    return f"@kc = Constant<value_int={value}>()\n "


def _same(rng: random.Random) -> Step:
    """What changes no size from 2 up."""
    number, low, mark = (_number(rng.randint(*ends)) for ends in ((2, 9), (0, 2), (3, LARGEST)))
    below = "@kb = Less(@v, @kc)\n "
    texts = {
        "int32": "@ka = Cast<to=6>(@v)\n @o = Cast<to=7>(@ka)",
        "double": "@ka = Cast<to=11>(@v)\n @kb = Floor(@ka)\n @o = Cast<to=7>(@kb)",
        "at least": low + "@o = Max(@v, @kc)",
        "clip": low + "@o = Clip(@v, @kc)",
        "next": number + "@ka = Add(@v, @kc)\n @o = Min(@v, @ka)",
        "times": number + "@ka = Mul(@v, @kc)\n @o = Div(@ka, @kc)",
        "plus": number + "@ka = Add(@v, @kc)\n @o = Sub(@ka, @kc)",
        "sign": "@ka = Neg(@v)\n @kb = Neg(@ka)\n @o = Abs(@kb)",
        "area": "@ka = Mul(@v, @other)\n @o = Div(@ka, @other)",
        "remainder": number + "@ka = Add(@v, @kc)\n @o = Mod(@v, @ka)",
        "never": low + below + "@ka = Neg(@v)\n @o = Where(@kb, @ka, @v)",
        "alike": mark + below + "@o = Where(@kb, @v, @v)",
        "branches": mark + below + BRANCHES.replace("@then", "@v"),
        "list": LIST + "@o = Gather<axis=0>(@kb, i0)",
        "largest": LIST + "@o = ReduceMax<keepdims=0>(@kb)",
    }
    name = rng.choice(sorted(texts))
    return Step(name, texts[name])


def _other(rng: random.Random) -> Step:
    """What changes some size from 2 up."""
    k, mark = rng.randint(2, 9), rng.choice([rng.randint(3, 40), rng.randint(41, LARGEST)])
    number, limit, beyond, odd = _number(k), _number(mark), (mark + 1, mark + 5), (4 * k + 1, 4 * k - 1)
    where = "@o = Where(@kb, @ka, @v)"
    most = max(k, 3)
    over = limit + LESS + "@kb = Greater(@v, @kc)\n "
    steps = (
        Step("at most", limit + "@o = Min(@v, @kc)", beyond),
        Step("clip", limit + "@o = Clip(@v, i1, @kc)", beyond),
        Step("multiple", number + "@ka = Div(@v, @kc)\n @o = Mul(@ka, @kc)", odd),
        Step("without remainder", number + "@ka = Mod(@v, @kc)\n @o = Sub(@v, @ka)", odd),
        Step("product of remainders", _number(most) + REMAINDERS, (5 * most + 2,)),
        Step("a remainder", number + _number(mark % k).replace("@kc", "@kr") + IS_LEFT + where, (5 * k + mark % k,)),
        Step("over", over + where, beyond),
        Step("branch", over + BRANCHES.replace("@then", "@ka"), beyond),
        Step("exactly", limit + LESS + "@kb = Equal(@v, @kc)\n " + where, (mark,)),
        Step("uint8", "@ka = Cast<to=2>(@v)\n @o = Cast<to=7>(@ka)", (300,)),
        Step("int8", "@ka = Cast<to=3>(@v)\n @o = Cast<to=7>(@ka)", (259,)),
        Step("half", "@ka = Cast<to=10>(@v)\n @o = Cast<to=7>(@ka)", (2049, 2051)),
        Step("scaled", SCALED, (2600,)),
        Step("smaller of two", "@o = Min(@v, @other)", (9,), {"other": 5}),
        Step("other axis", limit + LESS + "@kb = Greater(@other, @kc)\n " + where, (7,), {"other": mark + 1}),
        Step("batch", number + LESS + "@kb = Greater(Ni, @kc)\n " + where, (7,), {"N": k + 1}),
    )
    return rng.choice(steps)


CASTS_SAME = {
    "int64": "{out} = Cast<to=7>({value})\n",
    "int32": "{t} = Cast<to=6>({value})\n {out} = Cast<to=7>({t})\n",
    "double": "{t} = Cast<to=11>({value})\n {out} = Cast<to=7>({t})\n",
    "not below 0": "{t} = Max({value}, zero)\n {out} = Cast<to=7>({t})\n",
    "never beyond": "{t} = Min({value}, vast)\n {out} = Cast<to=7>({t})\n",
}
BATCHES_SAME = {
    "as it is": " n2 = Identity(n)\n",
    "int32": " n1 = Cast<to=6>(n)\n n2 = Cast<to=7>(n1)\n",
    "not below 0": " n2 = Max(n, i0)\n",
    "to the last": " n1 = Sub(Ni, i1)\n n2 = Min(n, n1)\n",
}
INSIDE = """ xl = GreaterOrEqual(x, zero)
 xh = LessOrEqual(x, Lw)
 yl = GreaterOrEqual(y, zero)
 yh = LessOrEqual(y, Lh)
 xi = And(xl, xh)
 yi = And(yl, yh)
 xy = And(xi, yi)
 inside = Unsqueeze(xy, last)
 o = Where(inside, s, zero)
"""
PAST = """ mk = Constant<value_float={mark}>()
 pk = {op}({axis}, mk)
 more = Constant<value_float={factor}>()
 um = Mul(u0, more)
 u = Where(pk, um, u0)
"""
SHARED = """i1 = Constant<value_int=1>()
 at_0 = Constant<value_ints=[0]>()
 half = Constant<value_float=0.5>()
 vast = Constant<value_float=1e9>()
"""


def generated(number: int) -> Generated:
    """The model of a number: of an even one what is done with sizes changes nothing."""
    rng = random.Random(number)
    steps = {axis: [_same(rng) for _ in range(rng.choice((0, 1, 1, 2, 3)))] for axis in "WH"}
    cast_name = rng.choice(sorted(CASTS_SAME))
    cast, batch_name = CASTS_SAME[cast_name], rng.choice(["", "", *sorted(BATCHES_SAME)])
    batch = BATCHES_SAME.get(batch_name, "")
    shows: tuple[Sizes, ...] = ()
    told, weight = f"{cast_name} {batch_name}", ""
    own = random.Random(f"{number} mask")
    mask = INSIDE if own.random() < MASKED else ""
    if number % 2 and own.random() < MASKED:
        past, weight, shows = _weight(own)
        told = f"{told} {past}"
    elif number % 2:
        where = rng.choice("WWWHHHIB")
        if where in "WH":
            step = _other(rng)
            steps[where].insert(rng.randint(0, len(steps[where])), step)
            shows = tuple(_sizes(where, size, step) for size in step.at)
        elif where == "I":
            told, cast, shows = _index(rng)
        else:
            told, batch, shows = _batch(rng)
    text = SHARED + "".join(_axis(axis, steps[axis]) for axis in "WH")
    names = " ".join(f"{axis}:{'>'.join(step.name for step in steps[axis])}" for axis in "WH")
    told = f"{told} masked" if mask else told
    return Generated(f"{number} {names} {told}", Limits(text, cast, batch, weight, mask), shows)


def _sizes(axis: str, size: int, step: Step) -> Sizes:
    other = _other_axis(axis)
    more = {other if name == "other" else name: value for name, value in step.others.items()}
    return USUAL | {"C": 1, other: 4, axis: size, "Q": 40} | more


def _other_axis(axis: str) -> str:
    return {"W": "H", "H": "W"}[axis]


def _axis(axis: str, steps: list[Step]) -> str:
    """Text that makes the limit of an axis, `W2` or `H2`, of its size."""
    value, text = f"{axis}i", ""
    for k, step in enumerate(steps):
        made = f"{axis.lower()}v{k}"
        names = {"@other": f"{_other_axis(axis)}i", "@v": value, "@o": made, "@k": f"{axis.lower()}s{k}"}
        own = step.text
        for name, put in names.items():
            own = own.replace(name, put)
        text += f" {own}\n"
        value = made
    return text + f" {axis}g = Cast<to=1>({value})\n {axis}2 = Sub({axis}g, one)\n"


def _weight(rng: random.Random) -> tuple[str, str, tuple[Sizes, ...]]:
    """A pixel that counts for more past a place, which larger images hold."""
    axis, mark = rng.choice("xy"), rng.choice([rng.randint(3, 40), rng.randint(41, LARGEST)])
    op, factor = rng.choice(("Greater", "GreaterOrEqual")), rng.choice((0.0, 3.0, -1.0))
    size = _sizes({"x": "W", "y": "H"}[axis], mark + 6, Step("past", ""))
    return (
        f"{axis} past {mark} times {factor:g}",
        PAST.format(mark=float(mark), op=op, axis=axis, factor=factor),
        (size,),
    )


def _index(rng: random.Random) -> tuple[str, str, tuple[Sizes, ...]]:
    """An index that does not hold every pixel."""
    wide = USUAL | {"C": 1, "H": 3, "Q": 60}
    mark = rng.randint(2, LARGEST)
    if rng.random() < 0.3:
        text = f"{{t}}m = Constant<value_float={float(mark)}>()\n {{t}} = Min({{value}}, {{t}}m)\n "
        return f"index at most {mark}", text + "{out} = Cast<to=7>({t})\n", (wide | {"W": mark + 6},)
    name, code, size = rng.choice((("uint8", 2, 300), ("int8", 3, 200)))
    return f"{name} index", f"{{t}} = Cast<to={code}>({{value}})\n {{out}} = Cast<to=7>({{t}})\n", (wide | {"W": size},)


def _batch(rng: random.Random) -> tuple[str, str, tuple[Sizes, ...]]:
    """An item that is not the point's own."""
    k = rng.randint(2, 12)
    one = f" nk = Constant<value_int={k}>()\n"
    texts: dict[str, tuple[str, Callable[[int], int]]] = {
        "at most": (f"{one} n2 = Min(n, nk)\n", lambda k: k + 3),
        "remainder": (f"{one} n2 = Mod(n, nk)\n", lambda k: k + 2),
        "over": (f"{one} nb = Greater(n, nk)\n n2 = Where(nb, i0, n)\n", lambda k: k + 3),
    }
    name = rng.choice(sorted(texts))
    text, size = texts[name]
    return f"batch {name} {k}", text, (USUAL | {"N": size(k)},)
