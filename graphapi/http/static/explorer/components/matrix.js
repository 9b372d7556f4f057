// A confusion matrix: labels down, predictions across; a cell opens its images.

import { count, percent } from "../lib/format.js";
import { shortName } from "../lib/names.js";
import { d3, html } from "../lib/vendor.js";

/** @typedef {{index: number, name: string}} Class */
/** @typedef {{label: Class, predicted: Class, images: number, rate: number}} Cell */

const HEAD_PX = 108;
const LEAST_PX = 14;
const MOST_PX = 34;
const WIDEST_PX = 860;

/**
 * @param {object} given
 * @param {Cell[]} given.cells wrongly predicted images by label and prediction, most first
 * @param {number} given.most classes that are drawn
 * @param {(cell: Cell) => string} given.to the address that a cell opens
 * @param {{label?: string, predicted?: string}} given.chosen the cell that is open, by the classes' indices
 */
export function Matrix({ cells, most, to, chosen }) {
  const classes = worst(cells, most);
  const place = new Map(classes.map((one, at) => [one.index, at]));
  const shown = cells.filter((cell) => place.has(cell.label.index) && place.has(cell.predicted.index));
  const side = Math.max(LEAST_PX, Math.min(MOST_PX, (WIDEST_PX - HEAD_PX) / Math.max(1, classes.length)));
  const colour = d3.scaleSequential([0, d3.max(shown, (/** @type {Cell} */ cell) => cell.images) ?? 1], d3.interpolateBlues);
  const size = HEAD_PX + side * classes.length;
  const width = size + 64; // the last heading leans out to the right
  /** @param {Class} one @param {number} at */
  const heading = (one, at) => shortName(one.name).length > 15 ? `${shortName(one.name).slice(0, 14)}…` : shortName(one.name);
  return html`<div class="matrix"><svg width=${width} height=${size + 4} viewBox=${`0 0 ${width} ${size + 4}`} role="group" aria-label=${`Wrong predictions among ${classes.length} classes: labels down, predictions across`} data-picture>
    <text x=${HEAD_PX - 6} y=${HEAD_PX - 8} text-anchor="end" class="axis">label ↓</text>
    <text x=${HEAD_PX - 6} y=${HEAD_PX - 24} text-anchor="end" class="axis">predicted →</text>
    ${classes.map((one, at) => html`<g key=${one.index}>
      <text x=${HEAD_PX - 6} y=${HEAD_PX + side * (at + 0.5)} text-anchor="end" dominant-baseline="central">${heading(one, at)}<title>${one.name}</title></text>
      <text transform=${`translate(${HEAD_PX + side * (at + 0.5)},${HEAD_PX - 20}) rotate(-50)`} dominant-baseline="central">${heading(one, at)}<title>${one.name}</title></text>
      <line x1=${HEAD_PX} x2=${size} y1=${HEAD_PX + side * at} y2=${HEAD_PX + side * at} class="rule" />
      <line y1=${HEAD_PX} y2=${size} x1=${HEAD_PX + side * at} x2=${HEAD_PX + side * at} class="rule" />
      <rect x=${HEAD_PX + side * at} y=${HEAD_PX + side * at} width=${side} height=${side} class="diagonal" /></g>`)}
    ${shown.map((cell) => {
      const x = HEAD_PX + side * (place.get(cell.predicted.index) ?? 0);
      const y = HEAD_PX + side * (place.get(cell.label.index) ?? 0);
      const open = chosen.label === String(cell.label.index) && chosen.predicted === String(cell.predicted.index);
      const dark = d3.lab(colour(cell.images)).l < 60;
      return html`<a key=${`${cell.label.index} ${cell.predicted.index}`} href=${to(cell)} aria-label=${said(cell)}>
        <rect x=${x + 0.5} y=${y + 0.5} width=${side - 1} height=${side - 1} fill=${colour(cell.images)} class=${open ? "cell open" : "cell"} />
        ${side >= 18 && html`<text x=${x + side / 2} y=${y + side / 2} text-anchor="middle" dominant-baseline="central" class="in-cell" fill=${dark ? "#ffffff" : "#1c2126"}>${cell.images}</text>`}
        <title>${said(cell)}</title></a>`;
    })}
  </svg></div>`;
}

/** @param {Cell} cell */
const said = (cell) => `${shortName(cell.label.name)} taken for ${shortName(cell.predicted.name)}: ${count(cell.images)} ${cell.images === 1 ? "image" : "images"}, ${percent(cell.rate)} of ${shortName(cell.label.name)}`;

/**
 * The classes of the most frequent confusions, by index.
 * @param {Cell[]} cells most first @param {number} most
 */
function worst(cells, most) {
  /** @type {Map<number, Class>} */
  const classes = new Map();
  for (const { label, predicted } of cells) {
    const fresh = [label, predicted].filter((one) => !classes.has(one.index));
    if (classes.size + fresh.length > most) continue; // half a cell would show nothing
    for (const one of fresh) classes.set(one.index, one);
  }
  return [...classes.values()].sort((a, b) => a.index - b.index);
}
