// Augmentation: draws and standardisation.
#include "augment.h"

#include <math.h>

static double between(const struct draw *draw, double low, double high) {
    return low + (high - low) * draw->uniform(draw->state);
}

static double draw_shift(const struct shift_range *shift, int side, const struct draw *draw) {
    if (shift->kind == SHIFT_NONE) return 0;
    double moved;
    if (shift->kind == SHIFT_UNIFORM) {
        moved = between(draw, -shift->range, shift->range);
    } else {
        unsigned n = shift->kind == SHIFT_WHOLE ? (unsigned)shift->range : (unsigned)shift->count;
        unsigned pick = draw->below(draw->state, n);
        moved = shift->kind == SHIFT_WHOLE ? (double)pick : shift->choices[pick];
        if (draw->below(draw->state, 2) == 0) moved = -moved;
    }
    return shift->range < 1 ? moved * side : moved;
}

void augment_draw(struct transform *t, const struct augment *a, int height, int width,
                  const struct draw *draw) {
    *t = (struct transform){.zx = 1, .zy = 1, .brightness = 1};
    if (a->rotation != 0) t->theta = between(draw, -a->rotation, a->rotation);
    t->tx = draw_shift(&a->height_shift, height, draw);
    t->ty = draw_shift(&a->width_shift, width, draw);
    if (a->shear != 0) t->shear = between(draw, -a->shear, a->shear);
    if (a->zoom_low != 1 || a->zoom_high != 1) {
        t->zx = between(draw, a->zoom_low, a->zoom_high);
        t->zy = between(draw, a->zoom_low, a->zoom_high);
    }
    // Both coins are always thrown, whether or not the flip is wanted.
    bool heads = draw->uniform(draw->state) < 0.5;
    t->flip_horizontal = heads && a->flip_horizontal;
    heads = draw->uniform(draw->state) < 0.5;
    t->flip_vertical = heads && a->flip_vertical;
    if (a->channel_shift != 0)
        t->channel_shift = between(draw, -a->channel_shift, a->channel_shift);
    if (a->has_brightness) t->brightness = between(draw, a->brightness_low, a->brightness_high);
}

bool augment_is_neutral(const struct augment *a) {
    return a->rotation == 0 && a->height_shift.kind == SHIFT_NONE &&
           a->width_shift.kind == SHIFT_NONE && a->shear == 0 && a->zoom_low == 1 &&
           a->zoom_high == 1 && !a->flip_horizontal && !a->flip_vertical && a->channel_shift == 0 &&
           !a->has_brightness;
}

// Sums in double: a picture has thousands of pixels.
static void standardise_sample(float *x, bool center, bool scale, int size) {
    double sum = 0, squares = 0;
    for (int i = 0; i < size; i++) sum += x[i];
    double mean = sum / size;
    for (int i = 0; i < size; i++) squares += (x[i] - mean) * (x[i] - mean);
    float shift = center ? (float)mean : 0;
    float divisor = scale ? (float)(sqrt(squares / size) + 1e-6) : 1;
    for (int i = 0; i < size; i++) x[i] = (x[i] - shift) / divisor;
}

static void standardise_features(float *x, const struct standardisation *s, int pixels) {
    for (int i = 0; i < pixels; i++, x += s->channels) {
        for (int c = 0; c < s->channels; c++) {
            if (s->feature_center) x[c] -= s->means[c];
            if (s->feature_scale) x[c] /= s->deviations[c] + 1e-6f;
        }
    }
}

void standardise(float *x, const struct standardisation *s, int pixels, int channels) {
    int size = pixels * channels;
    if (s->rescale != 1)
        for (int i = 0; i < size; i++) x[i] *= s->rescale;
    if (s->sample_center || s->sample_scale)
        standardise_sample(x, s->sample_center, s->sample_scale, size);
    if (s->feature_center || s->feature_scale) standardise_features(x, s, pixels);
}

void channel_moments(double *means, double *deviations, const float *x, size_t pixels,
                     int channels) {
    for (int c = 0; c < channels; c++) {
        double sum = 0, squares = 0;
        for (size_t i = 0; i < pixels; i++) sum += x[i * (size_t)channels + (size_t)c];
        means[c] = sum / (double)pixels;
        for (size_t i = 0; i < pixels; i++) {
            double d = x[i * (size_t)channels + (size_t)c] - means[c];
            squares += d * d;
        }
        deviations[c] = sqrt(squares / (double)pixels);
    }
}
