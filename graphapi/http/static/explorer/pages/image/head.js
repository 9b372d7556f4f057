// The picture, what it is labelled and predicted as, and which of the two is explained.

import { href, setState } from "../../lib/address.js";
import { html } from "../../lib/vendor.js";
import { media } from "../../components/picture.js";
import { part } from "./text.js";

/**
 * @param {object} given
 * @param {import("../../lib/hooks.js").Run} given.run @param {any} given.image @param {import("./view.js").View | null} given.view
 */
export function Head({ run, image, view }) {
  const of = (/** @type {string} */ role) => image.decisions.find((/** @type {any} */ decision) => decision.role === role);
  const [predicted, label] = [of("PREDICTED"), of("LABEL")];
  const others = image.labels.filter((/** @type {any} */ one) => one.index !== image.label?.index);
  return html`<div class="image-head">
    <${Small} image=${image} view=${view} />
    <div>
      <h1>${image.uri}</h1>
      <table class="facts"><caption class="unseen">label and prediction</caption><tbody>
        <tr><th scope="row">Label</th><td>${image.label ? html`${label && html`<i class="swatch label"></i>`}<a href=${href.class(run.name, image.label.index)}>${image.label.name}</a>` : html`<span class="dim">none</span>`}
          ${others.length > 0 && html`<span class="dim"> also right: ${others.map((/** @type {any} */ one) => one.name).join("; ")}</span>`}</td><td class="numeric">${label ? part(label.probability) : ""}</td></tr>
        <tr><th scope="row">Predicted</th><td><i class="swatch predicted"></i><a href=${href.class(run.name, image.predicted.index)}>${image.predicted.name}</a> ${image.correct !== null && html`<span class=${image.correct ? "verdict right" : "verdict wrong"}>${image.correct ? "right" : "wrong"}</span>`}</td><td class="numeric">${predicted ? part(predicted.probability) : part(image.probability)}</td></tr>
      </tbody></table>
      ${label && view && html`<${Switch} root=${view.root} names=${{ predicted: predicted.class.name, label: label.class.name }} />`}
    </div>
  </div>`;
}

/** @param {{image: any, view: import("./view.js").View | null}} given */
function Small({ image, view }) {
  if (!image.thumbnailUrl) return null;
  const [node] = view?.focused?.members ?? [];
  const map = node && view ? view.mapOf(node.key) : null;
  return html`<button type="button" class="open-picture" onClick=${() => setState({ large: 1 }, { replace: true })} aria-label="Show the picture large">
    <img src=${media(image.thumbnailUrl)} alt=${`the picture ${image.uri}`} width="176" height="176" />
    ${map && html`<img class="over" src=${media(map)} alt="activation of the node in focus" width="176" height="176" />`}
  </button>`;
}

/** @param {{root: string, names: {predicted: string, label: string}}} given */
function Switch({ root, names }) {
  /** @type {[string, string][]} */
  const ways = [["predicted", `predicted: ${names.predicted}`], ["label", `label: ${names.label}`], ["both", "both"]];
  return html`<div role="group" aria-label="explain" class="choices explain"><span class="dim">Explain</span>${ways.map(([name, title]) => html`<button type="button" key=${name} aria-pressed=${root === name} title=${title} onClick=${() => setState({ root: name === "predicted" ? null : name })}>
    ${name !== "label" && html`<i class="swatch predicted"></i>`}${name !== "predicted" && html`<i class="swatch label"></i>`}${title}</button>`)}</div>`;
}
