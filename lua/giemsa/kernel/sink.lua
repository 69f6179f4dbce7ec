--- What displays become in Jupyter: an output each. Jupyter shows few outputs of a cell, so the texts of a series (the
-- epochs of a training) are one output that grows, and of a cell that never stops showing the first and the last are seen.
local bundle = require "giemsa.kernel.bundle"
local core = require "giemsa.core"
local wire = require "giemsa.kernel.wire"

local LIVE_SECONDS = 0.25 -- between two states of a thing that changes
local HEAD_TEXTS, TAIL_TEXTS = 100, 200 -- of a series

---@class giemsa.kernel.Sink
---@field publish fun(kind: string, content: table)
---@field at table<string, number> when a live display was last published
---@field series table<string, table> of the running cell: the series that a display belongs to
local Sink = {}
Sink.__index = Sink

--- The sink whose messages are given to publish(kind, content).
---@param publish fun(kind: string, content: table)
---@return giemsa.kernel.Sink
function Sink.new(publish) return setmetatable({ publish = publish, at = {}, series = {} }, Sink) end

-- After a restart the page still holds the displays of the time before: ids are of this process.
local function content_of(id, data, metadata)
  return { data = data, metadata = metadata, transient = { display_id = wire.session .. "-" .. id } }
end

local function is_soon(self, id) return core.now() - (self.at[id] or -math.huge) < LIVE_SECONDS end

-- ---- series

-- A display may turn out to be the first of a series when a second one comes.
local function begin_series(self, id, forms, data)
  if forms.html or data["image/png"] or data["image/svg+xml"] then return end
  self.series[id] = { id = id, texts = { data["text/plain"] }, place = { [id] = 1 } }
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
  self.publish("update_display_data", content_of(series.id, { ["text/plain"] = text_of_series(series) }, {}))
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
  return series and #series.texts > 1 and series or nil
end

-- ---- the sink

function Sink:show(id, forms)
  local series = forms.after and self.series[forms.after]
  settle(self, series)
  if series then return extend(self, series, id, forms) end
  local data, metadata = bundle.of_forms(forms)
  begin_series(self, id, forms, data)
  self.at[id] = forms.live and core.now() or nil
  self.publish("display_data", content_of(id, data, metadata))
end

local function replace(self, id, forms)
  local data, metadata = bundle.of_forms(forms)
  if self.series[id] then self.series[id].texts[1] = data["text/plain"] end
  self.publish("update_display_data", content_of(id, data, metadata))
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
  self:finish()
  self.publish("clear_output", { wait = waits == true })
end

--- The cell is over: what was held back.
function Sink:finish()
  settle(self)
  self.at, self.series, self.stale = {}, {}, nil
end

return Sink
