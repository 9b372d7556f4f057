// The confusion matrix of the least accurate classes: a row a label, a column a predicted class, a cell its images.

import { count, imagesOf, percent } from "../../lib/format.js";
import { useQuery, useWidth } from "../../lib/hooks.js";
import { html, useMemo, useState } from "../../lib/vendor.js";
import { Behind } from "../../components/behind.js";
import { Panel } from "../../components/panel.js";
import { Table } from "../../components/table.js";
import { drawing, LEGEND, shade } from "./cells.js";
import { MATRIX } from "./queries.js";

const CLASSES = 50;
const UNLABELLED = "No image of this run has a label, so none is right or wrong. Data whose folders or lists name the classes (--data imagefolder:DIR, or a list with labels) add this panel.";

/** @param {{run: string, labelled: boolean, state: Record<string, string>}} given */
export function MatrixPanel({ run, labelled, state }) {
  const result = useQuery(MATRIX, { run, classes: CLASSES });
  const matrix = result.data?.run.confusionMatrix;
  const classes = matrix?.classes ?? [];
  const title = matrix && classes.length < matrix.totalCount ? `Confusion matrix: the worst ${classes.length} of ${count(matrix.totalCount)} classes with errors` : "Confusion matrix of the classes with errors";
  const none = matrix && classes.length === 0 && (labelled ? "Every image with a label is right: nothing is confused." : UNLABELLED);
  return html`<${Panel} id="matrix" title=${title} result=${result} picture height=${420} empty=${none} rows=${() => rows(matrix)}>
    ${matrix && html`<${Matrix} run=${run} matrix=${matrix} state=${state} />`}
  <//>`;
}

/** @param {{run: string, matrix: any, state: Record<string, string>}} given */
function Matrix({ run, matrix, state }) {
  const [place, width] = useWidth();
  const [pointed, setPointed] = useState("");
  const drawn = useMemo(() => width > 0 && drawing(run, matrix, width, state, setPointed), [matrix, width, state.label, state.predicted, state.embed]);
  return html`<p class="legend">
      <span class="dim">Part of the label's images:</span>
      ${LEGEND.map((rate) => html`<span key=${rate} class="swatch"><svg width="14" height="14" aria-hidden="true"><rect class="confused" width="14" height="14" fill-opacity=${shade(rate)} /></svg> ${percent(rate, 0)}</span>`)}
      <span class="swatch"><svg width="14" height="14" aria-hidden="true"><rect class="hit" width="14" height="14" fill-opacity="0.5" /></svg> right</span>
      <span class="pointed" aria-live="polite">${pointed || html`<span class="dim">A cell opens its images.</span>`}</span>
    </p>
    <div class="matrix" ref=${place} onMouseLeave=${() => setPointed("")}>${drawn}</div>
    <${Behind}>${() => html`<${Table} caption="confusions among these classes" rows=${rows(matrix)} columns=${COLUMNS} />`}<//>`;
}

const COLUMNS = [
  { key: "label", title: "Label" },
  { key: "predicted", title: "Predicted" },
  { key: "images", title: "Images", numeric: true, cell: (/** @type {any} */ row) => (row.of ? imagesOf(row.images, row.of) : count(row.images)) },
];

/** The cells as rows of a table, most images first. @param {any} matrix */
function rows({ classes, cells }) {
  return [...cells].sort((a, b) => b.images - a.images).map(({ label, predicted, images }) => ({
    label: label === null ? "other classes" : classes[label].name,
    predicted: predicted === null ? "other classes" : classes[predicted].name,
    images,
    of: label === null ? null : classes[label].imageCount,
  }));
}
