// A class: which channels support it, what they look at, how the evidence flows, and where it goes wrong.

import { setState } from "../../lib/address.js";
import { chosenLayer, useKeys, useQuery, useRun } from "../../lib/hooks.js";
import { html, useEffect } from "../../lib/vendor.js";
import { States } from "../../components/panel.js";
import { Choices, chosenDecisions } from "./choices.js";
import { ContextPanel } from "./context.js";
import { ImagesPanel } from "./examples.js";
import { FailuresPanel } from "./failures.js";
import { GraphPanel } from "./graph.js";
import { Head } from "./head.js";
import { LocalizingPanel } from "./localizing.js";
import { CLASS } from "./queries.js";
import { SupportPanel } from "./support.js";

const FEW = 8;
const MANY = 50;

/** @param {{address: import("../../lib/address.js").Address}} given */
export function Page({ address: { params, state } }) {
  const run = /** @type {import("../../lib/hooks.js").Run} */ (useRun(params.run));
  const name = `index:${params.index}`;
  const result = useQuery(CLASS, { run: run.name, class: name, first: state.images === "more" ? MANY : FEW });
  const of = result.data?.run.class;
  // The place that a link names is there once the page is.
  useEffect(() => { if (of && location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView(); }, [Boolean(of)]);
  useEffect(() => { if (of) document.title = `${of.name} · ${run.name} · evigraph`; }, [of?.name]);
  useKeys({ Escape: () => setState({ label: null }) });
  if (result.error) return html`<${States} result=${result} />`;
  const decisions = chosenDecisions(state);
  const asked = { run: run.name, class: name, layer: chosenLayer(run, state.layer).name, ...decisions.variables };
  const shared = { run, index: Number(params.index), of, asked, decisions, state, it: state.embed && of ? of.name : "it" };
  return html`<${Head} run=${run.name} result=${result} embedded=${Boolean(state.embed)} />
    ${!state.embed && html`<${Choices} run=${run} of=${of} layer=${asked.layer} decisions=${decisions} />`}
    <div class="panels">
      <${SupportPanel} ...${shared} />
      <div><${ContextPanel} ...${shared} />${state.label && html`<${LocalizingPanel} ...${shared} />`}</div>
    </div>
    <${GraphPanel} ...${shared} />
    <${ImagesPanel} run=${run.name} result=${result} state=${state} />
    <${FailuresPanel} run=${run.name} result=${result} state=${state} />`;
}
