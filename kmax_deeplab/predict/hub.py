"""Predictors on Hugging Face's hub, and in folders of its kind: saved, pushed and opened again.

predict = Predictor.from_pretrained("somebody/nuclei")  # or a folder
predict.save_pretrained("folder")
predict.push_to_hub("me/nuclei", private=True)
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData, ModelHubMixin, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HFValidationError,
    RepositoryNotFoundError,
)
from torch import Tensor

from kmax_deeplab.checkpoint.fit import size
from kmax_deeplab.checkpoint.identity import Identity, identity_in, identity_of
from kmax_deeplab.checkpoint.pretrained import CONFIG, WEIGHTS, read_any, write_pretrained
from kmax_deeplab.checkpoint.sources import translate

TAGS = ["panoptic-segmentation", "kmax-deeplab", "model_hub_mixin"]
PAPER = "https://arxiv.org/abs/2207.04044"


class OnHub(ModelHubMixin):
    """What a predictor needs to be kept on the hub; the mixin's public methods do the rest.

    Attributes:
        source: file or folder that the model was read from; None: it was given.
    """

    source: Path | None = None

    def known(self) -> tuple[dict[str, Tensor], Identity]:
        """Returns weights and all that is known of the model, as it predicts here.

        Weights have the type in which they lie in the file that they come from. The config of the
        training is not among it: it tells of the machine that trained.

        Raises:
            ValueError: the model cannot be saved, as it was made to predict only, or cannot be
                described.
        """
        if self.source is not None:
            content = read_any(self.source)
            known, state = identity_in(content, self.source), translate(content["model"]).state
        elif self.model.only_predicts:
            raise ValueError(
                "this model was made to predict only, its norms are part of its convolutions: save "
                "a Predictor of the checkpoint that it comes from, Predictor('model.pth')"
            )
        else:
            known, state = identity_of(self.model), self.model.state_dict()
        if known.description is None:
            raise ValueError("this model has parts of others: it cannot be described in a JSON")
        used = replace(known.description, input=self.inputs, merge=self.model.merge)
        return state, replace(known, description=used, config=None)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> "OnHub":
        """Opens a folder that `save_pretrained` wrote, or a model of the hub.

        Args:
            pretrained_model_name_or_path: the folder, or the model's name, "somebody/nuclei".
            **options: of the predictor, and of the hub's client (revision, token, cache_dir, …).

        Raises:
            FileNotFoundError: there is neither such a folder nor such a model, or no network.
            ValueError: a file is damaged, or does not say how the model is built.
        """
        try:
            return super().from_pretrained(pretrained_model_name_or_path, **options)
        except (EntryNotFoundError, HFValidationError, RepositoryNotFoundError) as error:
            raise FileNotFoundError(
                f"{str(pretrained_model_name_or_path)!r} is no folder here, and the hub does not "
                f"give out such a model: {error}"
            ) from error

    def _save_pretrained(self, save_directory: Path) -> None:
        write_pretrained(Path(save_directory), *self.known())

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        **options: Any,
    ) -> "OnHub":
        folder = Path(model_id)
        if not folder.is_dir():
            download = partial(
                hf_hub_download,
                model_id,
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token,
            )
            (folder,) = {Path(download(name)).parent for name in (CONFIG, WEIGHTS)}
        return cls(folder, **options)

    def generate_model_card(self, **facts: Any) -> ModelCard:
        """Describes the model for its page.

        Args:
            **facts: of the head of the card, for instance `license` and `datasets`.
        """
        head = {"library_name": "kmax-deeplab", "pipeline_tag": "image-segmentation", "tags": TAGS}
        data = ModelCardData(**{**head, **facts})
        return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{describe(*self.known())}")


def describe(state: dict[str, Tensor], known: Identity) -> str:
    """Writes the text of a model's card, in Markdown."""
    description = known.description
    head, inputs, backbone = description.head, description.input, description.backbone
    look = f"in windows of {inputs.tile} pixels" if inputs.tile else "as a whole"
    rows = (
        f"| {i} | {name} | {'thing' if t else 'stuff'} |" for i, name, t in known.categories.rows()
    )
    notes = [f"- **{title}**: {text}" for title, text in (known.provenance or {}).items()]
    lines = [
        "# kMaX-DeepLab: panoptic segmentation",
        "",
        f"The model of [k-means Mask Transformer]({PAPER}) with {size(state) / 1e6:.1f} million "
        f"weights: backbone {backbone.get('name', backbone['kind'])}, {head.num_queries} queries, "
        f"{head.num_classes} classes. It looks at an image {look}, resized to "
        f"{inputs.shorter_side or 'its own'} pixels.",
        *("", "```python", "from kmax_deeplab import Predictor", ""),
        'predict = Predictor.from_pretrained("NAME/OF-THIS-MODEL")  # or a folder with its files',
        'predict("photo.jpg").save("output")',
        *("```", "", "| id | class | kind |", "|---|---|---|", *rows),
    ]
    return "\n".join([*lines, *(["", "## Where it comes from", "", *notes] if notes else []), ""])
