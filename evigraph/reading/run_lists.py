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
    Cohort,
    ContextOrder,
    ContrastItem,
    ContrastRoot,
    Fill,
    Method,
    Outcome,
    Role,
    SupportOrder,
)


class RunLists(Lists):
    """What can be listed of a run."""

    def classes(self, *, limit: int | None = None) -> Answer:
        """The classes by index: `index`, `key`, `name`, `image_count` (images with that label), `accuracy` in 0..1."""
        return self.table("classes", limit=limit)

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
        return self._of((), "images", limit, given | {"uriPrefix": uri_prefix, "search": search, "tag": tag})

    def confusions(self, *, limit: int | None = None) -> Answer:
        """Pairs of label and wrong prediction, most images first; `rate` is of the label's images."""
        return self.table("confusions", limit=limit)

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
        return self._of((), "channelSupport", limit, given, {"channel.discriminativeDegree": {}})

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
        return self._of((), "contextLabels", limit, given)

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
        return self._of((), "channelsLocalizing", limit, given)

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
        found = self._of((), "layers", None, {}, {"discriminativeDegree": given})
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
        found = self._of((), "layers", None, {}, parts)
        return found.select("name", *_beginning(found, "profile"), *_beginning(found, "positive_profile"))

    def contrast(
        self,
        layer: str,
        a: Cohort,
        b: Cohort,
        *,
        of: ContrastItem = "channels",
        root: ContrastRoot | None = None,
        min_count: int = 2,
        limit: int | None = None,
    ) -> Answer:
        """What sets cohort a of images apart from cohort b, by Fisher's exact test; the least p first.

        Args:
            layer: Whose evidence is compared.
            a: What the cohort's images have in common, such as {"label": "cow", "predicted": "bird"}.
            b: Likewise, such as {"label": "cow", "outcome": "correct"}.
            of: What decisions have or have not: channels, edges or context labels.
            root: Which decision of each image: for its label, for its predicted class, or of the cohort's own `role`.
                If None the label's where both cohorts have one label, else the predicted class's.
            min_count: Items that fewer decisions of both together have are not tested.
            limit: The most rows.

        Returns:
            Of each item `count_a`, `rate_a`, `count_b`, `rate_b`, `log_odds_ratio` (natural) with its 95 % interval
            `low`, `high`, `p`, and `q`, the false discovery rate. `totals` has `decisions_a`, `decisions_b`, whether
            the cohorts are `comparable`, and if not, `reason`.
        """
        given = {"layer": layer, "a": a, "b": b, "of": of, "root": root, "minCount": min_count}
        return self._of((), "contrast", limit, given)

    def failures(
        self,
        layer: str,
        *,
        label: Class | None = None,
        predicted: Class | None = None,
        top: int = 5,
        limit: int | None = None,
    ) -> Answer:
        """Wrong decisions in the data's order, with a layer's evidence for the predicted and for the true class.

        Args:
            layer: Whose evidence.
            label: Of this label.
            predicted: Predicted as this class.
            top: Channels of each side, at most.
            limit: The most rows.

        Returns:
            `image`; `predicted_class`, `true_class`; `predicted_evidence` and `true_evidence`, lists of channels with
            their `importance`, `share` of the layer's, place, and whether they are `in_both`.
        """
        sides: dict[str, dict[str, Any]] = {"predicted.evidence": {}, "true.evidence": {}}
        given = {"layer": layer, "label": label, "predicted": predicted, "top": top}
        return self._of((), "failures", limit, given, sides)

    def failure_modes(
        self,
        layer: str,
        *,
        label: Class | None = None,
        predicted: Class | None = None,
        max_modes: int = 6,
        min_size: int = 3,
    ) -> Answer:
        """Wrong decisions in groups that share an evidence signature; needs `evigraph[statistics]`.

        Args:
            layer: Whose evidence is the signature.
            label: Failures of this label.
            predicted: Failures predicted as this class.
            max_modes: Groups, at most.
            min_size: Failures of smaller groups are in none.

        Returns:
            Of each mode its `size` and lists: `confusions`, `channels` and `context_labels` that set it apart, typical
            `examples`. `totals` has `failures`, `unassigned` and `silhouette`, which is null where they form no groups.
        """
        from evigraph.graphapi.service.lists import Parent

        arguments = {"layer": layer, "label": label, "predicted": predicted}
        parent = Parent("failureModes", {**arguments, "maxModes": max_modes, "minSize": min_size})
        parts: dict[str, dict[str, Any]] = {
            name: {} for name in ("confusions", "channels", "context_labels", "examples")
        }
        return self._of((parent,), "modes", None, {}, parts)

    def verification(
        self,
        layer: str,
        cls: Class | None = None,
        *,
        method: Method | None = None,
        fill: Fill | None = None,
        role: Role = "predicted",
        outcome: Outcome | None = "wrong",
        label: Class | None = None,
        predicted: Class | None = None,
        max_area: float | None = 0.5,
    ) -> Answer:
        """How often decisions changed without evidence of a layer, beside what the same did to what is no evidence.

        Args:
            layer: Whose evidence was hidden or removed.
            cls: Decisions for this class; for any if None.
            method: "occlude" (the place in the image) or "remove" (the channel); both if None.
            fill: What occluded regions were filled with; each in a row of its own if None.
            role: Which decisions count.
            outcome: Of rightly, or wrongly, predicted images; of both if None.
            label: Of images of this label.
            predicted: Of images predicted as this class.
            max_area: Tests that hid more than this part of the input are left out, and counted as `too_large`; None
                leaves out none.

        Returns:
            A row a method and fill: `tested`, `corrected`, `flipped`, `corrected_rate`; `control_tested`,
            `control_corrected` and `control_p`, McNemar's exact test. Empty where the run was indexed without
            `--verify`.
        """
        given = {
            "layer": layer,
            "class": cls,
            "method": method,
            "fill": fill,
            "role": role,
            "outcome": outcome,
            "label": label,
            "predicted": predicted,
            "maxArea": max_area,
        }
        return self._of((), "verification", None, given)

    def verified_channels(
        self,
        layer: str,
        cls: Class | None = None,
        *,
        method: Method = "remove",
        fill: Fill | None = None,
        role: Role = "predicted",
        outcome: Outcome | None = "wrong",
        label: Class | None = None,
        predicted: Class | None = None,
        max_area: float | None = 0.5,
        limit: int | None = None,
    ) -> Answer:
        """The channels of a layer whose evidence was tested, those first that corrected most; see `verification`."""
        given = {
            "layer": layer,
            "class": cls,
            "method": method,
            "fill": fill,
            "role": role,
            "outcome": outcome,
            "label": label,
            "predicted": predicted,
            "maxArea": max_area,
        }
        return self._of((), "verifiedChannels", limit, given)

    def verified_pairs(
        self,
        layer: str,
        *,
        method: Method | None = None,
        fill: Fill | None = None,
        role: Role = "predicted",
        outcome: Outcome | None = "wrong",
        label: Class | None = None,
        predicted: Class | None = None,
        max_area: float | None = 0.5,
        limit: int | None = None,
    ) -> Answer:
        """Pairs of label and prediction, those first of which most were corrected; see `verification`."""
        given = {
            "layer": layer,
            "method": method,
            "fill": fill,
            "role": role,
            "outcome": outcome,
            "label": label,
            "predicted": predicted,
            "maxArea": max_area,
        }
        return self._of((), "verifiedPairs", limit, given)


def _beginning(found: Answer, name: str) -> list[str]:
    return [column for column in found.columns if column.startswith(name)]
