--- show(picture or figure): in the terminal where that is possible, else by the desktop's viewer,
-- else its path.
--
-- Ways, the best first: kitty's protocol (kitty, Ghostty, WezTerm, Konsole), iTerm2's (iTerm2,
-- mintty, Rio), sixels (xterm, foot, mlterm, ...), half blocks (a cell is two pixels of 24-bit
-- colour; figures are drawn in characters instead). GIEMSA_IMAGES=kitty|iterm|sixel|blocks|none
-- overrides. The terminal is asked once: one write, one read, 0.2 seconds at most, and only when
-- stdin and stdout are both a terminal. tmux and screen get blocks; when told otherwise, tmux is
-- asked to pass the picture through (its option allow-passthrough).
local base64 = require "giemsa.base64"
local core = require "giemsa.core"
local display = require "giemsa.display"
local options = require "giemsa.options"

local show = {}

-- ---- what the terminal can do

-- Kitty's query (an image of one pixel, not shown), the cell size, the terminal's name, and last
-- what every terminal answers.
local QUERY = "\27_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\27\\\27[16t\27[>0q\27[c"
local ITERM = { ["iTerm.app"] = true, WezTerm = true, mintty = true, rio = true }
local CHOICES = { "kitty", "iterm", "sixel", "blocks", "none" }

local asked

-- Whether the list of a terminal's attributes ("62;4;22") has sixels.
local function has_sixel(attributes) return (";" .. (attributes or "") .. ";"):find ";4;" ~= nil end

-- The terminal's answer, once per process: { kitty =, sixel = booleans, cell = {width, height}? }
local function ask()
  if asked then return asked end
  local reply = core.terminal_query(QUERY, 0.2) or ""
  local height, width = reply:match("\27%[6;(%d+);(%d+)t")
  asked = { kitty = reply:find("\27_Gi=31;OK", 1, true) ~= nil,
    sixel = has_sixel(reply:match "\27%[%?([%d;]*)c") }
  if width and tonumber(width) > 0 and tonumber(height) > 0 then
    asked.cell = { tonumber(width), tonumber(height) }
  end
  return asked
end

local function inside_multiplexer()
  local term = os.getenv "TERM" or ""
  return os.getenv "TMUX" ~= nil or os.getenv "STY" ~= nil or term:find("^screen") ~= nil
    or term:find("^tmux") ~= nil
end

--- Whether the terminal takes UTF-8: not only where the locale names another character set.
---@return boolean
function show.speaks_utf8()
  for _, name in ipairs { "LC_ALL", "LC_CTYPE", "LANG" } do
    local value = os.getenv(name)
    if value and value ~= "" then
      local set = value:match("%.([^@]+)")
      return set == nil or set:lower():gsub("%-", "") == "utf8"
    end
  end
  return true
end

--- How a picture would be shown now: "kitty", "iterm", "sixel", "blocks", or "none" (its path is
--- printed).
---@return "kitty"|"iterm"|"sixel"|"blocks"|"none"
function show.protocol()
  local wanted = os.getenv "GIEMSA_IMAGES"
  if wanted and wanted ~= "" then
    return options.one_of("show", "GIEMSA_IMAGES", wanted, CHOICES, 4)
  end
  if not core.is_terminal(1) or os.getenv "TERM" == "dumb" then return "none" end
  if not inside_multiplexer() then
    if ask().kitty then return "kitty" end
    if ITERM[os.getenv "TERM_PROGRAM" or ""] or os.getenv "LC_TERMINAL" == "iTerm2" then
      return "iterm"
    end
    if ask().sixel then return "sixel" end
  end
  return show.speaks_utf8() and "blocks" or "none"
end

-- Columns and rows a picture may take (the prompt needs a line or two), and the size of a cell in
-- pixels.
local function room()
  local columns, rows, width, height = core.terminal_size()
  if not columns then columns, rows, width, height = 80, 24, 0, 0 end
  local cell = asked and asked.cell
    or (width > 0 and height > 0 and { width / columns, height / rows }) or { 10, 20 }
  return columns, math.max(rows - 2, 4), cell
end

-- ---- the ways

local CHUNK = 4096

-- tmux passes on what is wrapped.
local function wrapped(sequence)
  if not os.getenv "TMUX" then return sequence end
  return "\27Ptmux;" .. sequence:gsub("\27", "\27\27") .. "\27\\"
end

