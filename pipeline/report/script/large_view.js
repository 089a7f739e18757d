// The large view: one image with its layers, its measurements beside their limits, and its near-duplicates, which can be
// compared side by side.

import { byId, changes, createElement, facts, formatCount, formatNumber } from "./facts.js";
import { data, loadDetails } from "./data.js";
import { reasonsOf, verdicts } from "./rules.js";
import { noteOf, reviewOf, setReview } from "./reviews.js";
import { createThumbnail } from "./thumbnails.js";
import { cursor, moveCursor, shownImages } from "./gallery.js";
import { clearStages, moveBy, zoomBy, zoomOut } from "./zoom.js";
import { createPicture, createSwitches } from "./layers.js";
import { createTables } from "./measures.js";
import { createSimilar } from "./similar.js";
import { verdictInOtherRun } from "./compare.js";

const MAX_DUPLICATES = 12;
const STEP = 1.6; // of a zoom by keys and buttons

let compared = null; // the image that is shown beside the open one
let opening = 0; // counts, so that of two images opened quickly the later one is shown

export const openImage = () => Number(byId("picture").dataset.index);
export const closeLargeView = () => byId("picture").close();

// Opens an image; `other`: beside another one.
export async function openLargeView(index, other = null) {
  const dialog = byId("picture"), mine = ++opening;
  const isSame = dialog.open && openImage() === index && compared === other;
  const focused = dialog.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  try {
    const [details, note] = [await loadDetails(index), await noteOf(index)];
    const otherDetails = other === null ? null : await loadDetails(other);
    if (mine !== opening) return;
    compared = other;
    if (!isSame) zoomOut();
    clearStages();
    dialog.replaceChildren(...createView(index, details, note, other === null ? null : { index: other, details: otherDetails }));
  } catch (error) { // without the data beside the page, no blank dialog
    dialog.replaceChildren(createElement("p", {}, `${error.message}: keep the folder index.data next to this page. `),
      createElement("button", { type: "button", onclick: closeLargeView }, "Close"));
  }
  dialog.dataset.index = index;
  if (!dialog.open) dialog.showModal();
  (dialog.querySelector(`[data-key="${focused}"]`) ?? dialog).focus();
  if (!isSame) dialog.scrollTop = 0;
  changes.dispatchEvent(new Event("opened"));
}

// Opens the image so many places further in the gallery.
export function stepLargeView(steps) {
  const position = shownImages.indexOf(openImage());
  if (position < 0 || !(position + steps in shownImages)) return;
  moveCursor(position + steps - cursor);
  openLargeView(shownImages[position + steps]);
}

const createButton = (text, key, onclick, attributes = {}) =>
  createElement("button", { type: "button", "data-key": key, onclick, ...attributes }, text);

function createView(index, details, note, other) {
  const pictures = createElement("div", { class: other ? "pictures two" : "pictures" }, createPicture(index, details));
  if (other) {
    pictures.append(createPicture(other.index, other.details));
    for (const [place, one] of [[0, details], [1, other.details]])
      pictures.children[place].append(createElement("figcaption", {}, one.image_id));
  }
  const zooms = createElement("span", { class: "buttons" },
    createButton("−", "out", () => zoomBy(1 / STEP), { "aria-label": "Zoom out" }),
    createButton("+", "in", () => zoomBy(STEP), { "aria-label": "Zoom in" }),
    createButton("Fit", "fit", zoomOut));
  const tools = createElement("div", { class: "tools", role: "toolbar", "aria-label": "Zoom and layers" },
    zooms, ...createSwitches(pictures));
  return [
    createTitle(index, details),
    createElement("div", { class: other ? "large wide-pictures" : "large" },
      createElement("div", {}, pictures, tools, ...createDuplicates(index, other?.index ?? null),
        ...createSimilar(index, details.image_id, { open: openLargeView, close: closeLargeView })),
      createElement("div", { class: "facts" }, ...createReview(index, note), ...createTables(index, details))),
  ];
}

function createTitle(index, details) {
  const position = shownImages.indexOf(index), last = shownImages.length - 1;
  const place = position < 0 ? "" : `${formatCount(position + 1)} of ${formatCount(last + 1)}`;
  const createStep = (text, key, steps, label) => createButton(text, key, () => stepLargeView(steps),
    { "aria-label": label, disabled: position < 0 || position + steps < 0 || position + steps > last });
  return createElement("div", { class: "title" },
    createElement("h2", {}, details.image_id),
    createElement("span", { class: "buttons" },
      createElement("span", { class: "quiet nowrap" }, place),
      createStep("‹", "previous", -1, "Previous image"), createStep("›", "next", 1, "Next image"),
      createButton("Close", "close", closeLargeView, { title: "Escape" })));
}

