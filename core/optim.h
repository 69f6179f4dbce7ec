// One step of an optimiser on one weight, in place. g' = g + 2 l2 w is the gradient together with
// that of the term l2 * sum(w^2).
#pragma once
#include <stdbool.h>
#include <stddef.h>

// v = momentum v - lr g';  w += v, or with nesterov  w += momentum v - lr g'. As in Keras, lr is
// inside the velocity. v may be NULL when momentum is 0.
struct sgd {
    float lr, momentum, l2;
    bool nesterov;
};
void optim_sgd(float *w, const float *g, float *v, size_t n, struct sgd k);

// m = beta1 m + (1 - beta1) g',  v = beta2 v + (1 - beta2) g'^2,  w -= lr m / (sqrt(v) + epsilon).
// The caller folds the start-up correction sqrt(1 - beta2^t) / (1 - beta1^t) into lr.
struct adam {
    float lr, beta1, beta2, epsilon, l2;
};
void optim_adam(float *w, const float *g, float *m, float *v, size_t n, struct adam k);

// v = rho v + (1 - rho) g'^2,  w -= lr g' / (sqrt(v) + epsilon).
struct rmsprop {
    float lr, rho, epsilon, l2;
};
void optim_rmsprop(float *w, const float *g, float *v, size_t n, struct rmsprop k);
