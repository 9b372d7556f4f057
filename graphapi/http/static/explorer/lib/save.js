// What is on the screen as files: tables as CSV, drawings as SVG or PNG.

/** @param {Blob} content @param {string} name */
export function saved(content, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/**
 * RFC 4180, with the columns of the first row.
 * @param {Record<string, unknown>[]} rows
 */
export function csv(rows) {
  const columns = Object.keys(rows[0] ?? {});
  /** @param {unknown} value */
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows.map((row) => columns.map((column) => row[column]))].map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n";
}

const PROPERTIES = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "opacity", "font-family", "font-size", "font-weight", "text-anchor", "dominant-baseline", "paint-order", "visibility", "display"];

/**
 * A drawing that needs nothing else: styles written out, pictures inside.
 * @param {SVGSVGElement} svg as shown
 * @returns {Promise<string>}
 */
export async function standalone(svg) {
  const copy = /** @type {SVGSVGElement} */ (svg.cloneNode(true));
  const from = [svg, ...svg.querySelectorAll("*")];
  const to = [copy, ...copy.querySelectorAll("*")];
  from.forEach((element, place) => {
    const style = getComputedStyle(element);
    for (const name of PROPERTIES) {
      const value = style.getPropertyValue(name);
      if (value) to[place].setAttribute(name, value);
    }
  });
  for (const element of copy.querySelectorAll("style, title[data-screen]")) element.remove();
  const box = svg.getBoundingClientRect();
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  if (!copy.hasAttribute("viewBox")) copy.setAttribute("viewBox", `0 0 ${box.width} ${box.height}`);
  copy.setAttribute("width", String(box.width));
  copy.setAttribute("height", String(box.height));
  await Promise.all([...copy.querySelectorAll("image")].map(async (image) => {
    const url = image.getAttribute("href");
    if (url && !url.startsWith("data:")) image.setAttribute("href", await dataUri(url));
  }));
  return new XMLSerializer().serializeToString(copy);
}

/** @param {string} url @returns {Promise<string>} */
async function dataUri(url) {
  const content = await (await fetch(url)).blob();
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(String(reader.result));
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(content);
  });
}

/** @param {SVGSVGElement} svg @param {string} name without its ending */
export async function saveSvg(svg, name) {
  saved(new Blob([await standalone(svg)], { type: "image/svg+xml" }), `${name}.svg`);
}

/** Twice the size on the screen, on the page's ground. @param {SVGSVGElement} svg @param {string} name without its ending */
export async function savePng(svg, name) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(await standalone(svg))}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.width * 2;
  canvas.height = image.height * 2;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.fillStyle = getComputedStyle(document.body).backgroundColor;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((content) => content && saved(content, `${name}.png`), "image/png");
}
