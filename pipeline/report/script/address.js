// Saved views: the address keeps filters, order, thumbnail size, moved limits and the opened image, so that a reload, a
// bookmark or a link restores them. What was encircled on the map is not kept.

import { byId, changes, facts } from "./facts.js";
import { loadDetails } from "./data.js";
import { movedLimits, setLimit, thresholds } from "./rules.js";
import { indexNamed } from "./names.js";
import { activeFilters } from "./filters.js";
import { setThumbnailSize, showImages, thumbnailSize } from "./gallery.js";
import { closeLargeView, openImage, openLargeView } from "./large_view.js";

const WRITE_MS = 300; // browsers refuse an address that changes too often
let timer = null;
let restoring = false;

const hasImage = () => byId("picture").open;

async function currentView() {
  const view = new URLSearchParams(activeFilters());
  if (thumbnailSize !== facts.thumbnail.px) view.set("size", thumbnailSize);
  for (const { key } of movedLimits()) view.set(key, thresholds[key]);
  const details = hasImage() ? await loadDetails(openImage()).catch(() => null) : null; // the dialog says why
  if (details) view.set("image", details.image_id);
  return view.toString();
}

// Opening an image is a step of the browser's history, so that "Back" closes it; all else replaces the address.
async function writeView() {
  const view = await currentView(), before = new URLSearchParams(location.hash.slice(1));
  if (restoring || view === before.toString()) return;
  const method = hasImage() && !before.has("image") ? "pushState" : "replaceState";
  history[method](null, "", `#${view}`);
}

function writeSoon() {
  clearTimeout(timer);
  timer = setTimeout(writeView, WRITE_MS);
}

// Shows the view that the address names; what it does not name is as on a new page.
export async function restoreView() {
  clearTimeout(timer);
  restoring = true;
  const view = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  const number = (name, usual) => (Number.isFinite(Number(view[name] ?? NaN)) ? Number(view[name]) : usual);
  for (const { key, threshold } of facts.limits) setLimit(key, number(key, threshold));
  setThumbnailSize(number("size", facts.thumbnail.px));
  try {
    await showImages({ sort: "", order: "ascending", ...view });
    const index = view.image ? await indexNamed(view.image).catch(() => -1) : -1;
    if (index >= 0) await openLargeView(index);
    else closeLargeView();
  } finally {
    restoring = false;
  }
}

export function keepViewInAddress() {
  for (const event of ["view", "limits", "opened"]) changes.addEventListener(event, writeSoon);
  addEventListener("popstate", restoreView); // "Back", or an address that was typed
}
