"""Images by their uri."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import select

from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.store.rows import ImageRow
from evigraph.graphapi.store.session import Session
from evigraph.graphapi.store.sql import Template, columns_of, hole
from evigraph.schema.errors import NotFoundError
from evigraph.schema.tables.dataset import Image

_OF_URI = Template(
    ImageRow,
    select(*columns_of(ImageRow, Image.__table__)).where(Image.run_id == hole("run_id"), Image.uri == hole("uri")),
)


class _Near(NamedTuple):
    uri: str


_NEAR = Template(
    _Near,
    """SELECT uri FROM image WHERE run_id = :run_id
       ORDER BY contains(lower(uri), lower(:uri)) DESC, jaro_winkler_similarity(lower(uri), lower(:uri)) DESC, image_id
       LIMIT 3""",
)


async def image_of(session: Session, run: RunInfo, uri: str) -> ImageRow:
    """The image of a uri.

    Raises:
        NotFoundError: The run has none; the error names near uris.
    """
    for row in await session.rows(_OF_URI.filled(run_id=run.run_id, uri=uri)):
        return row
    near = [row.uri for row in await session.rows(_NEAR.filled(run_id=run.run_id, uri=uri))]
    raise NotFoundError("image", uri, (), f"in run {run.name!r}; images go by their uri", near=near)
