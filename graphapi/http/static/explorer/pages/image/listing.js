// The pyramid as a table: for those who do not see it, and as CSV.

import { href } from "../../lib/address.js";
import { number } from "../../lib/format.js";
import { html } from "../../lib/vendor.js";
import { Table } from "../../components/table.js";
import { nameOf, part } from "./text.js";

/** Drawn nodes with their strongest edge, the class first. @param {import("./view.js").View} view */
export function rowsOfTable(view) {
  return view.rows.flatMap((row) => row.cells.flatMap((cell) => cell.members.flatMap((node) => view.roots.filter((_, root) => node.importance[root] > 0).map(({ decision, hue }) => {
    const root = view.roots.findIndex((one) => one.hue === hue);
    const edge = view.tree.above.get(node.key)?.find((one) => one.root === root);
    return {
      root: hue, class: decision.class.name, layer: node.layer, channel: node.channel, y: node.y, x: node.x, importance: node.importance[root],
      group: cell.name, explains: edge?.target ?? null, contribution: edge?.contribution ?? null, share: edge?.share ?? null, rank: edge?.rank ?? null,
      feature: node.feature[root], activation: edge?.activation ?? null, contextLabel: edge?.contextLabel ?? null, contextIou: edge?.contextIou ?? null,
    };
  }))));
}

/** @param {{view: import("./view.js").View, run: import("../../lib/hooks.js").Run}} given */
export function Listing({ view, run }) {
  const columns = [
    { key: "layer", title: "Node", cell: (/** @type {any} */ row) => (row.explains ? html`<a href=${href.channel(run.name, row.layer, row.channel)}>${nameOf(row)}</a> <span class="dim">at ${row.y}, ${row.x}</span>` : row.class) },
    ...(view.roots.length > 1 ? [{ key: "root", title: "Root" }] : []),
    { key: "importance", title: "Importance", numeric: true, cell: (/** @type {any} */ row) => part(row.importance) },
    { key: "explains", title: "Most of it for", cell: (/** @type {any} */ row) => row.explains?.split(":").slice(0, 2).join(" ") ?? "" },
    { key: "share", title: "Share", numeric: true, cell: (/** @type {any} */ row) => (row.share === null ? "" : part(row.share)) },
    { key: "contribution", title: "Contribution", numeric: true, cell: (/** @type {any} */ row) => (row.contribution === null ? "" : number(row.contribution)) },
    { key: "contextLabel", title: "On", cell: (/** @type {any} */ row) => row.contextLabel ?? "" },
  ];
  return html`<details class="listing"><summary>As a table</summary><${Table} caption="drawn nodes" rows=${rowsOfTable(view)} columns=${columns} /></details>`;
}
