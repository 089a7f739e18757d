// The large view: one image with its regions and landmarks, its measurements and its near-duplicates.

import { byId, createElement, createSvg, facts, formatNumber, isServed } from "./facts.js";
import { category, data, decodeArray, loadDetails } from "./data.js";
import { limitTest, reasonsOf, verdicts } from "./rules.js";
import { noteOf, reviewOf, setReview } from "./reviews.js";
import { createEnlargedThumbnail, createThumbnail } from "./thumbnails.js";

const MAX_DUPLICATES = 12;
const SHOWN_AS = { shortest_side: "width", cover_highest: "cover_face" }; // row of the table that marks a derived value

export const openImage = () => Number(byId("picture").dataset.index);

export async function openLargeView(index) {
  const dialog = byId("picture"), details = await loadDetails(index), review = reviewOf(index);
  const note = createElement("input", {
    type: "text", value: await noteOf(index), "aria-label": "Note", maxlength: facts.maxNote, placeholder: "note for review.csv",
    onchange: () => reviewOf(index) && setReview([index], reviewOf(index), note.value), // without a review, Keep or Drop saves it
  });
  const reviewButton = (text, value) => createElement("button", {
    type: "button", "data-do": value || "clear",
    onclick: async () => { await setReview([index], value, note.value); openLargeView(index); },
  }, text);
  const reasons = reasonsOf(verdicts[index]);
  const verdict = (reasons.length ? reasons : ["accepted"]).map((one) => `${one}: ${facts.meanings[one]}`).join(" ");
  const onclick = () => dialog.close();
  dialog.replaceChildren(
    createElement("div", { class: "title" }, createElement("h2", {}, details.image_id),
      createElement("button", { type: "button", onclick, title: "Escape" }, "Close")),
    createElement("div", { class: "large" },
      createElement("div", {}, createPicture(index, details), ...createDuplicates(index)),
      createElement("div", {},
        createElement("p", {}, review ? createElement("b", {}, `${review} (review) `) : null, verdict),
        createElement("p", { class: "buttons" },
          reviewButton("Keep", "keep"), reviewButton("Drop", "drop"), reviewButton("Clear", "")),
        note, createTable(index, details))));
  dialog.dataset.index = index;
  if (!dialog.open) dialog.showModal();
}

// Categories, measurements (those beyond a limit marked) and details of an image.
function createTable(index, details) {
  const beyond = facts.limits.filter((limit) => limitTest(limit)(index))
    .map(({ measurement }) => SHOWN_AS[measurement] ?? measurement);
  const categories = ["domain", "split", "claimed"].map((name) => [name, category(name, index)]);
  const numbers = Object.entries(data.numbers).filter(([, values]) => !Number.isNaN(values[index]))
    .map(([name, values]) => [name, formatNumber(values[index])]);
  const others = ["bytes", "ffhq_id", "licence", "author", "url", "archive"]
    .map((name) => [name, String(details[name] ?? "")]);
  const rows = [...categories, ...numbers, ...others].filter(([, value]) => value).map(([name, value]) =>
    createElement("tr", {}, createElement("td", {}, name),
      createElement("td", { class: beyond.includes(name) ? "n beyond-limit" : "n" }, value)));
  return createElement("table", {}, ...rows);
}

// The image that this one duplicates, and those that duplicate this one.
function createDuplicates(index) {
  const createRow = (other, text, similarity) => createElement("div", { class: "duplicate" },
    createElement("button", { type: "button", onclick: () => openLargeView(other) }, createThumbnail(other)),
    createElement("span", {}, `${text} (similarity ${formatNumber(similarity)})`));
  const similarities = data.numbers.dup_similarity, kept = data.duplicateOf[index];
  const rows = kept < 0 ? [] : [createRow(kept, "Near-duplicate of this image, which was kept", similarities[index])];
  for (let other = 0; other < facts.count && rows.length < MAX_DUPLICATES; other++)
    if (data.duplicateOf[other] === index)
      rows.push(createRow(other, "Rejected as a near-duplicate of the image above", similarities[other]));
  return rows;
}

// The image at full size where its file can be read, else its thumbnail.
function createPicture(index, details) {
  const [width, height] = details.size, { px } = facts.thumbnail, folder = facts.folders[category("source", index)];
  if (!width) return createElement("p", { class: "view" }, "unreadable");
  if (isServed || folder !== undefined) {
    const file = `${folder}/${details.path}`.split("/").map(encodeURIComponent).join("/");
    const src = isServed ? `picture/${index}` : file;
    const onerror = () => image.replaceWith(createEnlargedThumbnail(index));
    const image = createElement("img", { src, alt: details.image_id, onerror });
    return createElement("div", { class: "view" }, image, createOverlay(details, 0, 0, 1, 1));
  }
  const overlay = createOverlay(details, (px - width) / 2 / px, (px - height) / 2 / px, width / px, height / px);
  return createElement("div", {},
    createElement("div", { class: "view" }, createEnlargedThumbnail(index), overlay),
    createElement("p", { class: "quiet" }, "Run 'facemask review' to see the image at full size."));
}

// Regions and landmarks in the part of the view that the image fills, as shares of the view's sides.
function createOverlay(details, left, top, width, height) {
  const svg = createSvg("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
  if (!details.points) return svg;
  const values = decodeArray(details.points, Int16Array), scale = facts.landmarkScale;
  const points = Array.from({ length: values.length / 2 }, (_, point) =>
    [left + values[2 * point] * scale * width, top + values[2 * point + 1] * scale * height]);
  for (const [name, polygon] of Object.entries(facts.regions)) {
    const corners = polygon.map((point) => points[point].join(",")).join(" ");
    svg.append(createSvg("polygon", { class: "region", points: corners }, createSvg("title", {}, name)));
  }
  svg.append(...points.map(([cx, cy]) => createSvg("ellipse", { class: "dot", cx, cy, rx: 0.003, ry: 0.003 })));
  return svg;
}
