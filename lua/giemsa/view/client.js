// The live page in the browser: puts what the server sends in its place, and edits cells.
"use strict";
(() => {
const say = word => GIEMSA.words[word] ?? word;
const mayEdit = GIEMSA.role === "edit";
const $ = id => document.getElementById(id);
const make = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};
const button = (label, title, action) => {
  const one = make("button", "", label);
  one.type = "button";
  one.title = title;
  one.addEventListener("click", action);
  return one;
};

// ---- what is shown

// What the reader has opened stays open when a part is made anew.
const replaceHtml = (element, html) => {
  const open = [...element.querySelectorAll("details")].map(one => one.open);
  element.innerHTML = html;
  element.querySelectorAll("details").forEach((one, i) => { if (open[i]) one.open = true; });
};

// The file holds no blank lines at the end of a cell.
const isSame = (text, source) => text.trimEnd() === source;

const cells = new Map(); // key -> Cell

let added = null; // key of a cell that was added here and has not come yet

const openAdded = () => {
  const cell = cells.get(added);
  if (!cell) return;
  added = null;
  cell.edit();
  cell.box.scrollIntoView({ block: "nearest" });
};

class Cell {
  constructor(key) {
    this.key = key;
    this.box = make("div", "part");
    this.view = make("div", "view");
    this.box.append(this.view);
    if (mayEdit) this.addActions();
    this.draft = null;
  }

  addActions() {
    this.actions = make("div", "actions");
    this.runButtons = [
      button("▶ " + say("Run"), say("Run this cell (in its text: Ctrl-Enter)"), () => this.run()),
      button("▶▶ " + say("From here"), say("Run from this cell to the end"), () => command("run", { from: this.key })),
    ];
    this.editButton = button("✎ " + say("Edit"), say("Edit this cell (or double click)"), () => this.edit());
    this.actions.append(...this.runButtons, this.editButton);
    this.box.prepend(this.actions);
    this.adders = make("div", "add");
    this.adders.append(
      button("+ " + say("Code"), say("A new code cell below this one"), () => this.add("code")),
      button("+ " + say("Text"), say("A new text cell below this one"), () => this.add("markdown")));
    this.box.append(this.adders);
    this.view.addEventListener("dblclick", event => {
      if (!event.target.closest("a, summary, .output")) this.edit();
    });
  }

  update(part) {
    this.followFile(part.source);
    this.takeName(part);
    this.source = part.source;
    this.kind = part.kind;
    this.opens = part.opens; // it comes before the contents
    this.box.dataset.kind = part.kind;
    if (this.actions) this.runButtons.forEach(one => { one.hidden = part.kind !== "code"; });
    replaceHtml(this.view, part.html);
    // A text of one language is hidden whole, buttons and all, by the page's own rules.
    const language = this.view.firstElementChild?.className.match(/\bin-[\w-]+/);
    this.box.className = this.box.className.replace(/ ?\bin-[\w-]+/, "") + (language ? " " + language[0] : "");
    this.markDraft();
  }

  // Below this cell; its text area opens as soon as the server has sent it.
  async add(kind) {
    const answer = await command("add", { key: this.key, before: this.source, kind });
    if (!answer?.ok) return;
    added = answer.key;
    openAdded();
  }

  run() { return command("run", { from: this.key, to: this.key }); }

  // ---- the text area

  // A text area in which nothing was changed shows what the file says.
  followFile(source) {
    if (!this.area || source === this.before || !isSame(this.area.value, this.before)) return;
    const at = this.area.selectionStart;
    this.before = this.area.value = source;
    this.area.setSelectionRange(at, at);
    this.fit();
  }

  // Drafts are kept by the cell's name, else by its key. Keys are those of one server: of another one's drafts a cell
  // takes that which was begun with its text.
  takeName(part) {
    const prefix = "giemsa " + GIEMSA.lesson + " ", former = this.draftName;
    this.draftName = prefix + (part.name ?? GIEMSA.boot + " " + this.key);
    if (former === this.draftName) return;
    const isOther = name => name.startsWith(prefix) && / cell-\d+$/.test(name) && !name.startsWith(prefix + GIEMSA.boot);
    const place = former ?? (this.readDraft(this.draftName) ? this.draftName
      : Object.keys(sessionStorage).find(name => isOther(name) && this.readDraft(name)?.before === part.source));
    this.draft ??= place ? this.readDraft(place) : null;
    if (!this.draft) return;
    sessionStorage.removeItem(place);
    sessionStorage.setItem(this.draftName, JSON.stringify(this.draft));
  }

  readDraft(name) {
    try { return JSON.parse(sessionStorage.getItem(name)); } catch { return null; }
  }

  keepDraft() {
    const text = this.area.value;
    this.draft = isSame(text, this.before) ? null : { before: this.before, text };
    if (this.draft) sessionStorage.setItem(this.draftName, JSON.stringify(this.draft));
    else sessionStorage.removeItem(this.draftName);
    this.markDraft();
  }

  markDraft() {
    if (!this.actions) return;
    this.box.classList.toggle("has-draft", this.draft !== null);
    this.editButton.textContent = this.draft && !this.area ? "✎ " + say("draft") : "✎ " + say("Edit");
  }

  edit() {
    if (!mayEdit || this.area) return this.area?.focus();
    this.before = this.draft ? this.draft.before : this.source;
    this.editor = make("div", "editor");
    this.area = make("textarea");
    this.area.value = this.draft ? this.draft.text : this.source;
    this.area.spellcheck = this.kind !== "code";
    this.area.setAttribute("aria-label", say("the source of this cell"));
    this.note = make("div", "note");
    this.note.setAttribute("role", "alert");
    const bar = make("div", "bar");
    bar.append(
      button(say("Save"),
        say("Write this cell to the file (Ctrl-S; Ctrl-Enter also runs it). A line that begins with -- %% begins another cell"), () => this.save()),
      button(say("Discard"), say("Back to what the file says"), () => this.discard()),
      button(say("Close"), say("Close the text area (Esc); a draft is kept"), () => this.close()));
    this.editor.append(this.area, bar, this.note);
    this.box.insertBefore(this.editor, this.view);
    this.box.classList.add("editing");
    this.area.addEventListener("input", () => { this.fit(); this.keepDraft(); });
    this.area.addEventListener("keydown", event => this.keyPressed(event));
    this.fit();
    this.area.focus();
    this.markDraft();
  }

  fit() {
    const top = scrollY;
    this.area.style.height = "auto";
    this.area.style.height = this.area.scrollHeight + 4 + "px";
    if (scrollY !== top) scrollTo({ top, behavior: "instant" });
  }

  close() {
    if (!this.area) return;
    this.editor.remove();
    this.area = this.editor = this.note = null;
    this.box.classList.remove("editing");
    this.markDraft();
    if (!this.gone) return;
    this.box.remove();
    cells.delete(this.key);
  }

  discard() {
    this.draft = null;
    sessionStorage.removeItem(this.draftName);
    this.close();
  }

  tell(text, ...more) {
    this.note.replaceChildren(make("p", "", text), ...more);
  }

  // The file has another text than the one that was edited here: the writer chooses.
  showConflict(theirs) {
    const file = make("pre", "", theirs);
    this.tell(say("the cell was changed in the file meanwhile"), file,
      button(say("Take the file's"), say("Put the file's text here"), () => {
        this.before = this.area.value = theirs;
        this.note.replaceChildren();
        this.fit();
        this.keepDraft();
      }),
      button(say("Keep mine"), say("The next save writes over the file's text"), () => {
        this.before = theirs;
        this.note.replaceChildren();
        this.keepDraft();
      }));
  }

  async save() {
    const text = this.area.value, before = this.before;
    if (isSame(text, before)) return true;
    let answer;
    try { answer = await post("edit", { key: this.key, before, source: text }); } catch {
      this.tell(say("not saved: no connection; the text is kept here"));
      return false;
    }
    if (!this.area) return answer.ok;
    if (!answer.ok) {
      if (answer.source === undefined) this.tell(say("not saved") + ": " + answer.message);
      else this.showConflict(answer.source);
      return false;
    }
    this.before = answer.source;
    if (!isSame(text, this.before) && this.area.value === text) { // from a marker on it is another cell
      this.area.value = this.before;
      this.fit();
    }
    this.note.replaceChildren();
    this.keepDraft();
    return true;
  }

  async keyPressed(event) {
    const control = event.ctrlKey || event.metaKey;
    const done = () => event.preventDefault();
    if (event.isComposing) return;
    if (event.key === "Enter" && (control || event.shiftKey)) {
      done();
      const saved = await this.save();
      if (saved && this.kind === "code") this.run();
      if (saved && this.kind !== "code") this.close();
    } else if (control && event.key === "s") {
      done();
      this.save();
    } else if (event.key === "Enter" && !event.altKey) {
      done();
      keys.newLine(this.area, this.kind === "code");
    } else if (event.key === "Tab" && !control && !event.altKey) {
      done();
      keys.indent(this.area, event.shiftKey);
    } else if (event.key === "Escape") {
      done();
      this.close();
      this.editButton.focus();
    }
  }
}

// ---- what the server sends

const placeIn = (container, list) => {
  let at = container.firstChild;
  for (const cell of list) {
    if (cell.gone) cell.note?.replaceChildren();
    cell.gone = false;
    if (cell.box === at) at = at.nextSibling;
    else container.insertBefore(cell.box, at);
  }
};

const place = order => {
  const there = new Set(order);
  const list = order.map(key => cells.get(key)).filter(cell => cell);
  placeIn($("opening"), list.filter(cell => cell.opens));
  placeIn($("cells"), list.filter(cell => !cell.opens));
  for (const [key, cell] of cells) {
    if (there.has(key)) continue;
    cell.gone = true;
    if (cell.area) cell.tell(say("the cell is no longer in the file"));
    else { cell.box.remove(); cells.delete(key); }
  }
};

const frames = { head: true, contents: true, end: true };

const take = part => {
  if (frames[part.key]) return replaceHtml($(part.key), part.html);
  if (!cells.has(part.key)) cells.set(part.key, new Cell(part.key));
  cells.get(part.key).update(part);
};

let status = {}, since = 0;

const seconds = s => s < 60 ? Math.floor(s) + " s" : Math.floor(s / 60) + " min " + Math.floor(s % 60) + " s";

const showStatus = () => {
  const isRunning = status.state === "running" || status.state === "stopping";
  const where = status.cell && cells.get(status.cell);
  const name = where?.view.querySelector(".bar a")?.textContent;
  const time = isRunning && since ? " · " + seconds((performance.now() - since) / 1000) : "";
  const words = { ready: say("ready"), running: say("running"), elsewhere: say("it runs in another process"),
    stopping: say("stopping: once more ends the process"), lost: say("no connection: trying again"),
    over: say("this page has ended: open the address that giemsa view prints now") };
  $("status").textContent = (status.state === "ready" && status.message) ||
    (words[status.state] ?? "") + (name && status.state !== "ready" ? " " + name : "") + time;
  $("status").className = status.state === "lost" || status.state === "over" || status.message ? "bad" : status.state;
  $("run").hidden = $("stop").hidden = !mayEdit;
  $("run").disabled = isRunning || status.state === "lost";
  $("stop").disabled = !isRunning;
  document.title = document.title.replace(/^● /, "").replace(/^/, isRunning ? "● " : "");
  for (const cell of cells.values()) {
    cell.box.classList.toggle("runs", cell === where);
    cell.runButtons?.forEach(one => { one.disabled = isRunning; });
  }
};

const follow = cell => {
  if ($("follow").checked && cell) cell.box.scrollIntoView({ block: "center", behavior: "smooth" });
};

const takeStatus = (now, seconds) => {
  const isNew = now.cell !== status.cell || now.state !== status.state && status.state !== "stopping";
  if (isNew) since = performance.now() - 1000 * seconds;
  const moved = now.cell && now.cell !== status.cell;
  status = now;
  showStatus();
  if (moved) follow(cells.get(now.cell));
};

const source = new EventSource("events");
source.addEventListener("message", event => {
  const news = JSON.parse(event.data);
  if (news.fresh) { // of a server that knows nothing of what stands here
    for (const [key, cell] of cells) if (!cell.area) { cell.box.remove(); cells.delete(key); }
  }
  news.parts.forEach(take);
  place(news.order);
  openAdded();
  takeStatus(news.status, news.seconds);
});
source.addEventListener("error", () => {
  status = { ...status, state: source.readyState === EventSource.CLOSED ? "over" : "lost", message: undefined };
  showStatus();
});
setInterval(showStatus, 1000);

// ---- commands

const post = async (name, order) => {
  const answer = await fetch(name, { method: "POST", body: JSON.stringify(order) });
  return { ...await answer.json(), ok: answer.ok };
};

const command = async (name, order = {}) => {
  try {
    const answer = await post(name, order);
    if (!answer.ok) status = { ...status, message: answer.message };
    showStatus();
    return answer;
  } catch { status = { ...status, state: "lost" }; }
  showStatus();
};

$("run").addEventListener("click", () => command("run"));
$("stop").addEventListener("click", () => command("stop"));
$("follow").checked = sessionStorage.getItem("giemsa follow") === "true";
$("follow").addEventListener("change", () => {
  sessionStorage.setItem("giemsa follow", $("follow").checked);
  follow(cells.get(status.cell));
});
// A draft is kept in this tab, but not when it is closed.
addEventListener("beforeunload", event => {
  if ([...cells.values()].some(cell => cell.draft)) event.preventDefault();
});
})();
