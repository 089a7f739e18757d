// The map: a point for each image that passes all rules; like faces are near each other (face_map.py). A click opens an
// image, and a drag encircles a set, which the gallery then shows and the keys k, d and u review.

import { byId, changes, createElement, facts, formatCount, formatNumber, oncePerFrame } from "./facts.js";
import { category, data } from "./data.js";
import { reasonBits, verdicts } from "./rules.js";
import { reviewOf, setReview } from "./reviews.js";
import { showEncircled, showImages } from "./gallery.js";
import { createThumbnail, reuseThumbnails } from "./thumbnails.js";
import { openLargeView } from "./large_view.js";

const FULL = 65535; // a coordinate's highest value; 0: the image is not on the map
const REACH_PX = 12; // from the pointer to the image that it means
const CLICK_PX = 4; // a shorter drag is a click
const MAX_ZOOM = 60;
const MEASUREMENTS = ["skin_tone", "mask_lightness", "yaw", "pitch", "brightness", "sharpness", "face_px"];
const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]]; // viridis
const WORDS = [[63, 143, 196], [185, 138, 47], [138, 99, 181], [42, 143, 91], [192, 86, 60]]; // of a column of words
const GREY = [150, 150, 150];

let shown = []; // indices of the images of the domain shown
let view = { left: 0, top: 0, zoom: 1 }; // the part shown, in shares of the map
let size = { width: 1, height: 1 }; // of the canvas when it was last drawn, CSS px: reading it for each point would be slow
let colours = null; // Uint32Array: the colour of each image
let lasso = null; // [[x, y], ...] in CSS px, while a drag goes on
let pan = null; // the last place of a drag that moves the map
let preview = -1; // the image under the pointer
export const encircled = new Set(); // indices

const canvas = byId("map-points"), overlay = byId("map-lasso");
const opaque = ([red, green, blue]) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0; // little-endian RGBA
const themeColour = (name) => {
  const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim().slice(1);
  return [0, 2, 4].map((start) => parseInt(hex.slice(start, start + 2), 16));
};
const isOnMap = (index) => data.map.x[index] > 0;

// CSS px in the canvas of an image's point.
const screenX = (index) => (data.map.x[index] / FULL - view.left) * view.zoom * size.width;
const screenY = (index) => (data.map.y[index] / FULL - view.top) * view.zoom * size.height;

function colourOfMeasurement(values) {
  const sorted = shown.map((index) => values[index]).filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  const low = sorted[Math.floor(0.02 * sorted.length)] ?? 0, high = sorted[Math.ceil(0.98 * sorted.length) - 1] ?? 1;
  const steps = Array.from({ length: 256 }, (_, step) => {
    const place = (step / 255) * (RAMP.length - 1), from = Math.min(RAMP.length - 2, Math.floor(place));
    return opaque(RAMP[from].map((value, part) => Math.round(value + (place - from) * (RAMP[from + 1][part] - value))));
  });
  const grey = opaque(GREY), span = high - low || 1;
  const bar = `linear-gradient(to right, ${RAMP.map((colour) => `rgb(${colour})`).join(", ")})`;
  byId("map-legend").replaceChildren(formatNumber(low), createElement("span", { class: "ramp", style: `background: ${bar}` }),
    formatNumber(high));
  return (index) => Number.isNaN(values[index]) ? grey
    : steps[Math.round(255 * Math.min(1, Math.max(0, (values[index] - low) / span)))];
}

const createKey = (name, colour) => createElement("span", { class: "nowrap" },
  createElement("span", { class: "key", style: `background: rgb(${colour})` }), ` ${name}`);

function colourOfVerdict() {
  const named = { kept: themeColour("--kept"), "not selected": GREY, "rejected under the moved limits": themeColour("--lost") };
  const [kept, left, lost] = Object.values(named).map(opaque);
  byId("map-legend").replaceChildren(...Object.entries(named).map(([name, colour]) => createKey(name, colour)));
  return (index) => (verdicts[index] === 0 ? kept : verdicts[index] === reasonBits.not_selected ? left : lost);
}

function colourOfWord(name) {
  const { values, codes } = data.categories[name], palette = values.map((_, code) => WORDS[code % WORDS.length]);
  byId("map-legend").replaceChildren(...values.map((value, code) => createKey(value, palette[code])));
  return (index) => opaque(codes[index] ? palette[codes[index] - 1] : GREY);
}

