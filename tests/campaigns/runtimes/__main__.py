"""Every fixture and every lowering in a runtime: python -m tests.campaigns.runtimes openvino [--models FOLDER].

Exit code 1 when a form that is not refused beforehand is found wrong there. What is refused is counted by its reason.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from tests.campaigns.runtimes import outcomes

MODELS = Path(__file__).parents[2] / "fixtures" / "models"


def main() -> int:
    """Run them all and print the counts."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.runtimes", description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--models", type=Path, default=MODELS)
    options = parser.parse_args()
    start, models = time.monotonic(), sorted(options.models.glob("*.onnx"))
    right, refused, failures = Counter[str](), Counter[tuple[str, str]](), []
    largest: dict[str, float] = {}
    for path in models:
        for one in outcomes(path, options.target):
            if one.refusal:
                refused[one.lowering, one.refusal.partition("refused: ")[2] or one.refusal] += 1
            elif one.failure:
                failures.append(f"{path.name} {one.lowering}: {one.failure}")
            else:
                right[one.lowering] += 1
                largest[one.lowering] = max(largest.get(one.lowering, 0.0), one.max_abs)
        sys.stderr.write(
            f"{path.name}: {right.total()} right, {refused.total()} refused, {len(failures)} wrong so far\n"
        )
    for line in failures:
        sys.stdout.write(f"WRONG {line}\n")
    for name, count in sorted(right.items()):
        sys.stdout.write(f"{count:5} equal as {name}, largest difference {largest[name]:.2g}\n")
    for (name, reason), count in sorted(refused.items()):
        sys.stdout.write(f"{count:5} refused as {name}: {reason}\n")
    sys.stdout.write(
        f"{len(models)} models on {options.target}: {right.total()} forms run and equal, {refused.total()} refused, "
        f"{len(failures)} wrong, {time.monotonic() - start:.0f} s\n"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
