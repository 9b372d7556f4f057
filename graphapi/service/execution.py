"""One GraphQL request from text to a JSON-able answer; the only way in, for HTTP and in process alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from graphql import GraphQLError
from strawberry.exceptions import MissingQueryError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.execution import PreExecutionError

from evigraph.graphapi.service.schema import build_schema
from evigraph.graphapi.store.errors import BAD_USER_INPUT, VALIDATION_FAILED, formatted
from evigraph.graphapi.store.live import LiveDatabase, Version
from evigraph.graphapi.store.session import Session
from evigraph.graphapi.store.settings import Settings
from evigraph.graphapi.types.loaders import Context

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """A response as the GraphQL specification shapes it.

    Attributes:
        executed: False where the query was refused.
        database: file name of the version that answered.
    """

    body: dict[str, Any]
    executed: bool
    database: str


class Service:
    """A database that answers GraphQL: the live database, the schema and the threads for SQL."""

    def __init__(self, database: Path, settings: Settings) -> None:
        """Open the database; DatabaseError if it cannot be served."""
        self.settings = settings
        self.database = LiveDatabase(database, settings)
        self._schema = build_schema(settings)
        self._threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="graphapi-sql")

    async def answer(
        self, query: str, variables: dict[str, Any] | None = None, operation_name: str | None = None
    ) -> Answer:
        """Run one query on the version that is published when it arrives."""
        async with self.database.request() as version:
            context = Context(self.session(version), operation_name)
            try:
                result = await self._schema.execute(
                    query, variable_values=variables, context_value=context, operation_name=operation_name
                )
            except (MissingQueryError, CannotGetOperationTypeError, InvalidOperationTypeError) as error:
                reason = getattr(error, "as_http_error_reason", lambda: "the request has no query")()
                return _refused([GraphQLError(str(reason))], BAD_USER_INPUT, version)
        # Errors without a place in the answer were found before anything ran.
        if result.data is None and all(error.path is None for error in result.errors or ()):
            code = VALIDATION_FAILED if isinstance(result, PreExecutionError) else BAD_USER_INPUT
            return _refused(result.errors or [], code, version)
        body: dict[str, Any] = {"data": result.data}
        if result.errors:
            body["errors"] = [formatted(error, BAD_USER_INPUT) for error in result.errors]
        if context.notes:
            body["extensions"] = {"notes": context.notes}
        return Answer(body, executed=True, database=version.file.name)

    def session(self, version: Version) -> Session:
        """What one request may use of a version."""
        return Session(version, self.settings, self._threads)

    async def on_a_thread(self, work: Callable[[], T]) -> T:
        """Run work on the threads for SQL."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Stop the threads and close the database."""
        self._threads.shutdown()
        self.database.close()


def _refused(errors: list[GraphQLError], code: str, version: Version) -> Answer:
    return Answer({"errors": [formatted(error, code) for error in errors]}, False, version.file.name)
