"""Runs unittest's tests and prints one JSON object a test, for tests/kernel.lua: {"name", "status", "why"}."""
import json
import sys
import unittest


class Result(unittest.TestResult):
    def say(self, test, status, why=""):
        name = test.id().split(".", 1)[-1]
        print(json.dumps({"name": name, "status": status, "why": why}), flush=True)

    def addSuccess(self, test):
        self.say(test, "ok")

    def addFailure(self, test, problem):
        self.say(test, "failed", self._exc_info_to_string(problem, test))

    addError = addFailure

    def addSubTest(self, test, subtest, problem):
        if problem:
            self.addFailure(subtest, problem)

    def addSkip(self, test, reason):
        self.say(test, "skipped", reason or "the suite says so")


def main():
    unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"]).run(Result())
