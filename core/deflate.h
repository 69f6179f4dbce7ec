// Compression in zlib's format (RFC 1950 and 1951), for PNG files.
#pragma once
#include <stddef.h>

// mem_alloc'ed bytes, *size set; NULL (and sys_error) when there is no memory.
unsigned char *deflate_zlib(const unsigned char *bytes, size_t count, size_t *size);
