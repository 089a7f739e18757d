// The table of labels against verdicts: how many images of each label in a file name got which verdict, under the limits
// as they are moved.

import { byId, changes, createElement, facts, formatCount } from "./facts.js";
import { data } from "./data.js";
import { verdicts } from "./rules.js";

// Label -> counts by verdict: {accepted, REASON, ...}, and `images`. An image counts for each of its reasons.
function countVerdicts() {
  const { values, codes } = data.categories.claimed, labels = ["none", ...values];
  const counts = labels.map(() => ({ images: 0, accepted: 0, ...Object.fromEntries(facts.reasons.map((reason) => [reason, 0])) }));
  for (let index = 0; index < facts.count; index++) {
    const row = counts[codes[index]], bits = verdicts[index];
    row.images++;
    if (!bits) row.accepted++;
    for (let rest = bits, place = 0; rest; rest >>>= 1, place++) if (rest & 1) row[facts.reasons[place]]++;
  }
  return labels.map((label, code) => [label, counts[code]]).filter(([, { images }]) => images);
}

function showTable() {
  if (!byId("labels").open) return;
  const rows = countVerdicts();
  const occurring = ["accepted", ...facts.reasons].filter((verdict) => rows.some(([, counts]) => counts[verdict]));
  const createHead = (text) => createElement("th", { class: "upright", scope: "col" }, createElement("span", {}, text));
  const head = createElement("tr", {}, createElement("th", {}, "label"), ...["images", ...occurring].map(createHead));
  const createCell = (label, counts, verdict) => {
    const count = counts[verdict], isExpected = (facts.expected[label] ?? []).includes(verdict);
    const link = createElement("a", {
      href: "#pictures", "data-show": JSON.stringify({ claimed: label, verdict }),
      "aria-label": `${label}, ${verdict}: ${count} images`,
    }, formatCount(count));
    const style = count ? `--share: ${Math.round((100 * count) / counts.images)}%` : null;
    return createElement("td", { class: isExpected ? "n expected" : "n", style }, count ? link : "");
  };
  byId("confusion").replaceChildren(head, ...rows.map(([label, counts]) => createElement("tr", {},
    createElement("th", { scope: "row" }, label), createElement("td", { class: "n" }, formatCount(counts.images)),
    ...occurring.map((verdict) => createCell(label, counts, verdict)))));
}

export function createConfusion() {
  byId("labels").hidden = !data.categories.claimed.values.length;
  byId("labels").addEventListener("toggle", showTable);
  changes.addEventListener("limits", showTable);
}
