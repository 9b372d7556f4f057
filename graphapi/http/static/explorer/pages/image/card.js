// The cards of the pyramid, in SVG so that the whole can be saved as one drawing.

import { cut } from "../../lib/format.js";
import { Fragment, html } from "../../lib/vendor.js";
import { media } from "../../components/picture.js";
import { nameOf, part, parts, wrapped } from "./text.js";

/** @typedef {import("./tree.js").Cell} Cell */
/** @typedef {import("./layout.js").Place} Place */
/** @typedef {import("./view.js").View} View */
/** @typedef {{view: View, show: string, aspect: number, thumbnail: string | null, full: number}} Drawing show: field, crop or whole; aspect: width of the picture over its height; full: the importance that fills a bar */

/**
 * A node or a group of nodes of one row.
 * @param {object} given
 * @param {Cell} given.cell @param {Place} given.place @param {Drawing} given.drawing
 * @param {boolean} given.isFocused @param {boolean} given.isPinned @param {boolean} given.isEntry whether Tab leads here
 * @param {number} given.picture side of its picture, px; 0 without pictures
 */
export function Card({ cell, place, drawing, isFocused, isPinned, isEntry, picture }) {
  const { view } = drawing;
  const hues = view.roots.filter((_, root) => cell.importance[root] > 0).map((root) => root.hue);
  const [node] = cell.members;
  const title = cell.name ?? String(node.channel);
  const label = cell.name ? `group ${cell.name} of ${cell.members.length}` : `channel ${node.channel} at ${node.y}, ${node.x}`;
  const lies = cell.name ? null : view.edgeInto(node.key)?.contextLabel;
  return html`<g class=${`card ${isFocused ? "focused" : ""}`} data-id=${cell.id} transform=${`translate(${place.x} ${place.y})`} role="button"
      tabindex=${isEntry ? 0 : -1} aria-pressed=${isFocused} aria-label=${`${node.layer} ${label}: ${parts(cell.importance)} of the decision${lies ? `, on ${lies}` : ""}`}>
    <title data-screen="">${`${node.layer} ${label}`}</title>
    <rect class="ground" width=${place.width} height=${place.height} rx="3" />
    ${picture > 0 && html`<${Shown} cell=${cell} drawing=${drawing} side=${picture} />`}
    <text class="name" x="5" y=${picture + 15}>${cut(title, cell.name ? 9 : 7)}</text>
    <text class="value" x=${place.width - 5} y=${picture + 15} text-anchor="end">${part(Math.max(...cell.importance))}</text>
    ${picture === 0 && html`<text class="value" x="5" y="31">${cell.name ? `${cell.members.length} nodes` : `at ${node.y}, ${node.x}`}</text><text class="value" x="5" y="45">${cut(lies ?? "", 15)}</text>`}
    <${Bars} cell=${cell} drawing=${drawing} width=${place.width - 10} y=${place.height - (cell.importance.length > 1 ? 9 : 7)} />
    <${Frame} hues=${hues} width=${place.width} height=${place.height} />
    ${isPinned && html`<path class="pin" d=${`M${place.width - 14} 0h14v14z`} />`}
  </g>`;
}

/** Importance as lengths, one bar a root. @param {{cell: Cell, drawing: Drawing, width: number, y: number}} given */
function Bars({ cell, drawing, width, y }) {
  const thick = cell.importance.length > 1 ? 3 : 4;
  return cell.importance.map((value, root) => html`<rect key=${root} class=${`filled ${drawing.view.roots[root].hue}`} x="5" y=${y + root * 3.5} height=${thick - (cell.importance.length > 1 ? 0.5 : 0)} width=${value > 0 ? Math.max(1.5, width * Math.min(1, value / drawing.full)) : 0} />`);
}

/** The border, half of each hue where two roots share the card. @param {{hues: string[], width: number, height: number}} given */
function Frame({ hues, width, height }) {
  if (hues.length < 2) return html`<rect class=${`frame ${hues[0] ?? ""}`} x="0.75" y="0.75" width=${width - 1.5} height=${height - 1.5} rx="3" />`;
  const [left, right] = [`M${width / 2} 0.75H3.75a3 3 0 0 0-3 3V${height - 3.75}a3 3 0 0 0 3 3H${width / 2}`, `M${width / 2} 0.75H${width - 3.75}a3 3 0 0 1 3 3V${height - 3.75}a3 3 0 0 1-3 3H${width / 2}`];
  return html`<${Fragment}><path class=${`frame ${hues[0]}`} d=${left} /><path class=${`frame ${hues[1]}`} d=${right} /><//>`;
}

