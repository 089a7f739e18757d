// Stages: pictures that zoom and move together. A click or the wheel zooms, a drag moves, two fingers do both.

import { createElement } from "./facts.js";

const MAX_STAGE_ZOOM = 40;
const CLICK_ZOOM = 4;
const PIXELS_FROM = 3; // zoom from which single pixels are shown, not blurred
const MOVED_PX = 4; // a shorter drag is a click

let stages = [];
let place = { left: 0, top: 0, zoom: 1 }; // the part shown, in shares of the picture: the same for all stages

function showPlace() {
  for (const stage of stages) {
    const { style } = stage.firstChild;
    style.transform = `scale(${place.zoom}) translate(${-100 * place.left}%, ${-100 * place.top}%)`;
    style.setProperty("--zoom", place.zoom);
    stage.classList.toggle("zoomed", place.zoom > 1);
    stage.classList.toggle("pixels", place.zoom >= PIXELS_FROM);
  }
}

function moveTo(left, top, zoom) {
  const within = (value) => Math.min(1 - 1 / zoom, Math.max(0, value));
  place = { left: within(left), top: within(top), zoom };
  showPlace();
}

// Zooms so that the point at (x, y), shares of the stage, stays where it is.
export function zoomBy(factor, x = 0.5, y = 0.5) {
  const zoom = Math.min(MAX_STAGE_ZOOM, Math.max(1, place.zoom * factor));
  moveTo(place.left + x / place.zoom - x / zoom, place.top + y / place.zoom - y / zoom, zoom);
}

export const moveBy = (x, y) => moveTo(place.left + x / place.zoom, place.top + y / place.zoom, place.zoom);
export const zoomOut = () => moveTo(0, 0, 1);

// Ends the stages of the image that was open before; the place stays.
export function clearStages() {
  stages = [];
}

// A stage with layers, the lowest first, of a picture that is `ratio` times as wide as high.
export function createStage(ratio, ...layers) {
  const stage = createElement("div", { class: "stage", style: `--ratio: ${ratio}` },
    createElement("div", { class: "layers" }, ...layers));
  stages.push(stage);
  listenToStage(stage);
  showPlace();
  return stage;
}

function listenToStage(stage) {
  const pointers = new Map(); // id -> [x, y], shares of the stage
  let moved = 0; // px since the first pointer came down
  const share = (event) => {
    const box = stage.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY / 300), ...share(event));
  }, { passive: false });
  stage.onpointerdown = (event) => {
    if (event.button) return;
    stage.setPointerCapture(event.pointerId);
    if (!pointers.size) moved = 0;
    pointers.set(event.pointerId, share(event));
  };
  stage.onpointermove = (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = share(event), other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    moved += Math.hypot(event.movementX, event.movementY);
    pointers.set(event.pointerId, now);
    if (other) {
      const distance = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
      zoomBy(distance(now) / Math.max(distance(before), 0.01), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    }
    moveBy((before[0] - now[0]) / (other ? 2 : 1), (before[1] - now[1]) / (other ? 2 : 1));
  };
  stage.onpointerup = (event) => {
    const isClick = pointers.size === 1 && moved < MOVED_PX;
    if (pointers.delete(event.pointerId) && isClick) place.zoom > 1 ? zoomOut() : zoomBy(CLICK_ZOOM, ...share(event));
  };
  stage.onpointercancel = (event) => pointers.delete(event.pointerId);
}
