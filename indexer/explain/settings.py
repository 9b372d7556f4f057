"""What `evigraph explain` is asked: the fields of `index` that determine a decision, or a run that has them."""

# ruff: noqa: RUF009 (options and parts are dataclass fields)
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evigraph.indexer.data.settings import PreprocessingOptions
from evigraph.indexer.evidence.method import Method
from evigraph.indexer.options import Settings, like, option, options_of, part
from evigraph.indexer.run.settings import Execution, ExtendSettings, IndexSettings
from evigraph.schema.errors import UsageError

_WITH_RUN = ("weights", "classes", "data", "top_n", "device", "threads", "run", "image")
"""Fields that mean something beside a run: where things are now, what is drawn, and what computes."""


@dataclass(frozen=True)
class ExplainSettings(Settings):
    """What `evigraph explain` is asked beside the class and the edits.

    Attributes:
        model, weights, classes, layers, output, max_nodes, merge_overlaps, mask_threshold, preprocessing, device,
            precision, threads: as of `index`; of a run, where weights and classes are now.
        top_n: channels kept of each decomposition; of a run, how many of those that it keeps are shown.
        run: a run folder, which says network, data and settings.
        image: uri of one of its images.
        data: where the run's data are now.
    """

    model: str | None = like(IndexSettings, "model", default=None)
    weights: str | None = like(IndexSettings, "weights", default=None)
    classes: Path | None = like(IndexSettings, "classes")
    layers: Sequence[str] | None = like(IndexSettings, "layers")
    output: Literal["auto", "logits", "probabilities", "sigmoid"] = like(IndexSettings, "output")
    top_n: int | None = like(
        Method,
        "top_n",
        default=None,
        help="Channels kept of each decomposition; 3 if not given, and of a run all that it keeps.",
    )
    max_nodes: int | None = like(Method, "max_nodes")
    merge_overlaps: bool = like(Method, "merge_overlaps", help="--top counts groups of overlapping channels.")
    mask_threshold: float = like(Method, "mask_threshold", needs="--merge-overlaps")
    preprocessing: PreprocessingOptions = part(PreprocessingOptions)
    device: Literal["cpu", "cuda"] = like(Execution, "device")
    precision: Literal["fp32", "tf32", "bf16"] = like(Execution, "precision")
    threads: int | None = like(ExtendSettings, "threads")
    run: Path | None = option("Explain an image of this run folder, by its network and settings.", default=None)
    image: str | None = option("The image of the run.", default=None, metavar="URI", needs="--run")
    data: str | None = like(ExtendSettings, "data", needs="--run")

    @property
    def method(self) -> Method:
        """How the decision of a file is decomposed."""
        default = Method()
        return Method(
            default.top_n if self.top_n is None else self.top_n,
            self.mask_threshold,
            self.max_nodes,
            merge_overlaps=self.merge_overlaps,
        )

    def of_file(self, path: Path) -> IndexSettings:
        """The settings of a run over this one image.

        Raises:
            UsageError: the model or its weights are not given.
        """
        if self.model is None or self.weights is None:
            missing = "--model" if self.model is None else "--weights"
            raise UsageError(
                f"{path} is to be explained without {missing}; give --model and --weights, or --run RUN --image URI"
            )
        return IndexSettings(
            model=self.model,
            weights=self.weights,
            data=str(path),
            run=path,
            name=path.name,
            classes=self.classes,
            layers=self.layers,
            output=self.output,
            method=self.method,
            preprocessing=self.preprocessing,
            execution=Execution(device=self.device, workers=0, precision=self.precision, threads=self.threads),
        )

    def of_run(self) -> ExtendSettings:
        """Where a run's things are now, and what computes.

        Raises:
            UsageError: an option is given that the run settles itself.
        """
        values, defaults = (vars(one) | vars(one.preprocessing) for one in (self, ExplainSettings()))
        for known in options_of(ExplainSettings):
            if known.name not in _WITH_RUN and values[known.name] != defaults[known.name]:
                raise UsageError(f"{known.flag} is given beside --run, which says that itself; leave out either")
        return ExtendSettings(
            weights=self.weights,
            data=self.data,
            classes=self.classes,
            device=self.device,
            workers=0,
            threads=self.threads,
        )
