--- What displays become in Jupyter: an output each. Jupyter shows few outputs of a cell, so the texts of a series (the
-- epochs of a training) are one output that grows, and of a cell that never stops showing the first and the last are seen.
local bundle = require "giemsa.kernel.bundle"
local core = require "giemsa.core"
local wire = require "giemsa.kernel.wire"

local LIVE_SECONDS = 0.25 -- between two states of a thing that changes
local HEAD_TEXTS, TAIL_TEXTS = 100, 200 -- of a series
local MOST_SHOWN, LAST_SHOWN = 300, 10 -- of a cell

---@class giemsa.kernel.Sink
---@field publish fun(kind: string, content: table)
---@field at table<string, number> when a live display was last published
---@field series table<string, table> of the running cell: the series that a display belongs to
---@field shown integer displays of the running cell
---@field held table[] its last ones over the limit
---@field over table<string, table|false> all over the limit: false is left out
local Sink = {}
Sink.__index = Sink

--- The sink whose messages are given to publish(kind, content).
---@param publish fun(kind: string, content: table)
---@return giemsa.kernel.Sink
function Sink.new(publish)
  local self = setmetatable({ publish = publish }, Sink)
  self:reset()
  return self
end

function Sink:reset()
  self.at, self.series, self.stale = {}, {}, nil
  self.shown, self.held, self.over, self.left_out = 0, {}, {}, 0
end

-- After a restart the page still holds the displays of the time before: ids are of this process.
local function content_of(id, data, metadata)
  return { data = data, metadata = metadata, transient = { display_id = wire.session .. "-" .. id } }
end

local function is_soon(self, id) return core.now() - (self.at[id] or -math.huge) < LIVE_SECONDS end

-- ---- many displays

-- What is over the limit waits for the cell's end, and gives way to what comes after it.
local function hold(self, id, data, metadata)
  local one = { id = id, data = data, metadata = metadata }
  table.insert(self.held, one)
  self.over[id] = one
  if #self.held <= LAST_SHOWN then return end
  self.over[table.remove(self.held, 1).id] = false
  self.left_out = self.left_out + 1
end

local function publish_new(self, id, data, metadata)
  self.shown = self.shown + 1
  if self.shown > MOST_SHOWN then return hold(self, id, data, metadata) end
  self.publish("display_data", content_of(id, data, metadata))
end

local function publish_change(self, id, data, metadata)
  local one = self.over[id]
  if one then one.data, one.metadata = data, metadata
  elseif one == nil then self.publish("update_display_data", content_of(id, data, metadata)) end
end

local function publish_held(self)
  if self.left_out > 0 then
    self.publish("stream", { name = "stdout", text = ("\n[... %d displays are not shown]\n"):format(self.left_out) })
  end
  for _, one in ipairs(self.held) do self.publish("display_data", content_of(one.id, one.data, one.metadata)) end
end

-- ---- series

-- A display may turn out to be the first of a series when a second one comes.
local function begin_series(self, id, forms, data)
  if forms.html or data["image/png"] or data["image/svg+xml"] then return end
  local series = { id = id, texts = { data["text/plain"] }, place = { [id] = 1 } }
  self.series[id] = series
  if forms.after then self.series[forms.after] = series end -- what was before it has been cleared
end

local function text_of_series(series)
  local texts, count = series.texts, #series.texts
  if count <= HEAD_TEXTS + TAIL_TEXTS then return table.concat(texts, "\n") end
  local head = table.concat(texts, "\n", 1, HEAD_TEXTS)
  local tail = table.concat(texts, "\n", count - TAIL_TEXTS + 1)
  return ("%s\n[... %d more are not shown]\n%s"):format(head, count - HEAD_TEXTS - TAIL_TEXTS, tail)
end

local function publish_series(self, series)
  self.at[series.id], series.is_stale = core.now(), false
  publish_change(self, series.id, { ["text/plain"] = text_of_series(series) }, {})
end

-- A new state of a text in a series of several. Short epochs follow one another fast: what comes too soon is not
-- published before the next state, or before something else happens.
local function set_text(self, series, id, forms)
  series.texts[series.place[id]] = bundle.of_forms(forms)["text/plain"]
  self.stale, series.is_stale = series, true
  if not is_soon(self, series.id) then publish_series(self, series) end
end

local function extend(self, series, id, forms)
  local place = #series.texts + 1
  self.series[id], series.place[id] = series, place
  set_text(self, series, id, forms)
end

-- Publishes what a series holds back, when something is to come that is not of it.
local function settle(self, series)
  local stale = self.stale
  if stale and stale ~= series and stale.is_stale then publish_series(self, stale) end
end

-- The series of several texts that a display belongs to.
local function series_of(self, id)
  local series = self.series[id]
  return series and #series.texts > 1 and series.place[id] and series or nil
end

-- ---- the sink

function Sink:show(id, forms)
  local series = forms.after and self.series[forms.after]
  settle(self, series)
  if series then return extend(self, series, id, forms) end
  local data, metadata = bundle.of_forms(forms)
  begin_series(self, id, forms, data)
  self.at[id] = forms.live and core.now() or nil
  publish_new(self, id, data, metadata)
end

local function replace(self, id, forms)
  if self.over[id] == false then return end
  local data, metadata = bundle.of_forms(forms)
  local series = self.series[id]
  if series and series.id == id then series.texts[1] = data["text/plain"] end
  publish_change(self, id, data, metadata)
end

function Sink:update(id, forms)
  local series = series_of(self, id)
  if series then return set_text(self, series, id, forms) end
  if forms.live and is_soon(self, id) then return end
  self.at[id] = forms.live and core.now() or nil
  replace(self, id, forms)
end

function Sink:close(id, forms)
  local series = series_of(self, id)
  settle(self, series)
  if series then return forms and set_text(self, series, id, forms) end
  self.at[id] = nil
  if forms then replace(self, id, forms) end
end

function Sink:clear(waits)
  self:reset()
  self.publish("clear_output", { wait = waits == true })
end

--- The cell is over: what was held back.
function Sink:finish()
  settle(self)
  publish_held(self)
  self:reset()
end

return Sink
