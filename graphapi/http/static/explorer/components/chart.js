// A chart by Observable Plot, as wide as its place, with the table that it draws for those who cannot see it.

import { useWidth } from "../lib/hooks.js";
import { html, Plot, useLayoutEffect } from "../lib/vendor.js";

/**
 * @param {object} given
 * @param {(width: number) => object} given.plot options of Plot.plot for a width in px; made anew when `of` changes
 * @param {unknown} given.of what is drawn; compared as JSON
 * @param {string} given.label what the chart shows, in a sentence
 * @param {(event: MouseEvent, datum: any) => void} [given.onClick] of a mark with a pointer
 */
export function Chart({ plot, of, label, onClick }) {
  const [place, width] = useWidth();
  useLayoutEffect(() => {
    const element = place.current;
    if (!element || !width) return;
    // One class name for all, so that the style sheet Plot writes into each is the one whose hash the policy names.
    const svg = Plot.plot({ className: "plot", width, style: { background: "none" }, ...plot(width) });
    svg.setAttribute("aria-hidden", "true"); // its place says what it shows; the numbers are in a table, or in the CSV
    element.replaceChildren(svg);
    if (onClick) svg.addEventListener("click", (/** @type {MouseEvent} */ event) => svg.value && onClick(event, svg.value));
  }, [width, JSON.stringify(of), label]);
  return html`<div class="chart" ref=${place} role="img" aria-label=${label}></div>`;
}
