// The table of classes: pages come as it is scrolled, so that a thousand classes need no thousand rows.

import { href, setState } from "../../lib/address.js";
import { count, percent } from "../../lib/format.js";
import { usePages, useSettled } from "../../lib/hooks.js";
import { html } from "../../lib/vendor.js";
import { Panel } from "../../components/panel.js";
import { Table } from "../../components/table.js";
import { Term } from "../../components/term.js";
import { CLASSES } from "./queries.js";

/** The service's order, by the column that is sorted. @type {Record<string, string>} */
const ORDERS = { index: "INDEX", images: "IMAGES", predicted: "PREDICTED", accuracy: "ACCURACY" };
const BOXED_FROM = 20;

/** @param {{run: string, labelled: boolean, state: Record<string, string>}} given labelled: whether any image has a label */
export function ClassTable({ run, labelled, state }) {
  const usual = labelled ? "index" : "predicted";
  const sort = ORDERS[state.sort] ? state.sort : usual;
  const search = useSettled(state.search ?? "");
  const { result, rows, total, more } = usePages(CLASSES, { run, search, orderBy: ORDERS[sort] }, (data) => data.run.classes);
  const tools = html`
    <input type="search" placeholder="Name or key" aria-label="find classes by name or key" value=${state.search ?? ""}
      onInput=${(/** @type {any} */ event) => setState({ search: event.target.value }, { replace: true })} />
    <span class="dim" role="status">${result.data ? `${count(total)} ${total === 1 ? "class" : "classes"}` : ""}</span>`;
  const none = result.data && total === 0 && (search ? `No class is called ${search}.` : "The run names no classes.");
  return html`<${Panel} id="classes" title="Classes of this run" result=${result} tools=${tools} height=${360} empty=${none} rows=${() => rows.map(flat)}>
    <${Table} caption="classes" rows=${rows} total=${total} name=${(/** @type {any} */ row) => row.index} columns=${columns(run, rows.some(({ key, name }) => key !== name))} sorted=${sort}
      onSort=${(/** @type {string} */ key) => setState({ sort: key === usual ? null : key })} onEnd=${total > BOXED_FROM ? () => more?.() : undefined} />
    ${more && html`<p class="more"><button type="button" onClick=${more}>${count(rows.length)} of ${count(total)} shown: more</button></p>`}
  <//>`;
}

const NARROW = matchMedia("(max-width: 760px)");

/** @param {string} run @param {boolean} keys whether they tell more than the names */
function columns(run, keys) {
  const every = [
    { key: "index", title: "Index", sorts: "ascending" },
    { key: "name", title: "Class", sorts: null, cell: (/** @type {any} */ row) => html`<a class="cut" href=${href.class(run, row.index)} title=${row.name}>${row.name}</a>` },
    ...(keys ? [{ key: "key", title: "Key", sorts: null, cell: (/** @type {any} */ row) => html`<span class="dim">${row.key}</span>` }] : []),
    { key: "images", title: "Images", numeric: true, cell: (/** @type {any} */ row) => count(row.imageCount) },
    { key: "predicted", title: "Predicted", numeric: true, cell: (/** @type {any} */ row) => count(row.predicted) },
    { key: "accuracy", title: html`<${Term} word="accuracy">Right<//>`, numeric: true, sorts: "ascending", cell: right },
    { key: "confused", title: "Most confused with", sorts: null, cell: (/** @type {any} */ row) => confused(run, row) },
  ];
  // On a narrow screen what matters most stands in sight.
  return NARROW.matches ? ["name", "accuracy", "confused", "images", "predicted"].flatMap((key) => every.filter((column) => column.key === key)) : every;
}

/** The class that its images are most often taken for, and those images. @param {string} run @param {any} row */
function confused(run, { index, imageCount, confusedWith }) {
  const [most] = confusedWith.nodes;
  if (!most) return null;
  const { name, index: predicted } = most.predicted;
  return html`<a class="cut" href=${href.class(run, predicted)} title=${name}>${name}</a><a class="beside" href=${href.classes(run, { label: index, predicted })}>${count(most.images)} of ${count(imageCount)}</a>`;
}

/** "62 of 67, 92.5 %". @param {any} row */
const right = (row) => (row.imageCount === 0 ? html`<span class="dim">no label</span>` : html`<span class="dim">${count(Math.round(row.accuracy * row.imageCount))} of ${count(row.imageCount)}</span><span class="figure">${percent(row.accuracy)}</span>`);

/** @param {any} row */
const flat = ({ index, key, name, imageCount, predicted, accuracy, confusedWith }) => ({
  index, key, name, images: imageCount, predicted, accuracy,
  confusedWith: confusedWith.nodes[0]?.predicted.name, confusedWithIndex: confusedWith.nodes[0]?.predicted.index, confusedImages: confusedWith.nodes[0]?.images,
});
