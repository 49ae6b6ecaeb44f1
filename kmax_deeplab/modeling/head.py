"""The head: backbone features in, `HeadOutput` out. Joins pixel decoder and transformer decoder."""

from collections.abc import Sequence

from torch import Tensor, nn

from kmax_deeplab.modeling.layers import ACTIVATIONS, Activation
from kmax_deeplab.modeling.pixel_decoder import PixelDecoder
from kmax_deeplab.modeling.transformer_decoder import TransformerDecoder
from kmax_deeplab.structures import HeadOutput

SEMANTIC_FEATURES = (0, 2, 3)
"""Which inputs, coarse to fine, the auxiliary semantic head sees: strides 32, 8 and 4."""


class KMaXHead(nn.Module):
    """Pixel decoder, k-means transformer decoder and, in training, the auxiliary semantic head.

    Args:
        feature_names: backbone features, coarse to fine.
        pixel_decoder: decodes them.
        transformer_decoder: clusters the decoded pixels.
        low_level_activation: of the features at strides 8 and 4 that the auxiliary semantic head
            sees, for backbones whose features are not activated.
    """

    def __init__(
        self,
        feature_names: Sequence[str],
        pixel_decoder: PixelDecoder,
        transformer_decoder: TransformerDecoder,
        *,
        low_level_activation: Activation = ACTIVATIONS["none"],
    ):
        super().__init__()
        self.feature_names = list(feature_names)
        self.pixel_decoder = pixel_decoder
        self.predictor = transformer_decoder
        self.low_level_activation = low_level_activation

    def forward(self, features: dict[str, Tensor]) -> HeadOutput:
        """Runs both decoders on the backbone's features, {name: (B, C, H, W)}."""
        inputs = [features[name] for name in self.feature_names]
        decoded = self.pixel_decoder(inputs)
        predictions = self.predictor(decoded[:3], decoded[-1])
        semantic = self.predictor.auxiliary_semantic_predictor
        if not self.training or semantic is None:
            return HeadOutput(predictions)
        coarsest, *low_level = (inputs[i] for i in SEMANTIC_FEATURES)
        low_level = [self.low_level_activation(x) for x in low_level]
        return HeadOutput(predictions, semantic([coarsest, *low_level]))
