"""What a model is made of, in plain values: enough to build it anywhere, kept beside its weights.

Training settings are not among them, but for those of the norms.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from kmax_deeplab.values import MergeThresholds

VERSION = 1
MOST_OVERLAP = 0.9
"""Share of a window's side; windows that overlap more grow without number."""
T = TypeVar("T")


@dataclass(frozen=True)
class HeadDescription:
    """Both decoders and the auxiliary semantic head.

    Attributes:
        features: of the backbone, coarse to fine.
        num_classes: K, without void.
        num_queries: Q.
        decoder_depths: blocks of each stage of the pixel decoder, coarse to fine.
        decoder_blocks: kind of the blocks of each stage, of `residual_blocks.BLOCKS`.
        decoder_channels: base channels of each stage.
        decoder_drop_path: drop probability in the pixel decoder.
        bottleneck_dilation: of the 3x3 convolutions in its bottlenecks.
        clusterings: k-means layers on each of the features of strides 32, 16 and 8.
        drop_path: drop probability in the k-means layers.
        semantic: "decoder", "head" or None: the auxiliary semantic head.
        low_level_activation: of the fine features that it sees, of `layers.ACTIVATIONS`.
        norm: of `layers.NORMS`.
        norm_momentum: weight of the newest batch in running statistics.
    """

    features: list[str]
    num_classes: int
    num_queries: int
    decoder_depths: list[int]
    decoder_blocks: list[str]
    decoder_channels: list[int]
    clusterings: list[int]
    decoder_drop_path: float = 0.0
    bottleneck_dilation: int = 1
    drop_path: float = 0.0
    semantic: str | None = "decoder"
    low_level_activation: str = "none"
    norm: str = "SyncBN"
    norm_momentum: float = 0.01


@dataclass(frozen=True)
class InputDescription:
    """How an image becomes the network's input.

    Attributes:
        image_size: (height, width) that images are padded to, pixels.
        shorter_side: that images are resized to, pixels; 0: they keep their size.
        longer_side: most pixels of the other side then.
        pixel_mean, pixel_std: of R, G and B, in [0, 255].
        channels_last: whether convolutions run in channels-last memory format.
        tile: side in pixels of the windows in which an image is looked at, each resized as
            `shorter_side` is to it; 0: it is looked at as a whole.
        tile_overlap: least share of a window's side that the next one sees too.
    """

    image_size: list[int]
    shorter_side: int
    longer_side: int
    pixel_mean: list[float]
    pixel_std: list[float]
    channels_last: bool = True
    tile: int = 0
    tile_overlap: float = 0.5

    def __post_init__(self) -> None:
        if self.tile < 0 or not 0 <= self.tile_overlap <= MOST_OVERLAP:
            raise ValueError(
                f"tile {self.tile} and tile_overlap {self.tile_overlap}: needed are pixels from 0 "
                f"and a share from 0 to {MOST_OVERLAP}"
            )
        if len(self.image_size) != 2 or min(self.image_size) < 1:
            raise ValueError(f"image_size {self.image_size} must be (height, width) in pixels")
        if not len(self.pixel_mean) == len(self.pixel_std) == 3:
            raise ValueError(
                f"pixel_mean {self.pixel_mean} and pixel_std {self.pixel_std} need three numbers"
            )


@dataclass(frozen=True)
class ModelDescription:
    """A whole model.

    Attributes:
        backbone: "kind", one of `build.BACKBONES`, and the arguments of its constructor.
        head: both decoders.
        input: what images go through.
        merge: when a query becomes a segment.
    """

    backbone: Mapping[str, Any]
    head: HeadDescription
    input: InputDescription
    merge: MergeThresholds

    def to_json(self) -> dict[str, Any]:
        """Returns nested plain values."""
        return {"version": VERSION, **asdict(self), "backbone": dict(self.backbone)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "ModelDescription":
        """Reads what `to_json` returns.

        Raises:
            ValueError: it is of a later version, or no description.
        """
        if not isinstance(content, Mapping) or content.get("version") != VERSION:
            version = content.get("version") if isinstance(content, Mapping) else content
            raise ValueError(
                f"the description of the model has version {version!r}, this program reads "
                f"{VERSION}: use the program that wrote it, or give its config"
            )
        parts = {"head": HeadDescription, "input": InputDescription, "merge": MergeThresholds}
        read = {name: _read(kind, content.get(name)) for name, kind in parts.items()}
        return cls(backbone=content["backbone"], **read)


def _read(kind: type[T], values: object) -> T:
    known = {field.name for field in fields(kind)}
    if not isinstance(values, Mapping) or (strange := set(values) - known):
        found = sorted(strange) if isinstance(values, Mapping) else values
        raise ValueError(f"the description of the model has {found}, not a {kind.__name__}")
    return kind(**values)
