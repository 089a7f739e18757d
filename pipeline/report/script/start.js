// Start: mouse, touch and keyboard, and the calls from the data's scripts.

import { byId } from "./facts.js";
import { receiveColumns, receiveDetails } from "./data.js";
import { receiveRun } from "./names.js";
import { resetLimits, setLimit, verdicts } from "./rules.js";
import { downloadReviews, loadReviews, redoReview, setReview, undoReview } from "./reviews.js";
import { createFilterMenus } from "./filters.js";
import {
  cellsPerRow, cursor, cursorOrSelected, moveCursor, selectAll, selectAt, selectNone, setThumbnailSize, showImages,
  shownImages, updateGallery,
} from "./gallery.js";
import { listenToLargeView, openLargeView } from "./large_view.js";
import { createMap, encircleNone, imagesOnMap, pointOf, reviewEncircled } from "./map.js";
import { createCharts } from "./charts.js";
import { createPanel, leaveSheet } from "./panel.js";
import { createConfusion } from "./confusion.js";
import { createComparison } from "./compare.js";
import { receiveSimilar } from "./similar.js";
import { keepViewInAddress, restoreView } from "./address.js";

const LONG_PRESS_MS = 500;
const ACTIONS = { // names: data-do of the toolbar's buttons
  keep: () => setReview(cursorOrSelected(), "keep"),
  drop: () => setReview(cursorOrSelected(), "drop"),
  clear: () => setReview(cursorOrSelected(), ""),
  all: selectAll,
  none: selectNone,
  undo: undoReview,
  redo: redoReview,
};
const ACTION_KEYS = { k: "keep", d: "drop", u: "clear", a: "all", Escape: "none" };

function listenToGallery() {
  const grid = byId("grid"), positionOf = (event) => Number(event.target.closest(".cell")?.dataset.position ?? -1);
  grid.onclick = (event) => {
    const position = positionOf(event);
    // No dblclick: the first click replaces the cell, so that the second is on another element.
    if (event.detail === 2 && position >= 0) openLargeView(shownImages[position]);
    else selectAt(position, event.shiftKey ? "range" : event.ctrlKey || event.metaKey ? "toggle" : "alone");
  };
  grid.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const row = cellsPerRow(), all = shownImages.length;
    const steps = {
      ArrowRight: 1, ArrowLeft: -1, ArrowDown: row, ArrowUp: -row,
      PageDown: 4 * row, PageUp: -4 * row, Home: -all, End: all,
    };
    if (event.key in steps) {
      moveCursor(steps[event.key]);
      if (event.shiftKey) selectAt(cursor, "range");
    } else if (event.key === " ") selectAt(cursor, "toggle");
    else if (event.key === "Enter" && all) openLargeView(shownImages[cursor]);
    else if (event.key in ACTION_KEYS) ACTIONS[ACTION_KEYS[event.key]]();
    else return;
    event.preventDefault();
  };
  let press = null; // touch screens have neither double clicks nor keys: a long press opens
  const stop = () => clearTimeout(press);
  grid.addEventListener("touchstart", (event) => {
    const position = positionOf(event);
    if (position >= 0) press = setTimeout(() => openLargeView(shownImages[position]), LONG_PRESS_MS);
  }, { passive: true });
  for (const name of ["touchend", "touchmove"]) grid.addEventListener(name, stop, { passive: true });
}

function listenToMap() {
  const actions = {
    keep: () => reviewEncircled("keep"), drop: () => reviewEncircled("drop"), clear: () => reviewEncircled(""),
    none: encircleNone,
  };
  byId("map-lasso").onkeydown = (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.altKey) actions[ACTION_KEYS[event.key]]?.();
  };
  byId("map-none").onclick = encircleNone;
}

function listenToPage() {
  byId("bar").onclick = (event) => ACTIONS[event.target.dataset.do]?.();
  byId("download").onclick = downloadReviews;
  byId("reset").onclick = resetLimits;
  byId("copy").onclick = () => navigator.clipboard?.writeText(byId("moved-lines").textContent);
  for (const id of ["clear-filters", "clear-nothing"]) byId(id).onclick = () => showImages({});
  byId("size").oninput = () => setThumbnailSize(Number(byId("size").value));
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-show]");
    if (!link) return;
    event.preventDefault(); // the address keeps the view, not a place on the page
    leaveSheet();
    showImages(JSON.parse(link.dataset.show)).then(() => byId("bar").scrollIntoView({ block: "nearest" }));
  });
  document.addEventListener("keydown", (event) => {
    const isText = event.target.matches("input:is([type=text], [type=search])"); // has an undo of its own
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !isText) {
      event.preventDefault();
      event.shiftKey ? redoReview() : undoReview();
    }
    if (event.key !== "/" || event.ctrlKey || event.altKey || event.metaKey || event.target.matches("input, select")) return;
    event.preventDefault();
    byId("filter-fold").open = true;
    byId("filters").elements.name.focus();
  });
}

function start(columns) {
  receiveColumns(columns);
  createPanel();
  createCharts();
  createConfusion();
  createComparison();
  createFilterMenus(updateGallery);
  resetLimits();
  listenToGallery();
  listenToLargeView(ACTION_KEYS);
  listenToPage();
  createMap();
  listenToMap();
  keepViewInAddress();
  if (location.hash.length > 1) restoreView();
  loadReviews();
  document.documentElement.dataset.ready = "true";
}

// The first four are called by the scripts in index.data; the others are for tests and benchmarks.
window.facemask = {
  columns: start, details: receiveDetails, run: receiveRun, similar: receiveSimilar,
  setLimit, verdicts: () => verdicts, pointOf, isOnMap: imagesOnMap,
};
