"""Write the exports of all forms, or of those named: `python -m tests.campaigns.field.forms OUTDIR [NAME ...]`."""

import sys
from pathlib import Path

from tests.campaigns.field.forms.export import export

for line in export(Path(sys.argv[1]), sys.argv[2:]):
    sys.stdout.write(f"not exported: {line}\n")
