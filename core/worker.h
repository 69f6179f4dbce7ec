// A process that runs code for another one, its server, which stays free to answer whoever asks. Requests go to the worker
// and events come back, each a frame: an id, a size, bytes. Its stdout and stderr are two more pipes. An event waits for its
// answer, and the server reads those two first, so that outputs and events keep the order in which they were made.
//
// The worker dies with its server, and is in a process group of its own: of Ctrl-C it hears from the server, once, or not.
// That sends SIGINT to it and all that it started by os.execute and io.popen, and SIGTERM to it, for the time when it ignores
// SIGINT (see interrupt.c): a worker has a handler for both.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

// ---- the server

struct worker {
    pid_t pid; // 0: it has ended
    int requests, events, out, err; // our ends of the pipes, those to be read without waiting; -1: closed
    int status; // exit code, or 128 + the signal, once it has ended
};

// Starts argv (NULL at the end). With passes_on SIGINT is passed on to it from then on. -1: why.
int worker_start(struct worker *w, char *const argv[], bool passes_on);
// Whether it still runs.
bool worker_runs(struct worker *w);
// As Ctrl-C.
void worker_interrupt(struct worker *w);
// How many there were so far in this process, those included that were passed on.
int worker_interrupts(void);
// Ends the programs that it runs, by SIGTERM: those that ignored the interrupt. The worker hears of no second one.
void worker_end_children(struct worker *w);
// A request (id 0), or the answer to the event of that id. -1: it has ended.
int worker_send(struct worker *w, unsigned id, const char *bytes, size_t size);
// What is there now of one of the pipes, at most size bytes: 0 when nothing is, -1 at the end.
ssize_t worker_read(int *fd, char *bytes, size_t size);
// Closes the pipes, and ends it.
void worker_end(struct worker *w);

// ---- the worker

int worker_begin(void); // in a process that worker_start made; -1: it is none
// The next request, mem_alloc'ed; NULL when there will be none.
char *worker_request(size_t *size);
// Whether the server has sent something that was not read yet.
bool worker_has_request(void);
// Sends an event, behind all output so far; returns when the server has taken it. -1: it is too long.
int worker_event(const char *bytes, size_t size);
// The same for a question: its answer, mem_alloc'ed; NULL when a signal came first.
char *worker_ask(const char *bytes, size_t size, size_t *answer_size);
