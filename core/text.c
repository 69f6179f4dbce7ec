// UTF-8 text. One walk over the letters serves drawing and measuring: without a picture nothing is
// drawn. Wrong bytes are shown as U+FFFD.
#include "text.h"
#include "draw.h"
#include "font.h"
#include "mem.h"
#include "strokes.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>

enum { CAPITAL = 21, BELOW = 7, LINE = 34, FONT_HEIGHT = 32, BOX_ADVANCE = 22 }; // units
enum { WRONG = 0xfffd };

struct writer {
    struct image *im; // NULL: only measure
    const struct text_style *style;
    double start, x, y; // of the line, and the pen
    double right;       // the furthest pen so far
    int missing;
};

// The next character of the text; at least one byte is taken.
static unsigned next_codepoint(const unsigned char **at, const unsigned char *end) {
    const unsigned char *p = *at;
    unsigned first = *p++, more = 4; // bytes after the first; 4: it is none
    if (first < 0x80) more = 0;
    else if (first >= 0xc0 && first < 0xf8) more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    unsigned code = more == 0 ? first : more < 4 ? first & (0x3fu >> more) : WRONG;
    *at = p;
    if (more == 4) return WRONG;
    for (unsigned i = 0; i < more; i++, p++) {
        if (p == end || (*p & 0xc0) != 0x80) return WRONG;
        code = code << 6 | (*p & 0x3f);
    }
    *at = p;
    return code;
}

// OpenCV's pen: thickness 1 is one pixel, 2 is three, 3 is four.
static double pen_width(double thickness) {
    return thickness <= 1 ? thickness : fmin(2 * thickness - 1, thickness + 1);
}

static void write_line(void *arg, double x0, double y0, double x1, double y1) {
    struct writer *w = arg;
    double s = w->style->scale;
    draw_line(w->im, w->x + x0 * s, w->y - y0 * s, w->x + x1 * s, w->y - y1 * s,
              pen_width(w->style->thickness), w->style->color);
}

static void write_strokes(struct writer *w, const char *path, int advance) {
    if (w->im) stroke_path(path, write_line, w);
    w->x += advance * w->style->scale;
}

static int write_from_font(struct writer *w, unsigned codepoint) {
    struct font_glyph glyph;
    int found = font_glyph(&glyph, codepoint, FONT_HEIGHT * w->style->scale);
    if (found < 0) return -1;
    if (!found) {
        write_strokes(w, "M3 0 L3 21 L19 21 L19 0 L3 0", BOX_ADVANCE);
        w->missing++;
        return 0;
    }
    double x = round(w->x), y = round(w->y);
    bool visible = w->im && glyph.coverage && fabs(x) < INT_MAX / 2 && fabs(y) < INT_MAX / 2;
    int times = !visible ? 0 : w->style->thickness >= 2 ? 2 : 1; // thick: again a pixel further
    for (int bold = 0; bold < times; bold++)
        draw_coverage(w->im, (int)x + glyph.x + bold, (int)y + glyph.y, glyph.coverage, glyph.width,
                      glyph.height, w->style->color);
    mem_free(glyph.coverage);
    w->x += glyph.advance;
    return 0;
}

static int write_text(struct writer *w, const char *utf8, size_t size) {
    const unsigned char *at = (const unsigned char *)utf8, *end = at + size;
    while (at < end) {
        unsigned code = next_codepoint(&at, end);
        if (code == '\n') {
            w->x = w->start;
            w->y += LINE * w->style->scale;
        } else if (code >= STROKES_FIRST && code <= STROKES_LAST) {
            const struct stroke_glyph *glyph = &stroke_glyphs[code];
            write_strokes(w, glyph->path, glyph->advance);
        } else if (write_from_font(w, code) != 0) return -1;
        w->right = fmax(w->right, w->x);
    }
    return w->missing;
}

int text_draw(struct image *im, double x, double y, const char *utf8, size_t size,
              const struct text_style *style) {
    struct writer w = {.im = im, .style = style, .start = x, .x = x, .y = y, .right = x};
    return write_text(&w, utf8, size);
}

int text_measure(const char *utf8, size_t size, const struct text_style *style, double *width,
                 double *above, double *below) {
    struct writer w = {.style = style};
    int missing = write_text(&w, utf8, size);
    *width = w.right + pen_width(style->thickness) / 2;
    *above = CAPITAL * style->scale + pen_width(style->thickness) / 2;
    *below = w.y + BELOW * style->scale + pen_width(style->thickness) / 2;
    return missing;
}
