"""The id of a decision tells its image and its role: said here once, in Python and in SQL.

decision_id = 2 * image_id for the predicted class of an image, + 1 for its class label. The functions take integers,
arrays and tensors of them, and SQLAlchemy columns; their twins, named `.._sql`, take and give SQL text.
"""

from __future__ import annotations

from typing import Any

from evigraph.schema.sql import literal

ROLES = ("predicted", "label")
"""The roles of a decision; the place of each is what it adds to the id."""


def decision_id(image_id: Any, is_label: Any) -> Any:
    """The id of an image's decision; `is_label` is boolean, or 0 and 1."""
    return 2 * image_id + is_label


def image_id_of(decision_id: Any) -> Any:
    """The image of a decision."""
    return decision_id // 2


def is_label(decision_id: Any) -> Any:
    """Whether a decision has the label role."""
    return decision_id % 2 == 1


def decision_id_sql(image_id: str, role: str) -> str:
    """The id of an image's decision; null where `role` is not one of ROLES."""
    number = " ".join(f"WHEN {literal(name)} THEN {place}" for place, name in enumerate(ROLES))
    return f"(2 * {image_id} + CASE {role} {number} END)"


def image_id_sql(decision_id: str) -> str:
    """The image of a decision."""
    return f"({decision_id} // 2)"
