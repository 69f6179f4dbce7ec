// What is in a folder: names, each with its kind, in code-point order (bytes of UTF-8 sort so).
#pragma once

// A link to a file is a file; so is a broken link.
enum entry_kind { ENTRY_FILE, ENTRY_FOLDER, ENTRY_LINKED_FOLDER };

struct entry {
    char *name;
    enum entry_kind kind;
};
struct folder {
    int count;
    struct entry *entries;
};

// Without "." and ".."; Ctrl-C (sys.h) ends it early. -1: why, with the path.
int folder_list(struct folder *f, const char *path);
void folder_free(struct folder *f);
