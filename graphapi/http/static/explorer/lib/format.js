// Numbers as people read them.

/** "97.1 %". @param {number | null | undefined} value in 0..1 @param {number} [digits] */
export const percent = (value, digits = 1) => (value === null || value === undefined ? "-" : `${(value * 100).toFixed(digits)} %`);

/** "18,240". @param {number | null | undefined} value */
export const count = (value) => (value === null || value === undefined ? "-" : value.toLocaleString("en-US"));

/** Three significant digits: "0.216", "12.4", "1,240", "3.2e-12". @param {number | null | undefined} value */
export function number(value) {
  if (value === null || value === undefined) return "-";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3) return value.toExponential(1);
  if (size >= 1000) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(3)));
}

/** "70 of 70 decisions". @param {number} part @param {number} whole @param {string} of plural */
export const outOf = (part, whole, of) => `${count(part)} of ${count(whole)} ${of}`;

/** "4 of 66 images". @param {number} part @param {number} whole */
export const imagesOf = (part, whole) => outOf(part, whole, whole === 1 ? "image" : "images");

/** The last part of a uri. @param {string} uri */
export const fileName = (uri) => uri.slice(uri.lastIndexOf("/") + 1);

/** A text that is too long, with a mark where it was cut. @param {string} text @param {number} most characters */
export const cut = (text, most) => (text.length <= most ? text : `${text.slice(0, Math.max(1, most - 1)).trimEnd()}…`);
