"""Which extra of the installation brings a library that not every command needs.

`pip install evigraph` is enough to publish, check, serve and query. Whatever needs more is imported where it is used;
the command line and the service, which show errors, ask here what to say of an import that failed.
"""

from __future__ import annotations

from evigraph.schema.errors import NotInstalledError

EXTRAS = {
    "torch": "index",
    "torchvision": "index",
    "safetensors": "index",
    "timm": "timm",
    "scipy": "statistics",
    "sklearn": "statistics",
}
"""Import name to the extra that brings it."""


def missing_extra(error: BaseException | None) -> NotInstalledError | None:
    """What to show in place of an import that failed; None where no extra would mend it."""
    library = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if library not in EXTRAS:
        return None
    extra = EXTRAS[library]
    return NotInstalledError(
        f"this needs {library}, which is not installed; pip install 'evigraph[{extra}]' installs it"
    )
