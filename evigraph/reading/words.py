"""Words that arguments take, so that an editor offers them; any case will do, and GraphQL's capitals too."""

from __future__ import annotations

from typing import Literal, TypedDict

Role = Literal["predicted", "label"]
"""Which class a decision explains."""
Outcome = Literal["correct", "wrong"]
"""Whether the predicted class is the label."""
SupportOrder = Literal["decisions", "rate", "edges", "share", "importance"]
ClassOrder = Literal["index", "images", "predicted", "accuracy"]
ContextOrder = Literal["edges", "lift", "localization"]
ContrastRoot = Literal["label", "predicted", "own"]
ContrastItem = Literal["channels", "edges", "context labels"]
Method = Literal["occlude", "remove"]
Fill = Literal["grey", "blur", "image"]
ComparedOutcome = Literal["only this", "only other", "both", "neither"]

Class = str | int
"""A class by its name, key or index."""


class Cohort(TypedDict, total=False):
    """What the images of a cohort have in common; what is left out does not filter.

    Attributes:
        label: Their label: a class.
        predicted: Their predicted class.
        outcome: "correct" or "wrong".
        uri_prefix: What their uris begin with.
        tag: A label of the dataset's own.
        role: Of the decisions, for `root="own"`.
        run: Another run's name, of the same weights.
    """

    label: Class
    predicted: Class
    outcome: Outcome
    uri_prefix: str
    tag: str
    role: Role
    run: str
