"""Models of the official TensorFlow zoo: which one in, an `Entry` for each of its variables out."""

from dataclasses import dataclass

from kmax_deeplab.checkpoint.tensorflow.bricks import Entries
from kmax_deeplab.checkpoint.tensorflow.decoders import (
    DECODER_CHANNELS,
    pixel_decoder,
    semantic_decoder,
    semantic_head,
    transformer_decoder,
)
from kmax_deeplab.checkpoint.tensorflow.encoders import encoder, feature_channels
from kmax_deeplab.data.format.published import published_categories

DATASETS = ("coco", "cityscapes", "ade20k")
HEAD = "sem_seg_head"


@dataclass(frozen=True)
class ZooModel:
    """A model of the zoo, as far as its variables tell.

    Attributes:
        dataset: one of `DATASETS`.
        backbone: "r50", "maxs" or "convnext_tiny", "_small", "_base", "_large".
        num_queries: cluster centres.
    """

    dataset: str
    backbone: str
    num_queries: int

    def __str__(self) -> str:
        return f"{self.dataset} {self.backbone} with {self.num_queries} queries"


def entries(model: ZooModel) -> Entries:
    """Yields an entry for every variable of a model."""
    is_cityscapes = model.dataset == "cityscapes"
    features = feature_channels(model.backbone)[0 if is_cityscapes else 1 :][::-1]
    order = class_order(model.dataset)
    yield from encoder(model.backbone)
    yield from pixel_decoder(f"{HEAD}.pixel_decoder", "pixel_decoder", features)
    yield from transformer_decoder(
        f"{HEAD}.predictor",
        "transformer_decoder",
        finest=4 * DECODER_CHANNELS[len(features) - 1],
        num_queries=model.num_queries,
        class_order=order,
    )
    semantic, num_classes = f"{HEAD}.predictor.auxiliary_semantic_predictor", len(order) - 1
    if is_cityscapes:
        yield from semantic_head(semantic, features[0], num_classes)
    else:
        yield from semantic_decoder(semantic, [features[i] for i in (0, 2, 3)], num_classes)


def class_order(dataset: str) -> list[int]:
    """Returns the channel of the TensorFlow class head for each class of ours, void last.

    Theirs has things first, then stuff, each in the order of ours.
    """
    is_thing = published_categories(dataset).is_thing
    theirs = sorted(range(len(is_thing)), key=lambda index: not is_thing[index])
    return [theirs.index(index) for index in range(len(is_thing))] + [len(is_thing)]
