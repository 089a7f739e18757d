// The end: what the pictures were, and which ones fooled the person.

import { byId, createElement, formatCount } from "./facts.js";
import { loadResult, pictureAddress } from "./server.js";
import { showOnly, showProblem } from "./ballot.js";

const DIRECTIONS = { mask: "mask put on", unmask: "mask taken off" };
const REAL = { mask: "real, with a mask", unmask: "real, without one" };

export async function showResult(voter) {
  try {
    const { pictures, checks, excluded } = await loadResult(voter);
    showProblem(null);
    showEnd(pictures, checks, excluded);
  } catch (error) {
    showProblem(error);
  }
}

function showEnd(pictures, checks, excluded) {
  const made = pictures.filter(({ kind }) => kind === "made"), fooled = made.filter(({ vote }) => vote === "real");
  byId("fooled").textContent = `${formatCount(fooled.length)} of ${formatCount(made.length)} made pictures fooled you`;
  byId("excluded").textContent = `You called ${formatCount(checks.missed)} of ${formatCount(checks.seen)} plainly made ` +
    "pictures real. Your votes are kept, but they do not count in the result.";
  byId("excluded").hidden = !excluded;
  byId("table").replaceChildren(...tableRows(pictures));
  const mistaken = pictures.filter(({ kind, vote }) => kind === "real" && vote === "made");
  const caught = made.filter(({ vote }) => vote === "made");
  byId("galleries").replaceChildren(
    gallery("Made, and you called them real", fooled, true),
    gallery("Real, and you called them made", mistaken, false),
    gallery("Made, and you saw it", caught, false),
  );
  showOnly("end");
  scrollTo(0, 0);
}

const nameOf = ({ kind, method, direction }) =>
  (kind === "made" ? `${method}, ${DIRECTIONS[direction]}` : REAL[direction]);

function tableRows(pictures) {
  const groups = new Map();
  for (const picture of pictures.filter(({ kind }) => kind !== "check")) {
    const name = nameOf(picture);
    groups.set(name, [...(groups.get(name) ?? []), picture.vote === "real"]);
  }
  const head = createElement("tr", {}, createElement("th", {}, "pictures"),
    createElement("th", { class: "n" }, "you called real"));
  const rows = [...groups].sort(([a], [b]) => a.localeCompare(b)).map(([name, votes]) => {
    const real = votes.filter(Boolean).length;
    return createElement("tr", {}, createElement("td", {}, name), createElement("td", { class: "n" },
      `${formatCount(real)} of ${formatCount(votes.length)} (${Math.round(100 * real / votes.length)} %)`));
  });
  return [head, ...rows];
}

function gallery(title, pictures, open) {
  const figures = pictures.map((picture) => createElement("figure", {},
    createElement("img", { src: pictureAddress(picture.number), alt: nameOf(picture), loading: "lazy" }),
    createElement("figcaption", {}, nameOf(picture))));
  return createElement("details", { open }, createElement("summary", {}, `${title} (${formatCount(pictures.length)})`),
    createElement("div", { class: "gallery" }, ...figures));
}
