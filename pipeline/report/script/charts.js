// Charts: histograms of measurements with their limits on sliders, what moved limits change, and the training's losses.

import { byId, changes, createElement, createSvg, facts, formatCount, formatNumber } from "./facts.js";
import { category } from "./data.js";
import { limitTest, measurements, movedLimits, setLimit, thresholds, verdictChanged, verdicts } from "./rules.js";

const WIDTH = 360, HEIGHT = 90, TEXT_HEIGHT = 14, BARS = 60;
const WITHOUT_LIMIT = [
  { measurement: "brightness", low: 0, high: 255, unit: "grey levels" },
  { measurement: "skin_tone", low: -90, high: 90, unit: "degrees" },
  { measurement: "mask_lightness", low: 0, high: 100, unit: "CIELAB L*" },
  { measurement: "cover_face", low: 0, high: 1, unit: "" },
  { measurement: "dup_similarity", low: 0.5, high: 1, unit: "" },
];

const createChart = (label, ...children) => createSvg("svg",
  { viewBox: `0 0 ${WIDTH} ${HEIGHT + TEXT_HEIGHT}`, role: "img", "aria-label": label }, ...children,
  createSvg("line", { class: "axis", x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT }));
const createText = (x, y, anchor, text) => createSvg("text", { x, y, "text-anchor": anchor }, text);
const fraction = (value, { low, high }) => Math.min(1, Math.max(0, (value - low) / (high - low)));

// How many images of each domain are in each bar of a histogram.
function countBars(range) {
  const values = measurements(range);
  const counts = { masked: new Uint32Array(BARS), unmasked: new Uint32Array(BARS) };
  for (let index = 0; index < facts.count; index++) {
    const value = range.absolute ? Math.abs(values[index]) : values[index], domain = category("domain", index);
    if (Number.isNaN(value) || (range.domain && domain !== range.domain)) continue;
    counts[domain][Math.min(BARS - 1, Math.floor(fraction(value, range) * BARS))]++;
  }
  return counts;
}

function drawHistogram(range) {
  const counts = countBars(range), totals = counts.masked.map((count, bar) => count + counts.unmasked[bar]);
  const highest = Math.max(1, ...totals), width = WIDTH / BARS;
  const edge = (bar) => formatNumber(range.low + (bar * (range.high - range.low)) / BARS);
  const chart = createChart(`Histogram of ${range.measurement}`);
  totals.forEach((total, bar) => {
    const barHeight = Math.max(2, Math.sqrt(total / highest) * (HEIGHT - 4)); // square roots: small counts stay visible
    let bottom = HEIGHT;
    for (const domain of ["masked", "unmasked"]) {
      const count = counts[domain][bar];
      if (!count) continue;
      const height = (count / total) * barHeight;
      bottom -= height;
      chart.append(createSvg("rect", { class: domain, x: bar * width, y: bottom, width: width - 0.7, height },
        createSvg("title", {}, `${edge(bar)} to ${edge(bar + 1)}: ${formatCount(count)} ${domain}`)));
    }
  });
  chart.append(createText(0, HEIGHT + 11, "start", formatNumber(range.low)),
    createText(WIDTH, HEIGHT + 11, "end", formatNumber(range.high)));
  return chart;
}

function createHistogram(range) {
  const output = createElement("output"), name = range.key ?? range.measurement;
  const heading = createElement("h3", {}, createElement("span", {}, name), output);
  const chart = drawHistogram(range), note = createElement("p", { class: "quiet" }, range.unit ? `${range.unit}, no limit` : "no limit");
  const box = createElement("div", { class: "histogram" }, heading, chart);
  if (range.key) box.append(addLimit(range, chart, output, note));
  box.append(note);
  return box;
}

// Draws a limit into its histogram, and returns the slider that moves it.
function addLimit(limit, chart, output, note) {
  const beyond = createSvg("rect", { class: "beyond", y: 0, height: HEIGHT });
  const line = createSvg("line", { class: "limit", y1: 0, y2: HEIGHT });
  const start = WIDTH * fraction(limit.threshold, limit);
  chart.append(beyond, createSvg("line", { class: "before", x1: start, x2: start, y1: 0, y2: HEIGHT }), line);
  const span = limit.high - limit.low;
  const slider = createElement("input", {
    type: "range", min: limit.low, max: limit.high, step: span <= 1 ? 0.01 : span <= 100 ? 0.5 : 1,
    "aria-label": limit.key, oninput: () => setLimit(limit.key, Number(slider.value)),
  });
  const update = () => {
    const threshold = thresholds[limit.key], x = WIDTH * fraction(threshold, limit);
    const before = threshold === limit.threshold ? "" : `${formatNumber(limit.threshold)} → `;
    output.textContent = `${before}${formatNumber(threshold)} ${limit.unit}`;
    if (Number(slider.value) !== threshold) slider.value = threshold;
    for (const name of ["x1", "x2"]) line.setAttribute(name, x);
    beyond.setAttribute("x", limit.side === "min" ? 0 : x);
    beyond.setAttribute("width", limit.side === "min" ? x : WIDTH - x);
    const isBeyond = limitTest(limit);
    let count = 0;
    for (let index = 0; index < facts.count; index++) if (isBeyond(index)) count++;
    note.textContent = `${limit.reason}: ${formatCount(count)} ${count === 1 ? "image" : "images"}`;
  };
  changes.addEventListener("limits", update);
  update();
  return slider;
}

// Which verdicts the moved limits change, and the lines for params.yaml.
function showMovedLimits() {
  const moved = movedLimits();
  let kept = 0, rejected = 0;
  for (let index = 0; index < facts.count; index++)
    if (verdictChanged(index)) verdicts[index] === 0 ? kept++ : rejected++;
  byId("moved").hidden = moved.length === 0;
  byId("moved-count").textContent = `${formatCount(kept + rejected)} images would change: ` +
    `${formatCount(kept)} would be kept, ${formatCount(rejected)} would be rejected.`;
  byId("moved-lines").textContent = ["curate:", ...moved.map(({ key }) => `  ${key}: ${thresholds[key]}`)].join("\n");
}

function createLossCurve(name, points) {
  const highest = Math.max(...points.map(([, loss]) => loss)) || 1, end = points.at(-1)[0] || 1;
  const path = points.map(([seen, loss]) => `${(seen / end) * WIDTH},${HEIGHT - (loss / highest) * (HEIGHT - 6)}`);
  const chart = createChart(`${name} during training`,
    createSvg("polyline", { class: "curve", points: path.join(" ") }),
    createText(0, HEIGHT + 11, "start", "0"), createText(WIDTH, HEIGHT + 11, "end", `${formatCount(end)} images`),
    createText(WIDTH, 9, "end", `highest: ${formatNumber(highest)}`));
  return createElement("div", {}, createElement("h3", {}, name), chart);
}

// The charts are drawn when their fold is first opened: for 200,000 images they take a quarter of a second.
export function createCharts() {
  const losses = Object.entries(facts.losses);
  byId("limits").addEventListener("toggle", () =>
    byId("histograms").append(...[...facts.limits, ...WITHOUT_LIMIT].map(createHistogram)), { once: true });
  byId("model")?.addEventListener("toggle", () =>
    byId("losses").append(...losses.map(([name, points]) => createLossCurve(name, points))), { once: true });
  changes.addEventListener("limits", showMovedLimits);
}
