// The limits of params.yaml as the sliders have moved them, and the curation rules evaluated under them (limits.py).

import { changes, facts, oncePerFrame } from "./facts.js";
import { category, data } from "./data.js";

export const reasonBits = Object.fromEntries(facts.reasons.map((reason, position) => [reason, (1 << position) >>> 0]));
const relativeReasons = (reasonBits.duplicate | reasonBits.not_selected) >>> 0; // given by other images
const limitedReasons = facts.limits.reduce((bits, limit) => bits | reasonBits[limit.reason], 0) >>> 0;

export const thresholds = {}; // limit's key -> its threshold now
export let verdicts = null; // Uint32Array: the bits of each image's reasons under `thresholds`; 0: kept

export const reasonsOf = (bits) => facts.reasons.filter((reason) => bits & reasonBits[reason]);
export const movedLimits = () => facts.limits.filter((limit) => thresholds[limit.key] !== limit.threshold);
export const verdictChanged = (index) => (verdicts[index] === 0) !== (data.reasons[index] === 0);

// What a limit is compared with, for every image.
export const measurements = (limit) => data.derived[limit.measurement] ?? data.numbers[limit.measurement];

// Whether the limit is one of the image's domain and, where it needs one, the image has a mask.
export const limitApplies = (limit, index) => (!limit.domain || category("domain", index) === limit.domain) &&
  (!limit.needs_mask || data.numbers.cover_total[index] >= facts.minCoverWorn);

// A function of an image's index: is the image beyond the limit? False where nothing was measured.
export function limitTest(limit) {
  const values = measurements(limit), threshold = thresholds[limit.key];
  return (index) => {
    if (!limitApplies(limit, index)) return false;
    const value = limit.absolute ? Math.abs(values[index]) : values[index];
    return limit.side === "min" ? value < threshold : value > threshold;
  };
}

// Evaluates the rules for every image. A review goes before them, as in curate. Neither duplicates nor the selection
// are searched for again.
function applyRules() {
  const tests = facts.limits.map((limit) => [reasonBits[limit.reason], limitTest(limit)]);
  for (let index = 0; index < facts.count; index++) {
    const before = data.reasons[index];
    verdicts[index] = before;
    if (category("review", index) === "keep") continue;
    let bits = before & ~limitedReasons & ~relativeReasons;
    for (const [bit, isBeyond] of tests) if (isBeyond(index)) bits |= bit;
    verdicts[index] = bits || before & relativeReasons;
  }
  changes.dispatchEvent(new Event("limits"));
}

const applyRulesSoon = oncePerFrame(applyRules); // a slider sends an event for each step

export function setLimit(key, threshold) {
  thresholds[key] = threshold;
  applyRulesSoon();
}

export function resetLimits() {
  for (const limit of facts.limits) thresholds[limit.key] = limit.threshold;
  verdicts ??= new Uint32Array(facts.count);
  applyRules();
}
