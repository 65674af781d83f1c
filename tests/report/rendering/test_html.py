"""The HTML report: its parts, its escaping, and how a browser sees it."""

from __future__ import annotations

import re
import shutil
import subprocess
from base64 import b64encode
from dataclasses import replace
from fractions import Fraction
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import onnxgs_opt
from bench.scaling import side_by_side
from onnxgs_opt import cli
from onnxgs_opt.errors import UsageError
from onnxgs_opt.report.evidence import Box, Cone
from onnxgs_opt.report.model import Report, SitePolicy
from onnxgs_opt.report.rendering import html
from onnxgs_opt.report.rendering.drawing import LARGE, draw, label_of
from onnxgs_opt.report.rendering.formula import formulas
from onnxgs_opt.report.rendering.heat import STEPS, bands, grade, heat_maps, places
from onnxgs_opt.report.rendering.html import bars, mathml, to_html
from onnxgs_opt.samplers.border import BORDERS, CYLINDER, BorderName
from onnxgs_opt.samplers.kernel import KERNELS
from onnxgs_opt.samplers.policy import WINDOWS, Policy
from onnxgs_opt.validation.error_map import Points
from tests.report.rendering.samples import FULL, SITE, evidence_of, hostile

MODEL = Path(__file__).parents[2] / "fixtures" / "models" / "masked_interior.ts17.dyn.onnx"
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
VOID = {"meta", "input", "br", "img", "link"}


