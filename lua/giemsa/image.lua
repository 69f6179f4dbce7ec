--- Pictures: reading, resizing, drawing, writing. A picture holds bytes (0..255), rows from the
--- top, RGB; it is a value of its own and not a tensor: a quarter of the size. Positions are (x, y)
--- in pixels, and (0, 0) is the centre of the top left pixel, as in OpenCV. A colour is {r, g, b}
--- of whole numbers 0..255, or one number for all channels.
local core = require "giemsa.core"
local options = require "giemsa.options"

---@alias image_rule "nearest"|"bilinear"|"area" "nearest" when absent

---@class giemsa.picture : userdata
---@field width integer
---@field height integer
---@field channels integer 3: RGB, 1: grey; 2 and 4 are these with alpha
---@field to_tensor fun(self): tensor (height, width, channels), numbers 0..255
---@field resize fun(self, width: integer, height: integer, rule?: image_rule): giemsa.picture
---@field crop fun(self, x: integer, y: integer, width: integer, height: integer): giemsa.picture
---@field convert fun(self, channels: integer): giemsa.picture 4 (RGBA), 3 (RGB) or 1 (grey)
---@field copy fun(self): giemsa.picture
---@field png fun(self): string the bytes of a PNG file
---@field bytes fun(self): string height * width * channels bytes, row by row
---@field release fun(self) gives the memory back now and not when collected
local picture = core.picture_methods

---@class giemsa.image
local image = {}

--- Keras's colour modes: channels by name. "rgba" has alpha 255 where the file has none.
image.channels = { rgb = 3, grayscale = 1, rgba = 4 }
image.color_modes = { "rgb", "grayscale", "rgba" }

---@alias image_color_mode "rgb"|"grayscale"|"rgba" "rgb" when absent

local RULES = { "nearest", "bilinear", "area" }

-- A core function's complaint becomes that of the lesson's line. The call stands in brackets: a
-- tail call has no level.
local function checked(who, call, ...)
  local ok, a, b, c = pcall(call, ...)
  if ok then return a, b, c end
  error(who .. ": " .. tostring(a):gsub("^bad argument #%d+ to '[^']*' %((.*)%)$", "%1"), 3)
end

local function channels_of(who, color_mode)
  local mode = options.one_of(who, "color_mode", color_mode or "rgb", image.color_modes, 4)
  return image.channels[mode]
end

-- {height, width}, Keras's order, as two whole numbers.
local function size_of(who, target)
  local height, width = math.tointeger(target[1]), math.tointeger(target[2])
  local function fits(n) return n and n >= 1 and n <= 32768 end
  if #target ~= 2 or not fits(height) or not fits(width) then
    error(who .. ": target_size must be {height, width} of whole numbers from 1 to 32768", 3)
  end
  return height, width
end

--- Reads a PNG, JPEG or BMP file. Alpha is dropped, not blended (but kept by "rgba"); 16 bits a channel become 8.
---@param path string
---@param color_mode? image_color_mode
---@return giemsa.picture? picture nil when the file cannot be read or is no whole picture
---@return string? why the path and the reason
function image.read(path, color_mode)
  if type(path) ~= "string" then error("image.read: expected a path, got " .. type(path), 2) end
  return core.image_read(path, channels_of("image.read", color_mode))
end

--- The same from the bytes of such a file.
---@param bytes string
---@param color_mode? image_color_mode
---@param name? string what to call it in messages
---@return giemsa.picture? picture
---@return string? why
function image.decode(bytes, color_mode, name)
  if type(bytes) ~= "string" then
    error("image.decode: expected a file's bytes, got " .. type(bytes), 2)
  end
  return core.image_decode(bytes, channels_of("image.decode", color_mode), name or "picture")
end

---@class giemsa.image.load_options
---@field target_size? integer[] {height, width}; the file's own size when absent
---@field color_mode? image_color_mode
---@field interpolation? "nearest"|"bilinear"|"area" "nearest" when absent

