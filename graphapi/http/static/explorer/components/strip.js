// Images in a row that wraps: each a picture that leads to its page, with what was decided.

import { href } from "../lib/address.js";
import { fileName, percent } from "../lib/format.js";
import { html } from "../lib/vendor.js";
import { Picture } from "./picture.js";

const NAME_PX = 200;

/** What a query asks of each image that a strip shows. */
export const IMAGE_FIELDS = "index uri thumbnailUrl probability correct label { index name } predicted { index name }";

/**
 * @param {object} given
 * @param {string} given.run @param {any[]} given.images with IMAGE_FIELDS
 * @param {string} given.says what the images are, for those who hear it
 * @param {number} [given.size] of a picture's side, px
 * @param {Record<string, unknown>} [given.state] of the image's page
 */
export function Strip({ run, images, says, size = 96, state }) {
  // A run keeps pictures of all its images or of none.
  const pictured = images.some(({ thumbnailUrl }) => thumbnailUrl);
  return html`<ul class="strip" aria-label=${says}>${images.map((image) => html`<li key=${image.index} style=${{ width: `${pictured ? size : NAME_PX}px` }}>
    <a href=${href.image(run, image.index, state)} title=${`${image.uri}: ${decided(image)}`}>
      ${pictured && html`<${Picture} path=${image.thumbnailUrl} says=${`${fileName(image.uri)}: ${decided(image)}`} size=${size} />`}
      <span class="cut">${fileName(image.uri)}</span></a>
    <span class=${image.correct === false ? "cut wrong" : "cut dim"} title=${decided(image)}>${percent(image.probability, 0)} ${image.correct === true ? "right" : image.predicted.name}</span>
  </li>`)}</ul>`;
}

/** @param {any} image */
function decided({ label, predicted, correct, probability }) {
  const sure = percent(probability, 0);
  if (!label) return `predicted as ${predicted.name} (${sure}), no label`;
  return correct ? `${label.name}, rightly predicted (${sure})` : `${label.name}, predicted as ${predicted.name} (${sure})`;
}
