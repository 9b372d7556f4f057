"""The lists of a run that tell why decisions are wrong: confusions, contrasts, failure modes, verification.

Arguments are as in `run_lists`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evigraph.reading.answers import Answer
from evigraph.reading.lists import Lists, tests_given
from evigraph.reading.words import Class, Cohort, ContrastItem, ContrastRoot, Fill, Method, Outcome, Role


class RunFailures(Lists):
    """What is wrong, what sets it apart, and what happens without it."""

    def confusions(self, *, limit: int | None = None) -> Answer:
        """Pairs of label and wrong prediction, most images first; `rate` is of the label's images."""
        return self.table("confusions", limit=limit)

    def contrast(
        self,
        layer: str,
        a: Cohort | Mapping[str, Any],
        b: Cohort | Mapping[str, Any],
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
        return self._of("contrast", limit, given)

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
        return self._of("failures", limit, given, sides)

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
        return self._of("modes", None, {}, parts, within=(parent,))

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
        tests = tests_given(method, fill, role, outcome, label, predicted, max_area)
        return self._of("verification", None, {"layer": layer, "class": cls, **tests})

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
        tests = tests_given(method, fill, role, outcome, label, predicted, max_area)
        return self._of("verifiedChannels", limit, {"layer": layer, "class": cls, **tests})

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
        tests = tests_given(method, fill, role, outcome, label, predicted, max_area)
        return self._of("verifiedPairs", limit, {"layer": layer, **tests})
