// The groups of "Who is dropped?": skin tone, mask lightness, ... (curation/groups.py), each named "KIND: GROUP".

import { data } from "./data.js";

export const groupNames = () => Object.entries(data.groups)
  .flatMap(([kind, { values }]) => values.map((value) => `${kind}: ${value}`));

// A function of an image's index: is the image in the group of this name? All images are in the group "any".
export function groupTest(name) {
  for (const [kind, { values, codes }] of Object.entries(data.groups)) {
    const code = values.findIndex((value) => `${kind}: ${value}` === name) + 1;
    if (code) return (index) => codes[index] === code;
  }
  return () => true;
}
