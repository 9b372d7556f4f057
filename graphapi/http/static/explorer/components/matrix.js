// A confusion matrix: a row a label, a column a predicted class; the numbers behind it as a table.

import { count, imagesOf, percent } from "../lib/format.js";
import { useWidth } from "../lib/hooks.js";
import { html, useMemo, useState } from "../lib/vendor.js";
import { Behind } from "./behind.js";
import { drawing, LEGEND, shade } from "./cells.js";
import { Table } from "./table.js";

/** What a matrix is drawn from. */
export const MATRIX = `query ConfusionMatrix($run: String!, $classes: Int!) {
  run(name: $run) {
    confusionMatrix(classes: $classes) {
      totalCount
      classes { index name imageCount accuracy }
      cells { label predicted images }
    }
  }
}`;

/**
 * @param {object} given
 * @param {string} given.run @param {any} given.matrix of the answer
 * @param {import("./cells.js").Opening} given.opening
 */
export function Matrix({ run, matrix, opening }) {
  const [place, width] = useWidth();
  const [pointed, setPointed] = useState("");
  const drawn = useMemo(() => width > 0 && drawing(run, matrix, width, opening, setPointed), [matrix, width, opening.chosen.label, opening.chosen.predicted, !opening.open]);
  return html`<p class="legend">
      <span class="dim">Part of the label's images:</span>
      ${LEGEND.map((rate) => html`<span key=${rate} class="swatch"><svg width="14" height="14" aria-hidden="true"><rect class="confused" width="14" height="14" fill-opacity=${shade(rate)} /></svg> ${percent(rate, 0)}</span>`)}
      <span class="swatch"><svg width="14" height="14" aria-hidden="true"><rect class="hit" width="14" height="14" fill-opacity="0.5" /></svg> right</span>
      <span class="pointed" aria-live="polite">${pointed || html`<span class="dim">A cell opens its images.</span>`}</span>
    </p>
    <div class="matrix" ref=${place} onMouseLeave=${() => setPointed("")}>${drawn}</div>
    <${Behind}>${() => html`<${Table} caption="confusions among these classes" rows=${rowsOf(matrix)} columns=${COLUMNS} />`}<//>`;
}

const COLUMNS = [
  { key: "label", title: "Label" },
  { key: "predicted", title: "Predicted" },
  { key: "images", title: "Images", numeric: true, cell: (/** @type {any} */ row) => (row.of ? imagesOf(row.images, row.of) : count(row.images)) },
];

/** The cells as rows of a table, most images first. @param {any} matrix */
export function rowsOf({ classes, cells }) {
  return [...cells].sort((a, b) => b.images - a.images).map(({ label, predicted, images }) => ({
    label: label === null ? "other classes" : classes[label].name,
    predicted: predicted === null ? "other classes" : classes[predicted].name,
    images,
    of: label === null ? null : classes[label].imageCount,
  }));
}
