// Outputs that belong to the run: while capture is on, everything that this process, the C libraries in it and the programs
// it starts write to stdout and stderr goes through pipes to a helper process. The helper appends it to the log (JSON lines),
// then passes it on to where it went before. It outlives a crash, kill -9 and a closed terminal, so that the log is whole.
#pragma once
#include <stdbool.h>
#include <stddef.h>

// Starts the helper. The log must not exist yet (its folder must). Of a cell's output at most shown_max bytes are passed on
// as they come; at the cell's end a note with the log's path and the last lines. Call it before threads are started.
// -1: why; errno is EEXIST when the log exists.
int capture_start(const char *log_path, size_t shown_max);
void capture_on(void);  // stdout and stderr go to the helper
void capture_off(void); // and back; what was written is flushed

// Appends a line (with its line break; may be empty) to the log after all output so far, and says to which cell what follows
// belongs (0: none). is_live: the cursor stands at the end of a line that will be redrawn, so output must begin with a line
// break. is_quiet: what follows goes to the log only. Returns, when the log has it, what happened since the last call.
enum {
    CAPTURE_BROKE = 1,    // output came after a live line
    CAPTURE_MID_LINE = 2, // the last output did not end its line
    CAPTURE_LOST = 4,     // the log could not be written (a full disk, 1 GB); the helper said so once, and keeps nothing more
};
int capture_event(const char *line, size_t size, int cell, bool is_live, bool is_quiet);
void capture_stop(void); // ends the helper; without it (a crash) the helper writes the log's last line itself

bool capture_is_on(void);
void capture_show(const char *text, size_t size); // to where stdout went before, not to the log
