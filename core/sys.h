// The machine: error text, time, Ctrl-C, and safe file writing. No Lua.
#pragma once
#include <stdbool.h>
#include <stddef.h>

// The message of the last failure on this thread. A function that fails returns -1 (or NULL) after sys_fail().
const char *sys_error(void);
int sys_fail(const char *format, ...) __attribute__((format(printf, 1, 2))); // always returns -1

double sys_now(void); // monotonic seconds

// Ctrl-C. Between interrupt_begin and interrupt_end (they nest) SIGINT only sets a flag that loops poll; a second
// SIGINT within two seconds ends the process as usual. Outside, SIGINT means what the host program made of it, and the
// last interrupt_end passes on what nobody has cleared: a loop around the one that stopped is to stop, too.
void sys_interrupt_begin(void);
void sys_interrupt_end(void);
bool sys_interrupted(void);       // true after SIGINT since the outermost interrupt_begin
void sys_interrupt_clear(void);   // whoever polled it has done all that it asks for
void sys_interrupt_ends_nothing(void); // from now on a second SIGINT is like the first

// Makes a folder and the folders above it; one that is there already is fine.
int sys_make_folder(const char *path);

// Writes the pieces, one after the other, to a file beside path, syncs it and renames it over path: the old file or the
// new one, never a half. A missing folder is made.
struct sys_piece {
    const void *bytes;
    size_t size;
};
int sys_write_pieces(const char *path, const struct sys_piece pieces[], size_t count);
int sys_write_file(const char *path, const void *bytes, size_t size);
// Reads a whole file into mem_alloc'ed memory (with a 0 byte after the end); the caller frees it with mem_free.
void *sys_read_file(const char *path, size_t *size);
