// Drawing on a stained smear: shapes are distances to an edge, an edge is a smooth step, a photograph is exp(-density).
#include "smear.h"
#include "mem.h"
#include "sys.h"

#include <math.h>
#include <string.h>

int smear_create(struct smear *s, int width, int height, int planes) {
    size_t bytes = sizeof(double) * (size_t)width * (size_t)height * (size_t)planes;
    *s = (struct smear){.width = width, .height = height, .planes = planes, .density = mem_alloc(bytes)};
    if (!s->density) return sys_fail("out of memory: a smear of %d x %d pixels needs %zu bytes", width, height, bytes);
    memset(s->density, 0, bytes);
    return 0;
}

void smear_free(struct smear *s) {
    mem_free(s->density);
    s->density = NULL;
}

// ---- strokes

static double *row_of(const struct smear *s, int plane, int y) {
    return s->density + ((size_t)plane * (size_t)s->height + (size_t)y) * (size_t)s->width;
}

// 1 well inside (distance <= -soft), 0 well outside, a smooth step in between.
static double cover(double distance, double soft) {
    double t = soft > 0 ? 0.5 - 0.5 * distance / soft : distance <= 0;
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return t * t * (3 - 2 * t);
}

// The pixels a shape around (x, y) can reach, as half-open ranges.
struct box { int x0, x1, y0, y1; };
static struct box reach(const struct smear *s, double left, double right, double top, double bottom) {
    struct box b = {(int)fmax(0, floor(left)), (int)fmin(s->width, ceil(right) + 1), (int)fmax(0, floor(top)),
                    (int)fmin(s->height, ceil(bottom) + 1)};
    return b;
}

void smear_blob(struct smear *s, int plane, double amount, double x, double y, double rx, double ry,
                double angle, double soft) {
    double c = cos(angle), n = sin(angle), far = fmax(rx, ry) * (1 + soft);
    struct box b = reach(s, x - far, x + far, y - far, y + far);
    for (int j = b.y0; j < b.y1; j++) {
        double *row = row_of(s, plane, j);
        for (int i = b.x0; i < b.x1; i++) {
            double u = ((i - x) * c + (j - y) * n) / rx, v = ((j - y) * c - (i - x) * n) / ry;
            row[i] += amount * cover(sqrt(u * u + v * v) - 1, soft);
        }
    }
}

// From (x, y) to the edge of a brush drawn from p to q; negative inside.
static double brush_distance(double x, double y, const double p[3], const double q[3]) {
    double dx = q[0] - p[0], dy = q[1] - p[1], length2 = dx * dx + dy * dy;
    double t = length2 > 0 ? ((x - p[0]) * dx + (y - p[1]) * dy) / length2 : 0;
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    double ex = x - p[0] - t * dx, ey = y - p[1] - t * dy;
    return sqrt(ex * ex + ey * ey) - (p[2] + t * (q[2] - p[2]));
}

void smear_curve(struct smear *s, int plane, double amount, double soft, int n, const double points[][3]) {
    double left = 1e9, right = -1e9, top = 1e9, bottom = -1e9;
    for (int k = 0; k < n; k++) {
        double far = points[k][2] + soft;
        left = fmin(left, points[k][0] - far), right = fmax(right, points[k][0] + far);
        top = fmin(top, points[k][1] - far), bottom = fmax(bottom, points[k][1] + far);
    }
    struct box b = reach(s, left, right, top, bottom);
    for (int j = b.y0; j < b.y1; j++) {
        double *row = row_of(s, plane, j);
        for (int i = b.x0; i < b.x1; i++) {
            double nearest = brush_distance(i, j, points[0], points[0]);
            for (int k = 1; k < n; k++) nearest = fmin(nearest, brush_distance(i, j, points[k - 1], points[k]));
            row[i] += amount * cover(nearest, soft);
        }
    }
}

// The outline's radius in the direction of (dx, dy), linear between the given ones.
static double radius_towards(double dx, double dy, int n, const double radii[]) {
    double turn = atan2(dy, dx) / (2 * M_PI);
    double place = (turn - floor(turn)) * n, whole = floor(place);
    int k = (int)whole % n;
    return radii[k] + (place - whole) * (radii[(k + 1) % n] - radii[k]);
}

void smear_outline(struct smear *s, int plane, double amount, double soft, double x, double y,
                   double margin, int n, const double radii[]) {
    double far = 0, near = 1e9;
    for (int k = 0; k < n; k++) far = fmax(far, radii[k]), near = fmin(near, radii[k]);
    far += margin + soft;
    near += margin - soft; // inside this circle no direction matters
    struct box b = reach(s, x - far, x + far, y - far, y + far);
    for (int j = b.y0; j < b.y1; j++) {
        double *row = row_of(s, plane, j);
        for (int i = b.x0; i < b.x1; i++) {
            double dx = i - x, dy = j - y, distance = sqrt(dx * dx + dy * dy);
            row[i] += distance < near
                          ? amount
                          : amount * cover(distance - radius_towards(dx, dy, n, radii) - margin, soft);
        }
    }
}

// ---- noise

// Smooth interpolation weight between two lattice points.
static double ease(double t) { return t * t * (3 - 2 * t); }

static void lattice_row(double *values, int n, double amplitude, struct rng *rng) {
    for (int i = 0; i < n; i++) values[i] = amplitude * (2 * rng_uniform(rng) - 1);
}

