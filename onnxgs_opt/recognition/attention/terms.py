"""The terms of a sum of weighted samples: which sample and which weight each has, for every element of the sum."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product as combinations
from math import prod

import numpy as np

from onnxgs_opt.ir.def_use import Array, Scope
from onnxgs_opt.recognition.attention.ways import Axes, Product, Way, axes_of
from onnxgs_opt.recognition.broadcast import mixed, squashed, wide
from onnxgs_opt.recognition.fixed_values import FixedValues
from onnxgs_opt.recognition.linear_form import Form, NoForm, Term, identity
from onnxgs_opt.recognition.linear_forms import MOST_TERMS, Forms, shape_of
from onnxgs_opt.recognition.traced import canonical, taken
from onnxgs_opt.samplers.site import Site


class Traces(Forms):
    """Forms in terms of several tensors, given as those of one: an index for each axis of `seeds`' terms.

    What is added that no data decides is a term without a place: its indices are -1.
    """

    most_summed = MOST_TERMS

    def __init__(self, scope: Scope, values: FixedValues, seeds: Mapping[str, Form]) -> None:
        super().__init__(scope, values, next(iter(seeds)))
        self._forms.update(seeds)
        self._seeds = frozenset(seeds)
        self._axes = len(next(iter(seeds.values())).terms[0].index)

    def constant(self, name: str, sign: float, rank: int) -> Sequence[Term]:
        """A fixed tensor as a term of its own; none of zeros."""
        value = sign * self.fixed(name).astype(np.float64)
        if not value.any():
            return ()
        value = squashed(wide(value, rank))
        nowhere = np.full([1] * rank, -1)
        return (Term((nowhere,) * self._axes, (value,)),)


@dataclass(frozen=True)
class Weighted:
    """One term: sample (n, c, y, x) of a sampler, by its place among the way's, times an element of `weights`.

    Every array broadcasts to the sum: `sample` has four, `index` one for each axis of the weights.
    """

    sampler: int
    sample: tuple[Array, ...]
    weights: str
    index: tuple[Array, ...]


def plain(form: Form, name: str) -> Term:
    """The only term of a form that holds elements as they are; NoForm of others."""
    if len(form.terms) != 1 or any((factor != 1).any() for factor in form.terms[0].factors):
        raise NoForm(f"'{name}' holds other numbers than it is made of")
    return form.terms[0]


def terms_of(scope: Scope, values: FixedValues, sites: Sequence[Site], way: Way) -> Iterator[Weighted]:
    """The terms of a way, whose samplers are `sites`, each made when it is asked for.

    Raises:
        NoForm: It is no sum of products of one sample and one weight.
    """
    forms = {site.output: identity(shape_of(values, site.output)) for site in sites}
    if len({len(form.shape) for form in forms.values()}) > 1:
        raise NoForm("the samples of several levels have other axes")
    samples = Traces(scope, values, {name: _numbered(form, k) for k, (name, form) in enumerate(forms.items())})
    parts = [_Part.of(samples, sites, product) for product in way.products]
    if len({len(part.axes.shape) for part in parts}) > 1:
        raise NoForm("the samples of several levels are weighted along other axes")
    seeds = {part.product.output: _summed(part.axes, k) for k, part in enumerate(parts)}
    found = Traces(scope, values, seeds).traced(way.output)
    yield from (_term(parts, sites, forms, term) for term in found.terms)


@dataclass(frozen=True)
class _Part:
    """One product: for each place of its axes which sample there is, and which weight."""

    product: Product
    axes: Axes
    samples: tuple[Array, ...]
    weights: tuple[Array, ...]

    @classmethod
    def of(cls, samples: Traces, sites: Sequence[Site], product: Product) -> _Part:
        """The product, whose samples `samples` can trace."""
        shapes = [samples.shape(name) for name in (product.samples, product.weights)]
        own = identity(shapes[1]).terms[0].index
        if product.node is None:
            site = next(site for site in sites if site.output == product.output)
            (view,) = site.affine.factors
            own = tuple(wide(canonical(view, array, shapes[1]), len(shapes[0])) for array in own)
            shapes[1] = shapes[0]
        axes = axes_of(product, *shapes)
        index = plain(samples.traced(product.samples), product.samples).index
        return cls(
            product,
            axes,
            tuple(axes.spread(array, axes.samples) for array in index),
            tuple(axes.spread(array, axes.weights) for array in own),
        )


def _numbered(form: Form, number: int) -> Form:
    """A form whose index begins with a number."""
    terms = (Term((np.full([1] * len(form.shape), number), *term.index), term.factors) for term in form.terms)
    return Form(form.shape, tuple(terms))


def _summed(axes: Axes, number: int) -> Form:
    """What a product holds, in terms of its axes: itself, or the sum over those that it sums."""
    shape, summed = axes.shape[: axes.result], axes.shape[axes.result :]
    if prod(summed) > MOST_TERMS:
        raise NoForm("a sum of many elements")
    own = identity(shape).terms[0].index
    places = combinations(*map(range, summed))
    terms = (Term((*own, *(np.full([1] * len(shape), place) for place in at))) for at in places)
    return _numbered(Form(shape, tuple(terms)), number)


def _term(parts: Sequence[_Part], sites: Sequence[Site], forms: Mapping[str, Form], term: Term) -> Weighted:
    number, *at = term.index
    if any((factor != 1).any() for factor in term.factors):
        raise NoForm("its sum counts some of the weighted samples more than once")
    if number.size > 1 or number.item() < 0:
        raise NoForm("a number is added to its sum, or levels are weighted in turn")
    part = parts[number.item()]
    sampler, *places = (taken(array, at) for array in part.samples)
    if sampler.size > 1:
        raise NoForm("what is summed is not the same level everywhere")
    site = sites[sampler.item()]
    rank, shape = at[0].ndim, forms[site.output].shape
    sample = [
        mixed([wide(places[a], rank) for a in group], [shape[a] for a in group], rank) for group in site.output_groups
    ]
    return Weighted(sampler.item(), tuple(sample), part.product.weights, tuple(taken(a, at) for a in part.weights))
