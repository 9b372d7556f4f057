"""A channel of a run's layer, over the whole data set: its lists by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evigraph.reading import shown
from evigraph.reading.answers import Answer
from evigraph.reading.lists import Lists, tests_given
from evigraph.reading.words import Class, ContextOrder, Fill, Method, Outcome, Role, SupportOrder
from evigraph.schema.errors import EvidenceError

if TYPE_CHECKING:
    from evigraph.reading.run import Run

_DRAWN = 8
"""Peaks that a notebook draws."""


class Channel(Lists):
    """One channel of a run's layer.

    Attributes:
        run, layer, index: Where it is.
        discriminative_degree: max_c N_c / sum_c N_c over its edges of rank < 3, in 0..1; None where it has none.
    """

    def __init__(self, run: Run, layer: str, index: int, degree: float | None) -> None:
        from evigraph.graphapi.service.lists import Parent

        own = Parent("channel", {"layer": layer, "index": index})
        super().__init__(run.database, (*run._parents, own))
        self.run, self.layer, self.index, self.discriminative_degree = run, layer, index, degree

    def peaks(self, cls: Class | None = None, *, role: Role = "predicted", limit: int | None = None) -> Answer:
        """Images and places where it contributes most; a notebook shows the crops where there are thumbnails.

        Args:
            cls: In decisions for this class; for any if None, of which the strongest are stored.
            role: Of a class's decisions.
            limit: The most rows.

        Returns:
            `image`, `y` and `x` in the layer's map, `contribution` in units of the decision it explains, `share` in
            0..1, `feature` (the map's value), the decision, and addresses of the crop and the guided picture.
        """
        return self._of("peaks", limit, {"class": cls, "role": role})

    def support(
        self,
        *,
        role: Role = "predicted",
        outcome: Outcome | None = None,
        order_by: SupportOrder = "decisions",
        limit: int | None = None,
    ) -> Answer:
        """The classes that it supports, in the columns of `Run.channel_support`."""
        return self._of("support", limit, {"role": role, "outcome": outcome, "orderBy": order_by})

    def context_labels(
        self,
        cls: Class | None = None,
        *,
        role: Role = "predicted",
        order_by: ContextOrder | None = None,
        limit: int | None = None,
    ) -> Answer:
        """The context labels that it lies on, in the columns of `Run.context_labels`."""
        return self._of("contextLabels", limit, {"class": cls, "role": role, "orderBy": order_by})

    def supporters(self, cls: Class | None = None, *, role: Role = "predicted", limit: int | None = None) -> Answer:
        """Lower channels that feed it, most decisions first: `source`, `decisions`, `rate`, `mean_share`."""
        return self._of("supporters", limit, {"class": cls, "role": role})

    def supports(self, cls: Class | None = None, *, role: Role = "predicted", limit: int | None = None) -> Answer:
        """Upper channels that it feeds, most decisions first: `target`, `decisions`, `rate`, `mean_share`."""
        return self._of("supports", limit, {"class": cls, "role": role})

    def verification(
        self,
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
        """How often decisions changed without it, in the columns of `Run.verification`."""
        tests = tests_given(method, fill, role, outcome, label, predicted, max_area)
        return self._of("verification", None, {"class": cls, **tests})

    def __repr__(self) -> str:
        """Its place."""
        return f"Channel {self.index} of {self.layer} in run {self.run.name}"

    def _repr_html_(self) -> str:
        """Its place and degree, and the crops of its strongest peaks where the run keeps thumbnails."""
        degree = self.discriminative_degree
        facts = "no evidence" if degree is None else f"discriminative degree {degree:.2f}"
        try:
            addresses = [address for address in self.peaks(limit=_DRAWN)["crop_url"] if address]
            pictures = self.database.small_pictures(addresses)
        except EvidenceError as error:
            return shown.paragraph(str(self), str(error))
        return shown.paragraph(str(self), facts) + " ".join(pictures[address].tag() for address in addresses)
