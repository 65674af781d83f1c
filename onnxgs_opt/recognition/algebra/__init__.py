"""Exact piecewise polynomials; this knows nothing of ONNX."""