function updateColours() {
  const by = byId("map-colour").value;
  const colourOf = by === "verdict" ? colourOfVerdict()
    : by in data.numbers ? colourOfMeasurement(data.numbers[by]) : colourOfWord(by);
  colours = new Uint32Array(facts.count);
  for (const index of shown) colours[index] = colourOf(index);
  draw();
}

// Writes all points as pixels: a hundred thousand take a few milliseconds, where drawing calls would take a hundred times that.
const draw = oncePerFrame(() => {
  const ratio = devicePixelRatio || 1;
  size = { width: canvas.clientWidth, height: canvas.clientHeight };
  const width = Math.max(1, Math.round(size.width * ratio)), height = Math.max(1, Math.round(size.height * ratio));
  for (const one of [canvas, overlay]) if (one.width !== width || one.height !== height) Object.assign(one, { width, height });
  const image = new ImageData(width, height), pixels = new Uint32Array(image.data.buffer);
  const radius = Math.max(1, Math.round(ratio * Math.min(3, (shown.length > 20000 ? 0.7 : 1.5) * Math.sqrt(view.zoom))));
  const put = (index, reach, colour) => {
    const x = Math.round(screenX(index) * ratio), y = Math.round(screenY(index) * ratio);
    if (x < -reach || y < -reach || x > width + reach || y > height + reach) return;
    const left = Math.max(0, x - reach), right = Math.min(width - 1, x + reach);
    for (let row = Math.max(0, y - reach); row <= Math.min(height - 1, y + reach); row++)
      pixels.fill(colour, row * width + left, row * width + right + 1);
  };
  for (const index of shown) if (verdicts[index] !== 0) put(index, radius, colours[index]);
  for (const index of shown) if (verdicts[index] === 0) put(index, radius, colours[index]);
  const keep = opaque(themeColour("--kept")), drop = opaque(themeColour("--lost")), mark = opaque(themeColour("--mask"));
  for (const index of encircled) if (isOnMap(index)) { put(index, radius + 2, mark); put(index, radius, colours[index]); }
  for (const index of shown) {
    const review = reviewOf(index);
    if (review) put(index, radius + 2, review === "keep" ? keep : drop);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  drawLasso();
});

function drawLasso() {
  const context = overlay.getContext("2d"), ratio = devicePixelRatio || 1;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, overlay.clientWidth, overlay.clientHeight);
  context.strokeStyle = context.fillStyle = getComputedStyle(document.body).color;
  if (preview >= 0) {
    context.beginPath();
    context.arc(screenX(preview), screenY(preview), 7, 0, 2 * Math.PI);
    context.stroke();
  }
  if (!lasso) return;
  context.beginPath();
  for (const [x, y] of lasso) context.lineTo(x, y);
  context.closePath();
  context.stroke();
  context.globalAlpha = 0.12;
  context.fill();
  context.globalAlpha = 1;
}

// The image whose point is nearest to a place, within REACH_PX; -1: none.
function imageAt(x, y) {
  let nearest = -1, best = REACH_PX ** 2;
  for (const index of shown) {
    const distance = (screenX(index) - x) ** 2 + (screenY(index) - y) ** 2;
    if (distance < best) [nearest, best] = [index, distance];
  }
  return nearest;
}

// The images in the lasso, by the even-odd rule.
function imagesInLasso() {
  const xs = lasso.map(([x]) => x), ys = lasso.map(([, y]) => y);
  const left = Math.min(...xs), right = Math.max(...xs), top = Math.min(...ys), bottom = Math.max(...ys);
  return shown.filter((index) => {
    const x = screenX(index), y = screenY(index);
    if (x < left || x > right || y < top || y > bottom) return false;
    let inside = false;
    for (let i = 0, j = lasso.length - 1; i < lasso.length; j = i++)
      if (ys[i] > y !== ys[j] > y && x < xs[i] + ((y - ys[i]) / (ys[j] - ys[i])) * (xs[j] - xs[i])) inside = !inside;
    return inside;
  });
}

function encircle(indices) {
  for (const index of indices) encircled.add(index);
  byId("map-count").textContent = encircled.size ? `${formatCount(encircled.size)} encircled` : "";
  if (encircled.size) showEncircled(encircled);
  draw();
}