/** One picture, or the strongest four of a group. @param {{cell: Cell, drawing: Drawing, side: number}} given */
function Shown({ cell, drawing, side }) {
  const shown = cell.members.slice(0, 4);
  const each = shown.length > 1 ? side / 2 : side;
  return shown.map((node, place) => html`<${Patch} key=${node.key} node=${node} drawing=${drawing} x=${(place % 2) * each} y=${shown.length === 2 ? each / 2 : Math.floor(place / 2) * each} side=${each} />`);
}

/** Of 100, the longer side of the picture. */
const SMALL = 12.5;

/**
 * What a node sees: its receptive field with the activation map over it, without it, or both in the whole picture.
 * @param {{node: import("./tree.js").Node, drawing: Drawing, x: number, y: number, side: number}} given
 */
function Patch({ node, drawing, x, y, side }) {
  const { view, show, aspect, thumbnail } = drawing;
  const map = view.mapOf(node.key);
  const whole = map ?? thumbnail;
  const [width, height] = aspect >= 1 ? [100, 100 / aspect] : [100 * aspect, 100];
  const part = node.box ?? { x: 0, y: 0, width: 1, height: 1 };
  const field = { x: part.x * width, y: part.y * height, width: part.width * width, height: part.height * height };
  // A field of a few pixels is all one colour: it is shown, framed, in what is around it.
  const isSmall = Math.max(field.width, field.height) < SMALL;
  if (!whole || (show === "field" && !node.box) || (show === "crop" && !node.cropUrl)) return html`<rect class="no-map" x=${x + 0.75} y=${y + 0.75} width=${side - 1.5} height=${side - 1.5} />`;
  if (show === "crop" || (show === "field" && !map)) return html`<image x=${x} y=${y} width=${side} height=${side} href=${media(/** @type {string} */ (node.cropUrl))} />`;
  const around = (/** @type {number} */ begin, /** @type {number} */ length, /** @type {number} */ side) => Math.max(0, Math.min(side - SMALL, begin + length / 2 - SMALL / 2));
  const seen = isSmall ? { x: around(field.x, field.width, width), y: around(field.y, field.height, height), width: SMALL, height: SMALL } : field;
  const box = show === "whole" ? `0 0 ${width} ${height}` : `${seen.x} ${seen.y} ${seen.width} ${seen.height}`;
  return html`<svg x=${x} y=${y} width=${side} height=${side} viewBox=${box}>
    <image width=${width} height=${height} href=${media(whole)} preserveAspectRatio="none" image-rendering=${isSmall && show === "field" ? "pixelated" : "auto"} />
    ${(show === "whole" || isSmall) && node.box && html`<rect class="field" vector-effect="non-scaling-stroke" ...${field} />`}
  </svg>`;
}

/** What squeezes a line of text that is too long for a card. @param {string} text @param {number} character px @param {number} width px */
const fitted = (text, character, width) => (text.length * character > width - 8 ? { textLength: width - 8, lengthAdjust: "spacingAndGlyphs" } : {});

/**
 * The class that is explained: the picture, the name, how sure the network is.
 * @param {object} given
 * @param {Cell} given.cell @param {Place} given.place @param {Drawing} given.drawing @param {any} given.decision @param {string} given.hue
 * @param {boolean} given.isFocused @param {boolean} given.isEntry @param {number} given.picture
 */
