// One picture at a time: shows it, and sends the vote.

import { byId, formatCount } from "./facts.js";
import { loadPicture, loadState, pictureAddress, saveVote, takeBack } from "./server.js";

let state = null; // the server's: voter, done, total, next, canUndo
let shownAt = null; // when the picture could be seen, ms; null: it cannot be voted on
let busy = false; // a request is under way

export const voter = () => state?.voter ?? null;

export function showOnly(...ids) {
  for (const id of ["begin", "ballot", "last", "back", "end"]) byId(id).hidden = !ids.includes(id);
}

export function showProblem(error) {
  byId("problem").textContent = error?.message ?? "";
  byId("problem").hidden = !error;
}

export const begin = (name) => exchange(() => loadState(name));
export const undo = () => { if (state?.canUndo) exchange(() => takeBack(state.voter)); };
export const vote = (choice) => {
  if (shownAt === null || byId("ballot").hidden) return;
  const seconds = (performance.now() - shownAt) / 1000;
  exchange(() => saveVote(state.voter, state.next[0], choice, seconds));
};

// Sends one request at a time: a key that is pressed meanwhile is not taken for a vote on the next picture.
async function exchange(request) {
  if (busy) return;
  busy = true;
  try {
    state = await request();
    showProblem(null);
    await show();
  } catch (error) {
    showProblem(error);
  } finally {
    busy = false;
  }
}

async function show() {
  const { done, total, next, canUndo } = state;
  byId("undo").disabled = !canUndo;
  byId("voter-now").textContent = state.voter;
  if (!next.length) {
    shownAt = null;
    showOnly("last", "back");
    return;
  }
  showOnly("ballot", "back");
  byId("bar").max = total;
  byId("bar").value = done;
  byId("count").textContent = `${formatCount(done + 1)} of ${formatCount(total)}`;
  await showPicture(next[0]);
  if (next.length > 1) new Image().src = pictureAddress(next[1]); // in advance
}

async function showPicture(number) {
  shownAt = null;
  byId("ballot").classList.add("waiting"); // the last picture must not be taken for this one
  await loadPicture(byId("picture"), number);
  byId("ballot").classList.remove("waiting");
  shownAt = performance.now();
}
