"""The graph: ONNX files in and out, verified, and everything that reads or edits nodes and tensors."""
