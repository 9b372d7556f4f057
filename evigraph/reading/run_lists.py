"""The lists of a run, by their names.

`limit` is the most rows; without it a table is whole. Layers go by their name or module path, classes by name, key or
index. A share is a part of one decomposition's positive contributions, an importance a part of the whole decision; both
are in 0..1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evigraph.reading.answers import Answer
from evigraph.reading.lists import Lists
from evigraph.reading.words import (
    Class,
    ClassOrder,
    ContextOrder,
    Outcome,
    Role,
    SupportOrder,
)


class RunLists(Lists):
    """What a run holds, and what its channels support and look at."""

    def classes(self, *, search: str | None = None, order_by: ClassOrder = "index", limit: int | None = None) -> Answer:
        """The classes: `index`, `key`, `name`, `image_count` (images with that label), `accuracy` in 0..1.

        Args:
            search: Words that names or keys hold, each of them, in any case.
            order_by: What they are sorted by: most images or predictions first, the least accurate first.
            limit: The most rows.
        """
        return self._of("classes", limit, {"search": search, "orderBy": order_by})

    def images(
        self,
        *,
        label: Class | None = None,
        predicted: Class | None = None,
        outcome: Outcome | None = None,
        uri_prefix: str | None = None,
        search: str | None = None,
        tag: str | None = None,
        limit: int | None = None,
    ) -> Answer:
        """Images in the data's order, with what was predicted; a notebook shows their thumbnails where there are any.

        Args:
            label: Of this label.
            predicted: Predicted as this class.
            outcome: Rightly or wrongly predicted.
            uri_prefix: What uris begin with.
            search: What uris hold, in any case.
            tag: A label of the dataset's own.
            limit: The most rows.
        """
        given = {"label": label, "predicted": predicted, "outcome": outcome}
        return self._of("images", limit, given | {"uriPrefix": uri_prefix, "search": search, "tag": tag})

    def channel_support(
        self,
        layer: str,
        cls: Class | None = None,
        *,
        role: Role = "predicted",
        outcome: Outcome | None = None,
        order_by: SupportOrder = "decisions",
        limit: int | None = None,
    ) -> Answer:
        """The channels of a layer that support a class, or all classes.

        Args:
            layer: Whose channels.
            cls: The class; each channel's support for all of them if None.
            role: Which decisions (roots) count: for the predicted class, or for a label that was missed.
            outcome: Only decisions of rightly, or wrongly, predicted images.
            order_by: The column to sort by, largest first.
            limit: The most rows.

        Returns:
            `channel`; its `channel_discriminative_degree` in 0..1; `decisions` that it supports, and `rate`, their
            part of all; `edges` into it; `mean_share` over edges; `mean_importance` over those decisions.
        """
        given = {"layer": layer, "class": cls, "role": role, "outcome": outcome, "orderBy": order_by}
        return self._of("channelSupport", limit, given, {"channel.discriminativeDegree": {}})

    def context_labels(
        self,
        layer: str | None = None,
        cls: Class | None = None,
        *,
        role: Role = "predicted",
        outcome: Outcome | None = None,
        order_by: ContextOrder | None = None,
        limit: int | None = None,
    ) -> Answer:
        """The context labels that evidence lies on.

        Args:
            layer: Whose evidence; of all layers that have labels if None.
            cls: Of decisions for this class; of all if None.
            role: Which decisions count.
            outcome: Only decisions of rightly, or wrongly, predicted images.
            order_by: "localization" (how many more peaks lie on the label than its area explains) where the run holds
                it, "edges" (masks that overlap it best) or "lift".
            limit: The most rows.

        Returns:
            Of each label `edges` and `rate` by best overlap; `peak_rate`, `peak_base_rate` (its area), `peak_lift` and
            its 95 % interval `peak_low`, `peak_high`; `activation_...` likewise by what lies under the masks.
        """
        given = {"layer": layer, "class": cls, "role": role, "outcome": outcome, "orderBy": order_by}
        return self._of("contextLabels", limit, given)

    def channels_localizing(
        self,
        label: str,
        layer: str,
        cls: Class | None = None,
        *,
        role: Role = "predicted",
        min_edges: int = 10,
        limit: int | None = None,
    ) -> Answer:
        """The channels of a layer that localize a context label, most surely first.

        Args:
            label: A context label by name.
            layer: Whose channels.
            cls: In decisions for this class; for any if None.
            role: Which decisions count.
            min_edges: Channels of fewer edges are left out.
            limit: The most rows.
        """
        given = {"label": label, "layer": layer, "class": cls, "role": role, "minEdges": min_edges}
        return self._of("channelsLocalizing", limit, given)

    def degrees(
        self,
        *,
        quantiles: Sequence[float] | None = None,
        bins: int = 10,
        threshold: float = 0.5,
        min_edges: int = 1,
    ) -> Answer:
        """How class-specific the channels of each layer are, by discriminative degree max_c N_c / sum_c N_c in 0..1.

        Args:
            quantiles: Points in 0..1; 0.1, 0.25, 0.5, 0.75, 0.9 if None.
            bins: Of the histogram.
            threshold: Channels above it are counted.
            min_edges: Channels of fewer edges are left out: one edge gives 1.

        Returns:
            A row a layer: `name`, `channels`, and of the degree `count` (channels), `mean`, `median`, `quantiles`,
            `above` and `histogram`, each after `discriminative_degree_`.
        """
        given = {"quantiles": quantiles, "bins": bins, "threshold": threshold, "minEdges": min_edges}
        found = self._of("layers", None, {}, {"discriminativeDegree": given})
        return found.select("name", "channels", *_beginning(found, "discriminative_degree"))

    def profiles(self, cls: Class | None = None, *, role: Role = "predicted", outcome: Outcome | None = None) -> Answer:
        """How the evidence of each layer's decompositions falls off with rank, and how many channels there were.

        Args:
            cls: Of decisions for this class; of all if None.
            role: Which decisions count.
            outcome: Only decisions of rightly, or wrongly, predicted images.

        Returns:
            A row a layer: `profile_shares`, the mean share by rank; `profile_residual`, the part that top N leaves out;
            and over all classes `positive_profile_mean_positive` and, of runs with `--overlaps`,
            `positive_profile_mean_overlapping`, in channels a decomposition.
        """
        given: dict[str, Any] = {"role": role, "outcome": outcome}
        parts = {"profile": {"class": cls, **given}, "positiveProfile": given}
        found = self._of("layers", None, {}, parts)
        return found.select("name", *_beginning(found, "profile"), *_beginning(found, "positive_profile"))


def _beginning(found: Answer, name: str) -> list[str]:
    return [column for column in found.columns if column.startswith(name)]
