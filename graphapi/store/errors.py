"""How failures reach a client: one shape, {"message", "path"?, "locations"?, "extensions": {"code", ...}}.

Codes: those of `schema.errors` (NOT_FOUND, AMBIGUOUS, BAD_USER_INPUT, DATABASE ...), and
    TIMEOUT                     the request's statements took longer than `time_limit_ms`
    LIMIT_EXCEEDED              the query is too deep, too wide, or its answer too large
    GRAPHQL_PARSE_FAILED        the text is not GraphQL
    GRAPHQL_VALIDATION_FAILED   the query does not fit the schema
    UNAVAILABLE                 the database is being overwritten; the same request can be answered a little later
    INTERNAL                    anything unexpected: logged in full under a correlation id, masked here
"""

from __future__ import annotations

import logging
import uuid
from typing import Any

from graphql import GraphQLError, GraphQLSyntaxError

from evigraph.schema.errors import AmbiguousError, EvidenceError, NotFoundError, UsageError
from evigraph.schema.extras import missing_extra

logger = logging.getLogger("evigraph.graphapi")

PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
BAD_USER_INPUT = UsageError.code
INTERNAL = "INTERNAL"


class QueryTimeoutError(EvidenceError):
    """A request spent its time limit."""

    code = "TIMEOUT"


class LimitError(UsageError):
    """A request asks for more than one request may."""

    code = "LIMIT_EXCEEDED"


def formatted(error: GraphQLError, default_code: str) -> dict[str, Any]:
    """One error of the response; anything that is not an expected error is logged and masked.

    Args:
        error: As graphql-core raised or wrapped it.
        default_code: The code of an error that no resolver raised and that names none itself.
    """
    cause = _cause(error)
    shape: dict[str, Any] = {"message": error.message}
    if error.locations:
        shape["locations"] = [{"line": place.line, "column": place.column} for place in error.locations]
    if error.path is not None:
        shape["path"] = error.path
    if isinstance(cause, EvidenceError):
        shape["message"] = str(cause)
        shape["extensions"] = _extensions(cause)
    elif cause is not None:
        correlation_id = uuid.uuid4().hex[:12]
        logger.error("internal error %s at %s", correlation_id, error.path, exc_info=cause)
        shape["message"] = f"internal error {correlation_id}; the server's log has its cause under this id"
        shape["extensions"] = {"code": INTERNAL, "correlationId": correlation_id}
    else:
        code = PARSE_FAILED if isinstance(error, GraphQLSyntaxError) else default_code
        shape["extensions"] = {"code": code, **(error.extensions or {})}
    return shape


def shape_of(error: EvidenceError) -> dict[str, Any]:
    """An expected error outside GraphQL, in the same shape."""
    return {"message": str(error), "extensions": _extensions(error)}


def _cause(error: GraphQLError) -> BaseException | None:
    """The exception that a resolver raised; None where graphql-core itself refused the query."""
    cause: BaseException | None = error.original_error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return missing_extra(cause) or cause


def _extensions(error: EvidenceError) -> dict[str, Any]:
    extensions: dict[str, Any] = {"code": error.code}
    if isinstance(error, NotFoundError):
        extensions["near"] = error.near
    if isinstance(error, AmbiguousError):
        extensions["candidates"] = error.candidates
    return extensions
