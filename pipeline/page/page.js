"use strict";
// Opened from disk a page may load scripts and pictures beside it and nothing else: so the data are scripts that call
// facemask.columns and facemask.rows. Under `facemask review` a meta element with a token says that choices are saved.
const facemask = (() => {
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const token = document.querySelector("meta[name=facemask-token]")?.content;
  const at = (id) => document.getElementById(id);
  const bits = Object.fromEntries(facts.reasons.map((reason, place) => [reason, (1 << place) >>> 0]));
  const movable = facts.limits.reduce((all, limit) => all | bits[limit.reason], 0) >>> 0;
  const whole = (number) => number.toLocaleString("en");
  const short = (number) => (Number.isInteger(number) ? whole(number) : String(Number(number.toPrecision(3))));
  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === null || value === false) continue;
      if (key.startsWith("on")) made[key] = value; else made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null));
    return made;
  };
  const drawn = (name, attributes, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  // --- data ---------------------------------------------------------------------------------------------------------
  let data = null; // {numbers: {name: Float32Array}, words: {name: {words, codes}}, reasons, repeats}
  const limits = Object.fromEntries(facts.limits.map((limit) => [limit.key, limit.now]));
  let verdicts = null; // Uint32Array: each image's reasons under `limits`
  const chosen = new Map(); // place -> {review: keep, drop or "", note}
  const details = new Map(); // number of a chunk -> its rows, the latest last
  const waiting = new Map(); // number of a chunk -> {promise, done}

  const unpacked = (text, Kind) => {
    const raw = atob(text);
    const bytes = new Uint8Array(raw.length);
    for (let place = 0; place < raw.length; place++) bytes[place] = raw.charCodeAt(place);
    return new Kind(bytes.buffer);
  };

  function columns(given) {
    const numbers = {};
    for (const [name, text] of Object.entries(given.numbers)) numbers[name] = unpacked(text, Float32Array);
    numbers.px = numbers.width.map((width, place) => Math.min(width, numbers.height[place]));
    numbers.cover_plain = numbers.cover_nose.map((nose, place) =>
      Math.max(nose, numbers.cover_mouth[place], numbers.cover_face[place]));
    const words = {};
    for (const [name, { words: known, codes }] of Object.entries(given.words))
      words[name] = { words: known, codes: unpacked(codes, Uint8Array) };
    data = { numbers, words, reasons: unpacked(given.reasons, Uint32Array), repeats: unpacked(given.repeats, Int32Array) };
    verdicts = data.reasons.slice();
    start();
    recall();
  }

  const word = (name, place) => {
    const { words, codes } = data.words[name];
    return codes[place] ? words[codes[place] - 1] : "";
  };

  function chunk(number) {
    if (details.has(number)) {
      const rows = details.get(number);
      details.delete(number);
      details.set(number, rows);
      return Promise.resolve(rows);
    }
    if (!waiting.has(number)) {
      const promise = new Promise((done, failed) => {
        waiting.set(number, { done });
        const source = `index.data/rows/${String(number).padStart(6, "0")}.js`;
        document.head.append(element("script", { src: source, onerror: () => failed(new Error(`${source} is not there`)) }));
      });
      waiting.get(number).promise = promise;
    }
    return waiting.get(number).promise;
  }

  function rows(number, given) {
    details.set(number, given);
    if (details.size > 60) details.delete(details.keys().next().value);
    waiting.get(number)?.done(given);
    waiting.delete(number);
  }

  const detail = async (place) => (await chunk(Math.floor(place / facts.perChunk)))[place % facts.perChunk];

  // --- the rules, once more: pipeline/page/limits.py ------------------------------------------------------------------
  const beyond = (limit, value, threshold) => {
    const asked = limit.size_only ? Math.abs(value) : value;
    return limit.side === "min" ? asked < threshold : asked > threshold; // both false where nothing was measured
  };
  const asked = (limit, place) =>
    (!limit.domain || word("domain", place) === limit.domain) &&
    (!limit.if_traced || data.numbers.cover_seen[place] >= facts.trace);

  // The reasons of one image under the limits as they are moved; `review` keep or drop goes before them, as in curate.
  function judged(place) {
    const was = data.reasons[place];
    if (word("review", place) === "keep") return was;
    let now = (was & ~movable & ~bits.duplicate) >>> 0;
    for (const limit of facts.limits)
      if (asked(limit, place) && beyond(limit, data.numbers[limit.value][place], limits[limit.key])) now |= bits[limit.reason];
    return (now === 0 ? was & bits.duplicate : now) >>> 0;
  }

  // --- limits and histograms ------------------------------------------------------------------------------------------
  const WIDTH = 360, HEIGHT = 90, BARS = 60;

  function histograms() {
    const free = [["brightness", 0, 255, "0-255"], ["cover_face", 0, 1, "share"], ["dup_distance", 0, 32, "bits"]];
    at("histograms").append(
      ...facts.limits.map((limit) => histogram(limit)),
      ...free.map(([value, low, high, unit]) => histogram({ value, low, high, unit })));
  }

  function histogram(limit) {
    const values = data.numbers[limit.value];
    const span = limit.high - limit.low;
    const counts = { masked: new Float64Array(BARS), unmasked: new Float64Array(BARS) };
    for (let place = 0; place < facts.count; place++) {
      const value = limit.size_only ? Math.abs(values[place]) : values[place];
      if (Number.isNaN(value) || (limit.domain && word("domain", place) !== limit.domain)) continue;
      const bar = Math.min(BARS - 1, Math.max(0, Math.floor(((value - limit.low) / span) * BARS)));
      counts[word("domain", place)][bar]++;
    }
    const most = Math.max(1, ...counts.masked.map((count, bar) => count + counts.unmasked[bar]));
    const across = (value) => ((value - limit.low) / span) * WIDTH;
    const svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT + 14}`, role: "img", "aria-label": `Histogram of ${limit.value}` });
    for (let bar = 0; bar < BARS; bar++) {
      const both = counts.masked[bar] + counts.unmasked[bar];
      const tall = both && Math.max(2, Math.sqrt(both / most) * (HEIGHT - 4)); // roots: a few must be seen beside many
      let floor = HEIGHT;
      for (const domain of ["masked", "unmasked"]) {
        const count = counts[domain][bar];
        if (!count) continue;
        const height = (count / both) * tall;
        const title = drawn("title", {});
        title.textContent = `${short(limit.low + (bar * span) / BARS)} to ${short(limit.low + ((bar + 1) * span) / BARS)}: ${whole(count)} ${domain}`;
        svg.append(drawn("rect", { class: domain, x: (bar * WIDTH) / BARS, y: floor - height, width: WIDTH / BARS - 0.7, height }, title));
        floor -= height;
      }
    }
    svg.append(drawn("line", { class: "axis", x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT }));
    for (const [value, anchor] of [[limit.low, "start"], [limit.high, "end"]]) {
      const text = drawn("text", { x: across(value), y: HEIGHT + 11, "text-anchor": anchor });
      text.textContent = short(value);
      svg.append(text);
    }
    const name = limit.key ?? limit.value;
    const told = element("output", {}, limit.key ? short(limit.now) : "");
    const box = element("div", { class: "histogram" }, element("h3", {}, element("span", {}, name), told), svg);
    if (!limit.key) {
      box.append(element("p", { class: "quiet" }, `${limit.unit}; no limit of its own`));
      return box;
    }
    const shade = drawn("rect", { class: "beyond", y: 0, height: HEIGHT });
    const line = drawn("line", { class: "limit", y1: 0, y2: HEIGHT });
    const was = drawn("line", { class: "was", x1: across(limit.now), x2: across(limit.now), y1: 0, y2: HEIGHT });
    svg.append(shade, was, line);
    const effect = element("p", { class: "quiet" });
    const slider = element("input", {
      type: "range", min: limit.low, max: limit.high, step: span <= 1 ? 0.01 : span <= 100 ? 0.5 : 1, "aria-label": name,
      oninput: () => move(limit.key, Number(slider.value)),
    });
    box.append(slider, effect);
    refreshers.push(() => {
      const now = limits[limit.key], x = Math.min(WIDTH, Math.max(0, across(now)));
      told.textContent = now === limit.now ? `${short(now)} ${limit.unit}` : `${short(limit.now)} → ${short(now)} ${limit.unit}`;
      if (Number(slider.value) !== now) slider.value = now;
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
      shade.setAttribute("x", limit.side === "min" ? 0 : x);
      shade.setAttribute("width", limit.side === "min" ? x : WIDTH - x);
      let lost = 0;
      for (let place = 0; place < facts.count; place++)
        if (asked(limit, place) && beyond(limit, values[place], now)) lost++;
      effect.textContent = `${limit.reason}: ${whole(lost)} images`;
    });
    return box;
  }

  const refreshers = [];
  const changed = (place) => (verdicts[place] === 0) !== (data.reasons[place] === 0);

  let moving = false; // a slider tells of each step: reckoned once for each picture on the screen

  function move(key, value) {
    limits[key] = value;
    if (moving) return;
    moving = true;
    requestAnimationFrame(() => { moving = false; judge(); });
  }

  function judge() {
    for (let place = 0; place < facts.count; place++) verdicts[place] = judged(place);
    refreshers.forEach((refresh) => refresh());
    let come = 0, go = 0;
    for (let place = 0; place < facts.count; place++)
      if (changed(place)) verdicts[place] === 0 ? come++ : go++;
    const moved = facts.limits.filter((limit) => limits[limit.key] !== limit.now);
    at("moved").hidden = moved.length === 0;
    at("moved-count").textContent = `${whole(come + go)} images change sides: ${whole(come)} would be kept, ${whole(go)} would go.`;
    at("moved-lines").textContent = ["curate:", ...moved.map((limit) => `  ${limit.key}: ${limits[limit.key]}`)].join("\n");
    select();
  }

  // --- the gallery --------------------------------------------------------------------------------------------------
  const ANY = "any";
  const filters = { verdict: ANY, domain: ANY, source: ANY, split: ANY, claimed: ANY, review: ANY, sort: "", down: "up" };
  let order = new Uint32Array(0); // places of the images that are shown
  const selected = new Set();
  let here = 0, anchor = 0; // in `order`
  const CELL = 108;

  function choices() {
    const known = (name) => [ANY, ...data.words[name].words];
    const verdict = [ANY, "accepted", "rejected", ...facts.reasons.filter((reason) => some(bits[reason])), "changed"];
    const sorts = ["", ...Object.keys(data.numbers).filter((name) => name !== "px" && name !== "cover_plain")];
    const lists = {
      verdict, domain: known("domain"), source: known("source"), split: known("split"), claimed: known("claimed"),
      review: [ANY, "keep", "drop", "none"], sort: sorts, down: ["up", "down"],
    };
    const names = { sort: "sorted by", down: "order" };
    for (const [name, values] of Object.entries(lists)) {
      if (values.length < 2) continue;
      const options = values.map((value) => element("option", { value }, value === "" ? "place in the data" : value));
      const list = element("select", { name, onchange: () => { filters[name] = list.value; select(); } }, ...options);
      at("filters").append(element("label", {}, names[name] ?? name, list));
    }
  }

  const some = (bit) => data.reasons.some((reasons) => reasons & bit);
  const review = (place) => chosen.get(place)?.review ?? word("review", place);

  function passes(place) {
    const reasons = verdicts[place];
    switch (filters.verdict) {
      case ANY: break;
      case "accepted": if (reasons) return false; break;
      case "rejected": if (!reasons) return false; break;
      case "changed": if (!changed(place)) return false; break;
      default: if (!(reasons & bits[filters.verdict])) return false;
    }
    for (const name of ["domain", "source", "split", "claimed"])
      if (filters[name] !== ANY && word(name, place) !== filters[name]) return false;
    return filters.review === ANY || (review(place) || "none") === filters.review;
  }

  function select() {
    const places = [];
    for (let place = 0; place < facts.count; place++) if (passes(place)) places.push(place);
    const by = data.numbers[filters.sort];
    if (by) {
      const sign = filters.down === "down" ? -1 : 1;
      const missing = Infinity; // what was not measured comes last, either way
      places.sort((one, other) => {
        const a = Number.isNaN(by[one]) ? missing : sign * by[one], b = Number.isNaN(by[other]) ? missing : sign * by[other];
        return a < b ? -1 : a > b ? 1 : one - other;
      });
    } else if (filters.down === "down") places.reverse();
    order = Uint32Array.from(places);
    for (const list of at("filters").querySelectorAll("select")) list.value = filters[list.name];
    selected.clear();
    here = anchor = 0;
    draw();
  }

  function show(wanted) {
    Object.assign(filters, { verdict: ANY, domain: ANY, source: ANY, split: ANY, claimed: ANY, review: ANY }, wanted);
    select();
  }

  const sheet = (place) => {
    const number = Math.floor(place / facts.thumb.columns ** 2);
    return `index.data/sheets/${String(Math.floor(number / 1000)).padStart(3, "0")}/${String(number).padStart(6, "0")}.jpg`;
  };
  const inSheet = (place) => {
    const within = place % facts.thumb.columns ** 2;
    return [within % facts.thumb.columns, Math.floor(within / facts.thumb.columns)];
  };

  // Sheets are cut up here and not by the style sheet: a browser keeps the last thousand pictures that it drew from, whole
  // and unpacked, which in a sorted gallery are sheets from all over; of these only some are held, and else the cut.
  const loaded = new Map(); // address of a sheet -> promise of its image, the latest last

  function load(source) {
    const image = loaded.get(source) ?? new Promise((done, failed) => {
      const made = new Image();
      made.onload = () => done(made);
      made.onerror = () => failed(new Error(`${source} is not there`));
      made.src = source;
    });
    loaded.delete(source);
    loaded.set(source, image);
    if (loaded.size > 6) {
      const [oldest, gone] = loaded.entries().next().value;
      loaded.delete(oldest);
      gone.then((made) => made.removeAttribute("src"), () => {});
    }
    return image;
  }

  const spare = []; // canvases of cells that are gone: made anew for each, they would pile up until they are collected

  function thumb(place) {
    const px = facts.thumb.px, [column, row] = inSheet(place);
    const made = spare.pop() ?? element("canvas", { class: "thumb", width: px, height: px });
    made.getContext("bitmaprenderer").transferFromImageBitmap(null);
    made.dataset.of = place;
    const isStill = () => made.dataset.of === String(place) && made.isConnected;
    wanted.push(async () => {
      if (!isStill()) return;
      const image = await load(sheet(place));
      const cut = await createImageBitmap(image, column * px, row * px, px, px);
      if (isStill()) made.getContext("bitmaprenderer").transferFromImageBitmap(cut); else cut.close();
    });
    setTimeout(serve);
    return made;
  }

  const wanted = []; // thumbnails to come: the last asked for first, and those that are scrolled away never
  let served = 0;

  async function serve() {
    while (served < 3 && wanted.length) {
      served++;
      wanted.pop()()
        .catch((error) => { at("missing").hidden = false; at("missing").title = error.message; })
        .finally(() => { served--; serve(); });
    }
  }

  function cell(index, perRow, picture) {
    const place = order[index];
    const reasons = verdicts[place], said = review(place);
    const names = facts.reasons.filter((reason) => reasons & bits[reason]).join(", ") || "accepted";
    const readable = !Number.isNaN(data.numbers.width[place]);
    const made = element("div", {
      class: `cell${reasons ? "" : " kept"}${selected.has(place) ? " chosen" : ""}${index === here ? " here" : ""}`,
      role: "option", id: `cell-${index}`, "aria-selected": String(selected.has(place)), "aria-label": `${names}${said ? `, ${said}` : ""}`, title: names,
      style: `left: ${(index % perRow) * CELL}px; top: ${Math.floor(index / perRow) * CELL}px`,
    }, picture ?? (readable ? thumb(place) : element("span", { class: "none" }, "unreadable")));
    if (said) made.append(element("span", { class: `badge ${said}` }, said));
    made.dataset.index = index;
    made.dataset.place = place;
    return made;
  }

  const perRow = () => Math.max(1, Math.floor((at("grid").clientWidth + 4) / CELL));

  const drawnCells = new Map(); // index -> its element, of those near the screen

  // After a mere scroll cells that stay are left alone, lest one vanish under a finger.
  function draw(scrolled = false) {
    const grid = at("grid"), across = perRow(), box = grid.getBoundingClientRect();
    grid.style.height = `${Math.ceil(order.length / across) * CELL}px`;
    const first = Math.max(0, Math.floor((-box.top - 300) / CELL)) * across;
    const last = Math.min(order.length, (Math.ceil((innerHeight - box.top + 300) / CELL) + 1) * across);
    const pictures = new Map(); // of cells that are drawn anew, lest each selection make them flicker
    for (const [index, element] of drawnCells)
      if (!scrolled || index < first || index >= last) {
        pictures.set(Number(element.dataset.place), element.firstChild);
        element.remove();
        drawnCells.delete(index);
      }
    for (let index = first; index < last; index++) {
      if (drawnCells.has(index)) continue;
      drawnCells.set(index, cell(index, across, pictures.get(order[index])));
      pictures.delete(order[index]);
      grid.append(drawnCells.get(index));
    }
    spare.push(...[...pictures.values()].filter((picture) => picture.localName === "canvas"));
    grid.setAttribute("aria-activedescendant", `cell-${here}`);
    at("shown").textContent = `${whole(order.length)} of ${whole(facts.count)} pictures${selected.size ? `, ${whole(selected.size)} selected` : ""}`;
  }

  let planned = false;
  const soon = (event) => {
    if (planned || !data) return;
    planned = true;
    requestAnimationFrame(() => { planned = false; draw(event.type === "scroll"); });
  };

  function pick(index, more, upTo) {
    if (index < 0 || index >= order.length) return;
    if (!more && !upTo) selected.clear();
    if (upTo) for (let place = Math.min(anchor, index); place <= Math.max(anchor, index); place++) selected.add(order[place]);
    else {
      if (more && selected.has(order[index])) selected.delete(order[index]); else selected.add(order[index]);
      anchor = index;
    }
    here = index;
    draw();
  }

  function go(step) {
    here = Math.min(order.length - 1, Math.max(0, here + step));
    const top = at("grid").getBoundingClientRect().top + Math.floor(here / perRow()) * CELL;
    if (top < 80) scrollBy(0, top - 90);
    else if (top + CELL > innerHeight) scrollBy(0, top + CELL - innerHeight + 10);
    draw();
  }

  // --- keep and drop --------------------------------------------------------------------------------------------------
  const memory = `facemask review ${location.pathname} ${facts.content}`;

  // Choices that were made from disk and not yet brought into review.csv: a closed tab loses none.
  async function recall() {
    if (token) {
      try { learn(await (await fetch("review")).json()); } catch (error) { at("saved").textContent = `review.csv cannot be read: ${error.message}`; }
      return;
    }
    try {
      for (const [place, choice] of JSON.parse(localStorage.getItem(memory) ?? "[]")) chosen.set(place, choice);
    } catch { /* a browser that keeps nothing for files */ }
    if (chosen.size) at("saved").textContent = `${choicesMade()} of before: download review.csv, and put it where curate reads it`;
    draw();
  }

  // What review.csv holds now, perhaps from another page.
  function learn({ entries, count }) {
    for (let place = 0; place < facts.count; place++)
      if (review(place) && !(place in entries)) chosen.set(place, { review: "", note: "" });
    for (const [place, entry] of Object.entries(entries)) chosen.set(Number(place), entry);
    at("saved").textContent = `${whole(count)} in review.csv; run curate again to see them at work`;
    draw();
  }

  const choicesMade = () => `${whole(chosen.size)} choice${chosen.size === 1 ? "" : "s"}`;

  async function decide(places, said) {
    for (const place of places) chosen.set(place, { review: said, note: chosen.get(place)?.note ?? (await noted(place)) });
    await keep(places);
    draw();
  }

  const noted = async (place) => (token ? "" : facts.reviews[(await detail(place)).image_id]?.note ?? "");

  async function keep(places) {
    if (!token) {
      try { localStorage.setItem(memory, JSON.stringify([...chosen])); } catch { /* the same */ }
      at("saved").textContent = `${choicesMade()}: download review.csv, and put it where curate reads it`;
      return;
    }
    const changes = places.map((place) => ({ place, ...chosen.get(place) }));
    at("saved").textContent = "saving";
    try {
      const answer = await fetch("review", {
        method: "POST", headers: { "Content-Type": "application/json", "X-Facemask-Token": token }, body: JSON.stringify(changes),
      });
      if (!answer.ok) throw new Error(await answer.text());
      learn(await answer.json());
    } catch (error) {
      at("saved").textContent = `NOT saved: ${error.message}`;
    }
  }

  async function csv() {
    const entries = new Map(Object.entries(facts.reviews)); // of images that are not here, too
    for (const [place, choice] of chosen) {
      const { image_id } = await detail(place);
      if (choice.review) entries.set(image_id, choice); else entries.delete(image_id);
    }
    const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    return ["image_id,review,note", ...[...entries].map(([id, { review, note }]) => [id, review, note].map(quoted).join(","))].join("\n") + "\n";
  }

  async function download() {
    const link = element("a", { href: URL.createObjectURL(new Blob([await csv()], { type: "text/csv" })), download: "review.csv" });
    link.click();
    URL.revokeObjectURL(link.href);
  }

  // --- one picture ----------------------------------------------------------------------------------------------------
  async function open(place) {
    const row = await detail(place);
    const view = picture(place, row);
    const reasons = facts.reasons.filter((reason) => verdicts[place] & bits[reason]);
    const table = element("table");
    const told = (name, value, bad = false) =>
      table.append(element("tr", {}, element("td", {}, name), element("td", { class: bad ? "n beyond-limit" : "n" }, value)));
    for (const name of ["domain", "split", "claimed"]) if (word(name, place)) told(name, word(name, place));
    for (const [name, values] of Object.entries(data.numbers)) {
      if (Number.isNaN(values[place]) || name === "px" || name === "cover_plain") continue;
      const bad = facts.limits.some((limit) => (limit.value === name || (limit.value === "px" && name === "width") ||
        (limit.value === "cover_plain" && name === "cover_face")) && asked(limit, place) && beyond(limit, data.numbers[limit.value][place], limits[limit.key]));
      told(name, short(values[place]), bad);
    }
    for (const name of ["bytes", "ffhq_id", "licence", "author", "url", "archive"]) if (row[name] != null) told(name, String(row[name]));
    const note = element("input", { type: "text", value: chosen.get(place)?.note ?? (await noted(place)), "aria-label": "Note", placeholder: "a note for review.csv" });
    note.onchange = () => {
      chosen.set(place, { review: review(place), note: note.value });
      if (review(place)) keep([place]);
    };
    const act = (said) => async () => { chosen.set(place, { review: said, note: note.value }); await decide([place], said); open(place); };
    const box = at("picture");
    box.replaceChildren(
      element("button", { type: "button", class: "close", onclick: () => box.close(), title: "Escape" }, "Close"),
      element("h2", {}, row.image_id),
      element("div", { class: "large" },
        element("div", {}, view, ...twins(place)),
        element("div", {},
          element("p", {}, element("b", {}, review(place) ? `${review(place)} (review) ` : ""),
            reasons.length ? reasons.map((reason) => `${reason}: ${facts.meanings[reason]}`).join(" ") : `accepted: ${facts.meanings.accepted}`),
          element("p", {}, element("button", { type: "button", onclick: act("keep") }, "Keep"), " ",
            element("button", { type: "button", onclick: act("drop") }, "Drop"), " ",
            element("button", { type: "button", onclick: act("") }, "Clear")),
          note, table)));
    box.dataset.place = place;
    if (!box.open) box.showModal();
  }

  // The image that it repeats, or those that repeat it.
  function twins(place) {
    const found = [];
    const line = (other, text) => element("div", { class: "twin" },
      element("a", { href: "#", onclick: (event) => { event.preventDefault(); open(other); } }, thumb(other)), element("span", {}, text));
    if (data.repeats[place] >= 0) found.push(line(data.repeats[place], `repeats this one, which was kept (${data.numbers.dup_distance[place]} bits of 64 differ)`));
    for (let other = 0; other < facts.count && found.length < 12; other++)
      if (data.repeats[other] === place) found.push(line(other, `repeats this one (${data.numbers.dup_distance[other]} bits of 64 differ)`));
    return found;
  }

  function picture(place, row) {
    const view = element("div", { class: "view" });
    const [width, height] = row.size, px = facts.thumb.px;
    const folder = facts.folders[word("source", place)];
    const file = token ? `picture/${place}` : folder !== undefined ? `${folder}/${row.path}`.split("/").map(encodeURIComponent).join("/") : null;
    if (!width) {
      view.append(element("p", {}, "unreadable"));
    } else if (file) {
      const image = element("img", { src: file, alt: row.image_id });
      image.onerror = () => { image.replaceWith(enlarged(place)); };
      view.append(image, overlay(row, 0, 0, 1, 1));
    } else {
      view.append(enlarged(place), overlay(row, (px - width) / 2 / px, (px - height) / 2 / px, width / px, height / px));
      return element("div", {}, view, element("p", { class: "quiet" }, "Start 'facemask review' to see it at full size."));
    }
    return view;
  }

  function enlarged(place) {
    const per = facts.thumb.columns, [column, row] = inSheet(place);
    const first = Math.floor(place / per ** 2) * per ** 2;
    const down = Math.ceil(Math.min(per ** 2, facts.count - first) / per);
    const y = down > 1 ? (row / (down - 1)) * 100 : 0;
    return element("div", { class: "thumb", style: `aspect-ratio: 1; background: url(${sheet(place)}) ${(column / (per - 1)) * 100}% ${y}% / ${per * 100}% ${down * 100}%` });
  }

  function overlay(row, left, top, width, height) {
    const svg = drawn("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
    if (!row.points) return svg;
    const points = unpacked(row.points, Int16Array);
    const scale = facts.landmarkScale;
    const place = (number) => [left + points[2 * number] * scale * width, top + points[2 * number + 1] * scale * height];
    for (const [name, polygon] of Object.entries(facts.regions)) {
      const title = drawn("title", {});
      title.textContent = name;
      svg.append(drawn("polygon", { class: "region", points: polygon.map((number) => place(number).join(",")).join(" ") }, title));
    }
    for (let number = 0; number < points.length / 2; number++) {
      const [x, y] = place(number);
      svg.append(drawn("ellipse", { class: "dot", cx: x, cy: y, rx: 0.003, ry: 0.003 }));
    }
    return svg;
  }

  // --- the model's losses ---------------------------------------------------------------------------------------------
  function curves() {
    for (const [name, points] of Object.entries(facts.losses)) {
      const most = Math.max(...points.map(([, value]) => value)) || 1, end = points.at(-1)[0] || 1;
      const path = points.map(([step, value]) => `${(step / end) * WIDTH},${HEIGHT - (value / most) * (HEIGHT - 6)}`).join(" ");
      const texts = [[0, HEIGHT + 11, "0", "start"], [WIDTH, HEIGHT + 11, `${whole(end)} images`, "end"], [WIDTH, 9, `at most ${short(most)}`, "end"]].map(([x, y, words, anchor]) => {
        const text = drawn("text", { x, y, "text-anchor": anchor });
        text.textContent = words;
        return text;
      });
      at("losses").append(element("div", {}, element("h3", {}, name),
        drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT + 14}`, role: "img", "aria-label": `${name} over training` },
          drawn("line", { class: "axis", x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT }), drawn("polyline", { class: "curve", points: path }), ...texts)));
    }
  }

  // --- hands ----------------------------------------------------------------------------------------------------------
  const acts = {
    keep: () => decide(aimed(), "keep"),
    drop: () => decide(aimed(), "drop"),
    clear: () => decide(aimed(), ""),
    all: () => { order.forEach((place) => selected.add(place)); draw(); },
    none: () => { selected.clear(); draw(); },
  };
  const aimed = () => (selected.size ? [...selected] : order.length ? [order[here]] : []);
  const KEYS = { k: "keep", d: "drop", u: "clear", a: "all", Escape: "none" };

  function start() {
    histograms();
    choices();
    if (at("losses")) curves();
    judge();
    const grid = at("grid");
    grid.onclick = (event) => {
      const found = event.target.closest(".cell");
      if (!found) return;
      const index = Number(found.dataset.index);
      // No dblclick: the first click draws the cells anew, so that the second is upon another element.
      if (event.detail === 2) open(order[index]); else pick(index, event.ctrlKey || event.metaKey, event.shiftKey);
    };
    grid.onkeydown = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: perRow(), ArrowUp: -perRow(), PageDown: 4 * perRow(), PageUp: -4 * perRow(), Home: -order.length, End: order.length };
      if (event.key in steps) { go(steps[event.key]); if (event.shiftKey) pick(here, false, true); }
      else if (event.key === " ") pick(here, true, false);
      else if (event.key === "Enter" && order.length) open(order[here]);
      else if (event.key in KEYS) acts[KEYS[event.key]]();
      else return;
      event.preventDefault();
    };
    at("bar").onclick = (event) => acts[event.target.dataset.do]?.();
    at("download").onclick = download;
    at("reset").onclick = () => { for (const limit of facts.limits) limits[limit.key] = limit.now; judge(); };
    at("copy").onclick = () => navigator.clipboard?.writeText(at("moved-lines").textContent);
    document.addEventListener("click", (event) => {
      const link = event.target.closest("[data-show]");
      if (link) show(JSON.parse(link.dataset.show));
    });
    at("picture").addEventListener("keydown", (event) => {
      if (event.target.matches("input")) return;
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const index = order.indexOf(Number(at("picture").dataset.place)) + (step ?? 0);
      if (step && index >= 0 && index < order.length) { here = index; open(order[index]); draw(); }
      if (event.key in KEYS && event.key !== "Escape" && KEYS[event.key] !== "all") {
        const place = Number(at("picture").dataset.place);
        decide([place], { k: "keep", d: "drop", u: "" }[event.key]).then(() => open(place));
      }
    });
    addEventListener("scroll", soon, { passive: true });
    addEventListener("resize", soon);
    document.documentElement.dataset.ready = "true";
  }

  // For a touch there is neither a double click nor a key: a press that lasts opens.
  let press = null;
  at("grid").addEventListener("touchstart", (event) => {
    const found = event.target.closest(".cell");
    press = found && setTimeout(() => open(order[Number(found.dataset.index)]), 500);
  }, { passive: true });
  for (const name of ["touchend", "touchmove"]) at("grid").addEventListener(name, () => clearTimeout(press), { passive: true });

  return { columns, rows, move, verdicts: () => verdicts };
})();
