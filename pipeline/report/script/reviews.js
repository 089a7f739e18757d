// Keep and drop: the choices made on this page. `facemask review` saves them; without it the browser stores them until
// they are downloaded.

import { byId, changes, createElement, facts, formatCount, token } from "./facts.js";
import { category, loadDetails } from "./data.js";

const choices = new Map(); // image's index -> {review: keep, drop or "", note}
const storageKey = `facemask review ${location.pathname} ${facts.content}`;

export const reviewOf = (index) => choices.get(index)?.review ?? category("review", index);

export async function noteOf(index) {
  if (choices.has(index)) return choices.get(index).note;
  return token ? "" : facts.reviews[(await loadDetails(index)).image_id]?.note ?? "";
}

const showStatus = (text) => { byId("saved").textContent = text; };
const showUnsaved = (which) => showStatus(`${formatCount(choices.size)} ${choices.size === 1 ? "choice" : "choices"} ` +
  `${which}: download review.csv and save it next to manifest.parquet`);

// Sets the review of images, "" to take it back; a note replaces the notes that they have.
export async function setReview(indices, review, note = null) {
  for (const index of indices) choices.set(index, { review, note: note ?? (await noteOf(index)) });
  await save(indices);
  changes.dispatchEvent(new Event("reviews"));
}

async function save(indices) {
  if (!token) {
    try {
      localStorage.setItem(storageKey, JSON.stringify([...choices]));
    } catch { /* this browser stores nothing for files: the choices last until the page is closed */ }
    showUnsaved("not saved yet");
    return;
  }
  showStatus("Saving…");
  const headers = { "Content-Type": "application/json", "X-Facemask-Token": token };
  const body = JSON.stringify(indices.map((place) => ({ place, ...choices.get(place) })));
  try {
    const response = await fetch("review", { method: "POST", headers, body });
    if (!response.ok) throw new Error(await response.text());
    updateFromServer(await response.json());
  } catch (error) {
    showStatus(`NOT saved: ${error.message}`);
  }
}

// Takes over what review.csv holds, which another page may have changed.
function updateFromServer({ entries, count }) {
  for (let index = 0; index < facts.count; index++)
    if (reviewOf(index) && !(index in entries)) choices.set(index, { review: "", note: "" });
  for (const [index, entry] of Object.entries(entries)) choices.set(Number(index), entry);
  showStatus(`${formatCount(count)} in review.csv; run curate again to apply them`);
}

// Loads review.csv from the server; from disk, the choices of an earlier visit, which the browser has stored.
export async function loadReviews() {
  try {
    if (token) updateFromServer(await (await fetch("review")).json());
    else for (const [index, choice] of JSON.parse(localStorage.getItem(storageKey) ?? "[]")) choices.set(index, choice);
    if (!token && choices.size) showUnsaved("from an earlier visit");
  } catch (error) {
    if (token) showStatus(`review.csv cannot be read: ${error.message}`); // else nothing is stored for files
  }
  changes.dispatchEvent(new Event("reviews"));
}

async function reviewCsv() {
  const entries = new Map(Object.entries(facts.reviews)); // also those of images that are not on this page
  for (const [index, choice] of choices) {
    const { image_id: imageId } = await loadDetails(index);
    if (choice.review) entries.set(imageId, choice);
    else entries.delete(imageId);
  }
  const quote = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const lines = [...entries].map(([imageId, { review, note }]) => [imageId, review, note].map(quote).join(","));
  return ["image_id,review,note", ...lines, ""].join("\n");
}

export async function downloadReviews() {
  const href = URL.createObjectURL(new Blob([await reviewCsv()], { type: "text/csv" }));
  createElement("a", { href, download: "review.csv" }).click();
  URL.revokeObjectURL(href);
}
