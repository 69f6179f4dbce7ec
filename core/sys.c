// The machine: error text, time, Ctrl-C, and safe file writing.
#include "sys.h"
#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static _Thread_local char message[1024] = "no error";

const char *sys_error(void) { return message; }

int sys_fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return -1;
}

double sys_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// ---- Ctrl-C

static volatile sig_atomic_t interrupted;
static volatile sig_atomic_t interrupted_at; // seconds, to tell a second Ctrl-C from a new one
static int interrupt_depth;
static bool may_end_process = true;
static struct sigaction host_action;

static void on_interrupt(int signal_number) {
    int error = errno; // of whatever was interrupted
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t); // async-signal-safe
    if (may_end_process && interrupted && t.tv_sec - interrupted_at <= 2) {
        signal(signal_number, SIG_DFL);
        raise(signal_number);
    }
    interrupted = 1;
    interrupted_at = (sig_atomic_t)t.tv_sec;
    errno = error;
}

void sys_interrupt_begin(void) {
    if (interrupt_depth++ > 0) return;
    interrupted = 0;
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, &host_action);
}

void sys_interrupt_end(void) {
    if (interrupt_depth == 0 || --interrupt_depth > 0) return;
    sigaction(SIGINT, &host_action, NULL);
    if (!interrupted) return;
    interrupted = 0;
    raise(SIGINT);
}

void sys_interrupt_ends_nothing(void) { may_end_process = false; }

bool sys_interrupted(void) { return interrupted != 0; }
void sys_interrupt_clear(void) { interrupted = 0; }

// ---- files

static int write_all(int fd, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t n = write(fd, bytes, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        bytes += n;
        size -= (size_t)n;
    }
    return 0;
}

enum { PATH_BYTES = 4096 };

// The folder a path is in: "." when it names none.
static void folder_of(char folder[PATH_BYTES], const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) strcpy(folder, ".");
    else snprintf(folder, PATH_BYTES, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

int sys_make_folder(const char *path) {
    char folder[PATH_BYTES];
    size_t length = strlen(path);
    if (length == 0) return sys_fail("cannot make a folder with an empty name");
    if (length >= sizeof folder) return sys_fail("%s: the path is too long", path);
    memcpy(folder, path, length + 1);
    for (size_t i = 1; i <= length; i++) {
        if (folder[i] != '/' && folder[i] != 0) continue;
        folder[i] = 0;
        struct stat info;
        bool there = mkdir(folder, 0777) == 0 || (errno == EEXIST && stat(folder, &info) == 0 && S_ISDIR(info.st_mode));
        if (!there)
            return sys_fail("cannot make the folder %s: %s", folder,
                            errno == EEXIST ? "a file of that name is in the way" : strerror(errno));
        folder[i] = path[i];
    }
    return 0;
}

// A rename is only durable once its folder is synced.
static void sync_folder_of(const char *path) {
    char folder[PATH_BYTES];
    folder_of(folder, path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

static int write_pieces(int fd, const struct sys_piece pieces[], size_t count) {
    for (size_t i = 0; i < count; i++)
        if (write_all(fd, pieces[i].bytes, pieces[i].size) != 0) return -1;
    return 0;
}

int sys_write_file(const char *path, const void *bytes, size_t size) {
    return sys_write_pieces(path, &(struct sys_piece){bytes, size}, 1);
}

// Opens a new file beside path, in a folder that is made when it is missing; `beside` gets its name.
static int open_beside(char beside[PATH_BYTES], const char *path) {
    int length = snprintf(beside, PATH_BYTES, "%s.XXXXXX", path);
    if (length < 0 || length >= PATH_BYTES) return sys_fail("%s: the path is too long", path);
    int fd = mkstemp(beside);
    if (fd < 0 && errno == ENOENT) {
        char folder[PATH_BYTES];
        folder_of(folder, path);
        if (sys_make_folder(folder) != 0) return -1;
        snprintf(beside, PATH_BYTES, "%s.XXXXXX", path);
        fd = mkstemp(beside);
    }
    return fd < 0 ? sys_fail("cannot write %s: %s", path, strerror(errno)) : fd;
}

// mkstemp makes private files. What we save has the rights of the file that was there, else those of any other new file.
static void set_rights(int fd, const char *path) {
    struct stat info;
    mode_t mask = umask(0);
    umask(mask);
    fchmod(fd, stat(path, &info) == 0 ? info.st_mode & 0777 : 0666 & ~mask);
}

static int replace_file(const char *path, const struct sys_piece pieces[], size_t count) {
    char beside[PATH_BYTES];
    int fd = open_beside(beside, path);
    if (fd < 0) return -1;
    set_rights(fd, path);
    bool ok = write_pieces(fd, pieces, count) == 0 && fsync(fd) == 0;
    int error = errno;
    if (close(fd) != 0 && ok) ok = false, error = errno;
    if (ok && rename(beside, path) != 0) ok = false, error = errno;
    if (!ok) {
        unlink(beside);
        return sys_fail("cannot write %s: %s%s", path, strerror(error),
                        error == ENOSPC ? " (free some space; the old file, if any, is unchanged)" : "");
    }
    sync_folder_of(path);
    return 0;
}

// A link stays one: what it leads to is written.
int sys_write_pieces(const char *path, const struct sys_piece pieces[], size_t count) {
    struct stat info;
    bool is_link = lstat(path, &info) == 0 && S_ISLNK(info.st_mode);
    char *target = is_link ? realpath(path, NULL) : NULL;
    int status = replace_file(target ? target : path, pieces, count);
    free(target);
    return status;
}

void *sys_read_file(const char *path, size_t *size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return sys_fail("cannot read %s: %s", path, strerror(errno)), NULL;
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(fd);
        return sys_fail("cannot read %s: %s", path,
                        S_ISDIR(info.st_mode) ? "it is a folder" : "not a regular file"),
               NULL;
    }
    char *bytes = mem_alloc((size_t)info.st_size + 1);
    if (!bytes) {
        close(fd);
        return sys_fail("cannot read %s: out of memory (%lld bytes)", path, (long long)info.st_size), NULL;
    }
    size_t have = 0;
    while (have < (size_t)info.st_size) {
        ssize_t n = read(fd, bytes + have, (size_t)info.st_size - have);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        have += (size_t)n;
    }
    close(fd);
    bytes[have] = 0;
    *size = have;
    return bytes;
}
