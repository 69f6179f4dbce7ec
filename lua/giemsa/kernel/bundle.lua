--- Things as Jupyter shows them: the same in several forms, by MIME type, the richest first to be chosen.
local base64 = require "giemsa.base64"
local display = require "giemsa.display"
local grid = require "giemsa.kernel.grid"
local inspect = require "giemsa.inspect"
local present = require "giemsa.repl.present"
local wire = require "giemsa.kernel.wire"

local bundle = {}

local function png_size(bytes)
  local width, height = (">I4I4"):unpack(bytes, 17)
  return { width = width, height = height }
end

--- What display's forms are.
---@param forms table of display.forms
---@return table<string, string> data by MIME type
---@return table metadata
function bundle.of_forms(forms)
  local png, svg = forms:png(), forms:svg()
  local text = forms.text or forms.ansi and forms.ansi:gsub("\27%[[%d;]*m", "") or forms.html and "[html]" or ""
  local data, metadata = { ["text/plain"] = wire.clean(text) }, {}
  if forms.html then data["text/html"] = wire.clean(forms.html) end
  if svg then data["image/svg+xml"] = wire.clean(svg) end
  if png then
    data["image/png"] = base64.encode(png)
    metadata["image/png"] = png_size(png)
  end
  return data, metadata
end

local COLUMNS = 100

--- What a cell's values are.
---@param values table packed
---@return table<string, string> data
---@return table metadata
function bundle.of_values(values)
  if values.n == 1 and present.is_drawable(values[1]) then return bundle.of_forms(display.forms(values[1])) end
  local lines = {}
  for i = 1, values.n do lines[i] = inspect.text(values[i], { columns = COLUMNS }) end
  local html = values.n == 1 and grid(values[1]) or nil
  return { ["text/plain"] = wire.clean(table.concat(lines, "\n")), ["text/html"] = html and wire.clean(html) }, {}
end

return bundle
