// What is in a folder: names in code-point order (bytes of UTF-8 sort the same way), each with its kind.
#pragma once

enum entry_kind { ENTRY_FILE, ENTRY_FOLDER, ENTRY_LINKED_FOLDER }; // a link to a file is a file; so is a broken link

struct entry {
    char *name;
    enum entry_kind kind;
};
struct folder {
    int count;
    struct entry *entries;
};

int folder_list(struct folder *f, const char *path); // without "." and ".."; -1: why, with the path
void folder_free(struct folder *f);
