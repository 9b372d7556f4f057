// Charts of layers, of one run or of two.

import { Plot } from "../../lib/vendor.js";

/** Okabe and Ito's colours, in the order of layers from the highest down. */
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a949e"];

/** @param {any[]} layers */
export const hasDegrees = (layers) => layers.some((layer) => layer.discriminativeDegree.count > 0);

/** Why there may be none. */
export const NO_DEGREE = "The degree counts edges of images with a label, of channels that have three such edges or more; there are none here.";

/**
 * Histograms of the discriminative degree, a row a layer, the highest first; of two runs side by side.
 * @param {{name: string, layers: any[]}[]} runs @param {number} width
 */
export function degreeChart(runs, width) {
  const bars = runs.flatMap(({ name, layers }) => layers.flatMap((layer) => {
    const total = Math.max(1, layer.discriminativeDegree.count);
    const bins = layer.discriminativeDegree.histogram;
    return bins.map((/** @type {number} */ channels, /** @type {number} */ bin) => ({ run: name, layer: layer.name, from: bin / bins.length, to: (bin + 1) / bins.length, part: channels / total, channels }));
  }));
  const layers = [...new Set(bars.map((bar) => bar.layer))].reverse();
  return {
    height: 60 * layers.length + 50,
    marginLeft: Math.min(130, 16 + 7 * Math.max(4, ...layers.map((name) => name.length))),
    fy: { domain: layers, label: null, axis: "left" },
    x: { domain: [0, 1], label: "degree" },
    y: { axis: null, label: "channels" },
    color: runs.length > 1 ? { domain: runs.map((run) => run.name), range: COLOURS.slice(0, 2), legend: true } : undefined,
    marks: [
      Plot.rectY(bars, { fy: "layer", x1: "from", x2: "to", y: "part", fill: runs.length > 1 ? "run" : COLOURS[0], fillOpacity: runs.length > 1 ? 0.45 : 0.9, insetLeft: 1, insetRight: 1, title: (/** @type {any} */ bar) => `${bar.layer}, degree ${bar.from.toFixed(1)} to ${bar.to.toFixed(1)}: ${bar.channels} channels${runs.length > 1 ? ` of ${bar.run}` : ""}` }),
      Plot.ruleY([0], { stroke: "currentColor", strokeOpacity: 0.3 }),
    ],
    ...(width < 400 && { marginLeft: 70 }),
  };
}

/** Mean share by rank of the layers that are decomposed. @param {any[]} layers */
export function profileChart(layers) {
  const points = layers.flatMap((layer) => layer.profile.shares.map((/** @type {number} */ share, /** @type {number} */ rank) => ({ layer: layer.name, rank: rank + 1, share })));
  const names = layers.map((layer) => layer.name).reverse();
  return {
    height: 320,
    color: { domain: names, range: COLOURS, legend: true },
    x: { label: "rank", ticks: [...new Set(points.map((point) => point.rank))].filter((rank) => rank <= 10 || rank % 10 === 0), tickFormat: "d" },
    y: { label: "mean share", grid: true, zero: true },
    marks: [
      Plot.lineY(points, { x: "rank", y: "share", stroke: "layer", z: "layer" }),
      Plot.dot(points, { x: "rank", y: "share", fill: "layer", title: (/** @type {any} */ point) => `${point.layer}, rank ${point.rank}: ${(point.share * 100).toFixed(1)} %` }),
    ],
  };
}
