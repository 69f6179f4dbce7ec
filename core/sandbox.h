// A process that may do little: for code that nobody has read. Landlock says which files it may open, seccomp which system calls
// it may make (no other program, process, thread or socket), limits what it may use. There is no way back out.
#pragma once
#include <stddef.h>
#include <sys/types.h>

// Whether the kernel offers Landlock, seccomp and limits. -1: which is missing.
int sandbox_check(void);

struct sandbox {
    const char *const *readable; // files and folders, NULL at the end; what is not there is left out
    const char *writable;        // a folder, also read; becomes the current one
    size_t memory, file_bytes;   // of address space; of one file
    unsigned seconds;            // of the processor's time
};

// Encloses this process, which must have one thread; what it prints goes nowhere. -1: not enclosed, or half; it must end then.
int sandbox_enter(const struct sandbox *s);

// A child in a session of its own, which dies with this process. As fork; the child has no stdin and stdout, and of the other
// descriptors only those of keep (ended by -1).
pid_t sandbox_fork(const int keep[]);
// Becomes the program, with the descriptor as number 3 and of the environment only what giemsa itself reads. -1: why not.
int sandbox_exec(char *const argv[], int fd);

// What lies in a folder: bytes on disk, and how many files and folders. -1: not to be read.
int sandbox_usage(const char *folder, size_t *bytes, size_t *entries);

enum { SCRATCH_PATH = 512 };
int sandbox_make_scratch(char path[SCRATCH_PATH]); // a new empty folder, in TMPDIR or /tmp
int sandbox_remove_tree(const char *folder);       // with all that is in it; follows no link

// The bytes of an ordinary file, mem_alloc'ed: no link, folder, pipe or device, and at most so many. NULL: why, without the path.
char *sandbox_read_file(const char *path, size_t *size, size_t most);

// Messages over a socket: a size and bytes. `passed` is a descriptor that goes along, -1 for none.
int message_send(int fd, const void *bytes, size_t size, int passed, double seconds);
// mem_alloc'ed bytes with a 0 behind them; NULL and why: closed, too long, not there in time. passed: NULL to take none.
char *message_receive(int fd, size_t *size, size_t most, int *passed, double seconds);
