// Workers: the frames, and the two ends of the pipes.
#include "worker.h"
#include "mem.h"
#include "process.h"
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READ = 0, WRITE = 1 };
enum { REQUESTS = 3, EVENTS = 4 }; // file descriptors of the worker
enum { FRAME_MAX = 1 << 30 };

struct frame {
    uint32_t id, size; // of the bytes that follow
};

static int write_all(int fd, const void *bytes, size_t size) {
    for (const char *at = bytes; size;) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno != EINTR) return -1;
        if (n > 0) at += n, size -= (size_t)n;
    }
    return 0;
}

static int write_frame(int fd, uint32_t id, const char *bytes, size_t size) {
    struct frame frame = {id, (uint32_t)size};
    if (size > FRAME_MAX) return sys_fail("%zu bytes are too long for a message", size);
    if (write_all(fd, &frame, sizeof frame) == 0 && write_all(fd, bytes, size) == 0) return 0;
    return sys_fail("the other process is gone: %s", strerror(errno));
}

// ---- the server

static volatile pid_t passed_on_to; // who hears of our SIGINT

// SIGTERM first: it must be there before a command that SIGINT ends returns to a worker that ignored that.
static volatile sig_atomic_t interrupts;

static void interrupt(pid_t pid) {
    interrupts++;
    kill(pid, SIGTERM);
    kill(-pid, SIGINT);
}

static void pass_on(int number) {
    int error = errno;
    (void)number;
    if (passed_on_to > 0) interrupt(passed_on_to);
    errno = error;
}

// Above the numbers that they get in the worker, which its dup2 must not meet.
static int open_pipe(int ends[2]) {
    int low[2];
    if (pipe2(low, O_CLOEXEC) != 0) return -1;
    for (int i = 0; i < 2; i++) {
        ends[i] = fcntl(low[i], F_DUPFD_CLOEXEC, EVENTS + 1);
        close(low[i]);
    }
    return ends[READ] < 0 || ends[WRITE] < 0 ? -1 : 0;
}

static int start_on_pipes(struct worker *w, char *const argv[], int ends[4][2]) {
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, ends[0][WRITE], 1);
    posix_spawn_file_actions_adddup2(&files, ends[1][WRITE], 2);
    posix_spawn_file_actions_adddup2(&files, ends[2][READ], REQUESTS);
    posix_spawn_file_actions_adddup2(&files, ends[3][WRITE], EVENTS);
    int status = process_spawn(&w->pid, argv, &files, POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_destroy(&files);
    return status;
}

