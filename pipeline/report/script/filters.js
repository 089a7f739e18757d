// Filters and sorting: which images the gallery shows, and in what order.

import { byId, createElement, facts } from "./facts.js";
import { category, data } from "./data.js";
import { reasonBits, verdictChanged, verdicts } from "./rules.js";
import { reviewOf } from "./reviews.js";
import { groupNames, groupTest } from "./groups.js";
import { imagesNamed } from "./names.js";

const CATEGORIES = ["domain", "source", "split", "claimed"];
const NO_FILTERS = {
  name: "", verdict: "any", domain: "any", source: "any", split: "any", claimed: "any", group: "any", review: "any",
};
const NO_ORDER = { sort: "", order: "ascending" };
const USUAL = { ...NO_FILTERS, ...NO_ORDER };
const filters = { ...USUAL };
const LABELS = { name: "name contains", sort: "sort by" };
let named = null; // Uint8Array: 1 for the images whose name contains filters.name; null: all images
let restriction = null; // {indices, text}: images that the map, a comparison or a likeness has chosen; null: all images

export function createFilterMenus(onChange) {
  const occurs = (reason) => data.reasons.some((bits) => bits & reasonBits[reason]);
  const withNone = (name) => (data.categories[name].codes.includes(0) ? ["none"] : []);
  const menus = {
    verdict: ["any", "accepted", "rejected", ...facts.reasons.filter(occurs), "changed"],
    ...Object.fromEntries(CATEGORIES.map((name) => [name, ["any", ...data.categories[name].values, ...withNone(name)]])),
    group: ["any", ...groupNames()],
    review: ["any", "keep", "drop", "none"],
    sort: ["", ...Object.keys(data.numbers)],
    order: ["ascending", "descending"],
  };
  const field = createElement("input", { type: "search", name: "name", placeholder: "part of the path", spellcheck: "false" });
  field.oninput = () => applyFilters({ name: field.value }).then(onChange);
  const put = (label) => byId("size").parentElement.before(label);
  put(createElement("label", {}, LABELS.name, field));
  for (const [name, values] of Object.entries(menus)) {
    if (values.length < 2 || values.join() === "any,none") continue;
    const options = values.map((value) => createElement("option", { value }, value || "dataset order"));
    const onchange = () => { filters[name] = menu.value; onChange(); };
    const menu = createElement("select", { name, onchange }, ...options);
    put(createElement("label", {}, LABELS[name] ?? name, menu));
  }
  byId("filters").onsubmit = (event) => event.preventDefault();
}

// Sets the filters named in `wanted`. The names of the images are loaded first where one is searched for.
async function applyFilters(wanted) {
  Object.assign(filters, wanted);
  const { name } = filters, found = name ? await imagesNamed(name).catch(() => null) : null;
  if (name === filters.name) named = found; // else more was typed while the names were loaded
}

// Replaces all filters by `wanted`, such as {domain: "masked"}, among all images or those of `among`; the order stays.
export async function setFilters(wanted, among = null) {
  restriction = among;
  const known = Object.entries(wanted).filter(([name]) => Object.hasOwn(USUAL, name));
  await applyFilters({ ...NO_FILTERS, ...Object.fromEntries(known) });
  for (const one of byId("filters").querySelectorAll("select, [name=name]")) {
    one.value = filters[one.name];
    if (one.value !== filters[one.name]) one.value = filters[one.name] = USUAL[one.name]; // a value of another page
  }
}

// The filters and the order that are not the usual ones, by name: what the address of this view keeps.
export const activeFilters = () => Object.fromEntries(Object.entries(filters)
  .filter(([name, value]) => value !== USUAL[name]));

// What restricts the gallery, in words; "" where all images are shown.
export function describeFilters() {
  const parts = Object.entries(activeFilters()).filter(([name]) => Object.hasOwn(NO_FILTERS, name)).map(([name, value]) =>
    (name === "name" ? `name contains “${value}”` : `${name}: ${value}`));
  return [...(restriction ? [restriction.text] : []), ...parts].join(", ");
}

const verdictTests = {
  any: () => true,
  accepted: (index) => verdicts[index] === 0,
  rejected: (index) => verdicts[index] !== 0,
  changed: verdictChanged,
};

// A function of an image's index: does the image pass the filters?
function filterTest() {
  const { verdict, group, review } = filters;
  const hasVerdict = verdictTests[verdict] ?? ((index) => verdicts[index] & reasonBits[verdict]);
  const active = CATEGORIES.filter((name) => filters[name] !== "any"), inGroup = groupTest(group);
  return (index) => (!named || named[index]) && hasVerdict(index) && inGroup(index) &&
    active.every((name) => (category(name, index) || "none") === filters[name]) &&
    (review === "any" || (reviewOf(index) || "none") === review);
}

// The indices of the images that pass the filters, in the chosen order.
export function filteredImages() {
  const { sort, order } = filters, passes = filterTest(), indices = [];
  if (restriction) for (const index of restriction.indices) { if (passes(index)) indices.push(index); }
  else for (let index = 0; index < facts.count; index++) if (passes(index)) indices.push(index);
  const sign = order === "descending" ? -1 : 1;
  if (sort) {
    const values = data.numbers[sort];
    const key = (index) => (Number.isNaN(values[index]) ? Infinity : sign * values[index]); // not measured: last
    indices.sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : a - b));
  } else if (sign < 0) indices.reverse();
  return Uint32Array.from(indices);
}
