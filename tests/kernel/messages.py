"""What jupyter_kernel_test leaves out: interrupts, input, silence, failures, shutdown, order and size of outputs, and
messages that nobody should send."""
import glob
import json
import os
import signal
import socket
import subprocess
import sys
import time
import unittest
from queue import Empty

import zmq
from jupyter_client.manager import KernelManager, start_new_kernel

import report

LIMIT = 60  # seconds; generous, for machines that are slow or busy


def start():
    return start_new_kernel(kernel_name="giemsa", startup_timeout=LIMIT)


class Ran:
    """A request that is over: its reply, and the (type, content) of what was published for it."""

    def __init__(self, reply, outputs):
        self.reply, self.outputs = reply["content"], outputs

    def text(self, name="stdout"):
        return "".join(c["text"] for kind, c in self.outputs if kind == "stream" and c["name"] == name)

    def kinds(self):
        return [kind for kind, _ in self.outputs]

    def of(self, kind):
        return [c for k, c in self.outputs if k == kind]

    def result(self):
        return self.of("execute_result")[0]["data"]["text/plain"]


class KernelTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.manager, cls.client = start()

    @classmethod
    def tearDownClass(cls):
        cls.client.stop_channels()
        cls.manager.shutdown_kernel(now=True)

    def published(self, msg_id, until="idle"):
        """What is published for a request, up to its end or up to the first message of a type."""
        outputs = []
        while True:
            message = self.client.get_iopub_msg(timeout=LIMIT)
            if message["parent_header"].get("msg_id") != msg_id:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == until:
                return outputs
            if kind != "status":
                outputs.append((kind, content))
            if kind == until:
                return outputs

    def reply(self, msg_id):
        while True:
            message = self.client.get_shell_msg(timeout=LIMIT)
            if message["parent_header"].get("msg_id") == msg_id:
                return message

    def finish(self, msg_id):
        outputs = self.published(msg_id)
        return Ran(self.reply(msg_id), outputs)

    def run_code(self, code, **options):
        options.setdefault("allow_stdin", False)
        return self.finish(self.client.execute(code, **options))

    def begin(self, code, **options):
        """Starts a cell, and returns when it has printed something."""
        options.setdefault("allow_stdin", False)
        msg_id = self.client.execute(code, **options)
        self.published(msg_id, "stream")
        return msg_id


class Variables(KernelTest):
    def test_locals_and_closures_live_on(self):
        self.run_code("local x, y <const> = 1, 2\nlocal function get() return x end")
        self.assertEqual(self.run_code("x = x + 10; get() + y").result(), "13")
        self.run_code("local x = 'another'")
        self.assertEqual(self.run_code("x, get()").result(), '"another"\n11')
        self.assertEqual(self.run_code("y = 3").reply["status"], "error")

    def test_more_than_200_locals(self):
        for i in range(25):
            self.run_code(" ".join(f"local v{i}_{k} = {i * 10 + k};" for k in range(10)))
        self.assertEqual(self.run_code("v0_0 + v24_9").result(), "249")

    def test_globals_mean_what_they_mean_in_a_script(self):
        self.assertEqual(self.run_code("not_there = not_there or 5; not_there").result(), "5")

    def test_a_failed_cell_keeps_what_it_had_declared(self):
        self.run_code("local kept = 7\nerror 'here'")
        self.assertEqual(self.run_code("kept").result(), "7")

    def test_errors_name_the_cell_and_the_line(self):
        ran = self.run_code("local function f()\n  error 'boom'\nend\nf() print(1)")
        place = f"cell {ran.reply['execution_count']}:"
        self.assertEqual(ran.reply["evalue"], place + "2: boom")
        self.assertIn(place + "4: in main chunk", ran.reply["traceback"][-1])
        ran = self.run_code("local a = 1\nlocal b = = 2")
        self.assertIn(":2: unexpected symbol near '='", ran.reply["evalue"])
        self.assertEqual(ran.kinds(), ["execute_input", "error"])

    def test_values_that_cannot_be_shown(self):
        msg_id = self.begin("setmetatable({}, { __tostring = function() print 'on'; while true do end end })")
        self.manager.interrupt_kernel()
        self.assertIn("cannot be shown", self.finish(msg_id).reply["evalue"])

    def test_nothing_to_show(self):
        for code in ["", "  \n", "local a = 5", "nil", "print()", "io.write('x')", "5;"]:
            self.assertNotIn("execute_result", self.run_code(code).kinds(), code)

    def test_counts(self):
        first = self.run_code("1").reply["execution_count"]
        self.assertEqual(self.run_code("1", store_history=False).reply["execution_count"], first)
        self.assertEqual(self.run_code("2", silent=True).reply["execution_count"], first)
        self.assertEqual(self.run_code("3").reply["execution_count"], first + 1)

    def test_silent_shows_nothing(self):
        ran = self.run_code("print 'a'; require('giemsa.display'){ text = 'b' }; quiet = 1; 5", silent=True)
        self.assertEqual((ran.kinds(), ran.reply["status"]), ([], "ok"))
        self.assertEqual(self.run_code("quiet").result(), "1")
        self.assertEqual(self.run_code("error 'x'", silent=True).kinds(), [])

    def test_user_expressions(self):
        found = self.run_code("local n = 4", user_expressions={"a": "n + 1", "b": "n.x.y", "c": "= ="}).reply["user_expressions"]
        self.assertEqual(found["a"], {"status": "ok", "data": {"text/plain": "5"}, "metadata": {}})
        self.assertEqual([found[k]["status"] for k in "bc"], ["error", "error"])

    def test_commands_of_the_prompt(self):
        self.assertIn("Conv2D", self.run_code("?nn.Conv2D").reply["payload"][0]["data"]["text/plain"])
        self.assertIn("new_layer", self.run_code("??nn.Conv2D").reply["payload"][0]["data"]["text/plain"])
        self.assertIn("nothing is named", self.run_code("?nothing_like_this").text())
        self.assertIn(":names", self.run_code(":help").text())
        self.assertIn("needs a terminal", self.run_code(":edit").text())
        self.assertIn("took", self.run_code(":time for i = 1, 10 do end").text())
        self.assertEqual(self.run_code(":quit").reply["payload"], [{"source": "ask_exit", "keepkernel": False}])
        self.assertEqual(self.run_code("%time").reply["status"], "error")


