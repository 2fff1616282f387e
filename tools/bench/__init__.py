"""`make bench`: our engines against PyTorch and ONNX Runtime, the elements, and the targets."""
