// The stroke font. A path is a row of commands, x from the left and y up from the baseline:
//   M x y                   lift the pen and set it down here
//   L x y                   a line to here
//   A cx cy rx ry from to   lift the pen; an arc of an ellipse, in degrees from the right, then up
//   a cx cy rx ry from to   the same, joined by a line
//   D x y                   a dot
#include "strokes.h"

#include <math.h>
#include <stdbool.h>

const struct stroke_glyph stroke_glyphs[] = {
    [' '] = {16, ""},
    ['!'] = {10, "M5 21 L5 7 D5 0.5"},
    ['"'] = {16, "M5 21 L5 15 M11 21 L11 15"},
    ['#'] = {21, "M9 23 L5 -2 M16 23 L12 -2 M3 14 L18.5 14 M2.5 7 L18 7"},
    ['$'] = {20, "A10 15.75 6.5 5.25 30 270 a10 5.25 7 5.25 90 -150 M10 25 L10 -4"},
    ['%'] = {24, "M20 21 L4 0 A7.5 16.5 4 4.5 0 360 A16.5 4.5 4 4.5 0 360"},
    ['&'] = {25, "M22 0 L8 14.5 a11 17.25 4 3.75 215 -35 L7 10.5 "
               "a10 5.5 6.5 5.5 115 270 a10 10 11 10 270 360"},
    ['\''] = {8, "M4 21 L4 15"},
    ['('] = {14, "A16 9 11 16 122 238"},
    [')'] = {14, "A-2 9 11 16 58 -58"},
    ['*'] = {16, "M8 20 L8 8 M3 17 L13 11 M13 17 L3 11"},
    ['+'] = {22, "M11 17 L11 1 M3 9 L19 9"},
    [','] = {10, "M5.5 1 L5 -2 L3.5 -4.5"},
    ['-'] = {18, "M3 9 L15 9"},
    ['.'] = {10, "D5 0.5"},
    ['/'] = {18, "M16 24 L2 -4"},
    ['0'] = {20, "A10 10.5 7 10.5 0 360"},
    ['1'] = {20, "M6 17 L8.5 18.5 L11 21 L11 0"},
    ['2'] = {20, "A10 15 6 6 168 -38 L3.5 0 L17 0"},
    ['3'] = {20, "A9.5 15.75 5.75 5.25 150 -90 a9.5 5.25 6.5 5.25 90 -150"},
    ['4'] = {20, "M13 0 L13 21 L3 7 L18 7"},
    ['5'] = {20, "M15 21 L5 21 L4.2 11.2 a9.8 6.8 6.7 6.8 140 -150"},
    ['6'] = {20, "A11 8 7.5 13 55 180 A10.2 6.75 6.7 6.75 0 360"},
    ['7'] = {20, "M3 21 L17 21 L7 0"},
    ['8'] = {20, "A10 15.75 5.75 5.25 0 360 A10 5.25 7 5.25 0 360"},
    ['9'] = {20, "A9 13 7.5 13 0 -125 A9.8 14.25 6.7 6.75 0 360"},
    [':'] = {10, "D5 13 D5 0.5"},
    [';'] = {10, "D5 13 M5.5 1 L5 -2 L3.5 -4.5"},
    ['<'] = {22, "M18 17 L4 9 L18 1"},
    ['='] = {22, "M3 12.5 L19 12.5 M3 5.5 L19 5.5"},
    ['>'] = {22, "M4 17 L18 9 L4 1"},
    ['?'] = {18, "A9 15.5 5.5 5.5 168 -60 L9 8 L9 6.5 D9 1"},
    ['@'] = {27, "A13 10.5 4.5 5 0 360 M17.5 15.5 L17.5 8.5 a20.5 8.5 3 3 180 360 "
               "a13 10.5 10.5 10.5 4 305"},
    ['A'] = {18, "M1 0 L9 21 L17 0 M4 7 L14 7"},
    ['B'] = {21, "M4 0 L4 21 L12 21 a12 16 5 5 90 -90 L4 11 M12 11 a12.5 5.5 5.5 5.5 90 -90 L4 0"},
    ['C'] = {21, "A11 10.5 7.5 10.5 45 315"},
    ['D'] = {21, "M4 0 L4 21 L9 21 a9 10.5 8.5 10.5 90 -90 L4 0"},
    ['E'] = {19, "M17 21 L4 21 L4 0 L17 0 M4 11 L12 11"},
    ['F'] = {18, "M17 21 L4 21 L4 0 M4 11 L12 11"},
    ['G'] = {21, "A11 10.5 7.5 10.5 45 347 L18.3 8.1 L12.5 8.1"},
    ['H'] = {22, "M4 0 L4 21 M18 0 L18 21 M4 11 L18 11"},
    ['I'] = {8, "M4 0 L4 21"},
    ['J'] = {16, "M12 21 L12 5.5 a7 5.5 5 5.5 0 -180"},
    ['K'] = {21, "M4 0 L4 21 M18 21 L4 7 M9 12 L18 0"},
    ['L'] = {17, "M4 21 L4 0 L16 0"},
    ['M'] = {24, "M4 0 L4 21 L12 0 L20 21 L20 0"},
    ['N'] = {22, "M4 0 L4 21 L18 0 L18 21"},
    ['O'] = {22, "A11 10.5 8 10.5 0 360"},
    ['P'] = {21, "M4 0 L4 21 L12 21 a12 15.5 5.5 5.5 90 -90 L4 10"},
    ['Q'] = {22, "A11 10.5 8 10.5 0 360 M12 5 L18 -2"},
    ['R'] = {21, "M4 0 L4 21 L12 21 a12 15.5 5.5 5.5 90 -90 L4 10 M11 10 L18 0"},
    ['S'] = {20, "A10 15.75 6.5 5.25 30 270 a10 5.25 7 5.25 90 -150"},
    ['T'] = {16, "M8 0 L8 21 M1 21 L15 21"},
    ['U'] = {22, "M4 21 L4 7 a11 7 7 7 180 360 L18 21"},
    ['V'] = {18, "M1 21 L9 0 L17 21"},
    ['W'] = {24, "M2 21 L7 0 L12 21 L17 0 L22 21"},
    ['X'] = {20, "M3 21 L17 0 M17 21 L3 0"},
    ['Y'] = {18, "M1 21 L9 11 L17 21 M9 11 L9 0"},
    ['Z'] = {20, "M3 21 L17 21 L3 0 L17 0"},
    ['['] = {14, "M10 24 L5 24 L5 -5 L10 -5"},
    ['\\'] = {18, "M2 24 L16 -4"},
    [']'] = {14, "M4 24 L9 24 L9 -5 L4 -5"},
    ['^'] = {16, "M3 14 L8 21 L13 14"},
    ['_'] = {16, "M0 -3 L16 -3"},
    ['`'] = {10, "M3 21 L6 17"},
    ['a'] = {19, "M15 14 L15 0 A9.5 7 5.5 7 0 360"},
    ['b'] = {19, "M4 21 L4 0 A9.5 7 5.5 7 0 360"},
    ['c'] = {18, "A9.5 7 5.75 7 50 310"},
    ['d'] = {19, "M15 21 L15 0 A9.5 7 5.5 7 0 360"},
    ['e'] = {18, "M3.5 7.5 L15 7.5 a9.25 7 5.75 7 5 310"},
    ['f'] = {12, "M10.5 21 L9 21 a9 17 4 4 90 180 L5 0 M1.5 14 L9 14"},
    ['g'] = {19, "A9.5 7 5.5 7 0 360 M15 14 L15 -2 a9.5 -2 5.5 5 0 -155"},
    ['h'] = {19, "M4 21 L4 0 M4 9.5 a9.5 8.5 5.5 5.5 165 0 L15 0"},
    ['i'] = {8, "M4 14 L4 0 D4 22"},
    ['j'] = {10, "M6 14 L6 -3 a2.5 -3 3.5 4 0 -100 D6 22"},
    ['k'] = {17, "M4 21 L4 0 M14 14 L4 4 M8 8 L15 0"},
    ['l'] = {8, "M4 21 L4 0"},
    ['m'] = {30, "M4 14 L4 0 M4 9.5 a9.5 8.5 5.5 5.5 165 0 L15 0 M15 9.5 "
               "a20.5 8.5 5.5 5.5 165 0 L26 0"},
    ['n'] = {19, "M4 14 L4 0 M4 9.5 a9.5 8.5 5.5 5.5 165 0 L15 0"},
    ['o'] = {19, "A9.5 7 6 7 0 360"},
    ['p'] = {19, "M4 14 L4 -7 A9.5 7 5.5 7 0 360"},
    ['q'] = {19, "M15 14 L15 -7 A9.5 7 5.5 7 0 360"},
    ['r'] = {13, "M4 14 L4 0 M4 8 a10 8 6 6 180 95 L12 14"},
    ['s'] = {17, "A8.5 10.5 4.75 3.5 30 270 a8.5 3.5 5.25 3.5 90 -150"},
    ['t'] = {12, "M5 21 L5 4 a9 4 4 4 180 270 L10.5 0 M1.5 14 L9.5 14"},
    ['u'] = {19, "M4 14 L4 5.5 a9.5 5.5 5.5 5.5 180 345 M15 14 L15 0"},
    ['v'] = {16, "M2 14 L8 0 L14 14"},
    ['w'] = {22, "M3 14 L7 0 L11 14 L15 0 L19 14"},
    ['x'] = {17, "M3 14 L14 0 M14 14 L3 0"},
    ['y'] = {16, "M2 14 L8 0 M14 14 L8 0 L6 -4 L4 -6.3 L1.5 -7"},
    ['z'] = {17, "M3 14 L14 14 L3 0 L14 0"},
    ['{'] = {14, "A10 20 3.5 4 90 180 L6.5 13 a3.5 13 3 3.5 0 -90 a3.5 6 3 3.5 90 0 "
               "L6.5 -1 a10 -1 3.5 4 180 270"},
    ['|'] = {8, "M4 24 L4 -6"},
    ['}'] = {14, "A4 20 3.5 4 90 0 L7.5 13 a10.5 13 3 3.5 180 270 a10.5 6 3 3.5 90 180 "
               "L7.5 -1 a4 -1 3.5 4 0 -90"},
    ['~'] = {22, "A7 8 4.3 3 165 20 a15 10 4.3 3 200 345"},
};

