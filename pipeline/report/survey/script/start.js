// Start: the name, keys and buttons.

import { byId } from "./facts.js";
import { begin, showOnly, undo, vote, voter } from "./ballot.js";
import { showResult } from "./result.js";

const NAME = "facemask survey"; // of the voter, in this tab: a reload goes on
const KEYS = {
  r: () => vote("real"), ArrowLeft: () => vote("real"), m: () => vote("made"), ArrowRight: () => vote("made"),
  u: undo, Backspace: undo,
};

byId("begin").onsubmit = (event) => {
  event.preventDefault();
  byId("voter").blur(); // the keys are votes from here on
  sessionStorage.setItem(NAME, byId("voter").value);
  begin(byId("voter").value);
};
byId("real").onclick = () => vote("real");
byId("made").onclick = () => vote("made");
byId("undo").onclick = undo;
byId("show").onclick = () => showResult(voter());
byId("next-person").onclick = () => {
  sessionStorage.removeItem(NAME);
  byId("voter").value = "";
  showOnly("begin");
  byId("voter").focus();
};
document.addEventListener("keydown", (event) => {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const isUndo = key === "z" && (event.ctrlKey || event.metaKey);
  // A key that is held down repeats: it is one vote. Without the button to take a vote back there is none.
  if (event.repeat || event.altKey || ((event.ctrlKey || event.metaKey) && !isUndo)) return;
  if (byId("back").hidden || !(isUndo || key in KEYS)) return;
  event.preventDefault();
  isUndo ? undo() : KEYS[key]();
});

const before = sessionStorage.getItem(NAME);
if (before) begin(before);
else byId("voter").focus();
document.documentElement.dataset.ready = "true";
