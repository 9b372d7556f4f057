"""The SDL as committed, the contract of docs/design.md in it, and what importing the service loads."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from graphql import GraphQLObjectType, build_schema

from evigraph.graphapi.service.schema import sdl

REPOSITORY = Path(__file__).parents[3]
ROOT = REPOSITORY / "graphapi"
DESIGN = REPOSITORY / "docs" / "design.md"


def test_snapshot() -> None:
    """A change of the schema is seen in review."""
    committed = (ROOT / "schema.graphql").read_text(encoding="utf-8")
    assert sdl() == committed, "the schema changed; renew it: evigraph schema > graphapi/schema.graphql"


def test_contract() -> None:
    """Every type, field, argument and enum value that docs/design.md names is there, of the type that it gives."""
    text = DESIGN.read_text(encoding="utf-8").partition("## GraphQL")[2]
    contract = re.sub(r"#.*", "", "\n".join(line for line in text.splitlines() if line.startswith("    ")))
    schema = build_schema(sdl())
    types = re.findall(r"type (\w+)(?: implements (\w+))? \{(.*?)\}", contract, re.DOTALL)
    assert len(types) == 12
    for name, interface, body in types:
        found = schema.type_map[name]
        assert isinstance(found, GraphQLObjectType)
        assert [str(one) for one in found.interfaces] == ([interface] if interface else [])
        for field, arguments, kind in re.findall(r"(\w+)(?:\s*\(([^)]*)\))?(?::\s*([\w!\[\]]+))?", body):
            assert field in found.fields, f"{name}.{field}"
            assert not kind or str(found.fields[field].type) == kind, f"{name}.{field}"
            for argument, argument_kind in re.findall(r"(\w+)(?::\s*([\w!]+)(?:\s*=\s*\w+)?)?", arguments):
                assert argument in found.fields[field].args, f"{name}.{field}({argument})"
                assert not argument_kind or str(found.fields[field].args[argument].type) == argument_kind
    for name, values in re.findall(r"enum (\w+) \{([^}]*)\}", contract):
        assert set(schema.type_map[name].values) == set(values.split())  # type: ignore[attr-defined]


def test_names_nothing_outside_the_service() -> None:
    """Importing graphapi loads neither torch nor the indexer, and what only some answers need not either."""
    modules = ["http.app", "service.query", "service.schema"]
    program = (
        f"import sys, {', '.join(f'evigraph.graphapi.{module}' for module in modules)}\n"
        "rare = ('torch', 'indexer', 'torchvision', 'scipy', 'sklearn', 'pyarrow')\n"
        "print([name for name in rare if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT.parent, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
