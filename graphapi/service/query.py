"""A query in process, without a server."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from evigraph.graphapi.service.encoding import plain
from evigraph.graphapi.service.execution import Service
from evigraph.graphapi.store.settings import Settings


def execute(
    database: Path,
    query: str,
    variables: dict[str, Any] | None = None,
    *,
    operation_name: str | None = None,
    settings: Settings | None = None,
) -> dict[str, Any]:
    """Answer one GraphQL query from a database file.

    Args:
        database: The published file, or the pointer to it.
        query: GraphQL text.
        variables: Values of its variables, of JSON's types.
        operation_name: The operation to carry out, where the query has several.
        settings: Limits; the defaults of the service if None.

    Returns:
        {"data": ..., "errors": [...]} as the service answers, of plain JSON types; "errors" only if there are any.

    Raises:
        DatabaseError: The database is missing, foreign, of another revision, or broken.
    """
    service = Service(database, settings or Settings())
    try:
        # On a thread of its own, since the caller may run inside an event loop (a notebook does).
        with ThreadPoolExecutor(1) as thread:
            answer = thread.submit(lambda: asyncio.run(service.answer(query, variables, operation_name))).result()
        return plain(answer.body)
    finally:
        service.close()
