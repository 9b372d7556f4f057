// The confusion matrix of the least accurate classes: a row a label, a column a predicted class, a cell its images.

import { href, setState } from "../../lib/address.js";
import { count } from "../../lib/format.js";
import { useQuery } from "../../lib/hooks.js";
import { html } from "../../lib/vendor.js";
import { Matrix, MATRIX, rowsOf } from "../../components/matrix.js";
import { Panel } from "../../components/panel.js";

const CLASSES = 50;
const UNLABELLED = "No image of this run has a label, so none is right or wrong. Data whose folders or lists name the classes (--data imagefolder:DIR, or a list with labels) add this panel.";

/** @param {{run: string, labelled: boolean, state: Record<string, string>}} given */
export function MatrixPanel({ run, labelled, state }) {
  const result = useQuery(MATRIX, { run, classes: CLASSES });
  const matrix = result.data?.run.confusionMatrix;
  const classes = matrix?.classes ?? [];
  const title = matrix && classes.length < matrix.totalCount ? `Confusion matrix: the worst ${classes.length} of ${count(matrix.totalCount)} classes with errors` : "Confusion matrix of the classes with errors";
  const none = matrix && classes.length === 0 && (labelled ? "Every image with a label is right: nothing is confused." : UNLABELLED);
  const opening = {
    chosen: state,
    to: (/** @type {any} */ of, /** @type {any} */ as) => href.classes(run, { ...state, embed: undefined, images: undefined, label: of.index, predicted: as.index }),
    open: state.embed ? null : (/** @type {any} */ of, /** @type {any} */ as) => setState({ label: of.index, predicted: as.index, images: null }),
  };
  return html`<${Panel} id="matrix" title=${title} result=${result} picture height=${420} empty=${none} rows=${() => rowsOf(matrix)}>
    ${matrix && html`<${Matrix} run=${run} matrix=${matrix} opening=${opening} />`}
  <//>`;
}
