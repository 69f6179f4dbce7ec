// What keys do in the text area of a cell: through the browser's own editing, so that its undo knows of it.
"use strict";
const keys = {
  insert(area, text) {
    if (!document.execCommand("insertText", false, text)) {
      area.setRangeText(text, area.selectionStart, area.selectionEnd, "end");
      area.dispatchEvent(new Event("input"));
    }
  },

  // Moves the selected lines in or out by two columns.
  indent(area, isOut) {
    const { value, selectionStart: start, selectionEnd: end } = area;
    if (start === end && !isOut) return keys.insert(area, "  ");
    const first = value.lastIndexOf("\n", start - 1) + 1;
    const next = value.indexOf("\n", Math.max(end - 1, start));
    const last = next < 0 ? value.length : next;
    const lines = value.slice(first, last).split("\n");
    const moved = lines.map(line => isOut ? line.replace(/^(\t| {1,2})/, "") : line && "  " + line);
    const by = moved[0].length - lines[0].length;
    area.setSelectionRange(first, last);
    keys.insert(area, moved.join("\n"));
    if (start === end) area.setSelectionRange(Math.max(first, start + by), Math.max(first, start + by));
    else area.setSelectionRange(first, first + moved.join("\n").length);
  },

  // A new line begins where the one before does; below one that opens a block, two columns further.
  newLine(area, isCode) {
    const { value, selectionStart: start } = area;
    const line = value.slice(value.lastIndexOf("\n", start - 1) + 1, start);
    const code = line.replace(/"([^"\\]|\\.)*"|'([^'\\]|\\.)*'/g, "0").replace(/--.*/, ""); // no strings, no comment
    const opens = isCode && /(\b(then|do|repeat|else)|\bfunction\b[^()]*\([^()]*\)|[{(])\s*$/.test(code);
    keys.insert(area, "\n" + line.match(/^\s*/)[0] + (opens ? "  " : ""));
  },
};
