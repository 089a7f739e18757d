// The layers of an opened image: its thumbnail until the photo is loaded, the photo, its regions, landmarks and cover map.

import { createElement, createSvg, facts, isServed } from "./facts.js";
import { category, data, decodeArray } from "./data.js";
import { createEnlargedThumbnail } from "./thumbnails.js";
import { createStage } from "./zoom.js";

const switches = { regions: true, landmarks: true, cover: false }; // which layers are shown, in this visit
const TEXTS = { regions: "regions", landmarks: "landmarks", cover: "cover map (magenta: mask, green: bare)" };

// The stage of an image. `details` as loadDetails gives them.
export function createPicture(index, details) {
  const [width, height] = details.size;
  if (!width) return createElement("p", {}, "This file cannot be read as an image.");
  const thumbnail = createEnlargedThumbnail(index, details.size), note = createElement("p", { class: "quiet", hidden: true });
  const layers = [thumbnail, createPhoto(index, details, note), ...createOverlays(index, details)].filter(Boolean);
  if (layers[1].localName !== "img") note.hidden = !(note.textContent = "Run 'facemask review' to see the image at full size.");
  const { width: widths, height: heights } = data.numbers;
  return createElement("figure", {}, createStage(widths[index] / heights[index] || width / height, ...layers), note);
}

// The image at full size where its file can be read, else null.
function createPhoto(index, details, note) {
  const folder = facts.folders[category("source", index)];
  if (!isServed && folder === undefined) return null;
  const file = `${folder}/${details.path}`.split("/").map(encodeURIComponent).join("/");
  const onerror = () => {
    photo.remove();
    note.textContent = "The file cannot be loaded, or has changed since: this is its thumbnail.";
    note.hidden = false;
  };
  const src = isServed ? `picture/${index}` : file;
  const photo = createElement("img", { class: "photo", src, alt: details.image_id, draggable: "false", onerror });
  return photo;
}

function createOverlays(index, details) {
  if (!details.points) return [];
  const svg = createSvg("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
  const values = decodeArray(details.points, Int16Array), scale = facts.landmarkScale;
  const points = Array.from({ length: values.length / 2 }, (_, point) =>
    [values[2 * point] * scale, values[2 * point + 1] * scale]);
  const regions = createSvg("g", { class: "regions" });
  for (const [name, polygon] of Object.entries(facts.regions)) {
    const corners = polygon.map((point) => points[point].join(",")).join(" ");
    regions.append(createSvg("polygon", { class: "region", points: corners }, createSvg("title", {}, name)));
  }
  // Lines of no length with round ends: round dots of one size at any zoom and in a picture of any shape.
  const dots = createSvg("path", { class: "landmarks", d: points.map(([x, y]) => `M${x} ${y}h0`).join("") });
  svg.append(regions, dots);
  const onerror = () => cover.remove(); // no face is found in the file
  const cover = isServed
    ? createElement("img", { class: "cover", alt: "", draggable: "false", "data-src": `cover/${index}`, onerror }) : null;
  return [cover, svg];
}

// The switches of the layers, for the stages in `view`.
export function createSwitches(view) {
  const show = () => {
    for (const [name, isOn] of Object.entries(switches)) view.classList.toggle(`with-${name}`, isOn);
    for (const cover of view.querySelectorAll(".cover:not([src])")) if (switches.cover) cover.src = cover.dataset.src;
  };
  const labels = Object.keys(switches).map((name) => {
    const isMissing = name === "cover" && !isServed;
    const onchange = () => { switches[name] = box.checked; show(); };
    const box = createElement("input",
      { type: "checkbox", onchange, checked: switches[name], disabled: isMissing, "data-key": name });
    return createElement("label", { title: isMissing ? "run 'facemask review' to see it" : null }, box, ` ${TEXTS[name]}`);
  });
  show();
  return labels;
}
