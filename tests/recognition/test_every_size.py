"""A claim holds at every size: what changes at one is refused and named, what does not is still found."""

from __future__ import annotations

import pytest

from onnxgs_opt.api import look
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.samplers.site import Domain, SizeRange
from tests.fixtures.size_limits import Limits

H_AS_IT_IS = " H2 = Identity(Lh)\n"
PLAIN = "W2 = Identity(Lw)\n H2 = Identity(Lh)\n"
IF = """k = Constant<value_int=100>()
 b = Greater(Wi, k)
 W2 = If(b)<then_branch=g1 () => (float[] h) {half = Constant<value_float=0.5>() h = Mul(Lw, half)},
  else_branch=g2 () => (float[] e) {e = Identity(Lw)}>
 H2 = Identity(Lh)
"""
TWICE = "k = Constant<value_float=2.0>()\n d = {op}\n f = Floor(d)\n W2 = Mul(f, k)\n H2 = Identity(Lh)\n"

THROUGH = "b = Cast<to={type}>(Wi)\n c = Cast<to=1>(b)\n W2 = Sub(c, one)\n H2 = Identity(Lh)\n"

CHANGES = {
    "limit of 99": (Limits("k = Constant<value_float=99.0>()\n W2 = Min(Lw, k)\n H2 = Identity(Lh)\n"), "W = 100"),
    "smaller of two sizes": (Limits("W2 = Identity(Lw)\n H2 = Min(Lh, Lw)\n"), "H"),
    "branch": (Limits(IF), "W = 100"),
    "one size only": (
        Limits(
            "k = Constant<value_int=57>()\n b = Equal(Wi, k)\n h = Sub(Lw, one)\n W2 = Where(b, h, Lw)\n" + H_AS_IT_IS
        ),
        "W = 57",
    ),
    "even sizes": (Limits(TWICE.format(op="Div(Lw, k)")), "W"),
    "remainder": (
        Limits(
            "k = Constant<value_int=16>()\n m = Mod(Wi, k)\n z = Equal(m, i0)\n h = Sub(Lw, one)\n"
            " W2 = Where(z, h, Lw)\n H2 = Identity(Lh)\n"
        ),
        "W",
    ),
    "uint8 size": (
        Limits(THROUGH.format(type=2)),
        "W = 256",
    ),
    "int16 size": (
        Limits(THROUGH.format(type=5)),
        "W = 32768",
    ),
    "half limit": (Limits("b = Cast<to=10>(Lw)\n W2 = Cast<to=1>(b)\n H2 = Identity(Lh)\n"), "float16"),
    "uint8 index": (Limits(cast="{t} = Cast<to=2>({value})\n {out} = Cast<to=7>({t})\n"), "uint8"),
    "int16 index": (Limits(cast="{t} = Cast<to=5>({value})\n {out} = Cast<to=7>({t})\n"), "int16"),
    "clipped batch": (
        Limits(batch=" k = Constant<value_int=6>()\n n2 = Min(n, k)\n"),
        "N=4093",
    ),
    "fixed limit": (
        Limits(
            cast="{t} = Min({value}, huge)\n {out} = Cast<to=7>({t})\n",
            size=PLAIN + " huge = Constant<value_float=5000.0>()\n",
        ),
        "5000",
    ),
}

STAYS = {
    "plain": Limits(),
    "own batch": Limits(batch=" n2 = Identity(n)\n"),
    "never smaller": Limits("k = Constant<value_float=1.0>()\n W2 = Max(Lw, k)\n H2 = Identity(Lh)\n"),
    "never empty": Limits(
        "k = Constant<value_int=0>()\n b = Greater(Wi, k)\n W2 = Where(b, Lw, Lh)\n H2 = Identity(Lh)\n"
    ),
    "twice and half": Limits(
        TWICE.format(op="Identity(Lw)").replace("W2 = Mul(f, k)", "t = Mul(f, k)\n W2 = Div(t, k)")
    ),
    "int32": Limits(THROUGH.format(type=6)),
    "area over width": Limits(
        "a = Mul(Hi, Wi)\n b = Div(a, Wi)\n c = Cast<to=1>(b)\n H2 = Sub(c, one)\n W2 = Identity(Lw)\n"
    ),
    "same on both sides": Limits("b = Greater(Hi, Wi)\n W2 = Where(b, Lw, Lw)\n H2 = Identity(Lh)\n"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_at_a_size_is_no_sampler_and_says_which(name: str) -> None:
    limits, told = CHANGES[name]
    _, found = look(Graph.from_proto(limits.model()))
    assert found.samplers == ()
    conditions = [miss.condition for miss in found.near_misses]
    assert any(told in condition for condition in conditions), conditions


@pytest.mark.parametrize("name", STAYS)
def test_what_is_one_formula_is_found_at_every_size(name: str) -> None:
    _, found = look(Graph.from_proto(STAYS[name].model()))
    assert [site.policy.name for site in found.samplers] == ["border"], found.near_misses
    (site,) = found.samplers
    assert site.domain == Domain(tuple(SizeRange(size) for size in "NCHWPQ"))
    assert site.domain.words == "every N, C, H, W, P, Q >= 2"
