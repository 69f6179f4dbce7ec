// Runs another program: an argument array, never a shell. The child has a process group of its own,
// so a Ctrl-C meant for us does not kill it midway; it is killed when its time is over.
#pragma once
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    PROCESS_OUTPUT_MAX = 1 << 28
}; // bytes of output kept; a program that writes more is stopped

struct process_result {
    int code; // exit code, or 128 + the signal that ended it
    char *output,
        *errors; // its stdout and stderr: mem_alloc'ed, a 0 byte after the end, may hold others
    size_t output_size, errors_size;
};

// Runs argv[0] (found on PATH) with argv (NULL at the end) and the bytes on its stdin; returns when
// it has ended and closed its output. *result is valid, to be freed, in any case. -1: not found, no
// memory, not done in `seconds`.
int process_run(struct process_result *result, char *const argv[], const void *input,
                size_t input_size, double seconds);
void process_free(struct process_result *result);

// Starts a program in a session of its own with nothing on its stdin and stdout, and does not wait
// (a viewer's window).
int process_start(char *const argv[]);

// What both stand on: starts argv[0] (found on PATH) with these descriptors, in a group (POSIX_SPAWN_SETPGROUP) or a session
// (POSIX_SPAWN_SETSID) of its own. It has ordinary signals, whatever this process blocks or ignores. -1: not found.
int process_spawn(pid_t *child, char *const argv[], posix_spawn_file_actions_t *files, int group);
