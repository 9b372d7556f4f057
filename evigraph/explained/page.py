"""An explained image as one page: no script, nothing from elsewhere, so that it can be sent, kept and printed.

1. What the network says, beside what it saw.
2. The pyramid.
3. With edits: the decision before, without its evidence, and without the controls; and the second pyramid.
4. What is drawn as tables, which a screen reader reads and a spreadsheet takes.
5. How it was made: the command, and everything that determines the numbers.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

from evigraph.explained.data import likeliest
from evigraph.explained.depicted import Depiction
from evigraph.explained.whatif import remarks, repeated
from evigraph.graphapi.files.canvas import percent
from evigraph.graphapi.files.svg import svg_text

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light }
body { margin: 0 auto; padding: 24px; max-width: 1200px; color: #1a1a1a; background: #fff;
  font: 15px/1.5 system-ui, 'DejaVu Sans', 'Segoe UI', Helvetica, Arial, sans-serif }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 16px; overflow-wrap: anywhere }
h2 { font-size: 19px; margin: 36px 0 8px }
.said { display: flex; flex-wrap: wrap; gap: 28px; align-items: flex-start }
.said img { width: 224px; max-width: 100%; image-rendering: auto; border: 1px solid #d0d0d0 }
figure { margin: 0; overflow-x: auto }
figcaption { color: #595959; margin: 4px 0 8px }
svg { max-width: 100%; height: auto }
table { margin-bottom: 20px; border-collapse: collapse; font-variant-numeric: tabular-nums }
caption { text-align: left; color: #595959; padding-bottom: 4px }
th, td { text-align: left; padding: 3px 14px 3px 0; border-bottom: 1px solid #e4e4e4; vertical-align: top }
thead th { border-bottom: 1px solid #8a8a8a; font-weight: 600 }
th[scope=row] { font-weight: 400 }
td.n, th.n { text-align: right }
.wide { overflow-x: auto }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f5f5f5; padding: 10px 12px; margin: 0 0 12px }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 18px; margin: 0 }
dt { color: #595959 } dd { margin: 0; overflow-wrap: anywhere }
@media (max-width: 640px) { body { padding: 14px } figure svg { max-width: none } dl { grid-template-columns: 1fr } }
@media print { body { max-width: none } h2 { break-after: avoid } tr { break-inside: avoid } }
"""


def page_text(shown: Sequence[Depiction], command: str) -> str:
    """The page.

    Args:
        shown: the decision, and the one without its evidence where there are edits.
        command: that made it.
    """
    first = shown[0]
    parts = [_head(first), _said(first), _pyramid(first, "The evidence")]
    if first.explained.what_if is not None:
        parts += [_what_if(first), _pyramid(shown[1], "The evidence that is left")]
    tables = "\n".join(f'<div class="wide">{_edges(one)}</div>' for one in shown)
    parts += [f"<h2>The edges that are drawn</h2>\n{tables}", _made(first, command)]
    return "\n".join([*parts, "</main>\n</body>\n</html>\n"])


def _head(first: Depiction) -> str:
    title = _safe(first.title)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>"
    )


def _said(first: Depiction) -> str:
    image, classes = first.patches.whole(first.pyramid.image.image_id), first.run.classes
    picture = ""
    if image is not None:
        data = base64.b64encode(image).decode()
        picture = f'<img src="data:image/jpeg;base64,{data}" alt="{_safe(first.image_name)}, as the network sees it"/>'
    said = list(likeliest(first.outcome.said))
    if first.outcome.explained not in said:
        said.append(first.outcome.explained)
    rows = [
        [classes[one.class_id].name, f"{one.logit:.3f}", percent(one.probability), _why(first, one.class_id)]
        for one in said
    ]
    table = _table("What the network says", ("class", "logit", "probability", "role"), rows, numbers=(1, 2))
    notes = "".join(f"<p>{_safe(note)}</p>" for note in first.explained.notes)
    return f'<div class="said">{picture}<div>{table}</div></div>\n{notes}'


def _why(first: Depiction, class_id: int) -> str:
    why = ["predicted"] if class_id == first.outcome.predicted.class_id else []
    why += ["label"] if class_id in first.explained.label_ids else []
    return ", ".join(why + (["explained below"] if class_id == first.outcome.explained.class_id else []))


