// The panel with figures and limits: beside the pictures; on a narrow screen a sheet over them.

import { byId } from "./facts.js";

const isNarrow = matchMedia("(max-width: 64rem)");

function showPanel(open) {
  byId("panel").hidden = !open;
  byId("panel-button").setAttribute("aria-expanded", String(open));
  byId("pictures").inert = open && isNarrow.matches;
  document.body.classList.toggle("sheet-open", open && isNarrow.matches);
  document.body.classList.toggle("without-panel", !open);
  dispatchEvent(new Event("resize")); // the gallery has more or less room
}

function placePanel() {
  byId("panel").classList.toggle("sheet", isNarrow.matches);
  byId("filter-fold").open = !isNarrow.matches;
  showPanel(!isNarrow.matches);
}

// On a narrow screen: back to the pictures.
export function leaveSheet() {
  if (!isNarrow.matches || byId("panel").hidden) return;
  showPanel(false);
  byId("panel-button").focus();
}

export function createPanel() {
  byId("panel-button").onclick = () => {
    showPanel(byId("panel").hidden);
    if (isNarrow.matches) byId("panel-close").focus();
  };
  byId("panel-close").onclick = leaveSheet;
  byId("panel").onkeydown = (event) => { if (event.key === "Escape") leaveSheet(); };
  isNarrow.addEventListener("change", placePanel);
  placePanel();
}
