// The pyramid: the class on top, a row of cards a layer, curves of evidence between them.

import { Fragment, html, useLayoutEffect, useMemo, useRef } from "../../lib/vendor.js";
import { Card, RestCard, RootCard } from "./card.js";
import { highlight } from "./highlight.js";
import { cardOf, curve, nearest, placed, strokeOf } from "./layout.js";
import { parts } from "./text.js";

/** Px around a card that are as good as the card itself. */
const REACH = 30;

/**
 * @param {object} given
 * @param {import("./view.js").View} given.view @param {number} given.width px
 * @param {string} given.show what cards show @param {number} given.aspect of the picture @param {string | null} given.thumbnail
 * @param {string[]} given.pins @param {Set<string>} given.open
 * @param {(id: string) => void} given.onFocus @param {(layer: string) => void} given.onOpen
 */
export function Pyramid({ view, width, show, aspect, thumbnail, pins, open, onFocus, onOpen }) {
  const place = useRef(/** @type {SVGSVGElement | null} */ (null));
  // The paths of the card in focus are part of the drawing; those of the hovered one lie on a sheet of their own above it.
  const lit = useRef(/** @type {SVGGElement | null} */ (null));
  const sheet = useRef(/** @type {SVGGElement | null} */ (null));
  const hovered = useRef(/** @type {string | null} */ (null));
  const card = cardOf(Boolean(thumbnail));
  const layout = useMemo(() => placed(view.rows, width, card), [view, width, card.height]);
  const focusId = view.focused?.id ?? null;
  const full = Math.max(...view.rows.slice(1).flatMap((row) => row.cells.flatMap((cell) => cell.importance)), 1e-9);
  const drawing = { view, show, aspect, thumbnail, full };
  const drawn = useMemo(() => ({ layout, links: view.links, curves: new Map(view.links.map((link) => [link.id, { d: curve(link, layout.cells, view.roots.length), hue: view.roots[link.root].hue, width: strokeOf(link.share).toFixed(2) }])) }), [layout, view]);
  const shown = () => {
    if (!lit.current || !sheet.current) return;
    const id = hovered.current && view.cells.has(hovered.current) ? hovered.current : null;
    const isAbove = highlight(sheet.current, drawn, id);
    /** @type {SVGElement} */ (sheet.current.ownerSVGElement).classList.toggle("used", isAbove);
    lit.current.classList.toggle("covered", isAbove);
  };
  useLayoutEffect(() => {
    if (lit.current) highlight(lit.current, drawn, focusId);
    shown();
  }, [drawn, focusId]);
  /** @param {PointerEvent} event @returns {string | null} */
  const under = (event) => {
    const box = /** @type {SVGSVGElement} */ (place.current).getBoundingClientRect();
    return nearest(layout.cells, event.clientX - box.left, event.clientY - box.top, REACH);
  };
  /** @param {string | null} id */
  const hover = (id) => {
    if (id === hovered.current) return;
    hovered.current = id;
    shown();
  };
  /** @param {PointerEvent} event */
  const clicked = (event) => {
    const id = under(event);
    if (id) onFocus(id);
  };
  /** @param {KeyboardEvent} event */
  const pressed = (event) => {
    const id = event.target instanceof Element ? event.target.closest(".card")?.getAttribute("data-id") : null;
    if (!id || (event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    onFocus(id);
  };
  const entry = focusId ?? view.rows[0].cells[0].id;
  return html`<${Fragment}><svg class="pyramid" data-picture="" ref=${place} width=${layout.width} height=${layout.height} viewBox=${`0 0 ${layout.width} ${layout.height}`} role="group" aria-label="the pyramid of evidence: arrow keys walk along it"
      onPointerMove=${(/** @type {PointerEvent} */ event) => event.pointerType !== "touch" && hover(under(event))} onPointerLeave=${() => hover(null)} onClick=${clicked} onKeyDown=${pressed}>
    <g class="edges" aria-hidden="true"><${Curves} drawn=${drawn} /></g>
    ${layout.heads.map((/** @type {import("./layout.js").Layout["heads"][number]} */ { row, rest }) => html`<g key=${row.depth} role="group" aria-label=${headOf(row)}>
      ${row.cells.map((cell, at) => {
        const given = { cell, place: layout.cells.get(cell.id), drawing, picture: card.picture, isFocused: cell.id === focusId, isEntry: cell.id === entry };
        return row.depth === 0
          ? html`<${RootCard} key=${cell.id} ...${given} decision=${view.roots[at].decision} hue=${view.roots[at].hue} />`
          : html`<${Card} key=${cell.id} ...${given} isPinned=${cell.members.every((node) => pins.includes(node.key))} />`;
      })}
      ${rest && html`<${RestCard} row=${row} place=${rest} isOpen=${open.has(row.layer)} onOpen=${() => onOpen(row.layer)} />`}
    </g>`)}
    <g class="lit" aria-hidden="true" ref=${lit}></g>
    <${Heads} layout=${layout} />
  </svg>
  <svg class="pyramid sheet" width=${layout.width} height=${layout.height} aria-hidden="true"><g class="lit" ref=${sheet}></g><${Heads} layout=${layout} /></svg><//>`;
}

/** @param {{layout: import("./layout.js").Layout}} given */
const Heads = ({ layout }) => html`<g class="heads" aria-hidden="true">${layout.heads.map((/** @type {import("./layout.js").Layout["heads"][number]} */ { row, y }) => html`<text key=${row.depth} x="0" y=${y + 14}>${headOf(row)}</text>`)}</g>`;

/** @param {{drawn: import("./highlight.js").Drawn}} given */
const Curves = ({ drawn }) => [...drawn.curves].map(([id, { d, hue, width }]) => html`<path key=${id} class=${hue} d=${d} stroke-width=${width} />`);

/** "conv4_3 · 9 of 9 nodes · 22 % of the decision". @param {import("./tree.js").Row} row */
function headOf(row) {
  if (row.depth === 0) return row.cells.length > 1 ? "classes" : "class";
  const shown = row.cells.reduce((count, cell) => count + cell.members.length, 0);
  return `${row.layer} · ${shown} of ${row.nodeCount} nodes · ${parts(row.rest.map((rest) => 1 - rest.all))} of the decision`;
}
