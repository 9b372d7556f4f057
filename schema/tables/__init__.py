"""The tables of an evidence database.

One file holds any number of runs. A run indexes one dataset with one network; each image has one or two
decisions (roots), each decision a set of decompositions, each of those a few edges. "source" is the lower layer
(the evidence), "target" the upper one (what is explained), as information flows.

Edges are read through the view `edge` (`schema.views`); the table behind it is `decomposition`, which holds the
edges of one decomposed node as a list, in the encoding of `schema.encoding`: 2.5 times smaller than a row an edge.

No foreign keys are declared: DuckDB cannot alter a table that one refers to, and its indexes would double the
fact table. `schema.checks.checks` states the same rules as SQL. SmallInteger is 16 bits wide.
"""

from __future__ import annotations

from evigraph.schema.tables import dataset, evidence, pictures, rollups

BASE_TABLES = tuple(
    table.__tablename__
    for table in (
        dataset.Run,
        dataset.Layer,
        dataset.Class,
        dataset.Image,
        dataset.SkippedImage,
        dataset.ImageTag,
        dataset.ImageLabel,
        dataset.ImageContext,
        evidence.Decision,
        evidence.Decomposition,
        evidence.Verification,
        evidence.Overlap,
        dataset.ContextLabel,
        pictures.Thumbnail,
        pictures.ActivationMap,
        pictures.GuidedCrop,
    )
)
ROLLUP_TABLES = tuple(
    table.__tablename__
    for table in (
        rollups.ClassRoots,
        rollups.ChannelSupport,
        rollups.ChannelEdge,
        rollups.ChannelContext,
        rollups.ClassContext,
        rollups.ClassLabel,
        rollups.LayerProfile,
        rollups.PositiveProfile,
        rollups.ChannelPeak,
        rollups.ChannelDegree,
        rollups.ChannelVerification,
        rollups.Confusion,
        rollups.ClassStat,
    )
)
