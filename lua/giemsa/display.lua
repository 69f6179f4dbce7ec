--- display: the one way a lesson shows something that is more than a printed line.
--
--   display(figure)                              a figure, a picture, a tensor of pictures, a path
--   display{ text = "0.93", html = "<b>0.93</b>" }   one thing in several forms
--   local d = display{ text = "0 %", live = true }   a thing that changes in place:
--   d:update{ text = "50 %" }   d:close{ text = "100 %" }
--
-- Where it goes is decided by the sinks: the terminal (or, in a pipe, plain text) in an ordinary
-- script; the run log and the terminal under `giemsa run`. A sink is an object with three methods,
-- (id, forms) each: show, update, close; clear is optional. `forms` has the fields text, ansi, html, live, path,
-- drawable, and the methods png() and svg(), which draw at the first call and give nil where there
-- is no picture. A live thing is updated as often as you like; sinks draw it at a rate of their
-- own. `after` is the handle of the first of a series of texts, such as epochs: where a cell has few outputs
-- (in Jupyter) the series is one.
local core = require "giemsa.core"
local options = require "giemsa.options"

local display = {}

-- ---- forms

local KNOWN = { text = "string", ansi = "string", html = "string", png = "any", svg = "any",
  path = "string", live = "boolean", after = "table" }

local Forms = {}
Forms.__index = Forms

local function check_png(bytes, level)
  if #bytes >= 24 and bytes:sub(1, 8) == "\137PNG\r\n\26\n" then return end
  error("display: png must be the bytes of a PNG file, or an object with a method 'png'", level)
end

-- The bytes that were given, or what the object's method draws (once).
local function drawn(forms, kind)
  local source = forms.sources[kind]
  if source ~= nil and type(source) ~= "string" then
    if type(source[kind]) ~= "function" then
      error(("display: %s must be bytes or have a method '%s'"):format(kind, kind), 0)
    end
    source = source[kind](source)
    if kind == "png" and source then check_png(source, 0) end
    forms.sources[kind] = source
  end
  return source
end

function Forms:png() return drawn(self, "png") end
function Forms:svg() return drawn(self, "svg") end

local function is_options(thing)
  if type(thing) ~= "table" or getmetatable(thing) then return false end
  for key in pairs(thing) do
    if not KNOWN[key] then return false end
  end
  return next(thing) ~= nil
end

-- Figures of pictures (montages) are better as pixels than as an SVG around them.
local function forms_of_drawable(thing, path)
  local is_figure = type(thing) == "table" and thing.script ~= nil
  local size = thing.width and (" %dx%d"):format(thing.width, thing.height) or ""
  local where = path and " -> " .. path or ""
  return setmetatable({ text = ("[image%s%s]"):format(size, where), drawable = thing, path = path,
    sources = { png = thing, svg = is_figure and not thing.pictures and thing or nil } }, Forms)
end

local function forms_of(given, level)
  if not is_options(given) then
    return forms_of_drawable(require("giemsa.show").drawable(given))
  end
  local o = options.check("display", given, KNOWN, level)
  if type(o.png) == "string" then check_png(o.png, level) end
  local drawable = type(o.png) ~= "string" and o.png or nil
  return setmetatable({ text = o.text, ansi = o.ansi, html = o.html, live = o.live, path = o.path,
    after = o.after and o.after.id, drawable = drawable, sources = { png = o.png, svg = o.svg } }, Forms)
end

-- ---- the terminal

---@class giemsa.TerminalSink
local Terminal = {}
Terminal.__index = Terminal

local REDRAW_SECONDS = 0.1

--- The sink of an ordinary script: pictures where the terminal shows them, live things redrawn in
--- place. Away from a terminal plain text without control bytes; a live thing then is written once,
--- when it is closed.
---@param where? {write: function, columns: function, begin: function?}
---  default: io.write and its terminal; begin is called before each writing, and returns whether
---  something else was written since a live text was drawn
---@return giemsa.TerminalSink
function display.terminal(where)
  return setmetatable({ where = where or display }, Terminal)
end

--- Columns of the terminal that io.write goes to, nil when it is none.
---@return integer? columns
function display.columns()
  if io.output() ~= io.stdout or os.getenv "TERM" == "dumb" or not core.is_terminal(1) then
    return nil
  end
  local columns = core.terminal_size()
  return columns and columns > 0 and columns or 80
end

--- Writes text where io.write does, at once.
---@param text string
function display.write(text)
  io.write(text)
  io.output():flush()
end

-- A picture as the terminal shows it; nil when there is none.
local function picture_text(forms)
  local show = require "giemsa.show"
  if forms.drawable then return show.text(forms.drawable, forms.path) end
  local png = forms:png()
  return png and show.text(require("giemsa.image").decode(png), forms.path)
end

local function text_of(forms, has_colour)
  local text = has_colour and forms.ansi or picture_text(forms) or forms.text
    or forms.html and "[html]" or ""
  return text:sub(-1) == "\n" and text or text .. "\n"
