// Augmentation of one picture: what may be drawn (the ranges of an ImageDataGenerator), the draw
// itself, and the arithmetic that follows it. The order of draws is keras-preprocessing 1.1.2's, so
// NumPy's legacy stream gives Keras's own parameters.
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "affine.h"

enum { AUGMENT_CHOICES = 64, AUGMENT_CHANNELS = 64 };

// A shift: a number r drawn from [-r, r); a whole number n from 0..n-1, or one of a list, then a
// random sign. A range below 1 is a fraction of the side, otherwise pixels.
struct shift_range {
    enum { SHIFT_NONE, SHIFT_UNIFORM, SHIFT_WHOLE, SHIFT_CHOICES } kind;
    double range; // the largest of `choices` for SHIFT_CHOICES
    int count;
    double choices[AUGMENT_CHOICES];
};

// x = rescale * x; then each picture minus its mean and over its deviation; then minus the set's
// means, over its deviations. A deviation gets 1e-6 added. means and deviations have one number a
// channel.
struct standardisation {
    float rescale; // 1: none
    bool sample_center, sample_scale, feature_center, feature_scale;
    int channels; // of means and deviations
    float means[AUGMENT_CHANNELS], deviations[AUGMENT_CHANNELS];
};

struct augment {
    double rotation;                 // degrees
    struct shift_range height_shift; // moves rows (tx)
    struct shift_range width_shift;  // moves columns (ty)
    double shear;                    // degrees
    double zoom_low, zoom_high;      // both 1: no zoom; two independent draws, rows then columns
    bool flip_horizontal, flip_vertical;
    double channel_shift;
    bool has_brightness;
    double brightness_low, brightness_high;
    enum fill_mode fill;
    float cval;
    struct standardisation standard;
};

// Where random numbers come from: uniform() in [0, 1) and below(n) in 0..n-1.
struct draw {
    void *state;
    double (*uniform)(void *state);
    unsigned (*below)(void *state, unsigned n);
};

void augment_draw(struct transform *t, const struct augment *a, int height, int width,
                  const struct draw *draw);
// Whether nothing is ever drawn: every transform is the identity.
bool augment_is_neutral(const struct augment *a);

// x: pixels x channels, in place: one picture.
void standardise(float *x, const struct standardisation *s, int pixels, int channels);

// Means and deviations (population) of each channel of x: pixels x channels.
void channel_moments(double *means, double *deviations, const float *x, size_t pixels,
                     int channels);
