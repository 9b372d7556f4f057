import { html } from "../../lib/vendor.js";

export function Page() {
  return html`<h1>failures</h1>`;
}
