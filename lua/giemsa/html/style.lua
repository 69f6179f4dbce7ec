--- How a page looks: one style sheet for screen, phone and print, in light and dark. The colours
-- are the Giemsa stain's: the purple of nuclei, the blue of cytoplasm, the pink of red cells, on
-- the warm white of a slide. tests/html.lua holds every text to a contrast of 4.5 against what it
-- stands on.
local style = {}

--- The colours by name: { light, dark }.
style.colours = {
  paper = { "#fdfbf8", "#19151e" }, tint = { "#f6f1f4", "#221c29" },
  line = { "#e5dae1", "#3b3245" },
  ink = { "#2a2230", "#e9e2ec" }, soft = { "#685d6f", "#a99db1" },
  stain = { "#6d2f8a", "#d3a3ea" }, blue = { "#2b579f", "#93b6f5" },
  pink = { "#dd93ad", "#a95c78" },
  warn = { "#7d4a00", "#e8b871" }, warn_paper = { "#fdf3df", "#2e2416" },
  bad = { "#a2193b", "#f794a8" }, bad_paper = { "#fdeff1", "#331a21" },
  -- of Lua
  keyword = { "#7b2c92", "#d9a2ee" }, constant = { "#954300", "#f0b07c" },
  string = { "#9b2d4e", "#f2a0b8" }, comment = { "#6d6273", "#a396ab" },
  call = { "#2b579f", "#93b6f5" },
}

--- Which texts stand on which background.
style.texts = {
  paper = "ink soft stain blue warn bad",
  tint = "ink soft stain warn bad keyword constant string comment call",
  warn_paper = "ink blue warn", bad_paper = "ink blue stain bad",
}

