--- Highlighting: nothing of the source is lost, whatever it is, and each kind is told from the others.
local t = require "tests.harness"
local highlight = require "giemsa.highlight"

local function joined(source)
  local parts = {}
  for i, token in ipairs(highlight.tokens(source)) do parts[i] = token.text end
  return table.concat(parts)
end

local function without_colours(text) return (text:gsub("\27%[%d+m", "")) end
local function without_tags(html)
  return (html:gsub("<[^>]*>", ""):gsub("&lt;", "<"):gsub("&gt;", ">"):gsub("&amp;", "&"))
end

-- "keyword:if space: name:x", without the spaces.
local function kinds(source)
  local parts = {}
  for _, token in ipairs(highlight.tokens(source)) do
    local mark = token.unfinished and "~" or ""
    if token.kind ~= "space" then parts[#parts + 1] = token.kind .. mark .. ":" .. token.text end
  end
  return table.concat(parts, " ")
end

-- What the property is tried on: pieces that have a meaning to a lexer, in any order.
local PIECES = { "--", "[[", "]]", "[=[", "]=]", "--[==[", "]==]", "'", '"', "\\", "\\z", "\n", "\r", "\r\n", " ",
  "\t", "0x", "1e", "p+", ".", "..", "...", "~", "=", "<", ">", "&", "::", "//", "if", "end", "nil", "f", "_x1", "(",
  "{", "é", "\0", "\255", "?", "$", "!", "#", "`", "3.14", "0xA.8p1", "-", "@", ";" }

t.test("every byte of the source comes out again", function()
  local state = 1
  local function draw(n)
    state = (state * 6364136223846793005 + 1442695040888963407)
    return (state >> 33) % n + 1
  end
  for _ = 1, 20000 do
    local parts = {}
    for i = 1, draw(12) do parts[i] = PIECES[draw(#PIECES)] end
    local source = table.concat(parts)
    t.equal(joined(source), source)
    t.equal(without_colours(highlight.ansi(source)), source)
    t.equal(without_tags(highlight.html(source)), source)
  end
end)

t.test("this project's own files come out again", function()
  local list = t.shell("ls tests/*.lua lua/giemsa/*.lua notebooks/*.lua")
  for path in list:gmatch("%S+") do
    local file <close> = assert(io.open(path))
    local source = file:read("a")
    t.ok(joined(source) == source, path)
    t.ok(without_tags(highlight.html(source)) == source, path)
    for _, token in ipairs(highlight.tokens(source)) do
      t.ok(not token.unfinished and token.kind ~= "other", path .. ": " .. token.text)
    end
  end
end)

t.test("the kinds", function()
  for source, want in pairs {
    ["if x then return nil end"] = "keyword:if name:x keyword:then keyword:return constant:nil keyword:end",
    ["f(a) g{} h'x' i[[y]] j"] = "call:f operator:( name:a operator:) call:g operator:{ operator:} "
      .. "call:h string:'x' call:i string:[[y]] name:j",
    ["function m.run () end"] = "keyword:function name:m operator:. call:run operator:( operator:) keyword:end",
    ["t[a[1]]"] = "name:t operator:[ name:a operator:[ number:1 operator:] operator:]",
    ["0x.8p-3+1e-5 .5..3"] = "number:0x.8p-3 operator:+ number:1e-5 number:.5..3", -- as Lua reads it
    ["a..b ...//:: <<>>~="] = "name:a operator:.. name:b operator:... operator:// operator::: operator:<< "
      .. "operator:>> operator:~=",
    ["--[==[ a ]] \n ]==] x --[ y"] = "comment:--[==[ a ]] \n ]==] name:x comment:--[ y",
    ["'a\\'b' \"\\\\\" x"] = "string:'a\\'b' string:\"\\\\\" name:x",
    ["'a\\z \n  b' 'c\\\nd'"] = "string:'a\\z \n  b' string:'c\\\nd'",
    ["#!/usr/bin/lua\n#t"] = "comment:#!/usr/bin/lua operator:# name:t",
    ["x = $?"] = "name:x operator:= other:$ other:?",
  } do
    t.equal(kinds(source), want)
  end
end)

t.test("what is half typed", function()
  for source, want in pairs {
    ["print('abc"] = "call:print operator:( string~:'abc", ["'a\nb"] = "string~:'a name:b", ["'a\\"] = "string~:'a\\",
    ["--[[ a"] = "comment~:--[[ a", ["x = [=[ ]]"] = "name:x operator:= string~:[=[ ]]", ["-- a"] = "comment:-- a",
  } do
    t.equal(kinds(source), want)
  end
end)

t.test("the writers", function()
  t.equal(highlight.ansi("local x = 'a' -- b"), "\27[35mlocal\27[0m x = \27[32m'a'\27[0m \27[90m-- b\27[0m")
  t.equal(highlight.ansi("[[a\nb]]"), "\27[32m[[a\27[0m\n\27[32mb]]\27[0m")
  t.equal(highlight.html("a < '&'"), 'a <span class="operator">&lt;</span> <span class="string">\'&amp;\'</span>')
end)

t.done()
