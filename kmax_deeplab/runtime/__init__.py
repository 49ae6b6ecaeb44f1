"""Using exported models: needs numpy, Pillow and onnxruntime, and never imports torch."""
