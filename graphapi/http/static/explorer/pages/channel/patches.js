// What the channel looks at: its strongest places as crops, activation maps or guided pictures, each in its image.

import { href, setState } from "../../lib/address.js";
import { fileName, number } from "../../lib/format.js";
import { html, useState } from "../../lib/vendor.js";
import { More } from "../../components/bars.js";
import { Cut, Marked } from "../../components/field.js";
import { Panel } from "../../components/panel.js";
import { Picture } from "../../components/picture.js";
import { Table } from "../../components/table.js";
import { Term } from "../../components/term.js";

/** What a patch may show, by its name in the address: what it is, which of them a run keeps, and by what option. */
const KINDS = {
  crop: { name: "Crop", path: "cropUrl", one: "a crop", option: "--thumbnails 224", which: "a picture of each image" },
  map: { name: "Activation", path: "mapUrl", one: "a map", option: "--maps", which: "those of the most important edges of each decision (--max-maps)" },
  guided: { name: "Guided", path: "guidedUrl", one: "a guided picture", option: "--guided 16", which: "those of each channel's strongest peaks (--guided)" },
};
const SIZE = 84;

/** @param {any} given see page.js */
export function Patches({ place, state, result, evidence, forClass, unheld }) {
  const [looked, setLooked] = useState(0);
  const kind = /** @type {keyof typeof KINDS} */ (state.picture && state.picture in KINDS ? state.picture : "crop");
  const { path, option } = KINDS[kind];
  const peaks = evidence?.peaks.nodes ?? [];
  const shown = peaks.filter((/** @type {any} */ peak) => peak[path]);
  const kept = shown.length;
  const pictured = peaks.some((/** @type {any} */ peak) => peak.cropUrl || peak.mapUrl || peak.guidedUrl);
  const to = (/** @type {any} */ peak) => href.image(place.run, peak.image.index, { focus: `${place.layer}:${place.index}:${peak.y}:${peak.x}`, root: peak.decision.role.toLowerCase() });
  const rows = () => peaks.map((/** @type {any} */ peak) => ({ image: peak.image.uri, label: peak.image.label?.name, predicted: peak.image.predicted.name, root: peak.decision.class.name, y: peak.y, x: peak.x, contribution: peak.contribution, share: peak.share, feature: peak.feature, activation: peak.activation }));
  const switches = html`<div class="switches" role="group" aria-label="what a patch shows">
    ${Object.entries(KINDS).map(([name, one]) => html`<button type="button" key=${name} aria-pressed=${name === kind} onClick=${() => setState({ picture: name === "crop" ? null : name })}>${one.name}</button>`)}</div>`;
  return html`<${Panel} id="patches" title=${html`Where it is strongest${forClass}`} tools=${pictured && switches} result=${result} rows=${rows} height=${260}
    empty=${unheld && html`${unheld} ${state.class && html`<a href=${href.channel(place.run, place.layer, place.index)}>Look at every class</a>`}`}>
    ${!pictured && html`<p class="dim aside">The run keeps no pictures: evigraph extend RUN_DIR --thumbnails 224 --maps --guided 16 adds them, and evigraph publish shows them here.</p>`}
    ${pictured && kept < peaks.length && html`<p class="dim aside">${lacking(KINDS[kind], kept, peaks.length)}</p>`}
    ${kept > 0 && html`<div class="looked">
      <ol class="patch-grid" aria-label="strongest places, the largest contribution first">
        ${shown.map((/** @type {any} */ peak, /** @type {number} */ at) => html`<${Patch} key=${`${peak.image.index} ${peak.y} ${peak.x}`} peak=${peak} kind=${kind} to=${to(peak)} looked=${at === looked} onLook=${() => setLooked(at)} />`)}
      </ol>
      <${Whole} peak=${shown[Math.min(looked, kept - 1)]} layer=${place.layer} run=${place.run} />
    </div>`}
    ${kind === "map" && kept > 0 && html`<p class="heat-legend"><span>none</span><span class="heat-scale" aria-hidden="true"></span><span>the map's largest <${Term} word="activation" /></span></p>`}
    ${!pictured && html`<${Table} caption="strongest places" rows=${peaks} name=${(/** @type {any} */ peak) => `${peak.image.index} ${peak.y} ${peak.x}`} columns=${columns(to)} />`}
    <${More} name="patches" shown=${peaks.length} total=${evidence?.peaks.totalCount ?? 0} />
  <//>`;
}

