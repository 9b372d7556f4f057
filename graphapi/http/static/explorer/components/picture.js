// Pictures of /media: of a known size before they are there, and what they are where there are none.

import { ROOT } from "../lib/address.js";
import { html, useState } from "../lib/vendor.js";

/** The address of a path that GraphQL gave. @param {string} path */
export const media = (path) => ROOT + path.replace(/^\//, "");

/**
 * @param {object} given
 * @param {string | null | undefined} given.path of GraphQL; null where the run keeps no such picture
 * @param {string} given.says what it shows
 * @param {number} given.size of its side, px
 */
export function Picture({ path, says, size }) {
  const [failed, setFailed] = useState("");
  const style = { width: `${size}px`, height: `${size}px` };
  if (!path || failed === path) return html`<span class="no-picture" style=${style} role="img" aria-label=${`${says}: no picture`} title=${`${says}: the run keeps no picture of it`}></span>`;
  return html`<img class="picture" src=${media(path)} alt=${says} width=${size} height=${size} style=${style} loading="lazy" decoding="async" onError=${() => setFailed(path)} />`;
}