static void pass_interrupts_to(pid_t pid) {
    passed_on_to = pid;
    struct sigaction action = {.sa_handler = pass_on, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

int worker_start(struct worker *w, char *const argv[], bool passes_on) {
    int ends[4][2] = {{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}}, status = 0;
    *w = (struct worker){0};
    for (int i = 0; i < 4 && status == 0; i++)
        if (open_pipe(ends[i]) != 0) status = sys_fail("cannot make a pipe: %s", strerror(errno));
    if (status == 0) status = start_on_pipes(w, argv, ends);
    for (int i = 0; i < 4; i++) {
        int theirs = i == 2 ? READ : WRITE;
        if (ends[i][theirs] >= 0) close(ends[i][theirs]);
        if (status != 0 && ends[i][!theirs] >= 0) close(ends[i][!theirs]);
        else if (i != 2) fcntl(ends[i][!theirs], F_SETFL, O_NONBLOCK);
    }
    if (status != 0) return -1;
    w->out = ends[0][READ], w->err = ends[1][READ], w->requests = ends[2][WRITE], w->events = ends[3][READ];
    if (passes_on) pass_interrupts_to(w->pid);
    signal(SIGPIPE, SIG_IGN); // one that has ended is seen by its status
    return 0;
}

bool worker_runs(struct worker *w) {
    int status;
    if (!w->pid || waitpid(w->pid, &status, WNOHANG) == 0) return w->pid != 0;
    w->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    w->pid = passed_on_to = 0; // of a process with several workers none is passed on to
    return false;
}

void worker_interrupt(struct worker *w) {
    if (worker_runs(w)) interrupt(w->pid);
}

int worker_interrupts(void) { return (int)interrupts; }

void worker_end_children(struct worker *w) {
    if (worker_runs(w)) kill(-w->pid, SIGTERM);
}

int worker_send(struct worker *w, unsigned id, const char *bytes, size_t size) {
    return write_frame(w->requests, id, bytes, size);
}

ssize_t worker_read(int *fd, char *bytes, size_t size) {
    if (*fd < 0) return -1;
    ssize_t n = read(*fd, bytes, size);
    if (n > 0) return n;
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    close(*fd);
    return *fd = -1;
}

void worker_end(struct worker *w) {
    int *fds[] = {&w->requests, &w->events, &w->out, &w->err};
    for (int i = 0; i < 4; i++) {
        if (*fds[i] >= 0) close(*fds[i]);
        *fds[i] = -1;
    }
    if (!worker_runs(w)) return;
    kill(-w->pid, SIGKILL);
    while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR) {}
    w->status = 128 + SIGKILL;
    w->pid = passed_on_to = 0;
}

// ---- the worker

int worker_begin(void) {
    if (fcntl(REQUESTS, F_SETFD, FD_CLOEXEC) != 0 || fcntl(EVENTS, F_SETFD, FD_CLOEXEC) != 0)
        return sys_fail("a worker is started by its server");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sys_interrupt_ends_nothing();
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    return 0;
}

static bool read_all(void *bytes, size_t size) {
    for (char *at = bytes; size;) {
        ssize_t n = read(REQUESTS, at, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        at += n, size -= (size_t)n;
    }
    return true;
}

// Waits until there is something to read; false when a signal came. SIGINT is blocked outside of the waiting, so that none
// comes unnoticed right before it.
static bool wait_for_bytes(const sigset_t *outside) {
    return ppoll(&(struct pollfd){REQUESTS, POLLIN, 0}, 1, NULL, outside) > 0;
}

// The bytes of the next frame of this id; others are answers that came too late. NULL: the end; where a signal may end the
// waiting (`outside` is not NULL), also that.
static char *await(uint32_t id, size_t *size, const sigset_t *outside) {
    struct frame frame;
    while ((!outside || wait_for_bytes(outside)) && read_all(&frame, sizeof frame)) {
        char *bytes = mem_alloc(frame.size + 1);
        if (!bytes || !read_all(bytes, frame.size)) return mem_free(bytes), NULL;
        *size = frame.size;
        if (frame.id == id) return bytes;
        mem_free(bytes);
    }
    return NULL;
}

char *worker_request(size_t *size) { return await(0, size, NULL); }

bool worker_has_request(void) { return poll(&(struct pollfd){REQUESTS, POLLIN, 0}, 1, 0) > 0; }

static char *send_and_await(const char *bytes, size_t size, size_t *answer_size, const sigset_t *outside) {
    static uint32_t id;
    if (++id == 0) id = 1;
    fflush(stdout);
    fflush(stderr);
    if (write_frame(EVENTS, id, bytes, size) != 0) return NULL;
    return await(id, answer_size, outside);
}

int worker_event(const char *bytes, size_t size) {
    size_t answer_size;
    char *answer = send_and_await(bytes, size, &answer_size, NULL);
    mem_free(answer);
    return answer ? 0 : -1;
}

char *worker_ask(const char *bytes, size_t size, size_t *answer_size) {
    sigset_t interrupt, before, outside;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    pthread_sigmask(SIG_BLOCK, &interrupt, &before);
    outside = before;
    sigaddset(&outside, SIGTERM); // it comes with SIGINT, and right before it
    char *answer = send_and_await(bytes, size, answer_size, &outside);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return answer;
}