/** Why not every place has a picture of the kind. @param {typeof KINDS["crop"]} kind @param {number} kept @param {number} all */
const lacking = ({ one, option, which }, kept, all) => (kept
  ? `${kept} of these ${all} places ${kept === 1 ? "has" : "have"} ${one}: the run keeps ${which}.`
  : `None of these places has ${one}. Where the run keeps none at all, evigraph extend RUN_DIR ${option} adds ${which}, and evigraph publish shows them here.`);

/** @param {any} image */
const named = (image) => (image.label && image.correct === false ? `${image.label.name} → ${image.predicted.name}` : (image.label ?? image.predicted).name);

/** @param {{peak: any, kind: keyof typeof KINDS, to: string, looked: boolean, onLook: () => void}} given */
function Patch({ peak, kind, to, looked, onLook }) {
  const path = peak[KINDS[kind].path];
  const says = `${KINDS[kind].name.toLowerCase()} at (${peak.y}, ${peak.x}) of ${fileName(peak.image.uri)}, ${named(peak.image)}`;
  return html`<li class=${looked ? "patch looked-at" : "patch"} onMouseEnter=${onLook} onFocusIn=${onLook}>
    <a href=${to}>
      ${kind === "map" && path && peak.box ? html`<${Cut} path=${path} box=${peak.box} says=${says} size=${SIZE} />` : html`<${Picture} path=${path} says=${says} size=${SIZE} />`}
      <span class="patch-name" title=${named(peak.image)}>${named(peak.image)}</span></a>
  </li>`;
}

/** The whole image of the place that is looked at, with the receptive field on it. @param {{peak: any, layer: string, run: string}} given */
function Whole({ peak, layer, run }) {
  const { image } = peak;
  return html`<figure class="whole-image" aria-live="off">
    ${image.thumbnailUrl ? html`<${Marked} path=${image.thumbnailUrl} box=${peak.box} says=${`the whole image ${fileName(image.uri)}, with the receptive field of (${peak.y}, ${peak.x})`} />` : html`<span class="no-picture whole-none" role="img" aria-label="no picture of the whole image"></span>`}
    <figcaption>
      <a href=${href.image(run, image.index)} title=${image.uri}>${fileName(image.uri)}</a>
      <dl>
        ${image.label && html`<dt>label</dt><dd><a href=${href.class(run, image.label.index)}>${image.label.name}</a></dd>`}
        <dt>predicted</dt><dd class=${image.correct === false ? "wrong" : ""}><a href=${href.class(run, image.predicted.index)}>${image.predicted.name}</a></dd>
        <dt>place</dt><dd>${layer} (${peak.y}, ${peak.x})</dd>
        <dt><${Term} word="contribution" /></dt><dd>${number(peak.contribution)}</dd>
        <dt><${Term} word="share" /></dt><dd>${number(peak.share)}</dd>
      </dl>
    </figcaption>
  </figure>`;
}

/** Of the table that stands where there are no pictures. @param {(peak: any) => string} to */
const columns = (to) => [
  { key: "image", title: "Image", cell: (/** @type {any} */ peak) => html`<a href=${to(peak)}>${peak.image.uri}</a>` },
  { key: "label", title: "Label → predicted", cell: (/** @type {any} */ peak) => named(peak.image) },
  { key: "place", title: "Place", cell: (/** @type {any} */ peak) => `(${peak.y}, ${peak.x})` },
  { key: "contribution", title: html`<${Term} word="contribution">Contribution<//>`, numeric: true, cell: (/** @type {any} */ peak) => number(peak.contribution) },
  { key: "feature", title: html`<${Term} word="feature">Feature<//>`, numeric: true, cell: (/** @type {any} */ peak) => number(peak.feature) },
];