class Looking(KernelTest):
    def complete(self, code, position=None):
        return self.reply(self.client.complete(code, position))["content"]

    def test_completion_counts_characters(self):
        code = "local s = '染色 🩸'; string.for"
        found = self.complete(code)
        self.assertEqual(found["matches"], ["format"])
        self.assertEqual(code[found["cursor_start"]:found["cursor_end"]], "for")
        inside = self.complete("'é'; tab + 1", len("'é'; tab"))
        self.assertEqual((inside["matches"], inside["cursor_start"], inside["cursor_end"]), (["table"], 5, 8))

    def test_completion_of_locals_options_and_nothing(self):
        self.run_code("local erythrocytes = 5; local nn = require('giemsa').nn")
        self.assertEqual(self.complete("print(eryth")["matches"], ["erythrocytes"])
        self.assertIn("strides = ", self.complete("nn.Conv2D{ stri")["matches"])
        self.assertIn("help", self.complete(":he")["matches"])
        for code, position in [("", 0), ("", 7), ("x", -3), ("zzz_nothing", None), ("'", 1)]:
            self.assertIn("status", self.complete(code, position))

    def inspect(self, code, position=None, **options):
        return self.reply(self.client.inspect(code, position, **options))["content"]

    def test_inspection(self):
        text = self.inspect("local x = string.format('%d', 3)", 18)["data"]["text/plain"]
        self.assertIn("string.format", text)
        self.assertIn("string.format", self.inspect("é = string.format('%d', ")["data"]["text/plain"])
        self.run_code("local function mine(a, b)\n  return a + b\nend")
        self.assertIn("mine(a, b)", self.inspect("mine(1")["data"]["text/plain"])
        self.assertIn("a + b", self.inspect("mine", detail_level=1)["data"]["text/plain"])
        for name in ["string.format", "string", "mine_is_a_table"]:
            self.run_code("mine_is_a_table = { 1, 2 }")
            self.assertEqual(self.inspect(name, detail_level=1), self.inspect(name), name)
            self.assertTrue(self.inspect(name)["found"], name)
        missing = self.inspect("nothing_like_this", detail_level=1)
        self.assertFalse(missing["found"])
        missing = self.inspect("nothing_like_this")
        self.assertEqual((missing["status"], missing["found"], missing["data"]), ("ok", False, {}))

    def test_indentation(self):
        def ask(code):
            return self.reply(self.client.is_complete(code))["content"]

        self.assertEqual(ask("for i = 1, 3 do"), {"status": "incomplete", "indent": "  "})
        self.assertEqual(ask("if a then\n  while b do\n")["indent"], "    ")
        self.assertEqual(ask("if a then\n  b()")["indent"], "  ")
        self.assertEqual(ask("do\n  if a then\n    b()\n  else")["indent"], "    ")
        self.assertEqual(ask("if a then\n  b()\nelseif c then\n")["indent"], "  ")
        self.assertEqual(ask("if a then\n  elsewhere()")["indent"], "  ")

    def test_what_is_complete(self):
        for status, texts in {
            "complete": ["", "x", "x + 1", "local a\na", "= 5", "?x", ":help", "'abc'", "a = 'b\\\nc'"],
            "incomplete": ["x + ", "local a = 1\na .. ", "x =", "f(", "[[abc", "--[[ c", "'abc\\", "'abc\\\n", "'abc\\z\n ", "not", "a = {"],
            "invalid": ["'abc", "print 'abc", "x = = 1", "x = = 1\ny + ", "end", "x y +", "'abc\n"],
        }.items():
            for code in texts:
                self.assertEqual(self.reply(self.client.is_complete(code))["content"]["status"], status, code)

    def test_empty_arrays_and_objects(self):
        """As they stand on the wire: [] and {} are not the same."""
        ran = self.run_code("local nothing")
        self.assertEqual((ran.reply["payload"], ran.reply["user_expressions"]), ([], {}))
        self.assertEqual(self.complete("zzz_nothing.")["matches"], [])
        comms = self.reply(self.client.comm_info())["content"]
        self.assertEqual(comms, {"status": "ok", "comms": {}})
        history = self.reply(self.client.history(hist_access_type="search", pattern="never typed"))["content"]
        self.assertEqual(history["history"], [])
        info = self.reply(self.client.kernel_info())["content"]
        self.assertEqual(info["protocol_version"], "5.3")
        self.assertIsInstance(info["help_links"], list)

    def test_history_of_this_session(self):
        self.run_code("'first'")
        self.run_code("'not kept'", store_history=False)
        self.run_code("'second'")
        history = self.reply(self.client.history(hist_access_type="tail", n=2, output=True))["content"]["history"]
        self.assertEqual([entry[2] for entry in history], [["'first'", '"first"'], ["'second'", '"second"']])
        unique = self.client.history(hist_access_type="search", pattern="'f?rst*", unique=True)
        self.assertEqual(len(self.reply(unique)["content"]["history"]), 1)


