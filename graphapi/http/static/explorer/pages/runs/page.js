// All runs of the database: what was explained, how right the network is, and a way in.

import { href } from "../../lib/address.js";
import { count, percent } from "../../lib/format.js";
import { useQuery } from "../../lib/hooks.js";
import { html } from "../../lib/vendor.js";
import { Panel } from "../../components/panel.js";
import { Table } from "../../components/table.js";
import { Term } from "../../components/term.js";
import { RUNS } from "./queries.js";

export function Page() {
  const result = useQuery(RUNS);
  const runs = result.data?.runs.nodes ?? [];
  const rows = () => runs.map((/** @type {any} */ run) => ({ ...run, layers: run.layers.map((/** @type {any} */ layer) => layer.name).join(" ") }));
  return html`<h1>Runs</h1>
    <p class="lead">A run is one network over one set of images, each decision split into the channels it rests on.</p>
    <${Panel} id="runs" title="Runs of this database" result=${result} rows=${rows} empty=${result.data && runs.length === 0 && "The database holds no run yet: evigraph publish RUN_DIR --db FILE adds one."}>
      <${Table} caption="runs" rows=${runs} name=${(/** @type {any} */ run) => run.name} columns=${COLUMNS} />
    <//>`;
}

const COLUMNS = [
  { key: "name", title: "Run", cell: (/** @type {any} */ run) => html`<a href=${href.run(run.name)}>${run.name}</a>${run.isDefault && html` <span class="tag">default</span>`}` },
  { key: "model", title: "Network" },
  { key: "dataset", title: "Data" },
  { key: "imageCount", title: "Images", numeric: true, cell: (/** @type {any} */ run) => html`<a href=${href.classes(run.name)}>${count(run.imageCount)}</a>` },
  { key: "accuracy", title: html`<${Term} word="accuracy">Right<//>`, numeric: true, cell: (/** @type {any} */ run) => percent(run.accuracy) },
  { key: "edgeCount", title: html`<${Term} word="edge">Edges<//>`, numeric: true, cell: (/** @type {any} */ run) => count(run.edgeCount) },
  { key: "layers", title: "Layers", cell: (/** @type {any} */ run) => run.layers.map((/** @type {any} */ layer) => layer.name).join(", ") },
];
