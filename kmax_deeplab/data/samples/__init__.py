"""Training samples: segments of an image, a view of them, pasting, targets."""
