// Glyphs from system fonts by stb_truetype. The list of fonts is made once under a lock and only
// grows afterwards, so a font found may be used without it.
#include "font.h"
#include "mem.h"
#include "sys.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// stb_truetype does not look whether it was given memory. It gets all of it from one block, and when that ends the drawing
// of the glyph is left by a jump, with nothing else to give back.
static _Thread_local struct {
    char *block;
    size_t size, used;
    jmp_buf end;
} drawing;

static void *drawing_alloc(size_t size) {
    size = (size + 15) / 16 * 16;
    if (size > drawing.size - drawing.used) longjmp(drawing.end, 1);
    void *at = drawing.block + drawing.used;
    drawing.used += size;
    return at;
}

#define STBTT_malloc(size, user) ((void)(user), drawing_alloc(size))
#define STBTT_free(block, user) ((void)(user), (void)(block))
#define STBTT_assert(x) ((void)0)
#define STBTT_STATIC
#define STB_TRUETYPE_IMPLEMENTATION
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_truetype.h>
#pragma GCC diagnostic pop
#pragma GCC diagnostic ignored "-Wunused-function" // reported at the end of the file

enum { FONTS_MAX = 48, PATH_BYTES = 512, DEEPEST_FOLDER = 4 };
enum { DRAWING_BYTES = 1 << 18, DRAWING_MOST = 1 << 26 }; // of memory for a glyph


struct font {
    char path[PATH_BYTES];
    int rank;           // smaller is asked first
    bool tried, usable; // the file is mapped when first asked
    stbtt_fontinfo info;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct font fonts[FONTS_MAX];
static int font_count;
static bool listed;

// ---- looking for fonts

// Plain sans faces first, then those that have Chinese, then others; what is bold or slanted last.
static int rank_of(const char *name) {
    static const char *const wanted[] = {
        "DejaVuSans.",   "wqy-microhei",     "NotoSansCJK-Regular",   "NotoSansSC-Regular",
        "SourceHanSans", "wqy-zenhei",       "DroidSansFallback",     "uming",
        "ukai",          "NotoSans-Regular", "LiberationSans-Regular"};
    int count = (int)(sizeof wanted / sizeof *wanted);
    for (int i = 0; i < count; i++)
        if (strncasecmp(name, wanted[i], strlen(wanted[i])) == 0) return i;
    bool slanted = strcasestr(name, "italic") || strcasestr(name, "oblique");
    return slanted || strcasestr(name, "bold") ? count + 1 : count;
}

static bool before(const struct font *a, const struct font *b) {
    return a->rank != b->rank ? a->rank < b->rank : strcmp(a->path, b->path) < 0;
}

// Keeps the list in order; when it is full the last one gives way.
static void add_font(const char *path, int rank) {
    struct font font = {.rank = rank};
    if ((size_t)snprintf(font.path, sizeof font.path, "%s", path) >= sizeof font.path) return;
    int at = font_count;
    while (at > 0 && before(&font, &fonts[at - 1])) at--;
    if (at == FONTS_MAX) return;
    if (font_count < FONTS_MAX) font_count++;
    memmove(fonts + at + 1, fonts + at, (size_t)(font_count - 1 - at) * sizeof *fonts);
    fonts[at] = font;
}

static bool is_font_name(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot && (strcasecmp(dot, ".ttf") == 0 || strcasecmp(dot, ".ttc") == 0 ||
                   strcasecmp(dot, ".otf") == 0);
}

static void list_folder(const char *folder, int depth) {
    DIR *directory = opendir(folder);
    if (!directory) return;
    for (struct dirent *entry; (entry = readdir(directory));) {
        char path[PATH_BYTES];
        struct stat info;
        if (entry->d_name[0] == '.') continue;
        if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) >= sizeof path ||
            stat(path, &info) != 0)
            continue;
        if (S_ISDIR(info.st_mode) && depth < DEEPEST_FOLDER) list_folder(path, depth + 1);
        else if (S_ISREG(info.st_mode) && is_font_name(entry->d_name))
            add_font(path, rank_of(entry->d_name));
    }
    closedir(directory);
}

