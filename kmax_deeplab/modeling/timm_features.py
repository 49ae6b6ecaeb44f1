"""Any convolutional or hierarchical model of timm as a backbone: image in, strided features out.

Strides and channels are read from the model's `feature_info`. A feature of stride s is
⌈H/s⌉ × ⌈W/s⌉ whatever the image's size: models that would round down or refuse such sizes get the
image zero-padded right and bottom to a multiple of 32, and their features cropped.
"""

import sys
from collections.abc import Mapping, Sequence

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kmax_deeplab.modeling.backbone import STRIDES, Backbone
from kmax_deeplab.modeling.drop_path import replace_drop_paths

COARSEST = 32
DYNAMIC = "dynamic_img_size"
"""Option of timm's window transformers to take images of any size."""

State = dict[str, Tensor]


class TimmFeatures(Backbone):
    """Features of a timm model, without the layers that none of them needs.

    Args:
        name: of the model.
        out_features: some of `STRIDES`.
        options: of the model's constructor.

    Raises:
        ValueError: timm knows no such model, or it lacks a stride, or is bound to one image size.
    """

    def __init__(
        self, name: str, out_features: Sequence[str], options: Mapping[str, object] | None = None
    ):
        super().__init__()
        if not timm.is_model(name):
            raise ValueError(f"timm has no model {name!r}; see timm.list_models('*part of it*')")
        self.name, self.options = name, dict(options or {})
        sketch = self._sketch(features_only=True, feature_cls="getter")
        if getattr(sketch.model, DYNAMIC, True) is False:
            self.options = {DYNAMIC: True, **self.options}
        indices = find_features(name, sketch.feature_info.reduction(), out_features)
        features = timm.create_model(
            name,
            features_only=True,
            feature_cls="getter",
            out_indices=list(indices.values()),
            **self.options,
        )
        self.body = features.model
        replace_drop_paths(self.body)
        self.indices = features.out_indices
        self.channels = dict(zip(indices, features.feature_info.channels(), strict=True))
        self._choose_padding()

    def _sketch(self, **options: object) -> nn.Module:
        """Builds the model without memory for its parameters."""
        with torch.device("meta"):
            return timm.create_model(self.name, **self.options, **options)

    def _choose_padding(self) -> None:
        """Tries whether features have the right sizes as they come, or else with padding."""
        for self.padded in (False, True):
            problem = self._problem()
            if not problem:
                return
        raise ValueError(
            f"timm's {self.name} does not give features of any image ({problem}); choose another "
            "model, or options of its constructor that let it"
        )

    @torch.no_grad()
    def _problem(self) -> str:
        """Returns what is wrong with the features of an image of 65 x 97 pixels, or nothing."""
        self.eval()
        try:
            features = self(torch.zeros(1, 3, 65, 97))
        except (AssertionError, RuntimeError) as error:  # some models refuse odd sizes
            return str(error)
        finally:
            self.train()
        sizes = {name: tuple(feature.shape[2:]) for name, feature in features.items()}
        right = {name: (-(-65 // STRIDES[name]), -(-97 // STRIDES[name])) for name in sizes}
        return "" if sizes == right else f"sizes {sizes} instead of {right}"

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Computes the features.

        Args:
            image: (B, 3, H, W), normalised.

        Returns:
            by name, finest first: (B, C, ⌈H/stride⌉, ⌈W/stride⌉).
        """
        height, width = image.shape[-2:]
        if self.padded:
            image = F.pad(image, (0, -width % COARSEST, 0, -height % COARSEST))
        features = self.body.forward_intermediates(
            image, indices=self.indices, intermediates_only=True, output_fmt="NCHW"
        )
        cropped = {}
        for name, feature in zip(self.channels, features, strict=True):
            rows, columns = (-(-side // STRIDES[name]) for side in (height, width))
            cropped[name] = feature[..., :rows, :columns]  # (B, C, rows, columns)
        return cropped

    def from_timm(self, state: State) -> tuple[State, list[str]]:
        """Gives the entries of a classifier's weights our names.

        Old layouts are brought to the present one by the model's own function, where it has one.

        Args:
            state: weights of the model, as timm publishes them.

        Returns:
            our entries (those that no model of this name has keep their names, below "body."),
            and the names of those that features do not need.
        """
        classifier = self._sketch(num_classes=1000)  # some models have no head by default
        state = _modernise(state, classifier)
        spare = classifier.state_dict().keys() - self.body.state_dict().keys()
        ours = {f"body.{name}": value for name, value in state.items() if name not in spare}
        return ours, [name for name in state if name in spare]


def _modernise(state: State, classifier: nn.Module) -> State:
    """Brings an old layout of a model's weights to the present one, as timm itself does."""
    convert = getattr(sys.modules[type(classifier).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return state
    try:
        return convert(dict(state), classifier)
    except (AttributeError, KeyError, RuntimeError):
        return state  # of another model: whoever compares the names refuses it


def find_features(
    name: str, reductions: Sequence[int], out_features: Sequence[str]
) -> dict[str, int]:
    """Finds the features with the wanted strides, the deepest of each.

    Args:
        name: of the model, for messages.
        reductions: stride of each of its features.
        out_features: some of `STRIDES`.

    Returns:
        index of each wanted feature, finest first.

    Raises:
        ValueError: a feature is unknown, or the model has none of its stride.
    """
    unknown = [feature for feature in out_features if feature not in STRIDES]
    if unknown:
        raise ValueError(f"MODEL.TIMM.OUT_FEATURES has {unknown}; choose from {list(STRIDES)}")
    by_stride = {stride: index for index, stride in enumerate(reductions)}
    missing = [f"{f} (stride {STRIDES[f]})" for f in out_features if STRIDES[f] not in by_stride]
    if missing:
        raise ValueError(
            f"timm's {name} has features of strides {list(reductions)}, but not "
            f"{', '.join(missing)}"
        )
    return {f: by_stride[stride] for f, stride in STRIDES.items() if f in out_features}
