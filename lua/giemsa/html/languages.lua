--- The languages of a page: which texts are for whom, and the switch. It is two radio buttons that
-- stand before everything else, so that rules of style alone hide the other language's texts; the
-- page's own words stand there in each language, too.
local escape = require "giemsa.html.escape"
local words = require "giemsa.words"

local languages = {}

languages.tags = { en = "en", zh = "zh-Hans" } -- of the lang attribute
local NAMES = { en = "English", zh = "中文" }

local RULES = "#show-%s:not(:checked)~.page .in-%s{display:none}\n"
  .. "#show-%s:checked~.page label[for=show-%s]{background:var(--tint);color:var(--stain)}\n"
  .. "#show-%s:focus-visible~.page label[for=show-%s]{outline:2px solid var(--stain)}\n"

--- ' class="cell prose in-zh" lang="zh-Hans"'; the class shows and hides it. lang: true for every
--- reader.
---@param class string perhaps ""
---@param lang string|true|nil
---@return string
function languages.attributes(class, lang)
  if not lang or lang == true then return class ~= "" and (' class="%s"'):format(class) or "" end
  return (' class="%s" lang="%s"'):format(escape((class .. " in-" .. lang):gsub("^ ", "")),
    escape(languages.tags[lang] or lang))
end

--- One text in each language, as HTML; once where it is the same in all.
---@param list string[] the languages of the page
---@param text_in fun(lang: string): string HTML of a language
---@return string
function languages.each(list, text_in)
  local first, same, out = text_in(list[1]), true, {}
  for i, lang in ipairs(list) do
    local text = text_in(lang)
    same = same and text == first
    out[i] = ("<span%s>%s</span>"):format(languages.attributes("", lang), text)
  end
  return same and first or table.concat(out)
end

--- A text of the page's own, in each of its languages: a method of pages.
---@param page {languages: string[]}
---@param text string the English one
---@param ... any for its %s and %d, as HTML
---@return string HTML
function languages.say(page, text, ...)
  local values = table.pack(...)
  return languages.each(page.languages, function(lang)
    return words(lang, text, table.unpack(values, 1, values.n))
  end)
end

--- The same for an attribute, which has one language.
function languages.word(page, text, ...) return words(page.languages[1], text, ...) end

--- The buttons, their labels, and the rules; nothing where there is no choice.
---@param list string[]
---@return string buttons, string labels, string rules
function languages.switch(list)
  if #list < 2 then return "", "", "" end
  local buttons, labels, rules = {}, {}, {}
  for i, lang in ipairs(list) do
    buttons[i] = ('<input class="switch" type="radio" name="language" id="show-%s"%s>\n'):format(
      lang, i == 1 and " checked" or "")
    labels[i] = ('<label for="show-%s" lang="%s">%s</label>'):format(lang,
      languages.tags[lang] or lang, NAMES[lang] or lang)
    rules[i] = RULES:gsub("%%s", lang)
  end
  return table.concat(buttons), '<span class="end">' .. table.concat(labels) .. "</span>",
    table.concat(rules)
end

return languages