class Outputs(KernelTest):
    def test_order_of_all_that_is_printed(self):
        ran = self.run_code("""
            local display = require 'giemsa.display'
            for i = 1, 3 do
              io.write('lua ', i, ' ')
              os.execute('printf "child %d " ' .. i)
              display{ text = 'display ' .. i }
            end
            io.write 'no line break'""")
        seen = [c["text"] if kind == "stream" else c["data"]["text/plain"] for kind, c in ran.outputs[1:]]
        text = " ".join("".join(seen).split())
        self.assertEqual(len(ran.of("display_data")), 3)
        for i in (1, 2, 3):
            self.assertLess(text.index(f"lua {i}"), text.index(f"display {i}"))
            self.assertLess(text.index(f"child {i}"), text.index(f"display {i}"))
            if i < 3:
                self.assertLess(text.index(f"display {i}"), text.index(f"lua {i + 1}"))
        self.assertTrue(text.endswith("no line break"))

    def test_streams_are_sent_while_the_cell_runs(self):
        msg_id = self.begin("print 'now'; local t = os.time(); while os.time() < t + 3600 do end")
        self.manager.interrupt_kernel()
        self.assertEqual(self.finish(msg_id).reply["ename"], "Interrupted")

    def test_both_ends_of_a_flood(self):
        ran = self.run_code("for i = 1, 300000 do print(i) end")
        text = ran.text()
        self.assertTrue(text.startswith("1\n2\n3\n") and "\n299999\n300000\n" in text)
        self.assertLess(len(text), 210000)
        self.assertRegex(text, r"\[\.\.\. \d+ bytes are not shown\]")
        self.assertLess(len(ran.outputs), 1000)
        self.assertEqual(self.run_code("print 'fresh'").text(), "fresh\n")

    def test_a_long_line_and_bytes_that_are_no_text(self):
        self.assertEqual(len(self.run_code("io.write(('x'):rep(150000))").text()), 150000)
        ran = self.run_code(r"io.write('a\xff\xfeb\0é', '\xe6\x9f'); io.flush() io.write '\x93!'")
        self.assertEqual(ran.text(), "a\ufffd\ufffdb\0é染!"[:7] + ran.text()[7:])
        self.assertTrue(ran.text().endswith("染!"), ran.text())
        self.assertEqual(self.run_code(r"'\xff'").result(), '"\\255"')
        self.assertIn("\ufffd", self.run_code(r"error '\xff'").reply["evalue"])

    def test_progress_is_updated_in_place(self):
        ran = self.run_code("""
            local core, progress = require 'giemsa.core', require 'giemsa.progress'
            local bar = progress.bar{ total = 4, label = 'Epoch 1/1' }
            for i = 1, 4 do
              bar:update(i, { { 'loss', 1 / i } })
              local t = core.now()
              while core.now() < t + 0.3 do end
            end
            bar:finish()""")
        shown, updates = ran.of("display_data"), ran.of("update_display_data")
        self.assertEqual(len(shown), 1)
        self.assertGreaterEqual(len(updates), 3)
        self.assertEqual({u["transient"]["display_id"] for u in updates}, {shown[0]["transient"]["display_id"]})
        self.assertIn("Epoch 1/1", updates[-1]["data"]["text/plain"])
        self.assertIn("━─", updates[0]["data"]["text/plain"])

    def check_training(self, epochs, options=""):
        """The outputs of fit: how many there are, and what the one with the lines shows in the end."""
        ran = self.run_code(f"""
            local giemsa = require 'giemsa'
            local nn, core = giemsa.nn, require 'giemsa.core'
            local model = nn.Sequential{{ nn.Dense{{ 1, input_shape = {{ 4 }} }} }}
            model:compile{{ loss = 'mse', optimizer = 'sgd' }}
            local history = model:fit(core.uniform({{ 16, 4 }}, 0, 1, 1), core.full({{ 16, 1 }}, 1), {{ epochs = {epochs} {options} }})
            print 'behind it'""")
        self.assertEqual(ran.reply["status"], "ok", ran.reply)
        shown = ran.of("display_data")
        texts = {d["transient"]["display_id"]: d["data"]["text/plain"] for d in shown + ran.of("update_display_data")}
        self.assertEqual(set(texts), {d["transient"]["display_id"] for d in shown})
        return len(shown), max(texts.values(), key=len)

    def test_a_training_has_few_outputs(self):
        count, text = self.check_training(120, ", verbose = 1")
        self.assertLessEqual(count, 2)  # the curve and the lines
        self.assertEqual([line.split(" - ")[0] for line in text.splitlines()], [f"Epoch {i}/120" for i in range(1, 121)])
        count, text = self.check_training(60, ", verbose = 2")
        self.assertEqual((count, len(text.splitlines())), (1, 60))

    def test_both_ends_of_a_long_training(self):
        count, text = self.check_training(1000)
        lines = text.splitlines()
        self.assertLessEqual(count, 2)
        self.assertEqual((len(lines), lines[100]), (301, "[... 700 more are not shown]"))
        self.assertIn("Epoch 100/1000", lines[99])
        self.assertIn("Epoch 1000/1000", lines[-1])

    def test_a_bar_of_its_own_is_an_output_of_its_own(self):
        ran = self.run_code("""
            local progress = require 'giemsa.progress'
            for _ in progress(2, 'one') do end
            print 'between'
            for _ in progress(2, 'two') do end""")
        kinds = [kind for kind in ran.kinds() if kind != "update_display_data"]
        self.assertEqual(kinds, ["execute_input", "display_data", "stream", "display_data"])

    def test_both_ends_of_many_displays(self):
        many = """
            local display, handles = require 'giemsa.display', {}
            for i = 1, 3000 do handles[i] = display{ text = 'no. ' .. i } end
            """
        ran = self.run_code(many + "for i = 1, 3000 do handles[i]:update{ text = 'changed ' .. i } end")
        shown = [d["data"]["text/plain"] for d in ran.of("display_data")]
        self.assertEqual((len(shown), shown[0], shown[299]), (310, "no. 1", "no. 300"))
        self.assertEqual(shown[300:], [f"changed {i}" for i in range(2991, 3001)])
        self.assertEqual(len(ran.of("update_display_data")), 300)
        self.assertEqual(ran.text(), "\n[... 2690 displays are not shown]\n")
        self.assertEqual(len(self.run_code("require 'giemsa.display'{ text = 'fresh' };").of("display_data")), 1)
        ran = self.run_code("local d = require 'giemsa.display'; for i = 1, 1000 do d.clear(true) d{ text = i .. '' } end")
        self.assertEqual((len(ran.of("display_data")), ran.text()), (1000, ""))

    def test_both_ends_of_a_long_message(self):
        ran = self.run_code("error('begin ' .. ('é'):rep(2500000) .. ' end')")
        for text in [ran.reply["evalue"], ran.of("error")[0]["traceback"][0]]:
            self.assertLess(len(text), 25000)
            self.assertRegex(text, r"begin é+\n\[\.\.\. \d+ of 50000\d\d bytes \(\d+ lines in all\) are not shown\]\né+ end")

    def test_bytes_that_are_no_picture(self):
        message = "display: png must be the bytes of a PNG file, or an object with a method 'png'"
        for bytes in ["notpng", "", r"\137PNG\r\n\26\n"]:
            ran = self.run_code(f"print 'on'\nlocal d = require('giemsa.display'){{ png = '{bytes}' }}")
            self.assertRegex(ran.reply["evalue"], r"^cell \d+:2: " + message + "$")
        drawn = self.run_code("require('giemsa.display'){ png = { png = function() return 'notpng' end } }")
        self.assertIn(message, drawn.reply["evalue"])

    def test_pictures(self):
        ran = self.run_code("require('giemsa').show(require('giemsa.image').new(4, 3))")
        data = ran.of("display_data")[0]
        self.assertEqual(data["metadata"]["image/png"], {"width": 4, "height": 3})
        self.assertTrue(data["data"]["image/png"].startswith("iVBOR"))
        self.assertIn("text/plain", data["data"])
        result = self.run_code("require('giemsa.image').new(4, 3)").of("execute_result")[0]
        self.assertIn("image/png", result["data"])

    def test_tables_are_shown_as_tables(self):
        def html(code):
            return self.run_code(code).of("execute_result")[0]["data"].get("text/html")

        records = html("{ { name = 'a<b', n = 1 }, { name = 'c', x = 0.5 } }")
        self.assertIn("<tr><th></th><th>n</th><th>name</th><th>x</th></tr>", records)
        self.assertIn("<tr><th>1</th><td>1</td><td>a&lt;b</td><td></td></tr>", records)
        self.assertIn("<tr><th>2</th><td>2</td><td>0.25</td></tr>", html("{ epoch = { 1, 2 }, loss = { 0.5, 0.25 } }"))
        self.assertIn("40 of 100 rows", html("local t = {} for i = 1, 100 do t[i] = { n = i } end; t"))
        for code in ["{ 1, 2 }", "{}", "{ { 1 }, { 2 } }", "{ { a = {} } }", "{ a = { 1 }, b = { 1, 2 } }", "{ a = 1 }", "{ { a = 1 }, 2 }",
                     "setmetatable({ { a = 1 } }, {})"]:
            self.assertIsNone(html(code), code)

    def test_a_figure_is_drawn_both_ways(self):
        ran = self.run_code("require('giemsa').plot.lines{ { 1, 2, 3 } }")
        if "gnuplot is not installed" in str(ran.reply):
            self.skipTest("gnuplot is not installed")
        data = ran.of("execute_result")[0]["data"]
        self.assertEqual(sorted(data), ["image/png", "image/svg+xml", "text/plain"])
        self.assertTrue(data["image/svg+xml"].startswith("<?xml"))


