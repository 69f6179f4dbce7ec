--- What giemsa itself says to a reader, in his language: on pages, in plots, in steps, of exercises. The
-- English words are the keys.
local CHINESE = {
  ["All lessons"] = "全部课程",
  ["Contents"] = "目录",
  ["Code"] = "代码",
  ["Error"] = "错误",
  ["Fingerprint"] = "指纹",
  ["%s: %.4g of %.4g points"] = "%s：%.4g / %.4g 分",
  ["%s has no checks: they stand in cells with the tag \"check\""] = "%s 中没有检查：检查写在带 \"check\" 标签的单元里",
  ["%s: the lesson did not come to it"] = "%s：课程没有运行到这里",
  ["%.4g of %.4g points"] = "得分 %.4g / %.4g",
  ["fingerprint: %s"] = "指纹：%s",
  ["Next"] = "下一课",
  ["Output"] = "输出",
  ["Previous"] = "上一课",
  ["Skip to the text"] = "跳到正文",
  ["Answer"] = "答案",
  ["The course"] = "课程",
  ["Name"] = "姓名",
  ["Date"] = "日期",
  ["your progress"] = "你的进度",
  ["Traceback"] = "调用栈",
  ["link to this heading"] = "本节链接",
  ["the picture %s is not with the log of the run"] = "图像 %s 不在运行记录中",
  ["picture made by %s"] = "%s 生成的图像",

  ["ran on %s"] = "运行于 %s",
  ["took %s"] = "用时 %s",
  ["seed %s"] = "随机种子 %s",
  ["(before: %s)"] = "（上次 %s）",
  ["line %d"] = "第 %d 行",
  ["all outputs: %s"] = "全部输出：%s",
  ["data"] = "数据",
  ["code"] = "代码",
  ["weights"] = "权重",

  ["%d of %d cells"] = "%d/%d 个单元",
  ["all %d cells"] = "全部 %d 个单元",
  ["next: %s"] = "下一个：%s",
  ["exercises: %d of %d solved"] = "练习：已完成 %d/%d",
  ["not begun"] = "尚未开始",

  ["Enter run · r again · e edit · i prompt · b back · q quit"] =
    "回车 运行 · r 重新运行 · e 编辑 · i 提示符 · b 返回 · q 退出",
  ["the cell failed: e edits it, r runs it again, b goes back"] =
    "单元出错：e 编辑，r 重新运行，b 返回",
  ["no cell has run yet"] = "还没有运行过单元",
  ["this is the first cell"] = "这是第一个单元",
  ["the lesson goes on as it was"] = "课程按原来的文本继续",
  ["a prompt inside the lesson; Ctrl-D leaves it"] = "课内的提示符；按 Ctrl-D 离开",
  ["the end of the lesson"] = "本课结束",
  ["cell"] = "单元",

  ["exercises wait for you in this lesson: replace nil by your answers"] =
    "本课有练习等你完成：把 nil 换成你的答案",
  ["not answered yet"] = "尚未作答",
  ["a number is wanted, got %s"] = "需要一个数，得到的是 %s",
  ["%g is not it"] = "不是 %g",
  ["two checks are named '%s'"] = "有两项检查都叫 '%s'",
  ["not yet; think again"] = "还不对，再想想",

  ["Run all"] = "全部运行",
  ["Stop"] = "停止",
  ["follow the run"] = "跟随运行",
  ["Run"] = "运行",
  ["From here"] = "从此处运行",
  ["Edit"] = "编辑",
  ["Text"] = "文字",
  ["Save"] = "保存",
  ["Close"] = "关闭",
  ["Discard"] = "放弃",
  ["draft"] = "草稿",
  ["ready"] = "就绪",
  ["stopping"] = "正在停止",
  ["stopping: once more ends the process"] = "正在停止：再按一次将结束进程",
  ["it runs in another process"] = "正在另一个进程中运行",
  ["no connection: trying again"] = "连接已断开：正在重试",
  ["not saved"] = "未保存",
  ["not saved: no connection; the text is kept here"] = "未保存：没有连接；文本保留在这里",
  ["the cell was changed in the file meanwhile"] = "文件中的这个单元已被改动",
  ["Take the file's"] = "采用文件中的",
  ["Keep mine"] = "保留我的",
  ["the cell is no longer in the file"] = "文件中已没有这个单元",
  ["it runs already"] = "已经在运行",
  ["nothing runs here"] = "这里没有运行中的单元",
  ["%s failed"] = "%s 出错",
  ["%s took too long"] = "%s 超时",
  ["the run's log cannot be written (a full disk?): outputs are not kept"] = "无法写入运行日志（磁盘已满？），输出不再保留",
  ["this page has ended: open the address that giemsa view prints now"] = "此页面已结束：请打开 giemsa view 现在给出的地址",
  ["the process was ended; its variables are gone"] = "进程已结束，变量不再保留",
  ["the process that ran the lesson was ended by signal %d; its variables are gone"] =
    "运行本课的进程被信号 %d 终止，变量不再保留",
  ["the process that ran the lesson ended with code %d; its variables are gone"] =
    "运行本课的进程以代码 %d 退出，变量不再保留",

  ["the run"] = "运行控制",
  ["Run the whole lesson in a fresh process"] = "在新进程中运行整课",
  ["Stop the running cell"] = "停止正在运行的单元",
  ["Run this cell (in its text: Ctrl-Enter)"] = "运行此单元（在文本中按 Ctrl-Enter）",
  ["Run from this cell to the end"] = "从此单元运行到末尾",
  ["Edit this cell (or double click)"] = "编辑此单元（或双击）",
  ["the source of this cell"] = "此单元的源文本",
  ["Write this cell to the file (Ctrl-S; Ctrl-Enter also runs it). A line that begins with -- %% begins another cell"] =
    "把此单元写入文件（Ctrl-S；Ctrl-Enter 同时运行）。以 -- %% 开头的行开始另一个单元",
  ["A new code cell below this one"] = "在此单元下方新建代码单元",
  ["A new text cell below this one"] = "在此单元下方新建文字单元",
  ["Back to what the file says"] = "恢复为文件中的内容",
  ["Close the text area (Esc); a draft is kept"] = "关闭文本框（Esc），草稿会保留",
  ["Put the file's text here"] = "用文件中的文本替换这里的文本",
  ["The next save writes over the file's text"] = "下次保存将覆盖文件中的文本",
  ["This page is alive: it needs JavaScript. <code>giemsa html</code> makes one that does not."] =
    "本页是实时页面，需要 JavaScript。<code>giemsa html</code> 生成不需要脚本的网页。",

  ["Training Loss and Accuracy on Dataset"] = "训练的损失与准确率",
  ["Training so far"] = "目前为止的训练",
  ["Epoch #"] = "轮次",
  ["Loss/Accuracy"] = "损失 / 准确率",
  ["train_loss"] = "训练损失",
  ["val_loss"] = "验证损失",
  ["train_acc"] = "训练准确率",
  ["val_acc"] = "验证准确率",
  ["ROC curve"] = "ROC 曲线",
  ["1 - specificity (false positive rate)"] = "1 - 特异度（假阳性率）",
  ["sensitivity (true positive rate)"] = "灵敏度（真阳性率）",
  ["guessing"] = "随机猜测",
  ["Confusion matrix"] = "混淆矩阵",
  ["predicted"] = "预测类别",
  ["true"] = "真实类别",
  ["count"] = "个数",
  ["density"] = "密度",
  ["loss"] = "损失",
  ["accuracy"] = "准确率",
  ["loss, accuracy"] = "损失、准确率",
  ["loss (without L2)"] = "损失（不含 L2）",
  ["learning rate"] = "学习率",
  ["each batch"] = "各批次",
  ["smoothed"] = "平滑后",
  ["falls fastest at %.2g"] = "在 %.2g 处下降最快",
  ["learning rate: try %.2g"] = "学习率：可试 %.2g",
  ["the loss never falls: look at the data, the labels, the net"] = "损失从不下降：检查数据、标签和网络",
  ["step, always the same batch of %d"] = "步（始终是同一批，%d 个样本）",
  ["the loss is not a number from step %d on: the learning rate %.2g is too large"] =
    "从第 %d 步起损失不是数：学习率 %.2g 太大",
  ["loss %.3g -> %.3g in %d steps"] = "损失 %.3g -> %.3g（%d 步）",
  [", accuracy %.2f"] = "，准确率 %.2f",
  ["it learns: %s"] = "能学会：%s",
  ["it does not learn: %s; is the rate %.2g too small or too large, are layers frozen, do the labels fit?"] =
    "学不会：%s；学习率 %.2g 是否太小或太大？有没有冻结的层？标签对得上吗？",
  ["it learns slowly: %s; more steps, another rate (lr_find), less dropout or L2?"] =
    "学得慢：%s；增加步数、换学习率（lr_find）、减少 dropout 或 L2？",

  ["cached"] = "缓存",
  ["check"] = "检查",
  ["exercise"] = "练习",
  ["failed"] = "失败",
  ["interrupted"] = "中断",
  ["killed"] = "被终止",
  ["running"] = "运行中",
  ["not run"] = "未运行",
  ["skipped"] = "跳过",
  ["stale"] = "过期",
  ["timeout"] = "超时",

  ["Not taken."] = "未采用。",
  ["Not run."] = "尚未运行。",
  ["Text and code only: there are no results of this lesson yet."] = "只有文字和代码：本课还没有运行结果。",
  ["Out of date."] = "已过期。",
  ["The code has changed since this run, from %s on. Shown is the text that ran."] =
    "运行之后代码从 %s 起有改动。此处显示的是当时运行的文本。",
  ["Out of order."] = "次序不符。",
  ["Cells were edited or run again out of their order: from %s on, a run from the top may give "
    .. "something else."] = "有单元被修改或未按顺序重新运行：从 %s 起，从头运行的结果可能不同。",
  ["Not complete."] = "不完整。",
  ["The run stopped at %s: %s. Cells without results: %d."] = "运行停在 %s：%s。没有结果的单元：%d。",
  ["The run did not come to its end. Cells without results: %d."] = "运行没有完成。没有结果的单元：%d。",
  ["Cells without results: %d."] = "没有结果的单元：%d。",
  ["Small sizes."] = "小规模运行。",
  ["This was a quick run: its numbers may be others than those of the lesson."] =
    "这是一次快速运行：数值可能与课文不同。",
  ["Data, code and weights of this run, in short. Where your own run ends with the same three, "
    .. "you got what this page shows, to the last bit."] =
    "本次运行的数据、代码和权重的摘要。若你的运行以同样三个值结束，结果与本页逐位相同。",
  ["Deep learning on medical images, in Lua. Every lesson is a script that runs as it stands; its "
    .. "page shows the text, the code, and what one run of it printed and drew."] =
    "用 Lua 做医学图像的深度学习。每一课都是可以直接运行的脚本；网页给出文字、代码以及一次运行的输出与图像。",
  ["Deep learning on medical images, in Lua. The text and the code of every lesson, to be printed: "
    .. "with room for notes, the exercises at the end."] =
    "用 Lua 做医学图像的深度学习。供打印的各课讲义：文字和代码，留有笔记的空白，练习在最后。",
}

--- A text in its language.
---@param lang string?
---@param text string
---@param ... any for its %s and %d
---@return string
local function say(lang, text, ...)
  local known = lang == "zh" and CHINESE[text] or text
  return select("#", ...) > 0 and known:format(...) or known
end

return say