class Page(HTMLParser):
    """The tags of a page, its text, and whether every tag is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def page(report: Report) -> Page:
    return Page(to_html(report, evidence_of(report)))


def test_a_report_has_every_part() -> None:
    found = page(FULL)
    for words in (
        "PASSED",
        "What it computes",
        "Where it was checked",
        "Before:",
        "After:",
        "20 ms",
        "1.60x as fast (1.50 to 1.70)",
        "2.90x as fast the whole model: 41 ms before, 14 ms after",
        "2.70 to 3.10 in the middle half of 25 rounds",
        "onnxgs-opt in.onnx out.onnx",
        "0000000000",
        "GSO101",
    ):
        assert words in found.text
    assert [tag for tag, _ in found.tags].count("math") >= 3
    reads = [a for tag, a in found.tags if tag == "g" and a.get("class") == "read"]
    assert len(reads) == 2 * len(SITE.reads)  # before and after; the second site's pictures are the first one's
    assert "is that of site0 but for the names" in found.text


def test_the_index_leads_to_every_part() -> None:
    found = page(FULL)
    places = [str(a["href"]) for tag, a in found.tags if tag == "a"]
    assert places == ["#s0", "#s1", "#near-misses", "#hazards", "#engine"]
    assert {place[1:] for place in places} <= {a.get("id") for _, a in found.tags}


def test_twenty_sites_stay_small() -> None:
    """As many sites with real cones: pictures that differ in names only are drawn once, heat maps are few paths."""
    result = onnxgs_opt.optimize(side_by_side(20, dynamic=False), lowering="merged-gather", validate=False)
    text = to_html(result.report, result.evidence)
    found = Page(text)
    assert [a["class"] for tag, a in found.tags if tag == "details" and "class" in a] == ["site"] * 20
    assert [tag for tag, a in found.tags if tag == "details" and "open" in a and "class" in a] == []
    assert text.count("<svg") == 4  # of the first site, and of the next, which shares the size of the image with it
    assert all(name in text for evidence in result.evidence for box in evidence.before.boxes for name in [box.name])
    points = evidence_of(FULL)[0].points
    whole = to_html(result.report, [replace(evidence, points=points) for evidence in result.evidence])
    assert whole.count('class="heat"') == 20
    assert len(whole) < 500_000


def test_an_engine_shows_its_slowest_layers_first() -> None:
    text = page(FULL).text
    assert "One run takes 20 microseconds" in text
    assert text.index("slow") < text.index("fast", text.index("One run takes"))


def test_a_report_without_evidence_is_whole() -> None:
    assert "asked for" in Page(to_html(FULL)).text


@pytest.mark.parametrize("report", [FULL, hostile()], ids=["full", "hostile"])
def test_nothing_is_loaded_and_only_our_script_runs(report: Report) -> None:
    text = to_html(report, evidence_of(report))
    found = Page(text)
    assert not {"link", "iframe", "img", "object", "form", "base"} & {tag for tag, _ in found.tags}
    for _, attributes in found.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "action")]
        assert str(attributes.get("href", "#")).startswith("#")
    [attributes] = [a for tag, a in found.tags if tag == "script"]
    script = text.partition("<script>")[2].partition("</script>")[0]
    assert (attributes, script) == ({}, (Path(html.__file__).parent / html.SCRIPT).read_text(encoding="utf-8"))
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in text
    assert "url(" not in text
    assert all(c.isprintable() or c == "\n" for c in text)


def test_a_missing_library_is_said_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(html, "LIBRARIES", ("jinja2", "a_library_that_is_missing"))
    with pytest.raises(UsageError, match="needs a_library_that_is_missing"):
        to_html(FULL)
    out = tmp_path / "out.onnx"
    assert cli.main([str(MODEL), str(out), "--report", str(tmp_path / "r.html")]) == 2
    assert "hint: pip install a_library_that_is_missing" in capsys.readouterr().err
    assert not out.exists()


# -- the formula -----------------------------------------------------------------------------------


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("border", [*BORDERS, CYLINDER, "zeros x wrap"])
@pytest.mark.parametrize(
    ("coordinates", "corners"),
    [("pixel", None), ("normalised", True), ("normalised", False), ("unit", True), ("unit", False)],
)
def test_every_policy_has_a_formula(border: BorderName, window: str, coordinates: str, corners: bool | None) -> None:
    site = replace(SITE, grid="g", policy=SitePolicy("bilinear", border, coordinates, corners, "NCHW", "float32"))
    lines = formulas(site, Policy(border, window))
    assert all(mathml(line).startswith("<math") for line in lines)
    assert ("g_x" in lines[-1]) == (coordinates != "pixel")
    assert (
        formulas(replace(site, grid=("x", "y")), Policy(border, window)) == lines[: len(lines) - ("g_x" in lines[-1])]
    )
    assert (r"\left[" in lines[0]) == (window != "all")


def test_the_interior_is_half_open() -> None:
    assert r"0\le x< W-1" in formulas(SITE, Policy("zeros", "interior"))[0]


def test_a_fill_value_is_in_the_formula() -> None:
    first, _, outside = formulas(SITE, Policy(fill=Fraction(5, 2)))[:3]
    assert "=2.5+" in first
    assert "-(2.5))" in first
    assert "=2.5 " in outside
    assert all(mathml(line).startswith("<math") for line in (first, outside))


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_has_a_formula(kernel: str) -> None:
    for border, axes in (("symmetric", 1), ("wrap", 2), ("zeros", 3)):
        lines = formulas(SITE, Policy(border), axes * (kernel,))
        assert all(mathml(line).startswith("<math") for line in lines)
        assert lines[0].count(r"\sum") == (axes if KERNELS[kernel].taps > 1 else 0)
        assert len({line for name in KERNELS for line in formulas(SITE, Policy(border), (name,))}) > len(KERNELS)


def test_a_structural_site_has_its_own_formula() -> None:
    site = replace(SITE, policy=SitePolicy("structural", "none", "pixel", None, "", "float32"))
    assert formulas(site, None) == (r"\mathrm{out}=\sum_{k} w_k\, T[\mathrm{index}_k]",)


# -- the heat map ----------------------------------------------------------------------------------


def test_lines_are_cells_of_their_own() -> None:
    names = [name for name, _ in bands("x")]
    p = np.array([-1e4, -1.0, np.nextafter(np.float32(-1), np.float32(0)), -0.0, 0.5, 6.9, 7.0, 7.5, 8.0, 8.5])
    found = [names[k] for k in places(p, 8)]
    assert (found[0], found[1], found[2], found[3]) == ("x < -1", "x = -1", "-1 < x < 0", "x = 0")
    assert found[4].startswith("0/8 to 1/8")
    assert found[5].startswith("7/8 to 8/8")
    assert found[6:] == ["x = W-1", "W-1 < x < W", "x = W", "x > W"]


def test_the_largest_error_of_a_cell_is_kept() -> None:
    x = np.zeros(3)
    runs = [Points(x, x, np.array([0.0, 1e-6, 1e-8]), (8, 8)), Points(x, x, np.array([0.0, 0.0, 2e-4]), (5, 9))]
    [heat] = heat_maps(runs)
    assert heat.values.count("0.0002/6") == 1
    [hot] = [cell for cell in heat.cells if cell.grade not in ("none", "g0")]
    assert hot.title == "x = 0, y = 0: max |error| 0.0002 over 6 points"
    assert hot.grade == grade(2e-4)
    assert heat.points == 6


def test_a_path_covers_the_cells_of_its_grade() -> None:
    [heat] = heat_maps(evidence_of(FULL)[0].points)
    areas = {
        grade: sum(int(w) * int(h) for w, h in re.findall(r"h(\d+)v(\d+)h-", path))
        for grade, path in heat.paths.items()
    }
    cells = {grade: 0 for grade in areas}
    for cell in heat.cells:
        cells[cell.grade] += cell.width * cell.height
    assert areas == cells
    assert len(heat.values.split(",")) == len(heat.cells) == len(heat.edges) ** 2


def test_grades_rise_with_the_error() -> None:
    grades = [grade(e) for e in (-1.0, 0.0, 1e-9, *(2 * s for s in STEPS), np.inf)]
    assert grades == ["none", *(f"g{k}" for k in range(7)), "g6"]
    assert heat_maps(()) == ()


def test_one_axis_has_a_row_and_a_volume_a_plane_and_a_row() -> None:
    x, error = np.array([-3.0, 0.0, 2.5]), np.array([0.0, 1e-6, 2e-4])
    [line] = heat_maps([Points(x, None, error, (8,))])
    assert (line.letters, line.rows, line.height, len(line.cells)) == ("x", "", line.cells[0].height, len(bands("x")))
    assert [cell.title for cell in line.cells if "0.0002" in cell.title] == [
        "2/8 to 3/8 of the way from x = 0 to W-1: max |error| 0.0002 over 1 point"
    ]
    plane, depth = heat_maps([Points(x, x, error, (5, 8, 8), x[::-1].copy())])
    assert (plane.letters, depth.letters, plane.points, depth.points) == ("yx", "z", 3, 3)
    assert [cell.title for cell in depth.cells if "0.0002" in cell.title] == ["z < -1: max |error| 0.0002 over 1 point"]


# -- the pictures ----------------------------------------------------------------------------------


def test_a_cone_is_laid_out_from_top_to_bottom() -> None:
    cone = evidence_of(FULL)[0].before
    drawing = draw(cone)
    assert drawing is not None
    image = next(s for s in drawing.shapes if s.role == "input")
    assert all(image.y < s.y for s in drawing.shapes if s.role == "read")
    assert all(0 <= s.x <= drawing.width and 0 <= s.y <= drawing.height for s in drawing.shapes)
    assert len(drawing.arrows) == len(cone.arrows)


def test_a_huge_cone_is_not_drawn() -> None:
    assert draw(Cone(tuple(Box(f"n{k}", "Add", "node") for k in range(LARGE + 1)), ())) is None


def test_a_long_name_keeps_its_end() -> None:
    assert label_of("/short") == "/short"
    assert label_of("/" + "x" * 80 + "/Gather_7").endswith("x/Gather_7")
    assert len(label_of("y" * 80)) == 34


def test_bars_are_shares_of_the_slowest() -> None:
    keep, chosen = bars(SITE)
    assert (keep.share, chosen.share, chosen.chosen) == (100.0, 62.5, True)


# -- in a browser ----------------------------------------------------------------------------------


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, e.g. the Debian package chromium")
@pytest.mark.parametrize("report", [FULL, hostile()], ids=["full", "hostile"])
def test_a_browser_shows_it(tmp_path: Path, report: Report) -> None:
    assert CHROMIUM is not None
    path = tmp_path / "r.html"
    path.write_text(to_html(report, evidence_of(report)), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    shot = tmp_path / "r.png"
    run = [CHROMIUM, *options, "--window-size=1200,1400", f"--screenshot={shot}", "--dump-dom", path.as_uri()]
    done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=120)
    assert "<title>onnxgs-opt: PASSED" in done.stdout
    assert '<button class="copy" type="button">copy</button>' in done.stdout, "its script did not run"
    assert "owned" not in re.findall("<title>(.*?)</title>", done.stdout)
    assert done.stdout.count('<math xmlns="http://www.w3.org/1998/Math/MathML"') == to_html(
        report, evidence_of(report)
    ).count("<math")
    if shot.exists():
        assert shot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, e.g. the Debian package chromium")
def test_the_search_leaves_what_holds_the_name(tmp_path: Path) -> None:
    """As a reader types it: the script's own words say what it found; the page's policy is opened for that alone."""
    assert CHROMIUM is not None
    text = re.sub(r"script-src '[^']*'", "script-src 'unsafe-inline'", to_html(FULL, evidence_of(FULL)))
    typed = 'search.value = "/ADD_3"; search.dispatchEvent(new Event("input"));'
    left = 'document.title = all("main section").filter((part) => !part.hidden).map((part) => part.id);'
    path = tmp_path / "r.html"
    path.write_text(text.replace("</body>", f"<script>{typed}{left}</script></body>"), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    done = subprocess.run([CHROMIUM, *options, path.as_uri()], capture_output=True, text=True, check=True, timeout=120)
    assert re.findall("<title>(.*?)</title>", done.stdout)[0] == "near-misses"
    assert '<span id="found" class="soft">1 found</span>' in done.stdout