end

local function line_count(text) return select(2, text:gsub("\n", "")) end

-- Has it something for a terminal, or for plain text? A picture in one form (svg) may be for pages.
local function is_for_text(forms, has_colour)
  return forms.text or forms.html or forms.drawable or forms.sources.png or has_colour and forms.ansi
end

-- What is written next leaves the cursor at the end of a live text, or not.
function Terminal:begin(is_live)
  local begin = self.where.begin
  if begin and begin(is_live) then self.open = nil end
end

-- Draws a live text over what it drew before; the cursor stays at its end, without a line break.
function Terminal:redraw(id, forms)
  self:begin(true)
  local text = (forms.ansi or forms.text or ""):gsub("\n$", "")
  local above = self.open == id and line_count(self.drawn) or 0
  local up = above > 0 and ("\27[%dA"):format(above) or ""
  self.where.write("\r" .. up .. text:gsub("\n", "\27[K\n") .. "\27[K"
    .. (above > line_count(text) and "\27[J" or ""))
  self.open, self.drawn, self.drawn_at = id, text, core.now()
end

--- Something else wrote to the terminal: a live thing goes on below it.
function Terminal:leave()
  self:begin(false)
  if not self.open then return end
  self.where.write("\n")
  self.open = nil
end

function Terminal:show(id, forms)
  if not is_for_text(forms, self.where.columns() ~= nil) then return end
  self:leave()
  local has_colour = self.where.columns() ~= nil
  if not forms.live then return self.where.write(text_of(forms, has_colour)) end
  if has_colour then self:redraw(id, forms) end
end

function Terminal:update(id, forms)
  if not self.where.columns() or not is_for_text(forms, true) then return end
  if not forms.live then return self:show(id, forms) end
  if self.open ~= id then self:leave() end
  if self.open ~= id or core.now() - self.drawn_at >= REDRAW_SECONDS then
    self:redraw(id, forms)
  end
end

function Terminal:close(id, forms)
  if forms and not is_for_text(forms, self.where.columns() ~= nil) then return end
  if not self.where.columns() then
    if not (forms and forms.live) then return end
    self:begin(false)
    return self.where.write(text_of(forms, false))
  end
  if forms and forms.live then
    if self.open ~= id then self:leave() end
    self:redraw(id, forms)
  end
  if self.open == id then self:leave() end
end

-- ---- the primitive

--- The sinks, in the order they are told; replaced by who owns the outputs.
---@type table[]
display.sinks = { display.terminal() }

local count = 0

local function tell(method, id, forms)
  for _, sink in ipairs(display.sinks) do sink[method](sink, id, forms) end
end

---@class giemsa.DisplayHandle
---@field id string
local Handle = {}
Handle.__index = Handle

--- Replaces what is shown. Takes what display takes.
---@param given any
---@return giemsa.DisplayHandle self
function Handle:update(given)
  local forms = forms_of(given, 4)
  forms.live = self.live
  tell("update", self.id, forms)
  return self
end

--- The last state of a live thing; without one, what was shown last stays. More calls do nothing.
---@param given any?
function Handle:close(given)
  if self.closed then return end
  self.closed = true
  local forms = given ~= nil and forms_of(given, 4) or nil
  if forms then forms.live = self.live end
  tell("close", self.id, forms)
end

--- What display takes, as the forms that a sink gets.
---@param given any
---@return table forms
function display.forms(given) return forms_of(given, 3) end

--- Takes away what the running cell has shown so far, where that can be done (in Jupyter).
---@param waits boolean? until there is something new in its place
function display.clear(waits)
  for _, sink in ipairs(display.sinks) do
    if sink.clear then sink:clear(waits) end
  end
end

local latest -- what was shown last

--- A new piece of a session begins: what was shown before it may be shown again.
function display.begin() latest = nil end

--- Was this value shown last in the piece that runs? `figure:show()` returns its figure, which needs no second look; nor
--- does a handle.
---@param value any
---@return boolean
function display.is_shown(value)
  return getmetatable(value) == Handle or latest ~= nil and rawequal(value, latest)
end

--- Shows something: forms {text=, ansi=, html=, png=, svg=, path=, live=, after=}, or what giemsa.show
--- takes. `png` and `svg` are bytes or an object with a method of that name; `ansi` is the text
--- with the terminal's colours; `path` names the picture's file where nothing can be drawn; `after` is the handle of the
--- first of a series of texts that this one belongs to.
---@param given any
---@return giemsa.DisplayHandle
function display.show(given)
  local forms = forms_of(given, 4)
  count = count + 1
  local handle = setmetatable({ id = "d" .. count, live = forms.live }, Handle)
  tell("show", handle.id, forms)
  latest = given
  return handle
end

return setmetatable(display, { __call = function(_, given) return display.show(given) end })
