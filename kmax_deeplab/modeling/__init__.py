"""The network of kMaX-DeepLab as plain torch modules: features in, `HeadOutput` out."""