void smear_grain(struct smear *s, int plane, double amplitude, double scale, bool relative, struct rng *rng) {
    double upper[SMEAR_MAX_SIDE + 2], lower[SMEAR_MAX_SIDE + 2]; // the lattice rows above and below the current pixels
    int n = (int)(s->width / scale) + 2, lattice_y = 0;
    lattice_row(upper, n, amplitude, rng);
    lattice_row(lower, n, amplitude, rng);
    for (int j = 0; j < s->height; j++) {
        for (; lattice_y < (int)(j / scale); lattice_y++) {
            memcpy(upper, lower, sizeof(double) * (size_t)n);
            lattice_row(lower, n, amplitude, rng);
        }
        double v = ease(j / scale - lattice_y), *row = row_of(s, plane, j);
        for (int i = 0; i < s->width; i++) {
            int k = (int)(i / scale);
            double u = ease(i / scale - k);
            double above = upper[k] + u * (upper[k + 1] - upper[k]), below = lower[k] + u * (lower[k + 1] - lower[k]);
            double noise = above + v * (below - above);
            row[i] += relative ? row[i] * noise : noise;
        }
    }
}

// ---- the photograph

// Segmentation works on coarse pixels: keep[y][x] is plane 0 at the middle of its step x step block.
static struct box cut_out(unsigned char *keep, const struct smear *s, int step) {
    struct box b = {s->width, 0, s->height, 0};
    for (int j = 0; j < s->height; j++) {
        int middle_y = j - j % step + step / 2;
        const double *row = row_of(s, 0, middle_y < s->height ? middle_y : s->height - 1);
        for (int i = 0; i < s->width; i++) {
            int middle_x = i - i % step + step / 2;
            bool inside = row[middle_x < s->width ? middle_x : s->width - 1] > 0.5;
            keep[(size_t)j * (size_t)s->width + (size_t)i] = inside;
            if (!inside) continue;
            if (i < b.x0) b.x0 = i;
            if (i >= b.x1) b.x1 = i + 1;
            if (j < b.y0) b.y0 = j;
            b.y1 = j + 1;
        }
    }
    return b;
}

// What the lens sees of one colour, before it blurs.
static void expose(double *out, const struct smear *s, const struct film *film, int colour) {
    size_t size = (size_t)s->width * (size_t)s->height;
    for (int j = 0; j < s->height; j++) {
        for (int i = 0; i < s->width; i++) {
            size_t at = (size_t)j * (size_t)s->width + (size_t)i;
            double absorbed = 0;
            for (int d = 1; d < s->planes; d++)
                absorbed += fmax(0, s->density[(size_t)d * size + at]) * film->absorbance[d][colour];
            double fall = 1 + film->slope[0] * ((i + 0.5) / s->width - 0.5) +
                          film->slope[1] * ((j + 0.5) / s->height - 0.5);
            out[at] = film->light[colour] * fall * exp(-absorbed);
        }
    }
}

// A draw of nearly normal noise, deviation 1, from one word: the sum of its four bytes.
static double grain_of(uint32_t word) {
    return ((double)((word & 255) + (word >> 8 & 255) + (word >> 16 & 255) + (word >> 24)) - 510) / 147.8;
}

enum { BLUR_REACH = 16 };

// One direction of the Gaussian: n values `stride` apart, the border repeated. line: n doubles.
static void blur_line(double *values, int n, int stride, const double *weights, int reach_, double *line) {
    for (int i = 0; i < n; i++) line[i] = values[(size_t)i * (size_t)stride];
    for (int i = 0; i < n; i++) {
        double sum = weights[0] * line[i];
        for (int k = 1; k <= reach_; k++)
            sum += weights[k] * (line[i < k ? 0 : i - k] + line[i + k < n ? i + k : n - 1]);
        values[(size_t)i * (size_t)stride] = sum;
    }
}

static void blur(double *values, int width, int height, double sigma) {
    double weights[BLUR_REACH + 1], line[SMEAR_MAX_SIDE], sum = 1;
    int far = (int)fmin(BLUR_REACH, ceil(3 * sigma));
    if (far < 1) return;
    weights[0] = 1;
    for (int k = 1; k <= far; k++) sum += 2 * (weights[k] = exp(-0.5 * k * k / (sigma * sigma)));
    for (int k = 0; k <= far; k++) weights[k] /= sum;
    for (int j = 0; j < height; j++) blur_line(values + (size_t)j * (size_t)width, width, 1, weights, far, line);
    for (int i = 0; i < width; i++) blur_line(values + i, height, width, weights, far, line);
}

int smear_develop(struct image *out, const struct smear *s, const struct film *film, struct rng *rng) {
    size_t size = (size_t)s->width * (size_t)s->height;
    unsigned char *keep = mem_alloc(size);
    double *seen = mem_alloc(size * sizeof(double));
    struct box b = {0};
    int result = -1;
    if (!keep || !seen) sys_fail("out of memory: a smear of %d x %d pixels", s->width, s->height);
    else if (b = cut_out(keep, s, film->step), b.x1 <= b.x0)
        sys_fail("smear: nothing is left of the cell (plane 0 is empty)");
    else result = image_create(out, b.y1 - b.y0, b.x1 - b.x0, 3);
    for (int colour = 0; colour < 3 && result == 0; colour++) {
        expose(seen, s, film, colour);
        blur(seen, s->width, s->height, film->blur);
        unsigned char *pixel = out->pixels + colour;
        for (int j = b.y0; j < b.y1; j++) {
            for (int i = b.x0; i < b.x1; i++, pixel += 3) {
                size_t at = (size_t)j * (size_t)s->width + (size_t)i;
                if (!keep[at]) *pixel = 0;
                else *pixel = (unsigned char)fmin(255, fmax(1, seen[at] + film->noise * grain_of(rng_u32(rng)) + 0.5));
            }
        }
    }
    mem_free(seen);
    mem_free(keep);
    return result;
}
