"""Files that are given as a model and are none, told by their first bytes, with what to do instead."""

from __future__ import annotations

_EXPORT = "export the model with torch.onnx.export, and name the .onnx file"
_EMPTY_ZIP, _PICKLE, _TORCH_LIST = b"PK\x05\x06", b"\x80\x02", b"/data.pkl"
_SIGNATURES: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"version https://git-lfs.", "a Git LFS pointer, not the model itself", "git lfs pull fetches the model"),
    (0, _PICKLE, "a pickled PyTorch file", _EXPORT),
    (0, b"PK\x03\x04", "a zip archive", "unpack it, and name the .onnx file in it"),
    (0, _EMPTY_ZIP, "an empty zip archive", "copy or export the model again"),
    (0, b"\x1f\x8b", "compressed with gzip", "unpack it with gunzip, and name the .onnx file"),
    (0, b"\x89HDF\r\n", "a Keras or HDF5 file", "export it to ONNX first, for instance with tf2onnx"),
    (0, b"<", "a web page or XML, not a model", "download the model itself, not the page that shows it"),
    (4, b"TFL3", "a TensorFlow Lite model", "export it to ONNX first, for instance with tf2onnx"),
    (4, b"ORTM", "a model in onnxruntime's own format", "name the .onnx file that it was made of"),
    (0, b"ptrt", "a TensorRT engine", "name the .onnx file that it was built of"),
    (0, b"ftrt", "a TensorRT engine", "name the .onnx file that it was built of"),
)
"""Offset, bytes, what the file is, and what to do."""


def what_else(raw: bytes) -> tuple[str, str] | None:
    """What a file is that is no ONNX model, and what to do; None where its first bytes say nothing of the kind.

    None of these begins a model: a protobuf message of that kind has no such field, or ends before its first one does.
    """
    for offset, signature, what, hint in _SIGNATURES:
        if raw.startswith(signature, offset):
            is_torch = raw.startswith(b"PK") and _TORCH_LIST in raw[:1024]
            return ("a PyTorch file", _EXPORT) if is_torch else (what, hint)
    return None
