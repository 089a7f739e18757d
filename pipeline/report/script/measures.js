// The table of an opened image: what was measured, beside its limit, and where the image comes from.

import { createElement, facts, formatNumber } from "./facts.js";
import { category, data } from "./data.js";
import { limitApplies, limitTest, measurements, thresholds } from "./rules.js";

// The limits of one image: a row each, those that are not met first and marked.
function createLimits(index) {
  const known = facts.limits.filter((limit) => limitApplies(limit, index) && !Number.isNaN(measurements(limit)[index]));
  const rows = known.map((limit) => {
    const isBeyond = limitTest(limit)(index), value = measurements(limit)[index];
    const bound = `${limit.side === "min" ? "at least" : "at most"} ${formatNumber(thresholds[limit.key])}`;
    const cells = [
      createElement("td", {}, limit.measurement, isBeyond ? createElement("span", { class: "meaning" }, limit.reason) : null),
      createElement("td", { class: "n" }, formatNumber(limit.absolute ? Math.abs(value) : value)),
      createElement("td", { class: "n" }, bound),
      createElement("td", { "aria-label": isBeyond ? "not met" : "met" }, isBeyond ? "✗" : "✓"),
    ];
    return [isBeyond, createElement("tr", { class: isBeyond ? "beyond-limit" : null, "data-limit": limit.key }, ...cells)];
  });
  const sorted = [...rows.filter(([isBeyond]) => isBeyond), ...rows.filter(([isBeyond]) => !isBeyond)];
  const heads = [["measured"], ["value", "n"], ["limit", "n"], ["met"]].map(([text, kind]) =>
    createElement("th", { class: kind ?? null }, text));
  return sorted.length ? createElement("table", { class: "limits" },
    createElement("tr", {}, ...heads), ...sorted.map(([, row]) => row)) : null;
}

const createRow = ([name, value]) => createElement("tr", {},
  createElement("td", {}, name), createElement("td", { class: "n" }, value));
const createRows = (pairs) => createElement("table", { class: "details" },
  ...pairs.filter(([, value]) => value).map(createRow));

export function createTables(index, details) {
  const categories = ["domain", "source", "split", "claimed"].map((name) => [name, category(name, index)]);
  const numbers = Object.entries(data.numbers).filter(([, values]) => !Number.isNaN(values[index]))
    .map(([name, values]) => [name, formatNumber(values[index])]);
  const others = ["path", "bytes", "ffhq_id", "licence", "author", "url", "archive"]
    .map((name) => [name, String(details[name] ?? "")]);
  return [
    createLimits(index),
    createElement("h3", {}, "Where it is from"), createRows([...categories, ...others]),
    createElement("details", {}, createElement("summary", {}, "All measurements"), createRows(numbers)),
  ].filter(Boolean);
}
