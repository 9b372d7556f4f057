// All classes of a run: a table that is searched and sorted by the service, and what the worst are confused with.

import { setState } from "../../lib/address.js";
import { useKeys, useRun } from "../../lib/hooks.js";
import { html } from "../../lib/vendor.js";
import { CellImages } from "./cell.js";
import { MatrixPanel } from "./matrix.js";
import { ClassTable } from "./table.js";

/** @param {{address: import("../../lib/address.js").Address}} given */
export function Page({ address: { params, state } }) {
  const { label, predicted } = state;
  const labelled = useRun(params.run)?.accuracy !== null;
  useKeys({ Escape: () => setState({ label: null, predicted: null, images: null }) });
  return html`${!state.embed && html`<h1>Classes</h1>
    <p class="lead">Each output of the network: how many images have it as their label, how many of them are right, and what the others are taken for.</p>`}
    <${ClassTable} run=${params.run} labelled=${labelled} state=${state} />
    <${MatrixPanel} run=${params.run} labelled=${labelled} state=${state} />
    ${label && predicted && html`<${CellImages} run=${params.run} label=${label} predicted=${predicted} more=${state.images === "more"} />`}`;
}
