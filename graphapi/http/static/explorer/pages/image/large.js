// The picture large, with the activation map and the receptive field of the node in focus.

import { setState } from "../../lib/address.js";
import { html, useEffect, useRef, useState } from "../../lib/vendor.js";
import { media } from "../../components/picture.js";
import { cellName } from "./card.js";

/** @param {{image: any, view: import("./view.js").View | null, aspect: number}} given */
export function Large({ image, view, aspect }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const [plain, setPlain] = useState(false);
  const close = () => setState({ large: null }, { replace: true });
  useEffect(() => {
    if (!dialog.current?.open) dialog.current?.showModal();
  }, []);
  const cell = view?.focused && view.focused.depth > 0 ? view.focused : null;
  const map = cell && view ? view.mapOf(cell.members[0].key) : null;
  const box = cell?.members[0].box;
  const [width, height] = aspect >= 1 ? [100, 100 / aspect] : [100 * aspect, 100];
  return html`<dialog class="large" ref=${dialog} aria-label=${`the picture ${image.uri}`} onCancel=${(/** @type {Event} */ event) => { event.preventDefault(); close(); }} onClick=${(/** @type {Event} */ event) => event.target === dialog.current && close()}>
    <div class="large-in">
      <svg viewBox=${`0 0 ${width} ${height}`} role="img" aria-label=${cell ? `${cellName(cell)} over ${image.uri}` : image.uri}>
        <image width=${width} height=${height} preserveAspectRatio="none" href=${media(map && !plain ? map : image.thumbnailUrl)} />
        ${box && html`<rect class="field" vector-effect="non-scaling-stroke" x=${box.x * width} y=${box.y * height} width=${box.width * width} height=${box.height * height} />`}
      </svg>
      <p>${cell ? html`<b>${cellName(cell)}</b> <span class="dim">box: its receptive field</span>` : html`<span class="dim">${image.uri}: a node in focus shows its activation here</span>`}</p>
      <div class="choices">${map && html`<button type="button" aria-pressed=${!plain} onClick=${() => setPlain(false)}>Activation</button><button type="button" aria-pressed=${plain} onClick=${() => setPlain(true)}>Picture</button>`}
        <span class="grow"></span><button type="button" onClick=${close}>Close</button></div>
    </div>
  </dialog>`;
}
