// The names of all images. They are loaded when somebody searches or opens a saved view: most visits need none of them.

import { byId, createElement, facts } from "./facts.js";
import { decodeArray } from "./data.js";

const SEPARATOR = "\0"; // no path contains it
let runLoading = null; // promise of the run
let resolveRun = null;

// The argument of facemask.run, as columns.py wrote it, with `starts`: where each name starts in `lower`.
export function decodeRun({ ids, reasons, reasonNames, thresholds, made }) {
  const lower = ids.toLowerCase(), starts = [0];
  for (let end = lower.indexOf(SEPARATOR); end >= 0; end = lower.indexOf(SEPARATOR, end + 1)) starts.push(end + 1);
  return { ids: ids.split(SEPARATOR), lower, starts, reasons: decodeArray(reasons, Uint32Array), reasonNames, thresholds, made };
}

export const receiveRun = (run) => resolveRun?.(decodeRun(run));

export function loadRun() {
  runLoading ??= new Promise((resolve, reject) => {
    resolveRun = resolve;
    const src = "index.data/run.js";
    const onerror = () => {
      byId("missing").hidden = false;
      reject(new Error(`${src} cannot be loaded`));
    };
    document.head.append(createElement("script", { src, onerror }));
  });
  return runLoading;
}

// Uint8Array with 1 for each image whose name contains `text`; upper and lower case are alike.
export async function imagesNamed(text) {
  const { lower, starts } = await loadRun(), part = text.toLowerCase(), found = new Uint8Array(facts.count);
  for (let at = lower.indexOf(part), index = 0; at >= 0; at = lower.indexOf(part, starts[index + 1] ?? lower.length)) {
    let end = starts.length;
    while (end - index > 1) { // the last image that starts at `at` or before
      const middle = (index + end) >> 1;
      if (starts[middle] <= at) index = middle;
      else end = middle;
    }
    found[index] = 1;
  }
  return found;
}

// The index of the image with this name; -1: it is not on this page.
export const indexNamed = async (name) => (await loadRun()).ids.indexOf(name);
