"""The whole model without Detectron2: from descriptions and classes to a network that segments."""
