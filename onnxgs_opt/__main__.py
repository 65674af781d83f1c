"""`python -m onnxgs_opt`: the command line, where its script is not on the path."""

import sys

from onnxgs_opt.cli import main

if __name__ == "__main__":
    sys.exit(main())
