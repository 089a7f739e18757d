// Reviews: keep and drop, as chosen on this page. `facemask review` saves them; without it the browser stores them until
// they are downloaded.

import { byId, changes, createElement, facts, formatCount, isServed } from "./facts.js";
import { category, loadDetails } from "./data.js";

const MAX_UNDO = 100; // steps
const done = []; // steps: [{index, before, after}, ...], each a {review, note}; the last can be undone
const undone = []; // steps that can be done again
const reviews = new Map(); // image's index -> {review: keep, drop or "", note}: those made on this page
const storageKey = `facemask review ${location.pathname} ${facts.content}`;

export const reviewOf = (index) => reviews.get(index)?.review ?? category("review", index);

export async function noteOf(index) {
  if (reviews.has(index)) return reviews.get(index).note;
  return isServed ? "" : facts.reviews[(await loadDetails(index)).image_id]?.note ?? "";
}

const showStatus = (text) => { byId("saved").textContent = text; };
const showUnsaved = (which) => showStatus(`${formatCount(reviews.size)} ${reviews.size === 1 ? "choice" : "choices"} ` +
  `${which}: download review.csv and save it next to manifest.parquet`);

// A note as reviews.py accepts it: a file that was edited by hand may have longer ones, with line breaks.
const allowedNote = (note) => note.replace(/[\p{Cc}\u2028\u2029]/gu, " ").slice(0, facts.maxNote);

// Sets the review of images, "" to remove it; a note replaces the notes that they have.
export async function setReview(indices, review, note = null) {
  const step = [];
  for (const index of indices) {
    const before = { review: reviewOf(index), note: await noteOf(index) };
    step.push({ index, before, after: { review, note: allowedNote(note ?? before.note) } });
  }
  done.push(step);
  if (done.length > MAX_UNDO) done.shift();
  undone.length = 0;
  await apply(step, "after");
}

export const undoReview = () => move(done, undone, "before");
export const redoReview = () => move(undone, done, "after");

// Takes the last step from a list to another, and sets the reviews to what they were before or after it.
async function move(from, to, when) {
  const step = from.pop();
  if (!step) return;
  to.push(step);
  await apply(step, when);
  const count = `${formatCount(step.length)} ${step.length === 1 ? "image" : "images"}`;
  byId("undone").textContent = `${when === "before" ? "Undone" : "Done again"}: ${step[0].after.review || "clear"}, ${count}`;
  changes.dispatchEvent(new Event("undone"));
}

async function apply(step, when) {
  for (const one of step) reviews.set(one.index, one[when]);
  byId("undone").textContent = "";
  await save(step.map(({ index }) => index));
  changes.dispatchEvent(new Event("reviews"));
}

// How many images of this page were reviewed, and what can be undone.
function countReviews() {
  const counts = { keep: 0, drop: 0 };
  for (let index = 0; index < facts.count; index++) {
    const review = reviewOf(index);
    if (review) counts[review]++;
  }
  const all = counts.keep + counts.drop;
  byId("reviewed").textContent = `${formatCount(all)} reviewed` +
    (all ? `: ${formatCount(counts.keep)} keep, ${formatCount(counts.drop)} drop` : "");
  byId("undo").disabled = !done.length;
  byId("redo").disabled = !undone.length;
}

changes.addEventListener("reviews", countReviews);

async function save(indices) {
  if (!isServed) {
    try {
      localStorage.setItem(storageKey, JSON.stringify([...reviews]));
    } catch { /* this browser stores nothing for files: the reviews last until the page is closed */ }
    showUnsaved("not saved yet");
    return;
  }
  showStatus("Saving…");
  const headers = { "Content-Type": "application/json" };
  const body = JSON.stringify(indices.map((index) => ({ index, ...reviews.get(index) })));
  try {
    const response = await fetch("review", { method: "POST", headers, body });
    if (!response.ok) throw new Error(await response.text());
    updateFromServer(await response.json());
  } catch (error) {
    showStatus(`NOT saved: ${error.message}`);
  }
}

// Takes over the entries of review.csv, which another page may have changed.
function updateFromServer({ entries, count }) {
  for (let index = 0; index < facts.count; index++)
    if (reviewOf(index) && !(index in entries)) reviews.set(index, { review: "", note: "" });
  for (const [index, entry] of Object.entries(entries)) reviews.set(Number(index), entry);
  showStatus(`${formatCount(count)} in review.csv; run curate again to apply them`);
}

// Loads review.csv from the server; for a page from disk, the reviews of an earlier visit, which the browser has stored.
export async function loadReviews() {
  try {
    if (isServed) updateFromServer(await (await fetch("review")).json());
    else for (const [index, review] of JSON.parse(localStorage.getItem(storageKey) ?? "[]")) reviews.set(index, review);
    if (!isServed && reviews.size) showUnsaved("from an earlier visit");
  } catch (error) {
    if (isServed) showStatus(`review.csv cannot be read: ${error.message}`); // else nothing is stored for files
  }
  changes.dispatchEvent(new Event("reviews"));
}

// Cells as pipeline/curation/reviews.py writes them: no spreadsheet runs one, and no editor changes an image id.
const quote = (text) => `"${(/^'*[=+\-@]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
const escapeControls = (imageId) => imageId.replace(/[\\\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (character) => {
  const code = character.charCodeAt(0).toString(16);
  return character === "\\" ? "\\\\" : code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`;
});

async function reviewCsv() {
  const entries = new Map(Object.entries(facts.reviews)); // also those of images that are not on this page
  for (const [index, entry] of reviews) {
    const { image_id: imageId } = await loadDetails(index);
    if (entry.review) entries.set(imageId, entry);
    else entries.delete(imageId);
  }
  const rows = [...entries].map(([imageId, { review, note }]) => [escapeControls(imageId), review, note]);
  return [["image_id", "review", "note"], ...rows].map((row) => `${row.map(quote).join(",")}\n`).join("");
}

export async function downloadReviews() {
  const href = URL.createObjectURL(new Blob([await reviewCsv()], { type: "text/csv" }));
  createElement("a", { href, download: "review.csv" }).click();
  URL.revokeObjectURL(href);
}
