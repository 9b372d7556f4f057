// The drawing of a confusion matrix, as large as its place allows: readable at 6 classes as at 50.

import { href } from "../lib/address.js";
import { cut, imagesOf, percent } from "../lib/format.js";
import { html } from "../lib/vendor.js";

const CELL = { least: 14, most: 48 };
const APART = 8;
const CHARACTER = 0.64;
const OTHERS = "others";
/** Rates that the legend shows. */
export const LEGEND = [0.01, 0.05, 0.2, 0.5, 1];

/** How strong a confusion is coloured: by the root, so that few wrong images of many show too. @param {number} rate */
export const shade = (rate) => 0.1 + 0.8 * Math.sqrt(rate);

/**
 * @typedef {object} Opening what a cell does
 * @property {{label?: string, predicted?: string}} chosen the cell that is open, by indices of classes
 * @property {(label: any, predicted: any) => string} to the address of its images
 * @property {((label: any, predicted: any) => void) | null} open what a plain click does instead of going there
 */

/** @typedef {{cell: number, left: number, top: number, turned: boolean, font: number}} Sizes px */

/**
 * @param {any[]} classes @param {number} width px
 * @returns {Sizes}
 */
function sizes(classes, width) {
  const longest = Math.max(...classes.map(({ name }) => name.length), OTHERS.length);
  const left = Math.min(longest * 12 * CHARACTER + 10, width < 600 ? 104 : 184);
  const cell = Math.max(CELL.least, Math.min(CELL.most, Math.floor((width - left - APART - 2) / (classes.length + 1))));
  const font = Math.min(12, cell * 0.68);
  const turned = longest * font * CHARACTER > cell;
  return { cell, left, top: turned ? Math.min(longest * font * CHARACTER + 26, 140) : 40, turned, font };
}

/**
 * @param {string} run @param {any} matrix of GraphQL's confusionMatrix @param {number} width px @param {Opening} opening
 * @param {(says: string) => void} onPoint what is under the pointer
 */
export function drawing(run, { classes, cells }, width, opening, onPoint) {
  const size = sizes(classes, width);
  const { cell, left, top, font } = size;
  const count = classes.length;
  /** Where a row or column begins; null is that of all other classes. @param {number | null} index */
  const at = (index) => (index === null ? count * cell + APART : index * cell);
  const [below, beside] = ["label", "predicted"].map((end) => cells.some((/** @type {any} */ one) => one[end] === null));
  const [wide, high] = [beside, below].map((more) => (more ? at(null) + cell : count * cell));
  return html`<svg data-picture width=${left + wide + 2} height=${top + high + 2} viewBox=${`0 0 ${left + wide + 2} ${top + high + 2}`} role="group" aria-label="confusion matrix: rows are labels, columns are predictions">
    <text class="axis" x=${left} y="12">predicted →</text>
    <text class="axis" x=${left - 8} y=${top - 6} text-anchor="end">label ↓</text>
    ${[...classes.keys()].map((index) => names(run, classes[index], at(index), size))}
    ${below && html`<text class="others" x=${left - 8} y=${top + at(null) + (cell + font) / 2 - 1} text-anchor="end" font-size=${font}>${OTHERS}<title>all other labels</title></text>`}
    ${beside && html`<text class="others" ...${column(at(null), size)} font-size=${font}>${OTHERS}<title>all other predictions</title></text>`}
    <g transform=${`translate(${left} ${top})`}>
      <rect class="ground" width=${count * cell} height=${count * cell} />
      ${classes.map((/** @type {any} */ _, /** @type {number} */ place) => html`<rect key=${place} class="diagonal" x=${place * cell + 0.5} y=${place * cell + 0.5} width=${cell - 1} height=${cell - 1} />`)}
      ${beside && html`<rect class="ground" x=${at(null)} width=${cell} height=${count * cell} />`}
      ${below && html`<rect class="ground" y=${at(null)} width=${count * cell} height=${cell} />`}
      ${cells.map((/** @type {any} */ one) => drawnCell(run, classes, one, at(one.predicted), at(one.label), cell, Math.min(12, font), opening, onPoint))}
    </g>
  </svg>`;
}

/** Where the name of a column stands. @param {number} start px @param {Sizes} size */
function column(start, { cell, left, top, turned, font }) {
  const middle = left + start + cell / 2;
  return turned ? { transform: `translate(${middle + font / 3} ${top - 6}) rotate(-90)`, "text-anchor": "start" } : { transform: `translate(${middle} ${top - 6})`, "text-anchor": "middle" };
}

/**
 * The name of a class at both edges, each a link.
 * @param {string} run @param {any} of the class @param {number} start px @param {Sizes} size
 */
function names(run, of, start, size) {
  const { cell, left, top, turned, font } = size;
  const across = cut(of.name, Math.floor((left - 10) / (font * CHARACTER)));
  const down = turned ? cut(of.name, Math.floor((top - 22) / (font * CHARACTER))) : of.name;
  const to = href.class(run, of.index);
  return html`<g key=${of.index}>
    <a href=${to} aria-label=${`label ${of.name}`}><text x=${left - 8} y=${top + start + (cell + font) / 2 - 1} text-anchor="end" font-size=${font}>${across}<title>${of.name}</title></text></a>
    <a href=${to} aria-label=${`predicted ${of.name}`}><text ...${column(start, size)} font-size=${font}>${down}<title>${of.name}</title></text></a>
  </g>`;
}

/**
 * @param {string} run @param {any[]} classes @param {{label: number | null, predicted: number | null, images: number}} one
 * @param {number} x px @param {number} y px @param {number} cell px @param {number} font px
 * @param {Opening} opening @param {(says: string) => void} onPoint
 */
function drawnCell(run, classes, { label, predicted, images }, x, y, cell, font, { chosen: open, to: leads, open: opens }, onPoint) {
  const [of, as] = [label, predicted].map((index) => (index === null ? null : classes[index]));
  const rate = of ? images / of.imageCount : 0;
  const right = label === predicted;
  const says = `${of?.name ?? "other classes"} predicted as ${as?.name ?? "other classes"}: ${of ? `${imagesOf(images, of.imageCount)} (${percent(rate)})` : `${images} images`}`;
  const fits = String(images).length * font * 0.62 <= cell - 2;
  const chosen = of && as && open.label === String(of.index) && open.predicted === String(as.index);
  const box = { x: x + 0.5, y: y + 0.5, width: cell - 1, height: cell - 1 };
  const inside = html`
    <rect ...${box} class=${right ? "hit" : of && as ? "confused" : "elsewhere"} fill-opacity=${right ? 0.1 + 0.4 * rate : of && as ? shade(rate) : 1} />
    ${fits && html`<text class=${!right && of && as && shade(rate) > 0.55 ? "strong" : ""} x=${x + cell / 2} y=${y + cell / 2 + font / 3} text-anchor="middle" font-size=${font}>${images}</text>`}
    ${chosen && html`<rect ...${box} class="chosen" />`}<title>${says}</title>`;
  // All that a class was taken for stands on its page.
  const to = of && as ? leads(of, as) : `${href.class(run, (of ?? as).index)}#failures`;
  /** @param {MouseEvent} event */
  const clicked = (event) => {
    if (!of || !as || !opens || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    opens(of, as);
  };
  return html`<a key=${`${label} ${predicted}`} class="cell" href=${to} aria-label=${says} aria-current=${chosen ? "true" : undefined}
    onClick=${clicked} onMouseEnter=${() => onPoint(says)} onFocus=${() => onPoint(says)}>${inside}</a>`;
}
