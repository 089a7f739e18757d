// Thumbnails, cut out of sprite sheets of facts.thumbnail.columns x columns (sprite_sheets.py).
// As CSS backgrounds, sheets would fill the memory: a browser keeps the last thousand images that it has drawn, whole
// and decoded, and in a sorted gallery each thumbnail comes from another sheet. So this module keeps only a few sheets.

import { byId, createElement, facts } from "./facts.js";

const MAX_SHEETS = 6; // kept in memory
const MAX_LOADING = 3; // thumbnails at a time

const { px, columns } = facts.thumbnail;
const perSheet = columns * columns;

const sheets = new Map(); // address -> promise of its image, the most recently used last
const queue = []; // functions that load a thumbnail; the last is called first
let loading = 0;
const canvases = []; // to be used again: new ones would fill the memory until the next garbage collection

function positionInSheet(index) {
  const sheet = Math.floor(index / perSheet), within = index % perSheet;
  const folder = String(Math.floor(sheet / 1000)).padStart(3, "0");
  const src = `index.data/sheets/${folder}/${String(sheet).padStart(6, "0")}.jpg`;
  return { sheet, src, column: within % columns, row: Math.floor(within / columns) };
}

function loadSheet(src) {
  const sheet = sheets.get(src) ?? new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error(`${src} cannot be loaded`));
    image.src = src;
  });
  sheets.delete(src);
  sheets.set(src, sheet);
  if (sheets.size > MAX_SHEETS) {
    const [oldest, removed] = sheets.entries().next().value;
    sheets.delete(oldest);
    removed.then((image) => image.removeAttribute("src"), () => {});
  }
  return sheet;
}

// A canvas that shows the thumbnail as soon as its sheet is loaded, unless it is off the page or used again by then.
export function createThumbnail(index) {
  const { src, column, row } = positionInSheet(index);
  const canvas = canvases.pop() ?? createElement("canvas", { class: "thumbnail", width: px, height: px });
  const show = (bitmap) => canvas.getContext("bitmaprenderer").transferFromImageBitmap(bitmap);
  show(null);
  canvas.dataset.index = index;
  const isNeeded = () => canvas.dataset.index === String(index) && canvas.isConnected;
  queue.push(async () => {
    if (!isNeeded()) return;
    const bitmap = await createImageBitmap(await loadSheet(src), column * px, row * px, px, px);
    if (isNeeded()) show(bitmap);
    else bitmap.close();
  });
  setTimeout(loadQueued); // when the caller has put the canvas on the page
  return canvas;
}

export const reuseThumbnails = (elements) => canvases.push(...elements.filter((one) => one.localName === "canvas"));

function loadQueued() {
  while (loading < MAX_LOADING && queue.length) {
    loading++;
    queue.pop()()
      .catch((error) => { byId("missing").hidden = false; byId("missing").title = error.message; })
      .finally(() => { loading--; loadQueued(); });
  }
}

// The thumbnail, of `size` [width, height], cut out of its cell and stretched over its parent.
export function createEnlargedThumbnail(index, [width, height]) {
  const { sheet, src, column, row } = positionInSheet(index);
  const rows = Math.ceil(Math.min(perSheet, facts.count - sheet * perSheet) / columns);
  const share = (start, whole, part) => (whole > part ? (100 * start) / (whole - part) : 0); // as CSS counts positions
  const x = share(column * px + Math.floor((px - width) / 2), columns * px, width);
  const y = share(row * px + Math.floor((px - height) / 2), rows * px, height);
  const background = `url(${src}) ${x}% ${y}% / ${(100 * columns * px) / width}% ${(100 * rows * px) / height}%`;
  return createElement("div", { class: "thumbnail", style: `background: ${background}` });
}
