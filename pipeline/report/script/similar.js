// Faces that look like another one: the nearest by pose, light, skin tone, mask colour and appearance, as on the map.

import { createElement, facts, formatCount } from "./facts.js";
import { data, decodeArray } from "./data.js";
import { showImages } from "./gallery.js";
import { createThumbnail } from "./thumbnails.js";

const IN_VIEW = 12, IN_GALLERY = 200;

let similarLoading = null; // promise of {components, codes}
let resolveSimilar = null;
let isUnfolded = false; // stays for the next image

export const receiveSimilar = ({ components, codes }) => resolveSimilar?.({ components, codes: decodeArray(codes, Int8Array) });

function loadSimilar() {
  similarLoading ??= new Promise((resolve, reject) => {
    resolveSimilar = resolve;
    const src = "index.data/similar.js";
    document.head.append(createElement("script", { src, onerror: () => reject(new Error(`${src} cannot be loaded`)) }));
  });
  return similarLoading;
}

// The `count` images of the same domain that are nearest to an image, the nearest first, without the image itself.
export async function similarImages(index, count) {
  const { components, codes } = await loadSimilar(), { codes: domains } = data.categories.domain, { yaw } = data.numbers;
  const start = index * components, distances = new Float32Array(facts.count).fill(Infinity);
  for (let other = 0; other < facts.count; other++) {
    if (domains[other] !== domains[index] || Number.isNaN(yaw[other]) || other === index) continue; // no face: no features
    let sum = 0;
    for (let part = 0; part < components; part++) sum += (codes[start + part] - codes[other * components + part]) ** 2;
    distances[other] = sum;
  }
  const limit = Float32Array.from(distances).sort()[Math.min(count, facts.count) - 1], near = [];
  for (let other = 0; other < facts.count; other++) if (distances[other] <= limit && distances[other] < Infinity) near.push(other);
  return near.sort((a, b) => distances[a] - distances[b] || a - b).slice(0, count);
}

// A fold with the faces that are like an image; `open` opens one of them. Nothing for an image without a face.
export function createSimilar(index, name, { open, close }) {
  if (Number.isNaN(data.numbers.yaw[index])) return [];
  const row = createElement("div", { class: "similar-row" });
  const show = async () => {
    const near = await similarImages(index, IN_VIEW);
    const buttons = near.map((other) => createElement("button", {
      type: "button", onclick: () => open(other), "aria-label": "Open a similar face",
    }, createThumbnail(other)));
    const all = createElement("button", {
      type: "button", onclick: async () => {
        const indices = [index, ...await similarImages(index, IN_GALLERY)];
        close();
        showImages({}, { indices, text: `the ${formatCount(indices.length - 1)} most like ${name}` });
      },
    }, "Show more in the gallery");
    row.replaceChildren(...buttons, all);
  };
  const fold = createElement("details", { class: "similar", open: isUnfolded }, createElement("summary", {}, "Similar faces"), row);
  fold.addEventListener("toggle", () => {
    isUnfolded = fold.open;
    if (fold.open && !row.firstChild) show().catch((error) => row.replaceChildren(error.message));
  });
  return [fold];
}
