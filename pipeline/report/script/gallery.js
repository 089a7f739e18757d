// The gallery: a grid of cells, of which only those near the screen exist, with a selection and a cursor.

import { byId, changes, createElement, facts, formatCount, oncePerFrame } from "./facts.js";
import { data } from "./data.js";
import { reasonsOf, verdicts } from "./rules.js";
import { reviewOf } from "./reviews.js";
import { filteredImages, setFilters } from "./filters.js";
import { createThumbnail, reuseThumbnails } from "./thumbnails.js";

const CELL_PX = 108; // a cell and its gap
const MARGIN_PX = 300; // above and below the screen, where cells exist already

export let shownImages = new Uint32Array(0); // indices; a "position" is a place in here
export const selected = new Set(); // indices
export let cursor = 0; // position
let rangeStart = 0; // position of the last click without Shift
const cells = new Map(); // position -> its element

export const cellsPerRow = () => Math.max(1, Math.floor((byId("grid").clientWidth + 4) / CELL_PX));
export const cursorOrSelected = () => (selected.size ? [...selected] : [...shownImages.slice(cursor, cursor + 1)]);

// Filters anew, and goes to the first image.
export function updateGallery() {
  shownImages = filteredImages();
  selected.clear();
  cursor = rangeStart = 0;
  drawGallery();
}

export function showImages(filters) {
  setFilters(filters);
  updateGallery();
}

// Shows the images in a set of indices, all selected.
export function showEncircled(indices) {
  setFilters({}, indices);
  updateGallery();
  selectAll();
}

function createCell(position, perRow, thumbnail) {
  const index = shownImages[position], isSelected = selected.has(index), review = reviewOf(index);
  const verdict = reasonsOf(verdicts[index]).join(", ") || "accepted";
  const readable = !Number.isNaN(data.numbers.width[index]);
  const classes = ["cell", !verdicts[index] && "kept", isSelected && "selected", position === cursor && "cursor"];
  return createElement(
    "div",
    {
      class: classes.filter(Boolean).join(" "), role: "option", id: `cell-${position}`, title: verdict,
      "aria-selected": String(isSelected), "aria-label": review ? `${verdict}, ${review}` : verdict,
      "data-position": position, "data-index": index,
      style: `left: ${(position % perRow) * CELL_PX}px; top: ${Math.floor(position / perRow) * CELL_PX}px`,
    },
    thumbnail ?? (readable ? createThumbnail(index) : createElement("span", { class: "none" }, "unreadable")),
    review ? createElement("span", { class: `badge ${review}` }, review) : null,
  );
}

// Creates the cells near the screen anew; after a scroll only the missing ones, so that none vanishes under a finger.
export function drawGallery(onlyMissing = false) {
  const grid = byId("grid"), perRow = cellsPerRow(), { top } = grid.getBoundingClientRect();
  grid.style.height = `${Math.ceil(shownImages.length / perRow) * CELL_PX}px`;
  const first = Math.max(0, Math.floor((-top - MARGIN_PX) / CELL_PX)) * perRow;
  const end = Math.min(shownImages.length, (Math.ceil((innerHeight - top + MARGIN_PX) / CELL_PX) + 1) * perRow);
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
    cells.set(position, createCell(position, perRow, thumbnails.get(index)));
    thumbnails.delete(index);
    grid.append(cells.get(position));
  }
  reuseThumbnails([...thumbnails.values()]);
  grid.setAttribute("aria-activedescendant", `cell-${cursor}`);
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
  const top = byId("grid").getBoundingClientRect().top + Math.floor(cursor / cellsPerRow()) * CELL_PX;
  const bar = byId("bar").offsetHeight + 10;
  if (top < bar) scrollBy(0, top - bar);
  else if (top + CELL_PX > innerHeight) scrollBy(0, top + CELL_PX - innerHeight + 10);
  drawGallery();
}

changes.addEventListener("limits", updateGallery);
changes.addEventListener("reviews", () => drawGallery());
addEventListener("resize", oncePerFrame(() => drawGallery()));
addEventListener("scroll", oncePerFrame(() => drawGallery(true)), { passive: true });
