// The gallery: a grid of cells, of which only those near the screen exist, with a selection and a cursor.

import { byId, changes, createElement, facts, formatCount, oncePerFrame } from "./facts.js";
import { data } from "./data.js";
import { reasonsOf, verdicts } from "./rules.js";
import { reviewOf } from "./reviews.js";
import { describeFilters, filteredImages, setFilters } from "./filters.js";
import { createThumbnail, reuseThumbnails } from "./thumbnails.js";

const GAP_PX = 4; // between cells
const BORDER_PX = 8 + GAP_PX; // of a cell: border, padding and gap
const MARGIN_PX = 150; // above and below the screen, where cells exist already

export let shownImages = new Uint32Array(0); // indices; a "position" is a place in here
export const selected = new Set(); // indices
export let cursor = 0; // position
export let thumbnailSize = facts.thumbnail.px; // px on the screen, at least
let rangeStart = 0; // position of the last click without Shift
const cells = new Map(); // position -> its element

export const cellsPerRow = () => Math.max(1, Math.floor(byId("grid").clientWidth / (thumbnailSize + BORDER_PX)));
const cellPx = () => Math.floor(byId("grid").clientWidth / cellsPerRow()); // rows are filled
export const cursorOrSelected = () => (selected.size ? [...selected] : [...shownImages.slice(cursor, cursor + 1)]);

// Filters anew, and goes to the first image.
export function updateGallery() {
  shownImages = filteredImages();
  selected.clear();
  cursor = rangeStart = 0;
  drawGallery();
  changes.dispatchEvent(new Event("view"));
}

// Shows the images that pass `filters`, among all or those of `among`: {indices, text}, in their order.
export async function showImages(filters, among = null) {
  await setFilters(filters, among);
  updateGallery();
}

// Shows the images in a set of indices, all selected.
export async function showEncircled(indices) {
  await showImages({}, { indices: [...indices].sort((a, b) => a - b), text: "encircled on the map" });
  selectAll();
}

export function setThumbnailSize(px) {
  byId("size").value = px; // which keeps it within its ends
  thumbnailSize = Number(byId("size").value);
  drawGallery();
  changes.dispatchEvent(new Event("view"));
}

function createCell(position, { perRow, side }, thumbnail) {
  const index = shownImages[position], isSelected = selected.has(index), review = reviewOf(index);
  const verdict = reasonsOf(verdicts[index]).join(", ") || "accepted";
  const readable = !Number.isNaN(data.numbers.width[index]);
  const classes = ["cell", !verdicts[index] && "kept", isSelected && "selected", position === cursor && "cursor"];
  return createElement(
    "div",
    {
      class: classes.filter(Boolean).join(" "), role: "option", id: `cell-${position}`, title: verdict,
      "aria-selected": String(isSelected), "aria-label": review ? `${verdict}, ${review}` : verdict,
      "aria-posinset": position + 1, "aria-setsize": shownImages.length,
      "data-position": position, "data-index": index,
      style: `left: ${(position % perRow) * side}px; top: ${Math.floor(position / perRow) * side}px`,
    },
    thumbnail ?? (readable ? createThumbnail(index) : createElement("span", { class: "none" }, "unreadable")),
    review ? createElement("span", { class: `badge ${review}` }, review) : null,
  );
}

// Creates the cells near the screen anew; after a scroll only the missing ones, so that none vanishes under a finger.
export function drawGallery(onlyMissing = false) {
  const grid = byId("grid"), perRow = cellsPerRow(), side = cellPx(), { top } = grid.getBoundingClientRect();
  grid.style.setProperty("--cell", `${side - GAP_PX}px`);
  grid.style.height = `${Math.ceil(shownImages.length / perRow) * side}px`;
  const first = Math.max(0, Math.floor((-top - MARGIN_PX) / side)) * perRow;
  const end = Math.min(shownImages.length, (Math.ceil((innerHeight - top + MARGIN_PX) / side) + 1) * perRow);
  const thumbnails = new Map(); // of the removed cells: used again, as loading them again would flicker
  for (const [position, cell] of cells) {
    if (onlyMissing && position >= first && position < end) continue;
    thumbnails.set(Number(cell.dataset.index), cell.firstChild);
    cell.remove();
    cells.delete(position);
  }
  for (let position = first; position < end; position++) {
    if (cells.has(position)) continue;
    const index = shownImages[position];
    cells.set(position, createCell(position, { perRow, side }, thumbnails.get(index)));
    thumbnails.delete(index);
    grid.append(cells.get(position));
  }
  reuseThumbnails([...thumbnails.values()]);
  grid.setAttribute("aria-activedescendant", `cell-${cursor}`);
  showCounts();
}

// How many images are shown, and why not all; where none is, how to see them again.
function showCounts() {
  const why = describeFilters();
  byId("nothing").hidden = shownImages.length > 0;
  byId("nothing-why").textContent = why;
  byId("clear-filters").hidden = !why;
  const counts = `${formatCount(shownImages.length)} of ${formatCount(facts.count)} images`;
  byId("shown").textContent = selected.size ? `${counts}, ${formatCount(selected.size)} selected` : counts;
}

// Selects the image at a position: alone, added or removed ("toggle"), or with all from the last one on ("range").
export function selectAt(position, mode = "alone") {
  if (position < 0 || position >= shownImages.length) return;
  const index = shownImages[position];
  if (mode === "alone") selected.clear();
  if (mode === "range") {
    const [start, end] = [rangeStart, position].sort((a, b) => a - b);
    for (const one of shownImages.subarray(start, end + 1)) selected.add(one);
  } else {
    if (!selected.delete(index)) selected.add(index);
    rangeStart = position;
  }
  cursor = position;
  drawGallery();
}

export function selectAll() {
  for (const index of shownImages) selected.add(index);
  drawGallery();
}

export function selectNone() {
  selected.clear();
  drawGallery();
}

// Moves the cursor, and scrolls to where it is.
export function moveCursor(steps) {
  cursor = Math.min(shownImages.length - 1, Math.max(0, cursor + steps));
  const top = byId("grid").getBoundingClientRect().top + Math.floor(cursor / cellsPerRow()) * cellPx();
  const bar = byId("bar").offsetHeight + 10;
  if (top < bar) scrollBy(0, top - bar);
  else if (top + cellPx() > innerHeight) scrollBy(0, top + cellPx() - innerHeight + 10);
  drawGallery();
}

changes.addEventListener("limits", updateGallery);
changes.addEventListener("reviews", () => drawGallery());
addEventListener("resize", oncePerFrame(() => drawGallery()));
document.addEventListener("toggle", () => drawGallery(), true); // a fold above moves the gallery
addEventListener("scroll", oncePerFrame(() => drawGallery(true)), { passive: true });