export function RootCard({ cell, place, drawing, decision, hue, isFocused, isEntry, picture }) {
  const left = picture && drawing.thumbnail ? place.height + 10 : 10;
  const letters = Math.max(8, Math.floor((place.width - left - 6) / 8.8));
  const lines = wrapped(decision.class.name, letters, picture ? 3 : 1);
  return html`<g class=${`card ${isFocused ? "focused" : ""}`} data-id=${cell.id} transform=${`translate(${place.x} ${place.y})`} role="button" tabindex=${isEntry ? 0 : -1} aria-pressed=${isFocused}
      aria-label=${`${decision.role.toLowerCase()} class ${decision.class.name}, probability ${part(decision.probability)}`}>
    <title data-screen="">${decision.class.name}</title>
    <rect class="ground" width=${place.width} height=${place.height} rx="3" />
    ${picture > 0 && drawing.thumbnail && html`<image x="0" y="0" width=${place.height} height=${place.height} href=${media(drawing.thumbnail)} />`}
    <text class="value" x=${left} y="16">${hue === "label" ? "label" : "predicted"}</text>
    ${lines.map((line, at) => html`<text key=${at} class="class" x=${left} y=${34 + at * 17}>${line}</text>`)}
    <text class="value" x=${left} y=${36 + lines.length * 17 - (picture ? 0 : 5)}>${`${part(decision.probability)}, logit ${decision.logit.toFixed(2)}`}</text>
    <rect class=${`frame ${hue}`} x="0.75" y="0.75" width=${place.width - 1.5} height=${place.height - 1.5} rx="3" />
  </g>`;
}

/**
 * What a row's cards leave of the decision, said as what it is; opens the row.
 * @param {{row: import("./tree.js").Row, place: Place, isOpen: boolean, onOpen: () => void}} given
 */
export function RestCard({ row, place, isOpen, onOpen }) {
  const all = (/** @type {"all" | "notKept" | "hidden" | "folded"} */ of) => row.rest.map((rest) => rest[of] ?? 0);
  const some = (/** @type {"all" | "notKept" | "hidden" | "folded"} */ of) => all(of).some((value) => value > 0);
  // Two numbers leave no room for their unit, which the heading of the row has.
  const short = (/** @type {number[]} */ values) => (values.length > 1 ? parts(values).replaceAll(" / ", "/").replace(" %", "") : parts(values));
  const lines = [
    // What of it the run keeps, an answer that is cut does not tell.
    row.rest[0].notKept === null ? `${short(row.rest.map((rest) => Math.max(0, rest.all - rest.hidden - rest.folded)))} not here` : some("notKept") && `${short(all("notKept"))} not kept`,
    some("hidden") && `${short(all("hidden"))} hidden`,
    some("folded") && `${short(all("folded"))} folded`,
  ].filter(Boolean);
  const more = row.foldedCount > 0 ? `${row.foldedCount} more` : isOpen ? "fewer" : null;
  const explained = `${parts(all("all"))} of the decision is not on the cards of ${row.layer}. Not kept: beyond the run's top N here and above. Folded: in ${row.foldedCount} weaker nodes. Hidden: in ${row.hiddenCount} nodes by the sliders, or below cards that are not drawn.`;
  const middle = place.width / 2;
  const high = place.height > 90;
  const pressed = (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    onOpen();
  };
  return html`<g class=${`rest ${more ? "opens" : ""}`} transform=${`translate(${place.x} ${place.y})`} role=${more ? "button" : "img"} tabindex=${more ? 0 : undefined}
      aria-label=${`rest of ${row.layer}: ${explained}${more ? ` ${more}` : ""}`} onClick=${more ? (/** @type {Event} */ event) => { event.stopPropagation(); onOpen(); } : undefined} onKeyDown=${more ? pressed : undefined}>
    <title data-screen="">${explained}</title>
    <rect x="0.75" y="0.75" width=${place.width - 1.5} height=${place.height - 1.5} rx="3" />
    <text class="name" x=${middle} y=${high ? 28 : 15} text-anchor="middle" ...${fitted(`rest ${short(all("all"))}`, 7, place.width)}>${`rest ${short(all("all"))}`}</text>
    ${lines.map((line, at) => html`<text key=${at} class="value" x=${middle} y=${(high ? 50 : 29) + at * (high ? 15 : 11)} text-anchor="middle" ...${fitted(String(line), 5.6, place.width)}>${line}</text>`)}
    ${more && html`<text class="more" x=${middle} y=${place.height - (high ? 12 : 6)} text-anchor="middle">${more}</text>`}
  </g>`;
}

/** @param {Cell} cell */
export const cellName = (cell) => cell.name ?? nameOf(cell.members[0]);
