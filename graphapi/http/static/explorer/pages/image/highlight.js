// What lies under the pointer, shown without drawing the page anew: a veil over everything, with holes where the cards of
// its paths are, and their curves above. On a sheet of its own it is painted alone, without 700 cards and curves below it.

import { pathsThrough } from "./tree.js";

/** @typedef {import("./tree.js").Link} Link */
/** @typedef {{layout: import("./layout.js").Layout, links: Link[], curves: Map<string, {d: string, hue: string, width: string}>}} Drawn */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Show the paths through a card, or everything alike.
 * @param {SVGGElement} place an empty group above the cards @param {Drawn} drawn @param {string | null} id of the card
 * @returns {boolean} whether anything is left to fade
 */
export function highlight(place, { layout, links, curves }, id) {
  const shown = id === null ? null : pathsThrough(links, id);
  // Where everything is on a path nothing stands out, as below a class alone.
  if (shown === null || shown.links.size === links.length) {
    if (place.firstChild) place.replaceChildren();
    return false;
  }
  let holes = `M0 0H${layout.width}V${layout.height}H0z`;
  for (const cell of shown.cells) {
    const at = layout.cells.get(cell);
    if (at) holes += `M${at.x - 1} ${at.y - 1}h${at.width + 2}v${at.height + 2}h${-at.width - 2}z`;
  }
  const veil = made({ class: "veil", d: holes, "fill-rule": "evenodd" });
  const lit = links.filter((link) => shown.links.has(link.id)).map((link) => {
    const curve = /** @type {{d: string, hue: string, width: string}} */ (curves.get(link.id));
    return made({ class: curve.hue, d: curve.d, "stroke-width": curve.width });
  });
  place.replaceChildren(veil, ...lit);
  return true;
}

/** @param {Record<string, string>} attributes */
function made(attributes) {
  const path = document.createElementNS(SVG, "path");
  for (const [name, value] of Object.entries(attributes)) path.setAttribute(name, value);
  return path;
}
