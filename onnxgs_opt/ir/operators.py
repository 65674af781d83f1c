"""What each ONNX operator is: one table of traits, of which every class of operators is made.

What recognition takes an operator to compute is one rule in `recognition/lifting`: one that rounds in `elementwise`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Flag, auto
from fractions import Fraction

import onnx_graphsurgeon as gs

DEFAULT_DOMAINS = ("", "ai.onnx")


class Trait(Flag):
    """Something that holds of an operator whatever its attributes and inputs are; those unlike others have none."""

    ELEMENTWISE = auto()
    """Each element of the result is made of the elements at its place; operands are broadcast."""
    ARITHMETIC = auto()
    """Elementwise and continuous: numbers of numbers, moving which is moving the operands."""
    BOOLEAN = auto()
    """Elementwise, and true or false."""
    ROUNDS = auto()
    """To an integer, of the same type."""
    BOUNDED = auto()
    """The result is taken for bounded, by its inputs or by the operator itself."""
    INTEGER = auto()
    """Integers, of whatever type the inputs are."""
    MOVES = auto()
    """The elements of the first input, at places that do not depend on values; some may be repeated or left out."""
    ORDERED = auto()
    """All elements of the first input in their order: the result's shape says all that was done."""
    COPIES = auto()
    """Elements of the inputs and of fixed numbers, at places that shapes and indices say; none is computed."""
    PART = auto()
    """A part of the first input: what one read took for several corners comes apart there."""
    READS = auto()
    """Elements of the first input at indices that are computed: it may read an image."""
    CONTRACTS = auto()
    """Sums over axes."""
    SUMS = auto()
    """Sums, of its inputs or over axes."""
    CARRIES = auto()
    """The value of a read flows through it into a weighted sum."""
    REDUCES = auto()
    """One number of all along some axes, which are an attribute or, at later opsets, an input."""
    SAME_SHAPE = auto()
    """The first result has the shape and the type of the first input."""
    MULTIPLIES_MATRICES = auto()
    """Products of matrices: what hardware has units of shorter floats for."""
    STEPS = auto()
    """Beside some numbers the result is another one, however near they are: it rounds, compares or ranks."""
    RANDOM = auto()
    """Twice the same inputs do not give the same."""


_ELEMENTWISE, _BOUNDED = Trait.ELEMENTWISE, Trait.ELEMENTWISE | Trait.BOUNDED
_ARITHMETIC = Trait.ELEMENTWISE | Trait.ARITHMETIC
_BOOLEAN = Trait.ELEMENTWISE | Trait.BOOLEAN | Trait.BOUNDED
_COMPARES = _BOOLEAN | Trait.STEPS
_ROUNDS = Trait.ELEMENTWISE | Trait.ROUNDS | Trait.STEPS
_INTEGER = Trait.INTEGER | Trait.BOUNDED
_MOVES = Trait.MOVES | Trait.COPIES | Trait.CARRIES
_READS = Trait.READS | Trait.COPIES
_CONTRACTS = Trait.CONTRACTS | Trait.SUMS | Trait.CARRIES

