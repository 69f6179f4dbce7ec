"""Jupyter's own tests of a kernel (jupyter_kernel_test), whole."""
import jupyter_kernel_test
import report


class Suite(jupyter_kernel_test.KernelTests):
    kernel_name = "giemsa"
    language_name = "lua"
    file_extension = ".lua"
    code_hello_world = "print 'hello, world'"
    code_stderr = "io.stderr:write('to stderr\\n')"
    completion_samples = [
        {"text": "string.for", "matches": {"format"}},
        {"text": "table.con", "matches": {"concat"}},
        {"text": "nothing_is_named_so", "matches": set()},
    ]
    complete_code_samples = ["1", "print 'x'", "local x = 1", "for i = 1, 3 do\n  print(i)\nend", "?print", ":help", ""]
    incomplete_code_samples = ["for i = 1, 3 do", "print(", "function f(a)", "x =", "if true then", "s = [["]
    invalid_code_samples = ["x = = 1", "end", "1 +* 2", "local 3"]
    code_page_something = "?print"
    code_generate_error = "error 'as it should be'"
    code_execute_result = [
        {"code": "6 * 7", "result": "42"},
        {"code": "'a' .. 'b'", "result": '"ab"'},
        {"code": "local t = { 1, 2 }\nt", "result": "{ 1, 2 }"},
        {"code": "local function f() return 1, nil, 3 end; f()", "result": "1\nnil\n3"},
    ]
    code_display_data = [
        {"code": "require('giemsa.display'){ html = '<b>so</b>' }", "mime": "text/html"},
        {"code": "require('giemsa').show(require('giemsa.image').new(4, 3))", "mime": "image/png"},
    ]
    code_history_pattern = "6*7"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "string.format"
    code_clear_output = "require('giemsa.display').clear()"


if hasattr(jupyter_kernel_test, "IopubWelcomeTests"):  # since 0.7

    class Welcome(jupyter_kernel_test.IopubWelcomeTests):
        kernel_name = "giemsa"
        support_iopub_welcome = True


if __name__ == "__main__":
    report.main()
