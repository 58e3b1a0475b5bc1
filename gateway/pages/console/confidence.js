// What a confidence means, and how it is drawn.
import { h } from "./dom.js";
import { labelled, text } from "./i18n.js";

/** Confidences and the part of impostor pairs that reaches them, by docs/confidence.md. */
const RATES = [
  [45, 0.12],
  [65, 0.013],
  [80, 1e-3],
  [90, 1e-4],
  [95, 1e-5],
  [97, 1e-6],
];

const MARKS = [80, 90, 95];

/** Where 80 is on a bar, in percent: what matters is above, so it gets more room. */
const LIKE_STRANGERS = 40;

/** Return the part of impostor pairs that reaches a confidence: between the measured ones by the logarithm. */
export function strangerRate(confidence) {
  if (confidence <= RATES[0][0]) return RATES[0][1];
  for (const [number, [upper, rate]] of RATES.entries()) {
    if (number === 0 || confidence > upper) continue;
    const [lower, former] = RATES[number - 1];
    const part = (confidence - lower) / (upper - lower);
    return Math.exp((1 - part) * Math.log(former) + part * Math.log(rate));
  }
  return RATES.at(-1)[1];
}

/** Return what a confidence means among that many faces. */
export function meaning(confidence, faces) {
  if (faces === null || faces === 0) return text("meaning-unknown");
  const expected = strangerRate(confidence) * faces;
  if (expected >= 1) return text("meaning-each", { faces, strangers: rounded(expected) });
  const searches = rounded(1 / expected);
  return text(confidence > RATES.at(-1)[0] ? "meaning-rare" : "meaning-searches", { faces, searches });
}

/** Return a bar for a confidence, with the marks of 80, 90 and 95. */
export function bar(confidence) {
  const root = h("div", { class: `bar ${level(confidence)}`, role: "img" });
  labelled(root, "aria-label", "confidence-of", { confidence });
  const filled = h("span", { class: "filled" });
  filled.style.width = `${place(confidence)}%`;
  root.append(filled);
  for (const mark of MARKS) {
    const line = h("span", { class: "mark" }, h("i", {}, String(mark)));
    line.style.left = `${place(mark)}%`;
    root.append(line);
  }
  return root;
}

/** Return the place of a confidence on a bar, in percent. */
function place(confidence) {
  if (confidence < MARKS[0]) return (confidence / MARKS[0]) * LIKE_STRANGERS;
  return LIKE_STRANGERS + ((confidence - MARKS[0]) / (100 - MARKS[0])) * (100 - LIKE_STRANGERS);
}

/** Return the class of a confidence: sure, likely, unsure or strange. */
export function level(confidence) {
  if (confidence >= 95) return "sure";
  if (confidence >= 90) return "likely";
  return confidence >= 80 ? "unsure" : "strange";
}

/** Return a number with two digits that matter. */
function rounded(number) {
  return number < 10 ? Math.round(number * 10) / 10 : Number(number.toPrecision(2));
}