export function encircleNone() {
  if (!encircled.size) return;
  encircled.clear();
  encircle([]);
  showImages({});
}

export const reviewEncircled = (review) => { if (encircled.size) setReview([...encircled], review); };

function showPreview(index) {
  if (index === preview) return;
  preview = index;
  reuseThumbnails([...byId("map-preview").children]);
  byId("map-preview").replaceChildren(...(index >= 0 ? [createThumbnail(index)] : []));
  drawLasso();
}

function zoomAt(factor, x, y) {
  const zoom = Math.min(MAX_ZOOM, Math.max(1, view.zoom * factor));
  const shareX = x / size.width, shareY = y / size.height;
  moveView(view.left + shareX / view.zoom - shareX / zoom, view.top + shareY / view.zoom - shareY / zoom, zoom);
}

function moveView(left, top, zoom) {
  const within = (value) => Math.min(1 - 1 / zoom, Math.max(0, value));
  view = { left: within(left), top: within(top), zoom };
  showPreview(-1);
  draw();
}

function listenToPointer() {
  const place = (event) => [event.offsetX, event.offsetY];
  overlay.onpointerdown = (event) => {
    if (event.button) return;
    overlay.setPointerCapture(event.pointerId);
    if (event.altKey) pan = place(event);
    else lasso = [place(event)];
  };
  overlay.onpointermove = (event) => {
    const [x, y] = place(event);
    if (pan) {
      moveView(view.left - (x - pan[0]) / size.width / view.zoom,
        view.top - (y - pan[1]) / size.height / view.zoom, view.zoom);
      pan = [x, y];
    } else if (lasso) {
      lasso.push([x, y]);
      drawLasso();
    } else showPreviewSoon(x, y);
  };
  overlay.onpointerup = (event) => {
    const path = lasso, [x, y] = place(event);
    const isClick = path?.every(([px, py]) => Math.hypot(px - path[0][0], py - path[0][1]) < CLICK_PX);
    const inside = path && !isClick ? imagesInLasso() : [];
    lasso = pan = null;
    if (isClick && imageAt(x, y) >= 0) openLargeView(imageAt(x, y));
    else if (path && !isClick) {
      if (!event.shiftKey) encircled.clear();
      if (inside.length || event.shiftKey) encircle(inside);
      else showImages({}), encircle([]);
    }
    drawLasso();
  };
  overlay.onpointercancel = () => { lasso = pan = null; drawLasso(); };
  overlay.onpointerleave = () => showPreview(-1);
  overlay.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
    event.preventDefault();
    zoomAt(Math.exp(-event.deltaY / 300), ...place(event));
  }, { passive: false });
}

const showPreviewSoon = oncePerFrame((x, y) => showPreview(imageAt(x, y)));

function showDomain() {
  const domain = byId("map-domain").value;
  shown = [];
  for (let index = 0; index < facts.count; index++)
    if (isOnMap(index) && category("domain", index) === domain) shown.push(index);
  moveView(0, 0, 1);
  updateColours();
}

export function createMap() {
  const domains = data.categories.domain.values.filter((domain) =>
    data.map.x.some((x, index) => x > 0 && category("domain", index) === domain));
  byId("map").hidden = domains.length === 0;
  if (!domains.length) return;
  const createOptions = (values) => values.map((value) => createElement("option", { value }, value));
  byId("map-domain").append(...createOptions(domains));
  byId("map-colour").append(...createOptions(["verdict", "split", "source", ...MEASUREMENTS]));
  byId("map-domain").onchange = showDomain;
  byId("map-colour").onchange = updateColours;
  const middle = () => [size.width / 2, size.height / 2];
  byId("map-in").onclick = () => zoomAt(1.6, ...middle());
  byId("map-out").onclick = () => zoomAt(1 / 1.6, ...middle());
  listenToPointer();
  changes.addEventListener("limits", updateColours);
  changes.addEventListener("reviews", draw);
  addEventListener("resize", draw);
  byId("map").addEventListener("toggle", draw); // in a closed fold it has no size
  showDomain();
}

// For tests: where an image's point is in the canvas, CSS px, and which images are on the map.
export const pointOf = (index) => [screenX(index), screenY(index)];
export const imagesOnMap = () => Array.from(data.map.x, (x) => x > 0);
