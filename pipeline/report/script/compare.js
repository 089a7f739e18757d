// Two runs compared: which images changed sides, and why. The other run is read from its file index.data/run.js.

import { byId, createElement, facts, formatCount, hasOtherRun } from "./facts.js";
import { data } from "./data.js";
import { decodeRun, loadRun } from "./names.js";
import { reasonsOf } from "./rules.js";
import { showImages } from "./gallery.js";
import { leaveSheet } from "./panel.js";

let otherRun = null; // {made, reasonsAt: own index -> reasons in the other run, undefined where it has no such image}

// What the other run says of an image, in words; null where none is compared.
export function verdictInOtherRun(index) {
  if (!otherRun) return null;
  const reasons = otherRun.reasonsAt(index);
  return `In the other run, of ${otherRun.made}: ${reasons ? reasons.join(", ") || "accepted" : "not there"}`;
}

// The run in the text of a run.js, which is data: it is parsed, not executed.
function parseRun(text) {
  const found = /^facemask\.run\((.*)\)\s*$/s.exec(text);
  if (!found) throw new Error("this is not the run.js of a facemask page: choose index.data/run.js beside the other page");
  return decodeRun(JSON.parse(found[1]));
}

// A function of an image's index on this page: its reasons in the other run; undefined where it has no such image.
function reasonsInRun(run, ownIds) {
  const indices = new Map(run.ids.map((id, index) => [id, index]));
  return (index) => {
    const other = indices.get(ownIds[index]);
    return other === undefined ? undefined : run.reasonNames.filter((_, place) => (run.reasons[other] >>> place) & 1);
  };
}

// What happened -> reason -> indices. The reason "" is for all; an image is listed under each of its reasons.
function groupChanges(reasonsAt) {
  const groups = { "kept now": {}, "rejected now": {}, "rejected in both, for other reasons": {}, "only in this run": {} };
  for (let index = 0; index < facts.count; index++) {
    const before = reasonsAt(index), now = reasonsOf(data.reasons[index]);
    const add = (what, reasons = []) => { for (const reason of ["", ...reasons]) (groups[what][reason] ??= []).push(index); };
    if (!before) add("only in this run");
    else if (before.length && !now.length) add("kept now", before);
    else if (!before.length && now.length) add("rejected now", now);
    else if (before.join() !== now.join()) add("rejected in both, for other reasons", now.filter((one) => !before.includes(one)));
  }
  return groups;
}

function createChangeRows(groups) {
  const rows = [];
  for (const [what, byReason] of Object.entries(groups))
    for (const [reason, indices] of Object.entries(byReason)) {
      const why = what === "kept now" ? `was ${reason}` : reason, text = reason ? `${what}: ${why}` : what;
      const onclick = (event) => {
        event.preventDefault();
        leaveSheet();
        showImages({}, { indices, text });
      };
      const link = createElement("a", { href: "#pictures", onclick, "aria-label": `${text}: ${indices.length} images` },
        formatCount(indices.length));
      rows.push(createElement("tr", {}, createElement("td", {}, reason ? "" : what),
        createElement("td", {}, reason ? why : ""), createElement("td", { class: "n" }, link)));
    }
  return rows;
}

function createParameterRows(before, now) {
  const show = (value) => (value === undefined ? "–" : JSON.stringify(value));
  const names = [...new Set([...Object.keys(before), ...Object.keys(now)])];
  return names.filter((name) => show(before[name]) !== show(now[name]))
    .map((name) => createElement("li", {}, `curate.${name}: ${show(before[name])} → ${show(now[name])}`));
}

// Compares this page's run with another one, and shows what differs.
export async function compareWith(text) {
  const run = parseRun(text), own = await loadRun(), known = new Set(own.ids);
  otherRun = { made: run.made, reasonsAt: reasonsInRun(run, own.ids) };
  const rows = createChangeRows(groupChanges(otherRun.reasonsAt));
  const gone = run.ids.filter((id) => !known.has(id)).length, limits = createParameterRows(run.thresholds, own.thresholds);
  byId("compared").replaceChildren(
    createElement("p", {}, `The other run, of ${run.made}, has ${formatCount(run.ids.length)} images` +
      `${gone ? `; ${formatCount(gone)} of them are not here` : ""}.`),
    rows.length ? createElement("table", {}, ...rows) : createElement("p", {}, "No verdict changed."),
    createElement("h3", {}, "Parameters that differ, other run → this run"),
    limits.length ? createElement("ul", {}, ...limits)
      : createElement("p", {}, "None. Verdicts changed because of measurements, reviews, or other images."));
}

export function createComparison() {
  const compare = async (read) => {
    try {
      await compareWith(await read());
    } catch (error) {
      otherRun = null;
      byId("compared").replaceChildren(error.message);
    }
  };
  byId("other-run").onchange = () => compare(() => byId("other-run").files[0].text());
  if (!hasOtherRun) return;
  byId("compare").open = true;
  compare(async () => (await fetch("against")).text());
}
