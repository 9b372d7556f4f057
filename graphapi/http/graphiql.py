"""The query editor: GraphiQL from files of our own, so that it works without a network.

The page opens with a query that answers on the database at hand.
"""

from __future__ import annotations

import html
import json
from pathlib import Path

from starlette.responses import HTMLResponse

from evigraph.graphapi.store.catalog import ClassInfo, RunInfo
from evigraph.graphapi.store.names import chosen_run, find_class
from evigraph.schema.errors import AmbiguousError

STATIC = Path(__file__).parent / "static"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'"
)
_EMPTY_EXAMPLE = """# This database holds no run yet.
{
  runs { totalCount }
}
"""


def page(runs: tuple[RunInfo, ...]) -> HTMLResponse:
    """The editor's page; nothing outside this service may be loaded by it."""
    template = (STATIC / "graphiql.html").read_text(encoding="utf-8")
    text = template.replace("{{ example }}", html.escape(example(runs)))
    return HTMLResponse(text, headers={"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"})


def example(runs: tuple[RunInfo, ...]) -> str:
    """Both headline questions, of the run that is asked where none is named."""
    if not runs:
        return _EMPTY_EXAMPLE
    run, _ = chosen_run(runs, None)
    maps = run.layers[:-1]
    if not maps or not run.classes:
        return _EMPTY_EXAMPLE.replace("no run yet", "no layer or class")
    # The last map but one, such as conv4_3 of VGG-16: the paper's own example.
    layer = maps[max(0, len(maps) - 2)]
    entry = max(run.classes.values(), key=lambda entry: (entry.image_count, -entry.class_id))
    name = json.dumps(_unambiguous(run, entry))
    question = f"Which channels of {layer.name} most often support class {name},"
    return f"""# {question}
# and what context labels do they localize?
{{
  run {{
    name
    accuracy
    channelSupport(layer: "{layer.name}", class: {name}, first: 5) {{
      nodes {{
        decisions
        rate
        meanShare
        channel {{
          index
          discriminativeDegree
          contextLabels(class: {name}, first: 3) {{
            nodes {{
              label
              rate
              meanIou
            }}
          }}
        }}
      }}
    }}
  }}
}}
"""


def _unambiguous(run: RunInfo, entry: ClassInfo) -> str:
    """The class's name, or its index where another class has that name too."""
    try:
        find_class(run, entry.name)
    except AmbiguousError:
        return f"index:{entry.class_id}"
    return entry.name
