// The table behind a drawing, made when it is opened.

import { html, useState } from "../lib/vendor.js";

/** @param {{children: () => unknown}} given */
export function Behind({ children }) {
  const [open, setOpen] = useState(false);
  return html`<details class="behind" onToggle=${(/** @type {any} */ event) => setOpen(event.currentTarget.open)}><summary>As a table</summary>${open && children()}</details>`;
}
