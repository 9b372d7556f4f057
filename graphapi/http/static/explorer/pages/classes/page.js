import { html } from "../../lib/vendor.js";

export function Page() {
  return html`<h1>classes</h1>`;
}
