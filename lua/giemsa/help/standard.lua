--- Lua's own functions, for ?name: how each is called and what it does. The manual says all of it:
-- https://www.lua.org/manual/5.4/
local TEXT = [[
assert(v, message?) | v and all that follows; raises the message when v is nil or false
collectgarbage(what?) | collects what nobody uses any more; "count": how many KiB Lua uses
dofile(path) | runs a file
error(message, level?) | raises; the message gets the place of this line (level 1), of the caller's (2), or none (0)
getmetatable(x) | the table that says how x behaves, or nil
ipairs(list) | for i, v in ipairs(list): 1, 2, ... up to the first nil
load(text, name?, mode?, env?) | a function that runs the text; nil and why when it does not compile
loadfile(path, mode?, env?) | the same of a file
next(t, key?) | the key after this one, and its value; nil at the end
pairs(t) | for k, v in pairs(t): every key, in no particular order
pcall(f, ...) | true and what f(...) gives, or false and what it raised
print(...) | writes values with a tab between and a line break after
rawequal(a, b) | a == b without metamethods
rawget(t, key) | t[key] without metamethods
rawlen(t) | #t without metamethods
rawset(t, key, value) | t[key] = value without metamethods; t
require(name) | the module, loaded once
select(n, ...) | the arguments from number n on (-1: the last); "#": how many there are
setmetatable(t, metatable) | t, which behaves as the metatable says from now on
tonumber(x, base?) | the number that x is or spells; nil when it is none
tostring(x) | x as text
type(x) | "nil", "number", "string", "boolean", "table", "function", "thread" or "userdata"
warn(message, ...) | a warning on stderr, when warnings are on
xpcall(f, handler, ...) | pcall, with handler(problem) called where it happened
coroutine.close(co) | ends a suspended coroutine and closes its variables
coroutine.create(f) | a coroutine that will run f
coroutine.isyieldable(co?) | can it yield?
coroutine.resume(co, ...) | runs it to its next yield: true and what it gives, or false and why it died
coroutine.running() | the running coroutine, and whether it is the main one
coroutine.status(co) | "running", "suspended", "normal" or "dead"
coroutine.wrap(f) | a function that resumes a coroutine each time it is called
coroutine.yield(...) | stops here and gives the values to who resumed
debug.getinfo(f, what?) | what is known of a function or a level of the stack
debug.traceback(message?, level?) | the calls that led here, as text
io.close(file?) | closes a file
io.lines(path, ...) | for line in io.lines(path)
io.open(path, mode?) | a file ("r", "w", "a", "rb", ...); nil and why
io.popen(command, mode?) | a program whose output is read ("r") or input written ("w")
io.read(...) | from standard input: "l" a line, "n" a number, "a" all, 10 so many bytes
io.write(...) | to standard output, as it is
math.abs(x) | without its sign
math.acos(x) | in radians
math.asin(x) | in radians
math.atan(y, x?) | the angle of (x, y) in radians
math.ceil(x) | the smallest whole number that is not below x
math.cos(x) | x in radians
math.deg(x) | radians to degrees
math.exp(x) | e ^ x
math.floor(x) | the largest whole number that is not above x
math.fmod(x, y) | what is left of x / y, with the sign of x
math.log(x, base?) | the logarithm, natural when no base is given
math.max(x, ...) | the largest
math.min(x, ...) | the smallest
math.modf(x) | the whole part and the rest
math.rad(x) | degrees to radians
math.random(m?, n?) | in [0, 1); or a whole number m..n. Seeded anew at every start: lessons use giemsa.random
math.randomseed(x?) | starts math.random anew
math.sin(x) | x in radians
math.sqrt(x) | the square root
math.tan(x) | x in radians
math.tointeger(x) | x as an integer, or nil when it is not whole
math.type(x) | "integer", "float", or nil when x is no number
math.ult(m, n) | m < n, both taken without sign
os.clock() | seconds of computing so far
os.date(format?, time?) | a date as text ("%Y-%m-%d %H:%M") or, with "*t", as a table
os.difftime(a, b) | seconds from b to a
os.execute(command) | runs a shell command: true when it ended well, "exit" or "signal", its code
os.exit(code?, close?) | ends the program
os.getenv(name) | a setting of the environment, or nil
os.remove(path) | deletes a file; nil and why
os.rename(from, to) | renames a file; nil and why
os.time(t?) | seconds since 1970, now or at a date
os.tmpname() | a name for a file nobody uses
string.byte(s, i?, j?) | the bytes from i to j (1) as numbers
string.char(...) | the string of these bytes
string.find(s, pattern, init?, plain?) | where the pattern is first: start, end and captures; nil when it is not. plain = true: no pattern
string.format(format, ...) | text by a pattern: %d whole, %.3f digits, %g short, %s text, %q quoted, %5d width
string.gmatch(s, pattern) | for a, b in s:gmatch(pattern): all matches
string.gsub(s, pattern, new, n?) | s with every match replaced by a text ("%1"), table[match] or function(match); and how many
string.len(s) | its bytes; characters are utf8.len(s)
string.lower(s) | in small letters
string.match(s, pattern, init?) | the captures of the first match, or nil
string.pack(format, ...) | values as bytes
string.packsize(format) | how many bytes string.pack gives
string.rep(s, n, separator?) | n times
string.reverse(s) | its bytes backwards
string.sub(s, i, j?) | the bytes from i to j, both included; negative ones count from the end
string.unpack(format, s, pos?) | the values that string.pack wrote
string.upper(s) | in capital letters
table.concat(list, separator?, i?, j?) | strings joined
table.insert(list, position?, value) | adds at the end, or at a position
table.move(from, i, j, at, to?) | copies from[i..j] to to[at...]
table.pack(...) | { ..., n = how many }
table.remove(list, position?) | takes out the last, or the one at a position
table.sort(list, less?) | sorts in place, by less(a, b) when given
table.unpack(list, i?, j?) | its values, as arguments
utf8.char(...) | the characters with these code points
utf8.codepoint(s, i?, j?) | the code points of the characters there
utf8.codes(s) | for position, code in utf8.codes(s)
utf8.len(s, i?, j?) | its characters; nil and where when it is not UTF-8
utf8.offset(s, n, i?) | the byte where character n starts
]]

-- function -> { name =, call =, text = }
local standard = {}

for call, text in TEXT:gmatch "(%S[^\n]-) | ([^\n]+)" do
  local name = call:match "^[%w_.]+"
  local library, last = name:match "^(.-)%.(.*)$"
  local f = library and _G[library][last] or _G[name]
  if f then standard[f] = { name = name, call = call, text = text } end
end

return standard
