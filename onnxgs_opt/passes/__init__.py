"""The passes, by name; those that rewrite sites are made with them. The dict is written by hand."""

from __future__ import annotations

from collections.abc import Mapping

from onnxgs_opt.passes.base import Pass, Pipeline
from onnxgs_opt.passes.eliminate_common_subexpressions import EliminateCommonSubexpressions
from onnxgs_opt.passes.eliminate_dead import EliminateDead
from onnxgs_opt.passes.eliminate_identity import EliminateIdentity
from onnxgs_opt.passes.fold_constants import FoldConstants
from onnxgs_opt.passes.infer_shapes import InferShapes
from onnxgs_opt.passes.read_tables import ReadTables
from onnxgs_opt.passes.simplify_operators import SimplifyOperators
from onnxgs_opt.passes.sink_reshapes import SinkReshapes
from onnxgs_opt.passes.sink_roundings import SinkRoundings
from onnxgs_opt.passes.split_parts import SplitParts
from onnxgs_opt.passes.take_parts import TakeParts

__all__ = ["CANONICALISE", "PASSES", "EliminateDead", "Pass", "Pipeline"]
# A folded shape lets inference know more, which lets more fold; each round needs the one before.
_PROPAGATE = Pipeline("propagate", (InferShapes(), SimplifyOperators(), FoldConstants()), rounds=8)
CANONICALISE = Pipeline(
    "canonicalise",
    (ReadTables(), _PROPAGATE, EliminateIdentity(), TakeParts(), EliminateCommonSubexpressions(), EliminateDead()),
)
PASSES: Mapping[str, Pass] = {
    "read-tables": ReadTables(),
    "infer-shapes": InferShapes(),
    "fold-constants": FoldConstants(),
    "eliminate-identity": EliminateIdentity(),
    "simplify-operators": SimplifyOperators(),
    "sink-reshapes": SinkReshapes(),
    "sink-roundings": SinkRoundings(),
    "split-parts": SplitParts(),
    "take-parts": TakeParts(),
    "eliminate-common-subexpressions": EliminateCommonSubexpressions(),
    "eliminate-dead": EliminateDead(),
    "canonicalise": CANONICALISE,
}