const reviewText = (index) => (reviewOf(index) ? `${reviewOf(index)} (review)` : "");

// The verdict, and what a person decides about it.
function createReview(index, savedNote) {
  const review = reviewOf(index), reasons = reasonsOf(verdicts[index]), otherVerdict = verdictInOtherRun(index);
  const note = createElement("input", {
    type: "text", value: savedNote, "aria-label": "Note", maxlength: facts.maxNote, placeholder: "note for review.csv",
    onchange: () => reviewOf(index) && setReview([index], reviewOf(index), note.value), // without a review, Keep or Drop saves it
  });
  const reviewButton = (text, value) => createButton(text, value || "clear",
    () => setReview([index], value, note.value), { "data-do": value || "clear" });
  const verdict = (reasons.length ? reasons : ["accepted"]).map((one) => createElement("li", {}, `${one}: ${facts.meanings[one]}`));
  return [
    createElement("ul", { class: "verdict" },
      review ? createElement("li", {}, createElement("b", {}, reviewText(index))) : null, ...verdict,
      otherVerdict ? createElement("li", { class: "quiet" }, otherVerdict) : null),
    createElement("p", { class: "buttons" }, reviewButton("Keep", "keep"), reviewButton("Drop", "drop"), reviewButton("Clear", "")),
    note,
  ];
}

// The image that this one duplicates, and those that duplicate this one; `compared`: the one that is shown beside it.
function createDuplicates(index, compared) {
  const similarities = data.numbers.dup_similarity, kept = data.duplicateOf[index];
  const createRow = (other, text, similarity) => {
    const isCompared = other === compared, open = () => openLargeView(other);
    return createElement("div", { class: "duplicate" },
      createElement("button", { type: "button", onclick: open, "aria-label": "Open the near-duplicate" }, createThumbnail(other)),
      createElement("span", {}, `${text} (verified similarity ${formatNumber(similarity)}, ` +
        `at least ${formatNumber(facts.minSimilarity)}) `,
        createButton(isCompared ? "Show alone" : "Side by side", `compare-${other}`,
          () => openLargeView(index, isCompared ? null : other), { class: "compare" })));
  };
  const rows = kept < 0 ? [] : [createRow(kept, "Near-duplicate of this image, which was kept", similarities[index])];
  for (let other = 0; other < facts.count && rows.length < MAX_DUPLICATES; other++)
    if (data.duplicateOf[other] === index)
      rows.push(createRow(other, "Rejected as a near-duplicate of the image above", similarities[other]));
  return rows;
}

const KEYS = {
  "+": () => zoomBy(STEP), "=": () => zoomBy(STEP), "-": () => zoomBy(1 / STEP), 0: zoomOut,
  ArrowRight: (event) => (event.shiftKey ? moveBy(0.2, 0) : stepLargeView(1)),
  ArrowLeft: (event) => (event.shiftKey ? moveBy(-0.2, 0) : stepLargeView(-1)),
  ArrowDown: (event) => event.shiftKey && moveBy(0, 0.2),
  ArrowUp: (event) => event.shiftKey && moveBy(0, -0.2),
};

export function listenToLargeView(reviewKeys) {
  const dialog = byId("picture");
  const renew = () => { if (dialog.open) openLargeView(openImage(), compared); };
  changes.addEventListener("undone", renew);
  changes.addEventListener("reviews", () => { // perhaps of other images: what is typed into the note stays
    if ((dialog.querySelector(".verdict b")?.textContent ?? "") !== reviewText(openImage())) renew();
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.target.matches("input[type=text]") || event.ctrlKey || event.metaKey || event.altKey) return;
    KEYS[event.key]?.(event);
    dialog.querySelector(`[data-do="${reviewKeys[event.key]}"]`)?.click();
  });
  dialog.onclick = (event) => { if (event.target === dialog) closeLargeView(); }; // beside it
  dialog.onclose = () => {
    clearStages();
    dialog.replaceChildren();
    changes.dispatchEvent(new Event("opened"));
  };
}
