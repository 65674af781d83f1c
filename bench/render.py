"""A result as Markdown and as a bar chart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

KINDS = ("random", "smooth")
TABLE = ("| | random, ms | ratio | smooth, ms | ratio | error |", "|---|---|---|---|---|---|")


def to_markdown(result: dict[str, Any]) -> str:
    """One table a case: milliseconds and ratios to the exported model, for random and for smooth coordinates."""
    run = result["run"]
    versions = ", ".join(f"{name} {value}" for name, value in run["versions"].items())
    lines = [
        f"# {run['target']}, {run['machine']}, {run['date']}",
        "",
        f"`{run['command']}`; {versions}; {run['cores']} cores. Medians of interleaved rounds; a ratio is",
        "exported / this row, above 1 is faster. The error is the largest difference from the exported model on a CPU.",
    ]
    for case, rows in result["cases"].items():
        lines += ["", f"## {case}", "", *TABLE]
        lines += [_line(name, row) for name, row in rows.items()]
        lines += ["", *(f"* {name}: {row['note']}" for name, row in rows.items() if row["note"])]
    return "\n".join(lines).rstrip() + "\n"


def _line(name: str, row: dict[str, Any]) -> str:
    cells = []
    for kind in KINDS:
        found = row.get(kind)
        cells += [f"{found['median_ms']:.3g}", f"**{found['ratio']:.2f}**"] if found else ["-", "-"]
    errors = [row[f"error_{kind}"] for kind in KINDS if f"error_{kind}" in row]
    return f"| {name} | {' | '.join(cells)} | {f'{max(errors):.1e}' if errors else '-'} |"


def draw(result: dict[str, Any], path: Path) -> None:
    """A bar chart of the ratios, a panel a case; needs matplotlib."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update({"svg.hashsalt": "bench", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    cases = result["cases"]
    figure, panels = plt.subplots(1, len(cases), figsize=(3.4 * len(cases), 4.2), squeeze=False)
    for panel, (case, rows) in zip(panels[0], cases.items(), strict=True):
        names = [name for name, row in rows.items() if "random" in row and name != "exported"][::-1]
        for offset, kind, colour in ((0.2, "random", "#2a6f97"), (-0.2, "smooth", "#a9d6e5")):
            ratios = [rows[name].get(kind, {}).get("ratio", 0.0) for name in names]
            panel.barh([k + offset for k in range(len(names))], ratios, 0.38, label=kind, color=colour)
        panel.axvline(1, color="#444444", linewidth=0.8)
        panel.set_yticks(range(len(names)), names)
        panel.set_title(case)
        panel.set_xlabel("times as fast as exported")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper right", ncols=2, frameon=False)
    run = result["run"]
    figure.suptitle(f"{run['target']}, {run['machine']}, {run['date']}")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=120)