--- Reads a picture as Keras's load_img does, and raises when it cannot. "nearest" is Pillow's to
--- the byte (Keras's default); "bilinear" is OpenCV's, to the byte; "area" takes the mean of what
--- each pixel covers, the best for making photographs smaller.
---@param path string
---@param given? giemsa.image.load_options
---@return giemsa.picture
function image.load(path, given)
  if type(path) ~= "string" then error("image.load: expected a path, got " .. type(path), 2) end
  local how = options.check("image.load", given,
    { target_size = "table", color_mode = "string", interpolation = "string" })
  local rule = options.one_of("image.load", "interpolation", how.interpolation or "nearest", RULES)
  local channels = channels_of("image.load", how.color_mode)
  local height, width
  if how.target_size then height, width = size_of("image.load", how.target_size) end
  local read, why = core.image_read(path, channels)
  if not read then error("image.load: " .. why, 2) end
  if not height or height == read.height and width == read.width then return read end
  local resized = (checked("image.load", read.resize, read, width, height, rule))
  read:release()
  return resized
end

--- A picture of one colour.
---@param width integer 1..32768
---@param height integer 1..32768
---@param given? {color?: integer|integer[], channels?: integer} black and 3 when absent
---@return giemsa.picture
function image.new(width, height, given)
  local how = options.check("image.new", given, { color = "table|number", channels = "integer" })
  return (checked("image.new", core.image_new, width, height, how.channels or 3, how.color or 0))
end

--- A picture of a tensor's numbers, rounded and cut to 0..255.
---@param x tensor (height, width, channels) with 1 to 4 channels, or (height, width)
---@param given? {range?: number[]} the numbers that become 0 and 255: {0, 255} when absent; {0, 1}
--- after a rescale of 1/255
---@return giemsa.picture
function image.from_tensor(x, given)
  local how = options.check("image.from_tensor", given, { range = "table" })
  local low, high = table.unpack(how.range or { 0, 255 })
  if type(low) ~= "number" or type(high) ~= "number" or low == high then
    error("image.from_tensor: range must be {low, high}, two different numbers", 2)
  end
  return (checked("image.from_tensor", core.image_from_tensor, x, low, high))
end

--- Is x a picture?
---@return boolean
function image.is_picture(x) return core.is_picture(x) end

-- ---- methods (those without options are the core's)

image.saved_at = setmetatable({}, { __mode = "k" }) -- picture -> path, for whoever names it later

--- Writes a PNG file: beside, synced, renamed; raises when it cannot.
---@param path string ends in .png
---@return giemsa.picture self
function picture:save(path)
  if type(path) ~= "string" or not path:lower():find("%.png$") then
    error(("picture:save writes PNG: the path must end in .png, got %s"):format(tostring(path)), 2)
  end
  local ok, why = core.image_write(self, path)
  if not ok then error("picture:save: " .. why, 2) end
  image.saved_at[self] = path
  return self
end

--- Shows it in the terminal where that is possible, else says where it is (giemsa.show).
---@return giemsa.picture self
function picture:show()
  require("giemsa.show").write(self)
  return self
end

local LINE = { color = "table|number", thickness = "number" }

--- A straight line by a round pen.
---@param x0 number
---@param y0 number
---@param x1 number
---@param y1 number
---@param given? {color?: integer|integer[], thickness?: number} white and 1 pixel when absent
---@return giemsa.picture self
function picture:line(x0, y0, x1, y1, given)
  local how = options.check("picture:line", given, LINE)
  local thickness, color = how.thickness or 1, how.color or 255
  checked("picture:line", core.image_line, self, x0, y0, x1, y1, thickness, color)
  return self
end

--- The outline of a rectangle, or with filled = true all of it.
---@param x0 integer one corner pixel
---@param y0 integer
---@param x1 integer the opposite corner pixel, included
---@param y1 integer
---@param given? {color?: integer|integer[], thickness?: integer, filled?: boolean} white and 1
--- pixel (inside) when absent
---@return giemsa.picture self
function picture:rectangle(x0, y0, x1, y1, given)
  local how = options.check("picture:rectangle", given,
    { color = "table|number", thickness = "integer", filled = "boolean" })
  local thickness = how.filled and 0 or math.max(how.thickness or 1, 1)
  local color = how.color or 255
  checked("picture:rectangle", core.image_rectangle, self, x0, y0, x1, y1, thickness, color)
  return self
end

--- Copies another picture with as many channels into this one; what lies outside is cut.
---@param x integer where its top left pixel comes
---@param y integer
---@param other giemsa.picture
---@return giemsa.picture self
function picture:paste(x, y, other)
  checked("picture:paste", core.image_paste, self, x, y, other)
  return self
end

local warned = false

local function warn_of_missing(text)
  if warned then return end
  warned = true
  io.stderr:write(("giemsa: no font here has some letters of '%s'; they are drawn as boxes. "
    .. "Install one (Debian: fonts-wqy-microhei for Chinese) or set GIEMSA_FONT to a font file.\n")
    :format(text))
end

---@class giemsa.image.text_style
---@field color? integer|integer[] white when absent
---@field scale? number capitals are 21 * scale pixels high; 0.5 when absent
---@field thickness? number of the pen as OpenCV counts it, 1: one pixel, 2: three; 1 when absent

--- Writes UTF-8 text with the left end of its baseline at (x, y), as OpenCV's putText with the
--- plain Hershey font. Letters beyond ASCII come from a font of this machine (GIEMSA_FONT names
--- one). "\n" starts a line below.
---@param x number
---@param y number
---@param text string
---@param given? giemsa.image.text_style
---@return giemsa.picture self
function picture:draw_text(x, y, text, given)
  local how = options.check("picture:draw_text", given,
    { color = "table|number", scale = "number", thickness = "number" })
  local scale, thickness, color = how.scale or 0.5, how.thickness or 1, how.color or 255
  local missing = checked("picture:draw_text", core.image_text, self, x, y, text,
    scale, thickness, color)
  if missing > 0 then warn_of_missing(text) end
  return self
end

--- The room that draw_text takes.
---@param text string
---@param given? {scale?: number, thickness?: number}
---@return number width pixels to the right of x
---@return number above pixels above y
---@return number below pixels below y
function image.text_size(text, given)
  local how = options.check("image.text_size", given, { scale = "number", thickness = "number" })
  local scale, thickness = how.scale or 0.5, how.thickness or 1
  local width, above, below =
    checked("image.text_size", core.image_text_size, text, scale, thickness)
  return width, above, below
end

return image
