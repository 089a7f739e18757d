// The facts that page.py wrote into the page, and helpers to format numbers and create elements.

export const facts = JSON.parse(document.getElementById("facts").textContent); // facts.py
// True under `facemask review`, whose server saves reviews; false for a page that was opened from disk.
const served = document.querySelector("meta[name=facemask-review]");
export const isServed = served !== null;
export const hasOtherRun = served?.content === "against"; // `facemask review --against DIR`
// Events: "limits" (the rules were applied under other limits), "reviews" (keep or drop of an image changed), "undone"
// (after an undo or redo), "view" (the gallery shows other images) and "opened" (an image was opened or closed).
export const changes = new EventTarget();

export const byId = (id) => document.getElementById(id);
export const formatCount = (count) => count.toLocaleString("en");
export const formatNumber = (number) =>
  Number.isInteger(number) ? formatCount(number) : String(Number(number.toPrecision(3)));

// Returns a function that calls `action` in the next frame, once, however often it is called until then.
export function oncePerFrame(action) {
  let scheduled = false;
  return (...values) => {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => { scheduled = false; action(...values); });
  };
}

// An attribute null or false is left out; one that starts with "on" is an event handler; a child null is left out.
export function createElement(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === false) continue;
    if (name.startsWith("on")) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

export function createSvg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
