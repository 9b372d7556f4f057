"""What a page is compared with: the service's own answers."""

from __future__ import annotations

import json
import urllib.request
from typing import Any


def asked(service: str, query: str, **variables: Any) -> Any:
    """The data that a service gives to a query."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{service}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        answer = json.load(response)
    assert "errors" not in answer, answer["errors"]
    return answer["data"]
