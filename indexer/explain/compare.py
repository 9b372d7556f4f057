"""Whether a decision that is explained again is what its run stores."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from evigraph.indexer.explain.outcome import Outcome
from evigraph.indexer.run.comparing import difference
from evigraph.indexer.shards.folder import RunFolder
from evigraph.schema.errors import RunFolderError, first_line

_COMPARED = {
    "decision": ("class_id", "logit", "probability", "cut_node_count", "cut_importance"),
    "edge": (
        *("target_layer", "target_channel", "target_y", "target_x", "source_layer", "source_channel", "source_y"),
        *("source_x", "contribution", "share", "rank", "feature", "activation", "importance"),
    ),
}
"""Columns that depend on nothing but the image, the class and the method."""


def stored_note(run: Path, image_id: int, outcome: Outcome) -> str:
    """What a run stores of a decision, beside what was computed now, as a sentence.

    Raises:
        RunFolderError: the folder cannot be read.
    """
    with RunFolder.open_for_reading(run) as folder:
        shards = (shard for shard in range(folder.shard_count) if image_id in folder.image_range(shard))
        shard = next(shards, None)
        if shard is None or folder.manifest(shard) is None:
            return "the run has not indexed this image yet, so there is nothing to compare with"
        try:
            decisions = folder.read(shard, "decision")
            of_image = decisions.filter(pc.equal(decisions["image_id"], image_id))
            stored = of_image.filter(pc.equal(of_image["class_id"], outcome.explained.class_id))
            if not stored.num_rows:
                return "the run stores no decision for this class of the image, so there is nothing to compare with"
            edges = folder.read(shard, "edge")
        except (OSError, pa.ArrowException) as error:
            raise RunFolderError(
                f"run folder {run}: shard {shard} cannot be read ({first_line(error)}); run the same `evigraph index` "
                "command again"
            ) from error
    edges = edges.filter(pc.equal(edges["decision_id"], stored["decision_id"][0]))
    for table, rows in (("decision", stored), ("edge", edges)):
        columns = list(_COMPARED[table])
        found = difference(rows.select(columns), outcome.tables[table].select(columns))
        if found is not None:
            return f"the run stores it otherwise ({found}): other batches, another device or other versions may do that"
    return f"the run stores the same: {edges.num_rows} edges"
