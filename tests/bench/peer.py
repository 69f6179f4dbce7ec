"""What the peers written in Python share: a JSON request a line on stdin, a JSON reply a line on stdout.

A request says what to run and for how long: {"what": "step", "net": "course", "batch": 32, ..., "seconds": 0.5}.
The reply has the milliseconds of each run, the peak resident size, and what the maker of the case adds.
"""
import json
import os
import sys
import time

replies = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # whatever libraries print is not a reply


def peak_mb():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024


def timed(run, seconds, per=1):
    """Milliseconds of each run, divided by what a run consists of."""
    times, stop = [], time.perf_counter() + seconds
    while not times or time.perf_counter() < stop:
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3 / per)
    return times


def warm_up(run):
    start = time.perf_counter()
    run()
    if time.perf_counter() - start < 1:
        run()


def best_of(variants, tries=2):
    """The fastest of several ways to do the same."""
    def milliseconds(run):
        run()
        return min(timed(run, 0)[0] for _ in range(tries))
    return min(variants, key=milliseconds) if len(variants) > 1 else variants[0]


def serve(make):
    """make(request) -> (run, facts): the case, and what to say of it in every reply."""
    cases = {}
    for line in sys.stdin:
        request = json.loads(line)
        seconds = request.pop("seconds")
        key = json.dumps(request, sort_keys=True)
        try:
            if key not in cases:
                cases.clear()
                cases[key] = make(request)
                warm_up(cases[key][0])
            run, facts = cases[key]
            reply = {"times": timed(run, seconds, facts.get("per", 1)), "peak_mb": peak_mb(), **facts}
        except Exception as problem:  # the bench goes on with the others
            reply = {"error": f"{type(problem).__name__}: {problem}"}
        print(json.dumps(reply), file=replies, flush=True)
