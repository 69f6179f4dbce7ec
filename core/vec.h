// One vector type for every instruction set: VL floats, arithmetic by the compiler's vector extension (gcc and clang).
#pragma once
#if defined(__AVX2__)
#include <immintrin.h>
#endif
#if defined(__AVX512F__)
enum { VL = 16 };
#elif defined(__AVX2__)
enum { VL = 8 };
#else
enum { VL = 4 }; // SSE2, NEON, or whatever the compiler makes of it
#endif
typedef float vec __attribute__((vector_size(VL * 4), aligned(4), may_alias));
typedef int veci __attribute__((vector_size(VL * 4), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)") // no step of the next loop needs another's result
#pragma clang diagnostic ignored "-Wpass-failed" // a loop that calls expf stays as it is; that is no news
#else
#define UNROLL _Pragma("GCC unroll 32")
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

// Keeps a value in a register of its own: gcc would load it again for each use, or go on to a cleverer way.
#if defined(__x86_64__)
#define PIN(v) __asm__("" : "+v"(v))
#elif defined(__aarch64__)
#define PIN(v) __asm__("" : "+w"(v))
#else
#define PIN(v) __asm__("" : "+m"(v))
#endif

INLINE vec load(const float *p) { return *(const vec *)p; }
INLINE void store(float *p, vec v) { *(vec *)p = v; }
INLINE vec splat(float x) { return x - (vec){0}; }
INLINE vec choose(veci mask, vec a, vec b) { return (vec)((mask & (veci)a) | (~mask & (veci)b)); } // mask lanes are 0 or -1
// What relu and pooling need, in one or two instructions where the compiler would not find them.
#if defined(__AVX512F__)
INLINE vec positive(vec v) { return (vec)_mm512_max_ps((__m512){0}, (__m512)v); } // max(v, 0); NaN stays NaN
INLINE vec where_positive(vec t, vec v) { // v where t > 0, else 0
    return (vec)_mm512_maskz_mov_ps(_mm512_cmp_ps_mask((__m512)t, (__m512){0}, _CMP_GT_OQ), (__m512)v);
}
INLINE vec where_equal(veci a, veci b, vec v) { // v where a == b, else 0
    return (vec)_mm512_maskz_mov_ps(_mm512_cmpeq_epi32_mask((__m512i)a, (__m512i)b), (__m512)v);
}
#elif defined(__AVX2__)
INLINE vec positive(vec v) { return (vec)_mm256_max_ps((__m256){0}, (__m256)v); }
INLINE vec where_positive(vec t, vec v) { return (vec)_mm256_and_ps((__m256)v, _mm256_cmp_ps((__m256)t, (__m256){0}, _CMP_GT_OQ)); }
#else
INLINE vec positive(vec v) { return choose(v < 0, (vec){0}, v); }
INLINE vec where_positive(vec t, vec v) { return choose(t > 0, v, (vec){0}); }
#endif
#if !defined(__AVX512F__)
INLINE vec where_equal(veci a, veci b, vec v) { return (vec)((a == b) & (veci)v); }
#endif
INLINE float sum_lanes(vec v) { // in lane order: the same on every build with this width
    float s = 0;
    for (int i = 0; i < VL; i++) s += v[i];
    return s;
}

// The first `count` of a vector's lanes, or all when there are more: the last channels of a row. The rest reads as 0.
INLINE vec load_part(const float *p, int count) {
    if (count >= VL) return load(p);
    vec v = {0};
    if (count > 0) __builtin_memcpy(&v, p, (unsigned)count * sizeof(float));
    return v;
}
INLINE void store_part(float *p, vec v, int count) {
    if (count >= VL) {
        store(p, v);
        return;
    }
    if (count <= 0) return;
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << count) - 1), (__m512)v);
#else
    const float *from = (const float *)&v;
    UNROLL for (int n = VL / 2; n > 0; n /= 2)
        if (count & n) __builtin_memcpy(p, from, (unsigned)n * sizeof(float)), p += n, from += n;
#endif
}

// Batch normalisation of d = x - mean. One rule for forward and for the mask in backward: both must see the same bits.
INLINE vec norm_value(vec d, vec scale, vec offset) { return d * scale + offset; }
