--- giemsa view: a lesson's page, live in the browser.
local args = require "giemsa.args"
local core = require "giemsa.core"
local lessons = require "giemsa.lessons"
local output = require "giemsa.cli.output"
local run = require "giemsa.run"

local USAGE = [[
usage: giemsa view [lesson.lua] [options]

Shows a lesson in the browser, live: the page follows the file as you edit it in any editor, and its
run as it goes. There you can also run it, stop it, run it from a cell on, edit cells, and add some:
only that cell of the file is written. Without a lesson: the list of all.

  --run               start running at once
  --open              open the page in your browser
  --quick             runs take the lesson's own small sizes
  --seed N            another seed than the lesson's
  --lang LANG         the texts of one language: en, zh (else all, with a switch)
  --port N            listen at this port (else one that is free)

Only this machine can see the page, and only who has its address: it holds a secret. A second
address is for watching only. To show the page to other machines (a classroom):

  --address A         listen there: 0.0.0.0, or an address of this machine
  --host NAME         the name by which browsers will ask (else the address)
  --certificate FILE  a TLS certificate (PEM); without it other machines are refused
  --key FILE          its key

Ctrl-C ends the page and what it runs. Outputs stay in out/runs/LESSON.]]

local OPTIONS = { run = false, open = false, quick = false, seed = "", lang = "", port = 0,
  address = "127.0.0.1", host = "", certificate = "", key = "" }

-- Why an option cannot be what was given; nil when it can.
local function wrong_option(o)
  local is_address = o.address:find "^%d+%.%d+%.%d+%.%d+$" or o.address:find "^[%x:.]*:[%x:.]*$"
  if not is_address then return ("--address needs an address as 127.0.0.1 or ::1, got '%s'"):format(o.address) end
  if o.port < 0 or o.port > 65535 then return ("--port needs a number from 1 to 65535 (0: one that is free), got %d"):format(o.port) end
  if o.host ~= "" and not o.host:find "^[%w.-]+$" and not o.host:find "^%[?%x*:[%x:.]*:[%x:.]*%]?$" then
    return ("--host needs the name or address by which browsers ask, without a port, got '%s'"):format(o.host)
  end
  if o.lang ~= "" and o.lang ~= "en" and o.lang ~= "zh" then return ("--lang is en or zh, got '%s'"):format(o.lang) end
end

local function given(text) return text ~= "" and text or nil end

local function read(path)
  local file <close>, problem = io.open(path, "rb")
  if not file then return nil, problem end
  return file:read "a"
end

local function is_loopback(address)
  return address:find "^127%.%d+%.%d+%.%d+$" ~= nil or address == "::1"
end

-- Certificate and key, where they are given; nil and why it must not be served so.
local function secrets(o)
  if o.certificate == "" and o.key == "" then
    if is_loopback(o.address) then return {} end
    return nil, ("%s is seen from other machines: that needs --certificate and --key, so that nobody reads along")
      :format(o.address)
  end
  if o.certificate == "" or o.key == "" then return nil, "--certificate and --key go together" end
  if o.host == "" and (o.address == "0.0.0.0" or o.address == "::") then
    return nil, ("--address %s needs --host NAME: the name or address by which browsers ask for this machine"):format(o.address)
  end
  local certificate, problem = read(o.certificate)
  if not certificate then return nil, problem end
  local key, trouble = read(o.key)
  if not key then return nil, trouble end
  return { certificate = certificate, key = key }
end

-- The lesson that is asked for: a file, or a name, the beginning of one, a number. nil and why.
local function find(word)
  if core.file_info(word) then
    return { name = (word:match "([^/]+)$" or word):gsub("%.lua$", ""), path = word }
  end
  local lesson, message = lessons.find(word)
  if not lesson then return nil, word:find "[/.]" and word .. ": there is no such file" or message end
  local path, problem = lessons.own(lesson)
  if not path then return nil, problem end
  return lesson
end

local function make_server(o)
  local tls, problem = secrets(o)
  if not tls then return nil, problem end
  if not pcall(require, "giemsa.microhttpd") then
    return nil, "giemsa view needs libmicrohttpd: sudo apt install libmicrohttpd-dev, then make"
  end
  local seed = given(o.seed) and math.tointeger(tonumber(o.seed))
  if given(o.seed) and not seed then return nil, "--seed needs a whole number, got '" .. o.seed .. "'" end
  return require("giemsa.view.server").new{ address = o.address, port = o.port, host = given(o.host),
    certificate = tls.certificate, key = tls.key,
    options = { lang = given(o.lang), seed = seed, quick = o.quick } }
end

local function announce(server, name)
  print(("%s\nto watch only: %s\nCtrl-C ends it."):format(server:address("edit", name), server:address("watch", name)))
  io.stdout:flush()
end

local function open_browser(address)
  os.execute(("xdg-open '%s' >/dev/null 2>&1 &"):format(address))
end

local function complain(message)
  output.complain(message)
  return 1
end

---@param line string[] the words after the command
---@return integer code the exit code
return function(line)
  if line[1] == "--runner" then return require "giemsa.view.runner"() end -- the process that runs cells
  local o = args.parse(USAGE, OPTIONS, 0, line, 1)
  local wrong = wrong_option(o)
  if wrong then output.complain(wrong) return 2 end
  local lesson, message
  if o[1] then
    lesson, message = find(o[1])
    if not lesson then return complain(message) end
  end
  core.interrupt_begin()
  local server, problem = make_server(o)
  if not server then return complain(problem) end
  local one = lesson and server:open(lesson.name, lesson.path)
  if one and o.run then one:run() end
  announce(server, lesson and lesson.name)
  if o.open then open_browser(server:address("edit", lesson and lesson.name)) end
  server:serve()
  server:close()
  return 0
end