TRAITS: Mapping[str, Trait] = {
    "Abs": _ARITHMETIC | Trait.BOUNDED,
    "Add": _ARITHMETIC | Trait.SUMS | Trait.CARRIES,
    "And": _BOOLEAN,
    "ArgMax": _INTEGER | Trait.STEPS,
    "ArgMin": _INTEGER | Trait.STEPS,
    "AveragePool": _CONTRACTS,
    "BatchNormalization": Trait.SAME_SHAPE,
    "Bernoulli": Trait.RANDOM,
    "BitShift": _ELEMENTWISE,
    "BitwiseAnd": _BOUNDED,
    "BitwiseNot": _ELEMENTWISE,
    "Cast": _ARITHMETIC | Trait.CARRIES,
    "CastLike": Trait.CARRIES,
    "Ceil": _ROUNDS,
    "Clip": _ARITHMETIC | Trait.BOUNDED | Trait.CARRIES,
    "Concat": Trait.COPIES | Trait.CARRIES,
    "ConcatFromSequence": Trait.CARRIES,
    "Constant": Trait.BOUNDED,
    "ConstantOfShape": Trait.BOUNDED,
    "Conv": Trait.MULTIPLIES_MATRICES,
    "ConvTranspose": Trait.MULTIPLIES_MATRICES,
    "Cos": _BOUNDED,
    "Div": _ARITHMETIC | Trait.CARRIES,
    "Dropout": Trait.RANDOM | Trait.SAME_SHAPE,
    "DynamicQuantizeLinear": Trait.STEPS,
    "Einsum": _CONTRACTS | Trait.MULTIPLIES_MATRICES,
    "Equal": _COMPARES,
    "Erf": _BOUNDED,
    "Exp": _ELEMENTWISE,
    "Expand": _MOVES,
    "Flatten": _MOVES | Trait.ORDERED,
    "Floor": _ROUNDS,
    "Gather": _READS | Trait.PART,
    "GatherElements": _READS,
    "GRU": Trait.MULTIPLIES_MATRICES,
    "GatherND": _READS,
    "Gelu": _ELEMENTWISE,
    "Gemm": Trait.MULTIPLIES_MATRICES,
    "GlobalAveragePool": _CONTRACTS,
    "Greater": _COMPARES,
    "GreaterOrEqual": _COMPARES,
    "HardSigmoid": _BOUNDED,
    "Hardmax": Trait.STEPS,
    "Identity": _ELEMENTWISE | _MOVES,
    "If": Trait.CARRIES,
    "IsInf": _BOOLEAN,
    "IsNaN": _BOOLEAN,
    "LSTM": Trait.MULTIPLIES_MATRICES,
    "LayerNormalization": Trait.SAME_SHAPE,
    "LeakyRelu": _ELEMENTWISE,
    "Less": _COMPARES,
    "LessOrEqual": _COMPARES,
    "Log": _ELEMENTWISE,
    "LogSoftmax": Trait.SAME_SHAPE,
    "MatMul": _CONTRACTS | Trait.MULTIPLIES_MATRICES,
    "Max": _ARITHMETIC | Trait.BOUNDED,
    "Mean": _ARITHMETIC | Trait.SUMS | Trait.CARRIES,
    "Min": _ARITHMETIC | Trait.BOUNDED,
    "Mod": _BOUNDED | Trait.STEPS,
    "Mul": _ARITHMETIC | Trait.CARRIES,
    "Multinomial": Trait.RANDOM,
    "Neg": _ARITHMETIC | Trait.CARRIES,
    "NonMaxSuppression": Trait.STEPS,
    "NonZero": _INTEGER | Trait.STEPS,
    "Not": _BOOLEAN,
    "Or": _BOOLEAN,
    "Pad": Trait.COPIES,
    "Pow": _ELEMENTWISE,
    "QuantizeLinear": Trait.STEPS,
    "RNN": Trait.MULTIPLIES_MATRICES,
    "RandomNormal": Trait.RANDOM,
    "RandomNormalLike": Trait.RANDOM,
    "RandomUniform": Trait.RANDOM,
    "RandomUniformLike": Trait.RANDOM,
    "Range": Trait.BOUNDED,
    "Reciprocal": _ELEMENTWISE,
    "ReduceMax": Trait.REDUCES,
    "ReduceMean": _CONTRACTS | Trait.REDUCES,
    "ReduceMin": Trait.REDUCES,
    "ReduceProd": Trait.REDUCES,
    "ReduceSum": _CONTRACTS | Trait.REDUCES,
    "Relu": _ARITHMETIC | Trait.BOUNDED,
    "Reshape": _MOVES | Trait.ORDERED,
    "ReverseSequence": _MOVES | Trait.SAME_SHAPE,
    "Round": _ROUNDS,
    "ScatterND": Trait.COPIES | Trait.SAME_SHAPE,
    "SequenceAt": Trait.MOVES | Trait.PART | Trait.CARRIES,
    "SequenceConstruct": Trait.CARRIES,
    "SequenceInsert": Trait.CARRIES,
    "Shape": _INTEGER,
    "Shrink": Trait.STEPS,
    "Sigmoid": _BOUNDED,
    "Sign": _BOUNDED | Trait.STEPS,
    "Sin": _BOUNDED,
    "Size": _INTEGER,
    "Slice": _MOVES | Trait.PART,
    "Softmax": Trait.BOUNDED | Trait.SAME_SHAPE,
    "Softplus": _ELEMENTWISE,
    "Split": _MOVES | Trait.PART,
    "SplitToSequence": Trait.MOVES | Trait.CARRIES,
    "Sqrt": _ELEMENTWISE,
    "Squeeze": _MOVES | Trait.ORDERED,
    "Sub": _ARITHMETIC | Trait.SUMS | Trait.CARRIES,
    "Sum": _ARITHMETIC | Trait.SUMS | Trait.CARRIES,
    "Tanh": _BOUNDED,
    "ThresholdedRelu": Trait.STEPS,
    "Tile": _MOVES,
    "TopK": Trait.STEPS,
    "Transpose": _MOVES,
    "Unique": Trait.STEPS,
    "Unsqueeze": _MOVES | Trait.ORDERED,
    "Where": _BOUNDED | Trait.CARRIES,
    "Xor": _BOOLEAN,
}


