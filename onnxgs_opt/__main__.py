"""`python -m onnxgs_opt`: the command line, where its script is not on the path."""

from onnxgs_opt.cli import script

if __name__ == "__main__":
    script()
