// What lies under the pointer, shown without drawing the page anew: its paths are laid over the faded rest.

import { pathsThrough } from "./tree.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * Show the paths through a card, or everything alike.
 * @param {SVGSVGElement} svg of the pyramid: with groups .edges and .lit, cards with data-id, curves with data-link
 * @param {import("./tree.js").Link[]} links @param {string | null} id of the card
 */
export function highlight(svg, links, id) {
  const lit = /** @type {SVGGElement} */ (svg.querySelector(".lit"));
  const shown = id === null ? null : pathsThrough(links, id);
  // Where everything is on a path nothing stands out, as below a class alone.
  const isFaded = shown !== null && shown.links.size < links.length;
  svg.classList.toggle("faded", isFaded);
  for (const card of svg.querySelectorAll(".card")) {
    card.classList.toggle("out", isFaded && !shown.cells.has(/** @type {SVGElement} */ (card).dataset.id ?? ""));
  }
  if (!isFaded) {
    lit.replaceChildren();
    return;
  }
  const curves = [];
  for (const path of svg.querySelectorAll(".edges path")) {
    if (!shown.links.has(/** @type {SVGElement} */ (path).dataset.link ?? "")) continue;
    const curve = document.createElementNS(SVG, "path");
    for (const name of ["class", "d", "stroke-width"]) curve.setAttribute(name, path.getAttribute(name) ?? "");
    curves.push(curve);
  }
  lit.replaceChildren(...curves);
}