def with_trait(trait: Trait) -> frozenset[str]:
    """Every operator that has a trait."""
    return frozenset(name for name, traits in TRAITS.items() if trait in traits)


ELEMENTWISE = with_trait(Trait.ELEMENTWISE)
ARITHMETIC = with_trait(Trait.ARITHMETIC)
BOOLEAN = with_trait(Trait.BOOLEAN)
ROUNDS = with_trait(Trait.ROUNDS)
BOUNDED = with_trait(Trait.BOUNDED)
INTEGER = with_trait(Trait.INTEGER)
MOVES = with_trait(Trait.MOVES)
ORDERED = with_trait(Trait.ORDERED)
COPIES = with_trait(Trait.COPIES)
PARTS = with_trait(Trait.PART)
READS = with_trait(Trait.READS)
CONTRACTIONS = with_trait(Trait.CONTRACTS)
SUMS = with_trait(Trait.SUMS)
CARRIES = with_trait(Trait.CARRIES)
REDUCTIONS = with_trait(Trait.REDUCES)
SAME_SHAPE = with_trait(Trait.SAME_SHAPE)
PRODUCTS = with_trait(Trait.MULTIPLIES_MATRICES)
STEPS = with_trait(Trait.STEPS)
RANDOM = with_trait(Trait.RANDOM)
SIZES = ("Shape", "Size")
"""What makes numbers of the sizes of its input, whose elements do not count."""

POOLS = ("AveragePool", "Conv", "LpPool", "MaxPool")
"""What makes one element of a window each, so many elements apart."""

STANDARD = (None, *DEFAULT_DOMAINS)
"""The domains of standard operators."""

PI = Fraction(3.1415927410125732)
"""The largest angle in floats of four bytes, which is a little more than pi."""

RANGES: Mapping[str, tuple[int, int | Fraction]] = {
    "Acos": (0, PI),
    "Sigmoid": (0, 1),
    "Softmax": (0, 1),
    "Tanh": (-1, 1),
}
"""The numbers that an operator's results lie between, both included."""


def operator(node: gs.Node) -> str:
    """The name of a standard operator; "" for one of another domain, which may mean anything whatever it is called."""
    return str(node.op) if node.domain in STANDARD else ""


def einsum_letters(node: gs.Node) -> tuple[list[str], str] | None:
    """The letters of an Einsum's inputs and of its result; None unless every axis has one, each of its own."""
    equation = node.attrs.get("equation", "")
    text = (equation.decode() if isinstance(equation, bytes) else str(equation)).replace(" ", "")
    inputs, arrow, made = text.partition("->")
    terms = inputs.split(",")
    plain = arrow and "." not in text and all(len(set(term)) == len(term) for term in (*terms, made))
    return (terms, made) if plain else None


def first_name(node: gs.Node) -> str:
    """The name of a node's first output that has one; "" where none has."""
    return next((t.name for t in node.outputs if t.name), "")
