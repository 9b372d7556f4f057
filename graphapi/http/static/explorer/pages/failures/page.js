// Failures: which classes are taken for which, what sets such decisions apart, and in what groups they fall.

import { href, setState } from "../../lib/address.js";
import { count } from "../../lib/format.js";
import { chosenLayer, useKeys, useQuery, useRun } from "../../lib/hooks.js";
import { className, shortName } from "../../lib/names.js";
import { html } from "../../lib/vendor.js";
import { Matrix, MATRIX, rowsOf } from "../../components/matrix.js";
import { Panel } from "../../components/panel.js";
import { Strip } from "../../components/strip.js";
import { Contrast } from "./contrast.js";
import { Modes } from "./modes.js";
import { IMAGES, NAMED } from "./queries.js";

const MOST_CLASSES = 30;
/** Images of a run whose failures are compared before a cell was chosen: of 43,000 images that took 6 s. */
const AT_ONCE = 5000;

/** @param {{address: import("../../lib/address.js").Address}} given */
export function Page({ address }) {
  const { params, state } = address;
  const run = /** @type {import("../../lib/hooks.js").Run} */ (useRun(params.run));
  const layer = chosenLayer(run, state.layer).name;
  const result = useQuery(MATRIX, { run: run.name, classes: MOST_CLASSES });
  const names = useQuery(state.label || state.predicted ? NAMED : null, {
    run: run.name,
    label: className(state.label ?? ""),
    predicted: className(state.predicted ?? ""),
    withLabel: Boolean(state.label),
    withPredicted: Boolean(state.predicted),
  });
  useKeys({ Escape: () => setState(state.open ? { open: null } : { label: null, predicted: null, open: null, root: null }) });
  const matrix = result.data?.run.confusionMatrix;
  const some = Boolean(matrix?.classes.length);
  const classes = offered(matrix?.classes ?? [], names.data?.run);
  const label = names.data?.run.label;
  const predicted = names.data?.run.predicted;
  const chosen = state.label || state.predicted;
  const asked = chosen || run.imageCount <= AT_ONCE || state.everything || Object.keys(state).some((name) => /^[ab]\./.test(name));
  /** @param {any} of @param {any} as */
  const cell = (of, as) => href.failures(run.name, { layer: state.layer, label: of.index, predicted: as.index });
  return html`<h1>${chosen ? title(label, predicted) : "Failures"}</h1>
    <p class="lead">${chosen ? html`<a href=${href.failures(run.name, { layer: state.layer })}>All failures</a>` : "A cell of the matrix opens its images, what sets them apart from the right ones, and the groups they fall into."}</p>
    ${label && predicted && html`<${Ways} run=${run.name} state=${state} label=${label} predicted=${predicted} />`}
    <${Panel} id="matrix" title=${matrix && matrix.classes.length < matrix.totalCount ? `What is taken for what: the worst ${matrix.classes.length} of ${count(matrix.totalCount)} classes with errors` : "What is taken for what"} result=${result} rows=${() => rowsOf(matrix)} picture=${true} height=${400} empty=${matrix && !some && "Every image with a label was predicted rightly, or none has a label."}>
      ${matrix && html`<${Matrix} run=${run.name} matrix=${matrix} opening=${{ chosen: state, to: cell, open: null }} />`}
    <//>
    ${chosen && html`<${Chosen} run=${run.name} state=${state} />`}
    ${!asked && html`<p><button type="button" onClick=${() => setState({ everything: 1 })}>Compare all wrong decisions with all right ones</button> <span class="dim">takes some seconds on ${count(run.imageCount)} images; a cell of the matrix, less than one</span></p>`}
    ${asked && (chosen || some) && html`<${Contrast} run=${run} layer=${layer} state=${state} classes=${classes} />
      <${Modes} run=${run} layer=${layer} state=${state} />`}`;
}

/** @param {any} label @param {any} predicted */
function title(label, predicted) {
  if (label && predicted) return `${shortName(label.name)} taken for ${shortName(predicted.name)}`;
  if (label) return `${shortName(label.name)} taken for something else`;
  return predicted ? `taken for ${shortName(predicted.name)}` : "Failures";
}

/** The two questions of a confusion, each comparing like with like. @param {{run: string, state: Record<string, string>, label: any, predicted: any}} given */
function Ways({ run, state, label, predicted }) {
  const same = { layer: state.layer, of: state.of, label: label.index, predicted: predicted.index };
  const lost = href.failures(run, same);
  const won = href.failures(run, { ...same, root: "PREDICTED", "a.label": label.index, "a.predicted": predicted.index, "b.label": predicted.index, "b.predicted": predicted.index });
  const winning = state.root === "PREDICTED";
  return html`<p class="ways"><a href=${lost} aria-current=${winning ? undefined : "true"}>Why did ${shortName(label.name)} lose?</a>
    <a href=${won} aria-current=${winning ? "true" : undefined}>Why did ${shortName(predicted.name)} win?</a></p>`;
}

/** @param {{run: string, state: Record<string, string>}} given */
function Chosen({ run, state }) {
  const result = useQuery(IMAGES, { run, label: state.label ? className(state.label) : null, predicted: state.predicted ? className(state.predicted) : null });
  const images = result.data?.run.images.nodes ?? [];
  const total = result.data?.run.images.totalCount ?? 0;
  return html`<${Panel} id="images" title=${`Images${total ? ` (${images.length} of ${count(total)})` : ""}`} result=${result} rows=${() => images.map((/** @type {any} */ image) => ({ index: image.index, uri: image.uri, label: image.label?.name, predicted: image.predicted.name, probability: image.probability }))} height=${130} empty=${result.data && images.length === 0 && "No image has this label and this prediction."}>
    <${Strip} run=${run} images=${images} says="images of this label and prediction" />
  <//>`;
}

/** Classes that the builders offer: those of the matrix and of the address, by name. @param {any[]} classes @param {any} named */
function offered(classes, named) {
  const all = [...classes, named?.label, named?.predicted].filter(Boolean);
  return [...new Map(all.map((one) => [one.index, one])).values()].sort((a, b) => a.name.localeCompare(b.name));
}
