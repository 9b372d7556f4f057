"""The GraphQL schema and its SDL."""

from __future__ import annotations

from typing import Any

import strawberry
from graphql import GraphQLError
from strawberry.extensions import AddValidationRules, MaxTokensLimiter, ParserCache, ValidationCache
from strawberry.schema.config import StrawberryConfig

from evigraph.graphapi.service.executor import executor_class
from evigraph.graphapi.service.guards import OneOperation, size_rule
from evigraph.graphapi.store.settings import Settings
from evigraph.graphapi.types.base import BIG_INT, BigInt
from evigraph.graphapi.types.channel import Channel
from evigraph.graphapi.types.image import Decision, Image
from evigraph.graphapi.types.query import Query


class Schema(strawberry.Schema):
    """Strawberry's schema, which leaves errors to `graphapi.store.errors`: expected ones are not logged."""

    def process_errors(self, errors: list[GraphQLError], execution_context: Any = None) -> None:
        """Do nothing: every answer passes through `graphapi.service.execution`, which logs what is unforeseen."""


def build_schema(settings: Settings) -> Schema:
    """The schema under the limits of one service.

    The rule is built here, once: a rule class of its own for each request would never hit the cache.
    """
    rule = size_rule(settings.max_depth, settings.max_fields)
    return Schema(
        Query,
        types=[Image, Decision, Channel],
        execution_context_class=executor_class(),
        config=StrawberryConfig(scalar_map={BigInt: BIG_INT}),
        extensions=[
            lambda: MaxTokensLimiter(max_token_count=settings.max_tokens),
            OneOperation,
            lambda: AddValidationRules([rule]),
            lambda: ParserCache(settings.cached_queries),
            lambda: ValidationCache(settings.cached_queries),
        ],
    )


def sdl() -> str:
    """The schema in GraphQL's definition language, as committed in graphapi/schema.graphql."""
    return build_schema(Settings()).as_str() + "\n"
