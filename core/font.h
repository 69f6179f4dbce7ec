// Glyphs of the fonts of this machine, for letters that the stroke font does not have. The fonts
// are looked for once, in GIEMSA_FONT (a font file) and then in the usual folders, and stay mapped.
// Thread-safe.
#pragma once

struct font_glyph {
    int width, height;       // of coverage, pixels
    int x, y;                // of its top left corner, from the pen's place on the baseline; y down
    double advance;          // pixels
    unsigned char *coverage; // mem_alloc'ed, 0..255; NULL when the glyph is blank
};

// The glyph of a Unicode character in a font `size` pixels high (ascent + descent). 1: found; 0: no
// font has it; -1: no memory.
int font_glyph(struct font_glyph *glyph, unsigned codepoint, double size);
