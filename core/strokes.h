// The stroke font: printable ASCII as lines and arcs, drawn for giemsa on the metric of the Hershey
// simplex letters (the ones of OpenCV's putText): 21 units from the baseline to the top of a
// capital, 14 to the top of a small letter, 7 below.
#pragma once

struct stroke_glyph {
    int advance;      // units to the next letter
    const char *path; // see strokes.c
};

enum { STROKES_FIRST = 32, STROKES_LAST = 126 };
extern const struct stroke_glyph stroke_glyphs[STROKES_LAST + 1]; // by character

// Draws a path as straight pieces: line(arg, x0, y0, x1, y1) in units, x from the left of the
// letter, y up from the baseline.
typedef void stroke_line(void *arg, double x0, double y0, double x1, double y1);
void stroke_path(const char *path, stroke_line *line, void *arg);
