"""docs/data.md: the same edges in each of five layouts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.docs.figures.reading import rows, unsaid

OTHERS = ("voc", "context", "ade", "coco")
_EDGES = """SELECT parse_filename(uri, true), role, root_class_id, target_layer, target_channel, target_y, target_x,
        source_channel, source_y, source_x, contribution, share, edge.rank, context_iou, context_label.name
    FROM edge JOIN run USING (run_id) JOIN decision USING (run_id, decision_id) JOIN image USING (run_id, image_id)
    LEFT JOIN context_label ON context_label.run_id = run_id AND context_label.label_id = context_label_id
    WHERE run.name = '{run}'"""


def wrong(place: Path) -> Iterator[str]:
    """What the page says otherwise than its runs."""
    database = place / "evidence.duckdb"
    ((edges, outside),) = rows(
        database,
        """SELECT count(*), count(*) FILTER (context_label_id IS NULL) FROM edge JOIN run USING (run_id)
           WHERE name = 'msrc'""",
    )
    yield from unsaid("data.md", [f"This run has {edges:,} edges, of which {outside:,} overlap no label"])
    for other in OTHERS:
        one, same = _EDGES.format(run="msrc"), _EDGES.format(run=other)
        ((different,),) = rows(database, f"SELECT count(*) FROM ({one} EXCEPT ALL {same})")
        ((left,),) = rows(database, f"SELECT count(*) FROM ({same} EXCEPT ALL {one})")
        if different or left:
            yield f"{different} edges of msrc are not in {other}, and {left} of its not in msrc"