def _pyramid(shown: Depiction, heading: str) -> str:
    return f"<h2>{_safe(heading)}</h2>\n<figure>\n{svg_text(shown.sheet)}</figure>"


def _edges(shown: Depiction) -> str:
    rows = []
    for above, below in zip(shown.pyramid.rows, shown.pyramid.rows[1:], strict=False):
        drawn = {node.key for node in above.nodes}, {node.key for node in below.nodes}
        for target, source, row in shown.graph.edges:
            ends = shown.graph.nodes[target].key, shown.graph.nodes[source].key
            if ends[0] not in drawn[0] or ends[1] not in drawn[1]:
                continue
            name = shown.class_name if ends[0][0] == len(shown.run.layers) - 1 else _node(shown, ends[0])
            numbers = (f"{row.contribution:.3g}", percent(row.share), percent(row.importance))
            rows.append([name, _node(shown, ends[1]), *numbers, f"{row.feature:.4g}", f"{row.activation:.4g}"])
    total = shown.outcome.tables["edge"].num_rows
    which = "left without what was taken away" if shown.edits else "of the decision"
    caption = f"{len(rows)} of {total} edges {which}, by layer and importance"
    names = ("explained", "evidence", "contribution", "share", "importance", "feature", "activation at the peak")
    return _table(caption, names, rows, numbers=range(2, 7))


def _node(shown: Depiction, key: tuple[int, int, int, int]) -> str:
    return f"{shown.layer_name(key[0])} {key[1]} at y {key[2]}, x {key[3]}"


def _what_if(first: Depiction) -> str:
    what_if, classes = first.explained.what_if, first.run.classes
    if what_if is None:
        return ""
    rows = []
    for one in repeated(first.explained, what_if):
        predicted = f"{classes[one.predicted.class_id].name} ({percent(one.predicted.probability)})"
        rows.append(
            [one.name, f"{one.explained.logit:.3f}", one.drop_text, percent(one.explained.probability), predicted]
        )
    names = ("decided again", "logit", "drop", "probability", "predicted")
    caption = f"Logit and probability of {first.class_name}"
    told = "".join(f"<p>{_safe(remark)}</p>" for remark in remarks(first.explained, what_if))
    return f"<h2>Decided again without some of it</h2>\n{_table(caption, names, rows, numbers=(1, 2, 3))}\n{told}"


def _made(first: Depiction, command: str) -> str:
    explained, described = first.explained, first.explained.description
    height, width = explained.pictures.size
    facts = {
        "image": explained.uri + (f" of run {explained.run}" if explained.run else ""),
        "network": described.model,
        "weights": f"{described.settings['weights']} (SHA-256 {described.weights_sha256})",
        "layers": ", ".join(layer.name for layer in described.layers[:-1]),
        "input": f"{height} x {width} pixels: {explained.preprocessing}",
        "kept": f"the top {described.top_n} of each decomposition",
        "precision": str(described.settings["precision"]),
        "made by": f"evigraph {described.indexer_version}, torch {described.settings['torch']}",
    }
    if explained.stored is not None:
        facts["beside the run"] = explained.stored
    listed = "".join(f"<dt>{_safe(name)}</dt><dd>{_safe(value)}</dd>" for name, value in facts.items())
    return f"<h2>How it was made</h2>\n<pre>{_safe(command)}</pre>\n<dl>{listed}</dl>"


def _table(caption: str, names: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int]) -> str:
    right = set(numbers)
    kinds = [' class="n"' if place in right else "" for place in range(len(names))]
    head = "".join(f'<th scope="col"{kind}>{_safe(name)}</th>' for name, kind in zip(names, kinds, strict=True))
    lines = []
    for row in rows:
        cells = "".join(f"<td{kind}>{_safe(cell)}</td>" for cell, kind in zip(row[1:], kinds[1:], strict=True))
        lines.append(f'<tr><th scope="row">{_safe(row[0])}</th>{cells}</tr>')
    told = f"<caption>{_safe(caption)}</caption>" if caption else ""
    return f"<table>{told}<thead><tr>{head}</tr></thead><tbody>\n" + "\n".join(lines) + "\n</tbody></table>"


def _safe(text: str) -> str:
    """Text that cannot be taken for markup; names of classes and files may hold anything."""
    return escape(text.encode("utf-8", "replace").decode())