local function kitty(png, columns)
  local data, out = base64.encode(png), {}
  for first = 1, #data, CHUNK do
    local last = first + CHUNK > #data
    local keys = (first == 1 and ("a=T,f=100,q=2,%s")
      :format(columns and ("c=%d,"):format(columns) or "") or "") .. "m=" .. (last and 0 or 1)
    out[#out + 1] = wrapped(("\27_G%s;%s\27\\"):format(keys, data:sub(first, first + CHUNK - 1)))
  end
  return table.concat(out) .. "\n"
end

local function iterm(png, columns)
  return wrapped(("\27]1337;File=inline=1;size=%d;width=%d;preserveAspectRatio=1:%s\7")
    :format(#png, columns, base64.encode(png))) .. "\n"
end

-- The largest size within the limits that keeps the shape; never larger than the picture.
local function fitted(width, height, most_width, most_height)
  local scale = math.min(1, most_width / width, most_height / height)
  return math.max(1, math.floor(width * scale + 0.5)), math.max(1, math.floor(height * scale + 0.5))
end

-- RGB bytes (rows from the top) as half blocks: the foreground is the upper pixel, the background
-- the lower one.
local function blocks(rgb, width, height)
  local out = {}
  for y = 0, height - 1, 2 do
    local upper, lower = nil, nil
    for x = 0, width - 1 do
      local top = (y * width + x) * 3 + 1
      local r, g, b = rgb:byte(top, top + 2)
      local above = ("38;2;%d;%d;%d"):format(r, g, b)
      local below = "49"
      if y + 1 < height then
        below = ("48;2;%d;%d;%d"):format(rgb:byte(top + width * 3, top + width * 3 + 2))
      end
      if above ~= upper or below ~= lower then
        out[#out + 1] = ("\27[%s;%sm"):format(above, below)
      end
      upper, lower = above, below
      out[#out + 1] = "▀"
    end
    out[#out + 1] = "\27[0m\n"
  end
  return table.concat(out)
end

local function sixels(picture, most_width, most_height)
  local width, height = fitted(picture.width, picture.height, most_width, most_height)
  local rgb = picture:convert(3):resize(width, height, "area"):bytes()
  return wrapped(require("giemsa.sixel").encode(rgb, width, height)) .. "\n"
end

-- ---- things that can be shown

local function is_figure(thing)
  return type(thing) == "table" and thing.script ~= nil and thing.png ~= nil
end

--- A figure or a picture, of anything that show takes, and the file it was read from.
---@return table drawable, string? path
function show.drawable(thing)
  if is_figure(thing) then return thing, thing.path end
  local pictures = require "giemsa.plot.pictures"
  if core.is_tensor(thing) and thing.ndim == 4 then return pictures.images(thing) end
  local picture = pictures.picture_of(thing, "show")
  return picture, type(thing) == "string" and thing or require("giemsa.image").saved_at[picture]
end

local shown = 0

-- A file to name when there is no terminal to draw on.
local function written(thing)
  shown = shown + 1
  local path = ("out/picture-%d.png"):format(shown)
  local ok, message = core.write_file(path, thing:png())
  if not ok then error("show: " .. message, 0) end
  return path
end

-- The desktop's viewer, when somebody sits at one.
local function open_in_viewer(path)
  local desktop = os.getenv "DISPLAY" or os.getenv "WAYLAND_DISPLAY"
  if not desktop or os.getenv "SSH_CONNECTION" or not core.is_terminal(1)
    or os.getenv "GIEMSA_IMAGES" == "none" then
    return
  end
  core.start_program { "xdg-open", path }
end

local function by_path(thing, path)
  path = path or written(thing)
  open_in_viewer(path)
  return ("[image %dx%d -> %s]\n"):format(thing.width, thing.height, path)
end

local function as_picture(thing)
  return is_figure(thing) and require("giemsa.image").decode(thing:png()) or thing
end

local function in_blocks(thing, columns, rows)
  if is_figure(thing) and not thing.pictures then
    return thing:text(math.min(columns, 110), math.min(rows, 30))
  end
  local picture = as_picture(thing)
  local width, height = fitted(picture.width, picture.height, columns, 2 * rows)
  return blocks(picture:convert(3):resize(width, height, "area"):bytes(), width, height)
end

--- What a terminal is sent to show a figure or a picture (of show.drawable); the path, where it
--- cannot be drawn.
---@param thing table
---@param path string? the file it is in; one is written when needed
---@return string
function show.text(thing, path)
  local protocol = show.protocol()
  if protocol == "none" then return by_path(thing, path) end
  local columns, rows, cell = room()
  if protocol == "blocks" then return in_blocks(thing, columns, rows) end
  if protocol == "sixel" then
    return sixels(as_picture(thing), columns * cell[1] // 1, rows * cell[2] // 1)
  end
  -- where pixels are small a figure is drawn with twice as many
  local scale = is_figure(thing) and cell[2] >= 30 and 2 or 1
  local needed = math.ceil(scale * thing.width / cell[1])
  local png = is_figure(thing) and thing:png(scale) or thing:png()
  if protocol == "iterm" then return iterm(png, math.min(columns, needed)) end
  return kitty(png, needed > columns and columns or nil)
end

--- Shows something, as show does, but raises plain messages (level 0), for callers that know better
--- where the lesson's line is.
---@param thing any
function show.write(thing)
  local is_list = type(thing) == "table" and not is_figure(thing) and thing[1] ~= nil
  for _, each in ipairs(is_list and thing or { thing }) do display(each) end
end

local function present(thing)
  local ok, message = pcall(show.write, thing)
  if not ok then error(message, 3) end
end

--- Shows a figure of giemsa.plot, a picture, a tensor (h, w, c) or (n, h, w, c), the path of an
--- image file, or a list of these. giemsa.show(x) is the same.
---
--- Where nothing can be drawn, the picture is written to out/ and its path printed.
---@param thing any
function show.show(thing) present(thing) end

return setmetatable(show, { __call = function(_, thing) present(thing) end })
