--- The document of a live page: an empty frame. What it shows comes by the first event, and is put in
-- its place by client.js; client.keys.js is what keys do in the text area of a cell.
local frame = require "giemsa.html.frame"
local json = require "giemsa.json"

local page = {}

local BYTES = 16

--- A word that nobody can guess.
---@return string of 32 hexadecimal digits
function page.token()
  local file <close> = assert(io.open("/dev/urandom", "rb"))
  return (file:read(BYTES):gsub(".", function(byte) return ("%02x"):format(byte:byte()) end))
end

-- A file beside this one.
local function read(name)
  local path = package.searchpath("giemsa.view.page", package.path):gsub("[^/]*$", name)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

-- A stained cell.
local ICON = [[
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='7' fill='%23dd93ad'/%3E%3Ccircle cx='9.5' cy='7' r='2.6' fill='%236d2f8a'/%3E%3C/svg%3E">
]]

-- [...]: a word of the page, in each of its languages; {...}: one of an attribute, in the first.
local INSIDE = [[
<div class="live" role="toolbar" aria-label="{the run}">
<button type="button" id="run" title="{Run the whole lesson in a fresh process}">[Run all]</button>
<button type="button" id="stop" title="{Stop the running cell}" disabled>[Stop]</button>
<span id="status" role="status"></span>
<label class="end"><input type="checkbox" id="follow"> [follow the run]</label>
</div>
<main id="text">
<div id="head"></div>
<div id="opening"></div>
<div id="contents"></div>
<div id="cells"></div>
<div id="end"></div>
<noscript>[This page is alive: it needs JavaScript. <code>giemsa html</code> makes one that does not.]</noscript>
</main>
]]

local function inside(live)
  local text = INSIDE:gsub("%[(.-)%]", function(word) return live:say(word) end)
  return (text:gsub("{(.-)}", function(word) return live:word(word) end))
end

local SCRIPT = [[
<script nonce="%s">
const GIEMSA = %s;
%s</script>
]]

--- The document.
---@param one giemsa.view.Desk
---@param role "edit"|"watch"
---@param nonce string by which the browser knows our script
---@param boot string which process serves it
---@return string
function page.html(one, role, nonce, boot)
  local live = one.parts.page
  local client = read "client.keys.js" .. read "client.js"
  local settings = json.encode{ role = role, lesson = one.path, boot = boot, words = page.words(live, client) }
  return frame.wrap(live, frame.title_text(live), inside(live), { head = ICON, style = read "client.css",
    script = SCRIPT:format(nonce, settings:gsub("</", "<\\/"), client) })
end

--- What the script says, in the first language of the page: whatever stands in it as say("...").
---@param live table the page
---@param client string the script
---@return table<string, string>
function page.words(live, client)
  local words = {}
  for word in client:gmatch 'say%("(.-)"%)' do words[word] = live:word(word) end
  return words
end

return page
