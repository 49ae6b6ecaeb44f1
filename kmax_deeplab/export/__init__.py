"""Turning a model into a file that other programs run: torch.export and ONNX."""