class Interrupts(KernelTest):
    def check_interrupt(self, code):
        msg_id = self.begin(code)
        time.sleep(0.2)
        self.manager.interrupt_kernel()
        ran = self.finish(msg_id)
        self.assertEqual((ran.reply["status"], ran.reply["ename"]), ("error", "Interrupted"), ran.reply)
        return ran

    def test_in_lua(self):
        self.check_interrupt("local alive = 'yes'; print 'on'; while true do end")
        self.assertEqual(self.run_code("alive").result(), '"yes"')

    def test_within_pcall_and_a_coroutine(self):
        self.check_interrupt("print 'on'; while true do pcall(function() while true do end end) end")
        self.check_interrupt("print 'on'; coroutine.wrap(function() while true do pcall(string.rep, 'x', 100) end end)()")

    def test_in_a_coroutine_being_closed(self):
        looping = """
            local function body(...)
              local guard <close> = setmetatable({}, { __close = function() print 'on'; while true do end end })
              coroutine.yield(...)
              error 'died'
            end
            """
        self.check_interrupt(looping + "local c = coroutine.create(body); coroutine.resume(c); coroutine.close(c)")
        self.check_interrupt(looping + "local c = coroutine.wrap(body); c(); c()")

    def test_in_a_c_loop(self):
        self.check_interrupt("""
            local core = require 'giemsa.core'
            local a = core.uniform({ 300, 300 }, 0, 1, 1)
            print 'on'
            while true do a = core.matmul(a, a) end""")

    def test_in_a_training(self):
        """fit itself ends with what it has, as in a run."""
        msg_id = self.begin("""
            local giemsa, core = require 'giemsa', require 'giemsa.core'
            local nn = giemsa.nn
            local model = nn.Sequential{ nn.Dense{ 50, input_shape = { 20 } }, nn.Dense{ 1 } }
            model:compile{ loss = 'mse', optimizer = 'sgd' }
            print 'on'
            local history = model:fit(core.uniform({ 640, 20 }, 0, 1, 1), core.full({ 640, 1 }, 1),
              { epochs = 100000, batch_size = 8, verbose = 0 })""")
        time.sleep(0.5)
        self.manager.interrupt_kernel()
        self.assertIn("interrupted in epoch", self.finish(msg_id).text())
        self.assertEqual(self.run_code("#history.epoch < 100000").result(), "true")

    def test_of_another_program(self):
        self.check_interrupt("print 'on'; local pipe = io.popen 'sleep 1000'; pipe:read 'a'; while true do end")
        msg_id = self.begin("print 'on'; os.execute 'sleep 1000'")
        time.sleep(0.2)
        self.manager.interrupt_kernel()
        self.finish(msg_id)  # by what os.execute makes of it

    def test_often_and_when_nothing_runs(self):
        for _ in range(3):
            self.manager.interrupt_kernel()
        msg_id = self.begin("print 'on'; while true do pcall(function() while true do end end) end")
        for _ in range(5):
            self.manager.interrupt_kernel()
            time.sleep(0.05)
        self.finish(msg_id)
        self.assertEqual(self.run_code("1 + 1").result(), "2")

    def test_by_message(self):
        msg_id = self.begin("print 'on'; while true do end")
        self.client.control_channel.send(self.client.session.msg("interrupt_request", {}))
        self.assertEqual(self.client.get_control_msg(timeout=LIMIT)["content"]["status"], "ok")
        self.assertEqual(self.finish(msg_id).reply["ename"], "Interrupted")

    def test_a_picture_being_drawn(self):
        """gnuplot does not hear of the interrupt, which goes to the whole process group."""
        msg_id = self.begin("print 'on'; while true do require('giemsa').plot.lines{ { 1, 2, 3 } }:png() end")
        time.sleep(0.3)
        self.manager.interrupt_kernel()
        ran = self.finish(msg_id)
        if "not installed" not in str(ran.reply):
            self.assertEqual(ran.reply["ename"], "Interrupted", ran.reply)

    def test_the_heart_beats_and_control_answers_meanwhile(self):
        msg_id = self.begin("print 'on'; while true do end")
        heart = zmq.Context.instance().socket(zmq.REQ)
        heart.connect(f"tcp://{self.manager.ip}:{self.manager.hb_port}")
        heart.send(b"\0binary\xff")
        self.assertTrue(heart.poll(LIMIT * 1000))
        self.assertEqual(heart.recv(), b"\0binary\xff")
        heart.close()
        self.client.control_channel.send(self.client.session.msg("kernel_info_request", {}))
        self.assertEqual(self.client.get_control_msg(timeout=LIMIT)["msg_type"], "kernel_info_reply")
        self.manager.interrupt_kernel()
        self.finish(msg_id)


