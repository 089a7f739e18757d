// Filters and sorting: which images the gallery shows, and in what order.

import { byId, createElement, facts } from "./facts.js";
import { category, data } from "./data.js";
import { reasonBits, verdictChanged, verdicts } from "./rules.js";
import { reviewOf } from "./reviews.js";
import { groupNames, groupTest } from "./groups.js";

const CATEGORIES = ["domain", "source", "split", "claimed"];
const NO_FILTERS = { verdict: "any", domain: "any", source: "any", split: "any", claimed: "any", group: "any", review: "any" };
const filters = { ...NO_FILTERS, sort: "", order: "ascending" };
let restriction = null; // Set of indices, which the map has encircled; null: all images
const LABELS = { sort: "sort by" };

export function createFilterMenus(onChange) {
  const occurs = (reason) => data.reasons.some((bits) => bits & reasonBits[reason]);
  const menus = {
    verdict: ["any", "accepted", "rejected", ...facts.reasons.filter(occurs), "changed"],
    ...Object.fromEntries(CATEGORIES.map((name) => [name, ["any", ...data.categories[name].values]])),
    group: ["any", ...groupNames()],
    review: ["any", "keep", "drop", "none"],
    sort: ["", ...Object.keys(data.numbers)],
    order: ["ascending", "descending"],
  };
  for (const [name, values] of Object.entries(menus)) {
    if (values.length < 2) continue;
    const options = values.map((value) => createElement("option", { value }, value || "dataset order"));
    const onchange = () => { filters[name] = menu.value; onChange(); };
    const menu = createElement("select", { name, onchange }, ...options);
    byId("filters").append(createElement("label", {}, LABELS[name] ?? name, menu));
  }
}

// Replaces all filters by `wanted`, such as {domain: "masked"}, among all images or those in `among`; the order stays.
export function setFilters(wanted, among = null) {
  restriction = among;
  Object.assign(filters, NO_FILTERS, wanted);
  for (const menu of byId("filters").querySelectorAll("select")) menu.value = filters[menu.name];
}

const verdictTests = {
  any: () => true,
  accepted: (index) => verdicts[index] === 0,
  rejected: (index) => verdicts[index] !== 0,
  changed: verdictChanged,
};

// The indices of the images that pass the filters, in the chosen order.
export function filteredImages() {
  const { verdict, group, review, sort, order } = filters;
  const hasVerdict = verdictTests[verdict] ?? ((index) => verdicts[index] & reasonBits[verdict]);
  const active = CATEGORIES.filter((name) => filters[name] !== "any");
  const indices = [], inGroup = groupTest(group);
  for (let index = 0; index < facts.count; index++)
    if ((!restriction || restriction.has(index)) && hasVerdict(index) && inGroup(index) &&
        active.every((name) => category(name, index) === filters[name]) &&
        (review === "any" || (reviewOf(index) || "none") === review)) indices.push(index);
  const sign = order === "descending" ? -1 : 1;
  if (sort) {
    const values = data.numbers[sort];
    const key = (index) => (Number.isNaN(values[index]) ? Infinity : sign * values[index]); // not measured: last
    indices.sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : a - b));
  } else if (sign < 0) indices.reverse();
  return Uint32Array.from(indices);
}
