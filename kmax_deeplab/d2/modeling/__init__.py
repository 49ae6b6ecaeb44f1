"""The network in Detectron2's registries."""