class Requests(KernelTest):
    def test_input_is_refused(self):
        for code in ["io.read()", "io.stdin:read('n')", "for line in io.lines() do end", "io.input():lines()()"]:
            ran = self.run_code(code)
            self.assertIn("nobody can type here", ran.reply["evalue"], code)

    def answer(self, text):
        message = self.client.get_stdin_msg(timeout=LIMIT)
        self.assertEqual((message["msg_type"], message["content"]), ("input_request", {"prompt": "", "password": False}))
        self.client.input(text)

    def test_input_is_asked_for(self):
        msg_id = self.client.execute("io.write 'name? '; local name, n = io.read('l', 'n'); name .. n", allow_stdin=True)
        self.answer("蚊子")
        self.answer("42")
        ran = self.finish(msg_id)
        self.assertEqual((ran.text(), ran.result()), ("name? ", '"蚊子42"'))
        msg_id = self.client.execute("io.read()", allow_stdin=True)
        self.client.get_stdin_msg(timeout=LIMIT)
        self.manager.interrupt_kernel()
        self.assertEqual(self.finish(msg_id).reply["ename"], "Interrupted")
        self.client.input("too late")
        self.assertEqual(self.run_code("1 + 1").result(), "2")
        path = os.path.join(os.getcwd(), "lines.txt")
        with open(path, "w") as file:
            file.write("from a file\n")
        self.assertEqual(self.run_code(f"io.input('{path}'); local s = io.read(); io.input(io.stdin); s").result(), '"from a file"')

    def test_cells_behind_a_failure_do_not_run(self):
        def send(stop):
            wait = "local core = require 'giemsa.core'; local t = core.now(); while core.now() < t + 0.5 do end "
            ids = [self.client.execute(wait + "error 'first'", stop_on_error=stop), self.client.execute("after = true"),
                   self.client.execute("print(after)")]
            return [self.finish(i) for i in ids]

        stopped = send(True)
        self.assertEqual([r.reply["status"] for r in stopped], ["error"] * 3)
        self.assertEqual([r.reply["ename"] for r in stopped], ["LuaError", "Aborted", "Aborted"])
        self.assertEqual(stopped[1].outputs + stopped[2].outputs, [])
        self.assertEqual(self.run_code("after").of("execute_result"), [])
        went_on = send(False)
        self.assertEqual([r.reply["status"] for r in went_on], ["error", "ok", "ok"])
        self.assertEqual(went_on[2].text(), "true\n")

    def test_cells_behind_an_interrupt_do_not_run(self):
        fit = ("local giemsa = require 'giemsa'; local nn = giemsa.nn; local m = nn.Sequential{ nn.Dense{ 4, input_shape = { 4 } } }; "
               "m:compile{ loss = 'mse', optimizer = giemsa.optim.SGD{ lr = 1e-9 } }; local t = giemsa.tensor.zeros; "
               "local function begun(_, epoch) if epoch == 2 then print 'begun' io.stdout:flush() end end; "
               "history = m:fit(t(512, 4), t(512, 4), { epochs = 1000000, batch_size = 1, verbose = 0, callbacks = { { on_epoch_begin = begun } } })")
        ids = [self.begin(fit), self.client.execute("after_fit = true")]
        self.manager.interrupt_kernel()
        ran = [self.finish(i) for i in ids]
        self.assertEqual([r.reply["status"] for r in ran], ["ok", "error"])
        self.assertEqual(ran[1].reply["ename"], "Aborted")
        self.assertEqual(self.run_code("history.interrupted, after_fit").result(), "true\nnil")
        ids = [self.begin("print 'on'; io.stdout:flush(); os.execute 'sleep 1000'"), self.client.execute("after_sleep = true")]
        time.sleep(0.2)
        self.manager.interrupt_kernel()
        self.assertEqual([self.finish(i).reply["status"] for i in ids][1], "error")
        self.assertEqual(self.run_code("tostring(after_sleep)").result(), '"nil"')

    def test_what_a_cell_has_shown_is_shown_once(self):
        ran = self.run_code("local plot = require 'giemsa'.plot; fig = plot.lines{ { 1, 3, 2 } }; fig:show()")
        self.assertEqual((len(ran.of("display_data")), ran.of("execute_result")), (1, []))
        ran = self.run_code("require 'giemsa'.display{ html = '<b>x</b>' }")
        self.assertEqual((len(ran.of("display_data")), ran.of("execute_result")), (1, []))
        ran = self.run_code("fig")
        self.assertEqual((ran.of("display_data"), len(ran.of("execute_result"))), ([], 1))

    def test_errors_of_files_name_the_cell(self):
        for code in ["io.lines('/nope')", "io.open('/dev/null'):read('z')"]:
            self.assertRegex(self.run_code(f"local x = {code}").reply["evalue"], r"^cell \d+:1: (?!.*(typed|plain))", code)
            self.assertNotRegex(self.run_code(code).reply["evalue"], "typed|plain", code)
        for code, message in [
            ("io.open('/dev/null'):read('z')", r"bad argument #1 to 'read' \(invalid format\)"),
            ("io.stdout.read(5)", r"bad argument #1 to 'read' \(FILE\* expected, got number\)"),
            ("io.lines({})", r"bad argument #1 to 'lines' \(string expected, got table\)"),
        ]:
            self.assertRegex(self.run_code("local x = " + code).reply["evalue"], r"^cell \d+:1: " + message + "$")

    def test_comms_are_closed_at_once(self):
        message = self.client.session.msg("comm_open", {"comm_id": "c1", "target_name": "widget", "data": {}})
        self.client.shell_channel.send(message)
        self.assertEqual(self.published(message["header"]["msg_id"]), [("comm_close", {"comm_id": "c1", "data": {}})])

    def raw(self, port):
        socket = zmq.Context.instance().socket(zmq.DEALER)
        socket.connect(f"tcp://{self.manager.ip}:{port}")
        return socket

    def test_messages_that_nobody_should_send(self):
        session = self.client.session
        good = session.serialize(session.msg("execute_request", {"code": "hacked = true"}))
        bad = [
            [b""], [b"\xff" * 300], [b"<IDS|MSG>"], [b"<IDS|MSG>"] * 9, [b"x", b"<IDS|MSG>", b"", b"{}", b"{}", b"{}", b"{}"],
            good[:1] + [b"0" * 64] + good[2:],  # a wrong signature
            good[:5] + [b'{"code": "hacked = 1"}'],  # another content
            good[:4],
        ]
        for text in [b"[]", b"null", b"{", b'{"msg_type": 5}', b"\xff\xfe", b"[" * 5000]:
            frames = [text, b"{}", b"{}", b"{}"]
            bad.append([b"<IDS|MSG>", session.sign(frames)] + frames)
        for content in [{}, {"code": 5}, {"code": None, "cursor_pos": "x"}, {"code": "x", "cursor_pos": 1e300}, {"n": -1},
                        {"hist_access_type": 7, "n": "y"}, {"hist_access_type": "range", "start": "a"}, {"comm_id": [None, 5]}]:
            for kind in ["complete_request", "inspect_request", "is_complete_request", "history_request", "comm_open",
                         "nonsense_request", "execute_reply"]:
                bad.append(session.serialize(session.msg(kind, content)))
        sockets = [self.raw(port) for port in (self.manager.shell_port, self.manager.control_port, self.manager.stdin_port)]
        for frames in bad:
            for sock in sockets:
                sock.send_multipart(frames)
        for port in (self.manager.shell_port, self.manager.iopub_port, self.manager.hb_port):
            with socket.create_connection((self.manager.ip, port)) as plain:  # no ZeroMQ at all
                plain.sendall(os.urandom(5000))
        ran = self.run_code("hacked")
        self.assertEqual(ran.reply["status"], "ok")
        self.assertEqual(ran.of("execute_result"), [])
        for sock in sockets:
            sock.close(linger=0)

    def test_code_that_is_no_string(self):
        msg = self.client.session.msg("execute_request", {"code": None, "silent": False})
        self.client.shell_channel.send(msg)
        self.assertEqual(self.finish(msg["header"]["msg_id"]).reply["status"], "ok")


