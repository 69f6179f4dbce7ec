// Listing folders.
#include "folder.h"
#include "mem.h"
#include "sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static enum entry_kind kind_of(DIR *directory, const struct dirent *item) {
    struct stat info;
    if (item->d_type == DT_REG) return ENTRY_FILE;
    if (item->d_type == DT_DIR) return ENTRY_FOLDER;
    if (fstatat(dirfd(directory), item->d_name, &info, 0) != 0 || !S_ISDIR(info.st_mode))
        return ENTRY_FILE;
    if (fstatat(dirfd(directory), item->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) return ENTRY_FILE;
    return S_ISLNK(info.st_mode) ? ENTRY_LINKED_FOLDER : ENTRY_FOLDER;
}

static int add(struct folder *f, const char *name, enum entry_kind kind) {
    if (f->count % 64 == 0) { // grows by doubling in mem_resize's size classes
        size_t room = (size_t)f->count < 64 ? 64 : (size_t)f->count * 2;
        struct entry *larger = mem_resize(f->entries, room * sizeof *larger);
        if (!larger) return -1;
        f->entries = larger;
    }
    size_t size = strlen(name) + 1;
    char *copy = mem_alloc(size);
    if (!copy) return -1;
    f->entries[f->count++] = (struct entry){memcpy(copy, name, size), kind};
    return 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

int folder_list(struct folder *f, const char *path) {
    *f = (struct folder){0};
    DIR *directory = opendir(path);
    if (!directory) return sys_fail("cannot open the folder %s: %s", path, strerror(errno));
    bool ok = true;
    errno = 0;
    for (struct dirent *item; ok && !sys_interrupted() && (item = readdir(directory)); errno = 0) {
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0) continue;
        ok = add(f, item->d_name, kind_of(directory, item)) == 0;
    }
    int error = ok ? errno : ENOMEM;
    closedir(directory);
    if (error) {
        folder_free(f);
        return sys_fail("cannot list the folder %s: %s", path, strerror(error));
    }
    if (f->count > 1) qsort(f->entries, (size_t)f->count, sizeof *f->entries, by_name);
    return 0;
}

void folder_free(struct folder *f) {
    for (int i = 0; i < f->count; i++) mem_free(f->entries[i].name);
    mem_free(f->entries);
    *f = (struct folder){0};
}
