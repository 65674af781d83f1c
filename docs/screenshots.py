"""Take pictures of a report and of three pages: python docs/screenshots.py FOLDER, after `make docs`; needs Chromium.

The report is that of `make demo`, measured here: on a wide and a narrow screen, light and dark.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from onnxgs_opt.cli import main as onnxgs_opt

SITE = Path("build/site")
MODEL = "tests/fixtures/models/masked_interior.ts17.dyn.onnx"
SHAPES = ("--shape", "img=1x3x480x640", "--shape", "grid=1x480x640x2")
OUT = "build/demo/masked_interior.onnx"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZES = {"wide": (1040, 1150), "narrow": (412, 900)}
SCHEMES = {"light": 1, "dark": 0}
"""As the engine numbers them."""
PAGES = {"start": "index.html", "usage": "usage/index.html", "deploying": "deploying/index.html"}


def main(folder: Path) -> int:
    """Write the pictures; 1 where there is no browser or no site."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None or not (SITE / "index.html").exists():
        sys.stderr.write("pictures need Chromium, and the pages of `make docs`\n")
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    report = Path(OUT).with_name("report.html")
    report.parent.mkdir(parents=True, exist_ok=True)
    code = onnxgs_opt([MODEL, OUT, *SHAPES, "--no-cache", "--report", str(report), "-q"])
    for size in SIZES:
        for scheme in SCHEMES:
            shoot(browser, report, folder / f"report-{size}-{scheme}.png", size, scheme)
    for name, page in PAGES.items():
        shoot(browser, SITE / page, folder / f"page-{name}.png", "wide", "light")
    return code


def shoot(browser: str, page: Path, picture: Path, size: str, scheme: str) -> None:
    """One picture of what a browser shows first of a page."""
    width, height = SIZES[size]
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--user-data-dir={profile}", f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}"]
        command += [f"--window-size={width},{height}", f"--screenshot={picture.resolve()}", page.resolve().as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
