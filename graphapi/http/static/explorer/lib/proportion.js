// Intervals of proportions.

const Z = 1.959964; // of the normal distribution, for 95 %

/**
 * Wilson's interval of 95 % of a proportion.
 * @param {number} part @param {number} whole above 0
 * @returns {[number, number]}
 */
export function wilson(part, whole) {
  const rate = part / whole;
  const spread = Z * Math.sqrt((rate * (1 - rate)) / whole + (Z * Z) / (4 * whole * whole));
  const middle = rate + (Z * Z) / (2 * whole);
  const scale = 1 + (Z * Z) / whole;
  return [Math.max(0, (middle - spread) / scale), Math.min(1, (middle + spread) / scale)];
}
