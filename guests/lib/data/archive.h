/*
 * A read-only tree of files packed into one image (npm run volume): on a volume, or as a boot module. All numbers are
 * little-endian. An image is a multiple of 4096 bytes:
 *
 *   header, 64 bytes
 *     0   "TVFILES1"
 *     8   u32 number of files
 *     12  u32 bytes of the index: header, entries and names; a multiple of 4096
 *     16  u64 bytes of the image
 *     24  u32 CRC-32 of the index, computed with this field 0
 *     28  zeros
 *   entries, 32 bytes each, in ascending order of the paths' bytes
 *     0   u64 place of the contents, a multiple of 4096, not inside the index
 *     8   u64 length of the contents
 *     16  u32 place of the path, in the index
 *     20  u16 length of the path
 *     22  u16 zero
 *     24  u32 CRC-32 of the contents
 *     28  u32 zero
 *   paths: UTF-8, components separated by "/", none of them empty, "." or ".."
 *   contents
 *
 * scripts/volume/archive.ts writes it.
 */
#ifndef GUEST_ARCHIVE_H
#define GUEST_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARCHIVE_BLOCK 4096
#define ARCHIVE_HEADER 64

struct archive {
  const uint8_t *index;
  uint32_t index_bytes, files;
  uint64_t size;
};

struct archive_file {
  uint64_t offset, length;
  uint32_t crc;
};

/*
 * Looks at the first ARCHIVE_HEADER bytes of an image that may have up to `most` bytes. Null, and the archive's sizes are set; or
 * why it is no archive.
 */
const char *archive_header(struct archive *archive, const void *start, uint64_t most);
/*
 * Checks the whole index, index_bytes from the start, after archive_header(): nothing that it says leads outside the image. The
 * archive refers to these bytes from then on. Null, or what is wrong.
 */
const char *archive_open(struct archive *archive, const void *index);
/* Finds a file by its path of `length` bytes. */
bool archive_find(const struct archive *archive, const char *path, size_t length, struct archive_file *file);

#endif
