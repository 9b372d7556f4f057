"""docs/pictures.md: what pictures take, and whose peaks are shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.docs.figures.reading import rows, unsaid

PAGE = "pictures.md"


def wrong(place: Path) -> Iterator[str]:
    """What the page says otherwise than its run."""
    if not (place / "field.png").read_bytes().startswith(b"\x89PNG"):
        yield "what was fetched is no picture"
    yield from unsaid(PAGE, _sizes(place / "evidence.duckdb"))
    strongest = rows(
        place / "evidence.duckdb",
        """SELECT uri FROM edge JOIN decision USING (run_id, decision_id) JOIN image USING (run_id, image_id)
           JOIN layer ON layer_id = source_layer WHERE layer.name = 'fire9' AND source_channel = 406
           GROUP BY uri ORDER BY max(contribution) DESC LIMIT 4""",
    )
    found = [Path(uri).stem.split("_", 1)[1] for (uri,) in strongest]
    if found != ["cock", "green_lizard", "great_grey_owl", "hen"]:  # the photograph called cock shows a pheasant
        yield f"the strongest peaks of channel 406 are those of {found}"
    firsts = dict(
        rows(
            place / "evidence.duckdb",
            """SELECT parse_filename(uri, true), class.name FROM image JOIN class ON class_id = predicted_id""",
        )
    )
    if not firsts["n01494475_hammerhead"].startswith("swimming trunks"):
        yield f"the hammerhead is taken for {firsts['n01494475_hammerhead']}"


def _sizes(database: Path) -> Iterator[str]:
    ((decisions, edges, images),) = rows(database, "SELECT decision_count, edge_count, image_count FROM run")
    yield f"the first {images} images"
    yield f"({decisions} decisions, {edges:,} edges)"
    ((mean, largest),) = rows(database, "SELECT avg(octet_length(content)), max(octet_length(content)) FROM thumbnail")
    yield f"{mean / 1000:.1f} kB an image at 224 ({largest / 1000:.0f} kB at most)"
    ((size, count),) = rows(database, "SELECT avg(octet_length(content)), count(*) FROM activation_map")
    yield f"{size:.0f} bytes an edge, "
    yield f"{count / decisions:.0f} maps, and so "
    yield f"a decision here has {edges / decisions:.0f} edges"
    of_layers = dict(
        rows(
            database,
            """SELECT source.name, avg(octet_length(content)) FROM activation_map JOIN layer source
               ON source.layer_id = target_layer - 1 GROUP BY ALL""",
        )
    )
    yield f"A map of conv1 takes {of_layers['conv1']:.0f} bytes; "
    yield f"which covers the whole layer, {of_layers['fire9']:.0f}."
    ((crop,),) = rows(database, "SELECT avg(octet_length(content)) FROM guided_crop")
    crops = dict(
        rows(
            database,
            "SELECT name, avg(octet_length(content)) / 1000 FROM guided_crop JOIN layer USING (layer_id) GROUP BY ALL",
        )
    )
    of_each = ", ".join(f"{crops[name]:.1f} in {name}" for name in ("fire3", "fire5", "fire9"))
    yield f"{crop / 1000:.1f} kB a crop: {crops['conv1']:.1f} kB in conv1, {of_each}"