enum { DEGREES_A_PIECE = 12 };

struct pen {
    stroke_line *line;
    void *arg;
    double x, y;
};

static void line_to(struct pen *pen, double x, double y) {
    pen->line(pen->arg, pen->x, pen->y, x, y);
    pen->x = x, pen->y = y;
}

static void move_to(struct pen *pen, double x, double y) { pen->x = x, pen->y = y; }

static void arc(struct pen *pen, const double v[6], bool joined) {
    const double degree = 3.14159265358979323846 / 180;
    int pieces = (int)ceil(fabs(v[5] - v[4]) / DEGREES_A_PIECE);
    for (int i = 0; i <= pieces; i++) {
        double angle = (v[4] + (v[5] - v[4]) * i / pieces) * degree;
        double x = v[0] + v[2] * cos(angle), y = v[1] + v[3] * sin(angle);
        if (i == 0 && !joined) move_to(pen, x, y);
        else line_to(pen, x, y);
    }
}

static void dot(struct pen *pen, double x, double y) {
    const double ring[6] = {x, y, 0.5, 0.5, 0, 360};
    arc(pen, ring, false);
}

// The next number and the blank behind it. (strtod would depend on the locale.)
static double number(const char **path) {
    const char *p = *path;
    bool negative = *p == '-', fraction = false;
    double value = 0, unit = 1;
    for (p += negative; (*p >= '0' && *p <= '9') || *p == '.'; p++) {
        if (*p == '.') {
            fraction = true;
            continue;
        }
        value = value * 10 + (*p - '0');
        if (fraction) unit *= 10;
    }
    *path = *p == ' ' ? p + 1 : p;
    return (negative ? -value : value) / unit;
}

void stroke_path(const char *path, stroke_line *line, void *arg) {
    struct pen pen = {.line = line, .arg = arg};
    while (*path) {
        char command = *path++;
        int count = command == 'A' || command == 'a' ? 6 : 2;
        double v[6];
        for (int i = 0; i < count; i++) v[i] = number(&path);
        switch (command) {
        case 'M': move_to(&pen, v[0], v[1]); break;
        case 'L': line_to(&pen, v[0], v[1]); break;
        case 'D': dot(&pen, v[0], v[1]); break;
        default: arc(&pen, v, command == 'a');
        }
    }
}
