--- The reader's editor, on a file: $VISUAL or $EDITOR, which may hold arguments, else nano or vi.
local editor = {}

-- Those that go to a line by +LINE; to others that would be a file's name.
local TAKES_LINE = { vi = true, vim = true, nvim = true, nano = true, emacs = true, emacsclient = true, micro = true, joe = true,
  mg = true, ne = true, kak = true, jed = true, jmacs = true, mcedit = true, gedit = true, kate = true }

local function is_program(name) return os.execute(("command -v %s >/dev/null 2>&1"):format(name)) == true end

local function command_line()
  for _, name in ipairs { "VISUAL", "EDITOR" } do
    local asked = os.getenv(name)
    if asked and asked:find "%S" then return asked end
  end
  for _, name in ipairs { "nano", "vi" } do
    if is_program(name) then return name end
  end
end

--- Opens a file and waits until the editor ends.
---@param path string
---@param line integer? where to begin, for editors that can
---@return boolean? ok nil and why when there is no editor, or it failed
---@return string? message
function editor.open(path, line)
  local asked = command_line()
  if not asked then return nil, "there is no editor here: set EDITOR to the command of yours" end
  local program = asked:match "^%s*(%S+)":match "[^/]+$"
  local place = line and TAKES_LINE[program] and ("+%d "):format(line) or ""
  local ok, how, code = os.execute(("%s %s'%s'"):format(asked, place, (path:gsub("'", "'\\''"))))
  if ok then return true end
  return nil, ("the editor `%s` ended with %s %d (EDITOR names the one to use)"):format(asked, how == "exit" and "code" or how, code)
end

return editor
