import { html } from "../../lib/vendor.js";

export function Page() {
  return html`<h1>run</h1>`;
}