local SHEET = [[
:root { color-scheme: light; $LIGHT }
@media screen and (prefers-color-scheme: dark) { :root { color-scheme: dark; $DARK } }

/* ---- the page */
* { box-sizing: border-box }
html { font-size: 17px; scroll-padding-top: 1rem; -webkit-text-size-adjust: 100% }
body {
  margin: 0; background: var(--paper); color: var(--ink); line-height: 1.6;
  overflow-wrap: break-word;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans",
    "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "WenQuanYi Micro Hei", sans-serif;
}
code, pre, .mono {
  font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "Noto Sans Mono",
    "DejaVu Sans Mono", monospace;
}
a { color: var(--blue); text-underline-offset: .15em; text-decoration-thickness: .06em }
a:hover { text-decoration-thickness: .12em }
:focus-visible { outline: 2px solid var(--stain); outline-offset: 2px; border-radius: 2px }
.page {
  display: grid; grid-template-columns: minmax(0, 54rem); justify-content: center;
  padding: 0 1.25rem 4rem;
}

/* ---- the head line */
.top {
  display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; align-items: baseline;
  padding: 1.1rem 0 .9rem; border-bottom: 1px solid var(--line);
  font-size: .82rem; color: var(--soft);
}
.top a { color: inherit }
.top .mark { color: var(--stain); font-weight: 650; letter-spacing: .02em; text-decoration: none }
.top label { padding: .05rem .55rem; border-radius: 1rem; cursor: pointer }
.end { margin-left: auto }
.switch { position: absolute; opacity: 0; pointer-events: none }
.skip { position: absolute; left: -99rem }
.skip:focus { left: 1rem; top: .5rem; background: var(--paper); padding: .3rem .6rem; z-index: 2 }

/* ---- headings */
h1, h2, h3, h4, h5, h6 {
  line-height: 1.25; font-weight: 650; margin: 2.2rem 0 .7rem; text-wrap: balance;
}
h1 { font-size: 2.05rem; letter-spacing: -.015em; margin: 2.2rem 0 .4rem; color: var(--stain) }
h2 { font-size: 1.42rem; letter-spacing: -.01em; margin-top: 3rem }
h3 { font-size: 1.13rem }
h4, h5, h6 { font-size: 1rem }
.meta { color: var(--soft); font-size: .84rem; margin: 0 0 1.6rem }
.meta > span + span::before { content: "·"; margin: 0 .5em }
.anchor {
  color: var(--soft); text-decoration: none; font-weight: 400; font-size: .8em;
  margin-left: .35em; opacity: 0;
}
:hover > .anchor, .anchor:focus-visible { opacity: 1 }

/* ---- notices */
.notice {
  border-radius: .5rem; padding: .7rem 1rem; margin: 0 0 1.4rem; font-size: .9rem;
  background: var(--warn_paper); border-left: 4px solid var(--warn);
}
.notice.bad { background: var(--bad_paper); border-left-color: var(--bad) }
.notice p { margin: 0 }
.notice strong { color: var(--warn) }
.notice.bad strong { color: var(--bad) }

/* ---- contents */
.toc { font-size: .84rem; line-height: 1.4 }
.toc h2 {
  font-size: .72rem; font-weight: 600; text-transform: uppercase; letter-spacing: .08em;
  color: var(--soft); margin: 1.2rem 0 .5rem;
}
.toc ol { list-style: none; margin: 0; padding: 0 }
.toc li { padding: .2rem 0 }
.toc .deep { padding-left: .9rem; font-size: .95em }
.toc a { color: var(--soft); text-decoration: none }
.toc a:hover { color: var(--stain); text-decoration: underline }

/* ---- prose: a line of about 70 letters */
.prose { max-width: 39rem }
.prose p, .prose ul, .prose ol, .prose blockquote { margin: .85rem 0 }
.prose ul, .prose ol { padding-left: 1.45rem }
.prose li { margin: .22rem 0 }
.prose li > p { margin: .4rem 0 }
.prose li::marker { color: var(--soft) }
.prose .task { list-style: none; margin-left: -1.45rem }
.prose blockquote { padding-left: 1rem; border-left: 3px solid var(--line); color: var(--soft) }
.prose code {
  font-size: .85em; background: var(--tint); padding: .1em .3em; border-radius: .25em;
  overflow-wrap: anywhere;
}
.prose pre { background: var(--tint); border-radius: .5rem; margin: .85rem 0 }
.prose pre code { background: none; padding: 0; font-size: 1em }
.prose hr { border: 0; border-top: 1px solid var(--line); margin: 2.2rem 0 }
.prose .plain { white-space: pre-wrap }
.missing { color: var(--soft) }

/* ---- formulas: MathML Core leaves the columns of a table to us */
math {
  font-size: 1.06em;
  font-family: "STIX Two Math", "Cambria Math", "Latin Modern Math", math, serif;
}
math[display=block] { margin: 1rem 0; padding: .1rem 0; overflow-x: auto; overflow-y: hidden }
mtable[columnalign^=left] mtd, mtable[columnalign^=right] mtd:nth-child(even) { text-align: left }
mtable[columnalign^=right] mtd:nth-child(odd) { text-align: right }
.prose .tex.display { display: block; padding: .5rem .8rem; margin: .85rem 0 }

/* ---- code */
pre {
  margin: 0; padding: .75rem 1rem; overflow-x: auto; font-size: .79rem; line-height: 1.5;
  tab-size: 2;
}
.code { margin: 1.3rem 0 }
.source { background: var(--tint); border: 1px solid var(--line); border-radius: .5rem }
.failed .source { border-color: var(--bad) }
.bar {
  display: flex; gap: .9rem; align-items: baseline; padding: .32rem 1rem 0;
  font-size: .72rem; color: var(--soft);
}
.bar a { color: inherit; text-decoration: none }
.bar a:hover { text-decoration: underline }
.bar .end { text-align: right; font-variant-numeric: tabular-nums }
.bar + pre { padding-top: .3rem }
.chip { font-weight: 600; color: var(--stain) }
.chip.stale, .chip.skipped, .chip.not-run { color: var(--warn) }
.chip.failed, .chip.timeout, .chip.interrupted, .chip.killed { color: var(--bad) }
pre i { font-style: normal }
.k { color: var(--keyword) }
.n { color: var(--constant) }
.s { color: var(--string) }
.c { color: var(--comment) }
.f { color: var(--call) }
summary {
  cursor: pointer; color: var(--stain); font-size: .84rem; width: max-content; max-width: 100%;
}
details[open] > summary { margin-bottom: .4rem }

/* ---- what it gave: no box, a pink edge. Each part has its own: on paper it ends with the part. */
.output { margin: .55rem 0 0 .1rem; font-size: .92rem }
.output > * { border-left: 3px solid var(--pink); padding: .25rem 0 .25rem 1rem }
.output > * + * { padding-top: .7rem }
.output .line { padding-left: calc(1rem + 2ch); text-indent: -2ch }
.output .line + .line { padding-top: 0 } /* a line an epoch */
.output .stderr { color: var(--warn) }
.output .cut { color: var(--warn); font-style: italic }
.output .error { background: var(--bad_paper); border-color: var(--bad); padding: .6rem 1rem }
.error p { margin: 0; color: var(--bad); font-size: .84rem }
.error pre { padding: .15rem 0; white-space: pre-wrap; overflow-wrap: anywhere }
figure { margin: 0 }
img, svg { max-width: 100%; height: auto; border-radius: .35rem; vertical-align: top }
.output svg { background: #fff }
@media screen { .plot svg { mix-blend-mode: multiply } } /* white becomes the page's */
@media screen and (prefers-color-scheme: dark) {
  .plot svg { filter: invert(1) hue-rotate(180deg) brightness(1.15); mix-blend-mode: screen }
}

/* ---- tables */
.wide { overflow-x: auto }
table {
  border-collapse: collapse; font-size: .86rem; line-height: 1.45;
  font-variant-numeric: tabular-nums;
}
th, td {
  padding: .32rem .8rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line);
}
th { font-weight: 600; border-bottom-color: var(--soft) }
tr > :first-child { padding-left: .1rem }
.left { text-align: left }
.right, .rich th, .rich td { text-align: right }
.rich tr > :first-child { text-align: left }
.center { text-align: center }

/* ---- the end */
.turn { display: flex; flex-wrap: wrap; gap: .8rem; margin-top: 2.5rem }
.turn a {
  flex: 1 1 14rem; border: 1px solid var(--line); border-radius: .5rem; padding: .7rem 1rem;
  text-decoration: none;
}
.turn a:hover { border-color: var(--stain) }
.turn small { display: block; color: var(--soft); font-size: .76rem }
.turn .next { text-align: right }
.end-matter {
  margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1.1rem;
  font-size: .84rem; color: var(--soft);
}
.end-matter h2 { font-size: 1rem; margin: .4rem 0 }
.end-matter p { margin: .5rem 0; max-width: 39rem; overflow-wrap: anywhere }
.prints { display: flex; flex-wrap: wrap; gap: .3rem 1.6rem; margin: .6rem 0 }
.prints dt, .prints dd { display: inline; margin: 0 }
.prints dd { color: var(--ink); margin-left: .45em }

/* ---- the list of lessons */
.lessons { list-style: none; margin: 1.5rem 0; padding: 0 }
.lessons li { padding: 1.05rem 0; border-top: 1px solid var(--line) }
.lessons h2 { font-size: 1.13rem; margin: 0 }
.lessons h2 a { text-decoration: none }
.lessons h2 a:hover { text-decoration: underline }
.lessons p { margin: .3rem 0 0; max-width: 39rem }

.lessons progress {
  accent-color: var(--stain); width: 9rem; vertical-align: middle; margin-right: .5rem;
}

/* ---- a hand-out: lines to write on */
.owner { display: flex; gap: 2rem; color: var(--soft); font-size: .84rem; margin: 1.2rem 0 1.6rem }
.owner > span { flex: 1; border-bottom: 1px solid var(--line) }
.owner > span + span { flex: .5 }
.notes::before, .notes::after, .asking li::after {
  content: ""; display: block; height: 2.1rem; border-bottom: 1px solid var(--line);
}
.asking li::after { margin-top: 2.1rem; border-top: 1px solid var(--line) }

/* ---- wide screens: the contents stand beside the text */
@media screen and (min-width: 74rem) {
  .page:has(.toc) { grid-template-columns: minmax(0, 68.6rem) }
  main:has(.toc) { position: relative; padding-left: 14.6rem }
  .toc { position: absolute; inset: 1.3rem auto 0 0; width: 12rem }
  .toc > div { position: sticky; top: 1.4rem; max-height: calc(100vh - 2.8rem); overflow-y: auto }
  /* on narrower ones tables of text would fall apart */
  .output pre { white-space: pre-wrap; overflow-wrap: anywhere }
  .output .small { font-size: .62rem }
}

/* ---- phones */
@media screen and (max-width: 40rem) {
  html { font-size: 16px }
  .page { padding: 0 1rem 3rem }
  h1 { font-size: 1.7rem; margin-top: 1.6rem }
  h2 { font-size: 1.28rem; margin-top: 2.4rem }
  pre { font-size: .74rem; padding: .7rem .8rem }
  .bar { padding: .3rem .8rem 0 }
  .toc .deep { display: none }
  .output > * { padding-left: .7rem }
  .broad { overflow-x: auto }
  .broad img, .broad svg { max-width: max(100%, 30rem) } /* letters that can still be read */
  .prose { overflow-x: auto } /* a formula in a line is not broken */
}

/* ---- paper: nothing is cut, nothing hangs at the foot of a page, links tell where they lead */
@page {
  size: A4; margin: 17mm 16mm 18mm;
  @bottom-center {
    content: counter(page) " / " counter(pages); font: 8pt system-ui, sans-serif; color: #685d6f;
  }
}
@media print {
  html { font-size: 10.5pt }
  body { background: none }
  .page { display: block; padding: 0 }
  .toc, .skip, .turn, .anchor, .top label { display: none }
  h1, h2, h3, h4, h5, h6, .bar, .meta, summary, p:has(+ ul, + ol, + .wide) { break-after: avoid }
  h1 { margin-top: 1rem }
  h2 { margin-top: 1.6rem }
  .prose { max-width: none }
  p, li { orphans: 3; widows: 3 }
  pre {
    white-space: pre-wrap; overflow-wrap: anywhere; overflow: visible; font-size: 7.6pt;
    orphans: 5; widows: 5;
  }
  .source {
    break-inside: avoid;
    -webkit-print-color-adjust: exact; print-color-adjust: exact;
    -webkit-box-decoration-break: clone; box-decoration-break: clone;
  }
  .source.long { break-inside: auto }
  .output .small { font-size: 5.75pt }
  .notes { break-before: avoid }
  figure, tr, .notes, .asking li, .prose table, math, .error, .notice, .lessons li, .end-matter { break-inside: avoid }
  .output img, .output svg { max-width: min(100%, 150mm); max-height: 230mm; width: auto }
  .output .plot svg { max-width: min(100%, 130mm) }
  .wide, math[display=block] { overflow: visible }
  th, td { overflow-wrap: anywhere }
  main a[href^=http]::after {
    content: " (" attr(href) ")"; font-size: .85em; overflow-wrap: anywhere;
  }
  details::details-content { content-visibility: visible; block-size: auto; display: block }
  summary { list-style: none }
}
]]

-- "--ink: #2a2230; ..." of the light (1) or the dark (2) colours.
local function variables(which)
  local out = {}
  for name, pair in pairs(style.colours) do
    out[#out + 1] = ("--%s:%s"):format(name, pair[which])
  end
  table.sort(out)
  return table.concat(out, ";")
end

local sheet

--- The style sheet as it goes into a page: without remarks and indents.
---@return string
function style.sheet()
  if sheet then return sheet end
  sheet = SHEET:gsub(" */%*.-%*/", ""):gsub("\n%s+", "\n"):gsub("^%s+", "")
  sheet = sheet:gsub("([;{:,]) ", "%1"):gsub(" ([{}])", "%1"):gsub("([{;,])\n", "%1")
  sheet = sheet:gsub("\n}", "}"):gsub("%$LIGHT", variables(1)):gsub("%$DARK", variables(2))
  return sheet
end

return style