class Ends(unittest.TestCase):
    def wait_for_end(self, is_over):
        deadline = time.time() + LIMIT
        while not is_over():
            self.assertLess(time.time(), deadline, "it did not end")
            time.sleep(0.05)

    def processes_of(self, pid):
        children = [int(n) for path in glob.glob(f"/proc/{pid}/task/*/children") for n in open(path).read().split()]
        return [pid] + children

    def is_running(self, pid):
        try:
            return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:
            return False

    def started(self):
        manager, client = start()
        self.addCleanup(client.stop_channels)
        self.addCleanup(manager.cleanup_resources)
        return manager, client, self.processes_of(manager.provisioner.pid)

    def check_shutdown(self, code, restart=False):
        manager, client, pids = self.started()
        self.assertEqual(len(pids), 2)
        client.execute(code, allow_stdin=False)
        while client.get_iopub_msg(timeout=LIMIT)["msg_type"] != "stream":
            pass
        client.shutdown(restart=restart)
        reply = client.get_control_msg(timeout=LIMIT)
        self.assertEqual(reply["content"], {"status": "ok", "restart": restart})
        self.wait_for_end(lambda: not any(map(self.is_running, pids)))

    def test_shutdown(self):
        self.check_shutdown("print 'idle soon'")

    def test_shutdown_of_a_cell_that_never_ends(self):
        self.check_shutdown("print 'on'; while true do pcall(function() while true do end end) end", restart=True)

    def test_variables_to_be_closed_are_closed(self):
        manager, client, pids = self.started()
        path = os.path.join(os.getcwd(), "closed.txt")
        client.execute_interactive(f"""
            local guard <close> = setmetatable({{}}, {{ __close = function()
              local file = io.open('{path}', 'w'); file:write 'closed'; file:close() end }})""", allow_stdin=False, timeout=LIMIT)
        self.assertFalse(os.path.exists(path))
        manager.shutdown_kernel()
        self.assertEqual(open(path).read(), "closed")

    def test_restart_forgets(self):
        manager, client, _ = self.started()
        client.execute_interactive("kept = 5", allow_stdin=False, timeout=LIMIT)
        manager.restart_kernel()
        client.wait_for_ready(timeout=LIMIT)
        shown = []
        reply = client.execute_interactive("print(kept)", allow_stdin=False, timeout=LIMIT, output_hook=shown.append)
        texts = [m["content"]["text"] for m in shown if m["msg_type"] == "stream"]
        self.assertEqual((texts, reply["content"]["execution_count"]), (["nil\n"], 1))
        manager.shutdown_kernel()

    def test_when_its_process_ends_the_cell_says_so(self):
        for code, what in [("os.exit(3)", "code 3"), ("os.exit(0)", "code 0"), (f"os.execute('kill -9 $PPID')", "signal 9")]:
            manager, client, pids = self.started()
            reply = client.execute_interactive(code, allow_stdin=False, timeout=LIMIT, output_hook=lambda m: None)
            self.assertEqual(reply["content"]["ename"], "KernelDied")
            self.assertIn(what, reply["content"]["evalue"])
            self.wait_for_end(lambda: not any(map(self.is_running, pids)))

    def test_a_killed_server_takes_the_worker_along(self):
        manager, client, pids = self.started()
        os.kill(pids[0], signal.SIGKILL)
        self.wait_for_end(lambda: not any(map(self.is_running, pids)))

    def test_it_ends_when_its_parent_is_gone(self):
        program = "\n".join([
            "import sys", "from jupyter_client.manager import start_new_kernel",
            f"manager, client = start_new_kernel(kernel_name='giemsa', startup_timeout={LIMIT})",
            "print(manager.provisioner.pid, flush=True)", "sys.stdin.read()"])
        parent = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        pids = self.processes_of(int(parent.stdout.readline()))
        parent.kill()
        parent.wait()
        self.wait_for_end(lambda: not any(map(self.is_running, pids)))
        parent.stdin.close()
        parent.stdout.close()

    def test_without_a_key_messages_are_not_signed(self):
        manager = KernelManager(kernel_name="giemsa")
        manager.session.key = b""
        manager.start_kernel()
        self.addCleanup(manager.shutdown_kernel, now=True)
        client = manager.client()
        client.start_channels()
        self.addCleanup(client.stop_channels)
        client.wait_for_ready(timeout=LIMIT)


if __name__ == "__main__":
    report.main()
