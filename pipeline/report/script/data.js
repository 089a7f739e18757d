// The manifest: its columns, loaded whole, and the details of single images, loaded in chunks when they are needed.
// A page opened from disk may load nothing but scripts and images, so that the data are scripts (columns.py), which
// call facemask.columns and facemask.details. An image is known by its index in the columns.

import { createElement, facts } from "./facts.js";

const MAX_CHUNKS = 60; // kept in memory

export let data = null; // {numbers, derived, categories, groups, reasons, duplicateOf, map}: typed arrays, an element for each image
const chunks = new Map(); // chunk number -> promise of its details, the most recently used last
const pending = new Map(); // chunk number -> function that takes its details

export function decodeArray(base64, ArrayType) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new ArrayType(bytes.buffer);
}

export function receiveColumns(columns) {
  const numbers = {};
  for (const [name, base64] of Object.entries(columns.numbers)) numbers[name] = decodeArray(base64, Float32Array);
  const decodeCategories = (encoded) => Object.fromEntries(Object.entries(encoded).map(
    ([name, { values, codes }]) => [name, { values, codes: decodeArray(codes, Uint8Array) }]));
  const categories = decodeCategories(columns.categories), groups = decodeCategories(columns.groups);
  const { width, height, cover_nose: nose, cover_mouth: mouth, cover_face: face, frame_px: frame } = numbers;
  const derived = { // as in limits.py
    shortest_side: width.map((value, index) => Math.min(value, height[index], frame[index] || Infinity)), // NaN: no face
    cover_highest: nose.map((value, index) => Math.max(value, mouth[index], face[index])),
  };
  const reasons = decodeArray(columns.reasons, Uint32Array), duplicateOf = decodeArray(columns.duplicateOf, Int32Array);
  const map = { x: decodeArray(columns.map.x, Uint16Array), y: decodeArray(columns.map.y, Uint16Array) };
  data = { numbers, derived, categories, groups, reasons, duplicateOf, map };
}

export function receiveDetails(number, details) {
  pending.get(number)?.(details);
  pending.delete(number);
}

// The value of a column of words, such as domain or source; "" where there is none.
export function category(name, index) {
  const { values, codes } = data.categories[name];
  return codes[index] ? values[codes[index] - 1] : "";
}

// The details of one image: its id, path, licence, author, landmarks, ...
export async function loadDetails(index) {
  const number = Math.floor(index / facts.imagesPerChunk);
  const chunk = chunks.get(number) ?? loadChunk(number);
  chunks.delete(number);
  chunks.set(number, chunk);
  if (chunks.size > MAX_CHUNKS) chunks.delete(chunks.keys().next().value);
  return (await chunk)[index % facts.imagesPerChunk];
}

function loadChunk(number) {
  return new Promise((resolve, reject) => {
    pending.set(number, resolve);
    const src = `index.data/rows/${String(number).padStart(6, "0")}.js`;
    document.head.append(createElement("script", { src, onerror: () => reject(new Error(`${src} cannot be loaded`)) }));
  });
}
