"""`evigraph query`."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from evigraph.options import Assignments, Database, example, sub_app
from evigraph.schema.errors import UsageError

app = sub_app()


@app.command(epilog=example("evigraph query --db evidence.duckdb '{ run { name imageCount accuracy } }'"))
def query(
    db: Database,
    text: Annotated[str, typer.Argument(metavar="GRAPHQL", help="The query; - reads it from standard input.")],
    variables: Annotated[str | None, typer.Option(help="The query's variables, as a JSON object.")] = None,
    operation: Annotated[
        str | None, typer.Option(help="Name of the operation to carry out, where the query has several.")
    ] = None,
    assignments: Assignments = None,
) -> None:
    """Answer one GraphQL query without a server, as JSON. Exit code 1 if the answer has errors."""
    from evigraph.graphapi.service.query import execute
    from evigraph.graphapi.store.settings import Settings

    values = _json_object("--variables", variables) if variables is not None else None
    if text == "-":
        text = sys.stdin.read()
    elif "{" not in text:
        raise UsageError(f"{text!r} is not a GraphQL query; give one as '{{ run {{ name }} }}', or a file by: - < FILE")
    answer = execute(db, text, values, operation_name=operation, settings=Settings.from_texts(assignments or ()))
    print(json.dumps(answer, indent=2, ensure_ascii=False))
    if answer.get("errors"):
        raise typer.Exit(1)


def _json_object(option: str, value: str) -> dict[str, Any]:
    try:
        parsed = json.loads(value)
    except ValueError as error:
        raise UsageError(f'{option} {value!r} is not JSON ({error}); give an object as {{"class": "boat"}}') from error
    if not isinstance(parsed, dict):
        raise UsageError(f'{option} {value!r} is not a JSON object; give one as {{"class": "boat"}}')
    return parsed
