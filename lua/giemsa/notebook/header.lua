--- The header of a notebook: "#!" and coding lines, then YAML between two lines "-- ---", each line
-- a comment. Of YAML only what lessons need is understood; everything is kept as it was written.
local json = require "giemsa.json"

local header = {}

local function scalar(text)
  local quoted = text:match("^'(.*)'$")
  if quoted then return (quoted:gsub("''", "'")) end
  if text:find '^".*"$' or text:find "^%[.*%]$" then
    local value = json.decode(text)
    if value ~= nil then return value end
  end
  local list = text:match("^%[(.*)%]$")
  if list then
    local values = {}
    for item in list:gmatch "[^,]+" do values[#values + 1] = scalar(item:match("^%s*(.-)%s*$")) end
    return values
  end
  if text == "true" or text == "false" then return text == "true" end
  return tonumber(text) or text
end

-- The subset of YAML that lessons need: "key: value" at the left margin. The rest is only kept.
local function parse_yaml(lines)
  local meta = {}
  for _, line in ipairs(lines) do
    local key, value = line:match("^([%a_][%w_%-]*):%s+(.-)%s*$")
    if key and value ~= "" and not value:find "^#" then
      meta[key] = scalar(value:find "^['\"]" and value or (value:gsub("%s+#.*$", "")))
    end
  end
  return meta
end

--- A line without its comment sign and line break.
---@param line string
---@return string
function header.uncommented(line)
  line = line:gsub("[\r\n]+$", "")
  return line:match("^%-%- ?(.*)$") or line
end

--- Where the header ends, and what the YAML in it says.
---@param lines string[] of the file
---@return integer first line after it
---@return table<string, any> meta
function header.parse(lines)
  local at, yaml = 1, {}
  if lines[at] and lines[at]:find "^#!" then at = at + 1 end
  if lines[at] and lines[at]:find "^%-%-[^%%]*coding[:=]" then at = at + 1 end
  if lines[at] and lines[at]:find "^%-%- %-%-%-%s*$" then
    local last = at + 1
    while lines[last] and not lines[last]:find "^%-%- %-%-%-%s*$" and lines[last]:find "^%-%-" do
      yaml[#yaml + 1] = header.uncommented(lines[last])
      last = last + 1
    end
    if lines[last] and lines[last]:find "^%-%- %-%-%-%s*$" then at = last + 1 else yaml = {} end
  end
  while lines[at] and lines[at]:find "^%s*$" do at = at + 1 end
  return at, parse_yaml(yaml)
end

return header