static void list_fonts(void) {
    static const char *const folders[] = {"/usr/share/fonts", "/usr/local/share/fonts",
                                          "/usr/share/X11/fonts"};
    const char *own = getenv("GIEMSA_FONT"), *home = getenv("HOME");
    if (own && *own) add_font(own, -1);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) list_folder(folders[i], 0);
    char path[PATH_BYTES];
    if (home && snprintf(path, sizeof path, "%s/.local/share/fonts", home) < (int)sizeof path)
        list_folder(path, 0);
    if (home && snprintf(path, sizeof path, "%s/.fonts", home) < (int)sizeof path)
        list_folder(path, 0);
    listed = true;
}

// Maps the file for good. A font of a machine is trusted as a program of it is.
static void open_font(struct font *font) {
    font->tried = true;
    int fd = open(font->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    struct stat info;
    bool readable = fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 1024;
    unsigned char *bytes =
        readable ? mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    close(fd);
    if (bytes == MAP_FAILED) return;
    int offset = stbtt_GetFontOffsetForIndex(bytes, 0);
    font->usable = offset >= 0 && stbtt_InitFont(&font->info, bytes, offset);
    if (!font->usable) munmap(bytes, (size_t)info.st_size);
}

// The first font that has the character, and the number of its glyph there.
static const struct font *find_font(unsigned codepoint, int *index) {
    const struct font *found = NULL;
    pthread_mutex_lock(&lock);
    if (!listed) list_fonts();
    for (int i = 0; i < font_count && !found; i++) {
        if (!fonts[i].tried) open_font(&fonts[i]);
        if (fonts[i].usable && (*index = stbtt_FindGlyphIndex(&fonts[i].info, (int)codepoint)) != 0)
            found = &fonts[i];
    }
    pthread_mutex_unlock(&lock);
    return found;
}

// ---- glyphs

static bool draw_within(size_t size, struct font_glyph *glyph, const stbtt_fontinfo *info, int index, float scale) {
    drawing.block = mem_alloc(size), drawing.size = size, drawing.used = 0;
    if (!drawing.block) return false;
    bool fits = setjmp(drawing.end) == 0;
    if (fits) stbtt_MakeGlyphBitmap(info, glyph->coverage, glyph->width, glyph->height, glyph->width, scale, scale, index);
    mem_free(drawing.block);
    return fits;
}

static bool draw(struct font_glyph *glyph, const stbtt_fontinfo *info, int index, float scale) {
    for (size_t size = DRAWING_BYTES; size <= DRAWING_MOST; size *= 4)
        if (draw_within(size, glyph, info, index, scale)) return true;
    return false;
}

int font_glyph(struct font_glyph *glyph, unsigned codepoint, double size) {
    int index, advance, bearing, left, top, right, bottom;
    *glyph = (struct font_glyph){0};
    const struct font *font = find_font(codepoint, &index);
    if (!font) return 0;
    float scale = stbtt_ScaleForPixelHeight(&font->info, (float)size);
    stbtt_GetGlyphHMetrics(&font->info, index, &advance, &bearing);
    stbtt_GetGlyphBitmapBox(&font->info, index, scale, scale, &left, &top, &right, &bottom);
    glyph->advance = advance * (double)scale;
    glyph->x = left, glyph->y = top, glyph->width = right - left, glyph->height = bottom - top;
    if (glyph->width <= 0 || glyph->height <= 0) return 1;
    size_t bytes = (size_t)glyph->width * (size_t)glyph->height;
    glyph->coverage = mem_alloc(bytes);
    if (glyph->coverage) {
        memset(glyph->coverage, 0, bytes);
        if (draw(glyph, &font->info, index, scale)) return 1;
    }
    mem_free(glyph->coverage);
    *glyph = (struct font_glyph){0};
    return sys_fail("out of memory while drawing text");
}
