/*
 * The index is believed only after archive_open() has checked it: an image may be anything, or a volume that somebody damaged.
 */
#include "archive.h"

#include "../bytes.h"
#include "pattern.h"

#define ENTRY 32
#define CRC_AT 24

static uint64_t number(const uint8_t *at, unsigned bytes) {
  uint64_t value = 0;
  for (unsigned i = bytes; i > 0; i--)
    value = value << 8 | at[i - 1];
  return value;
}

static const uint8_t *entry(const struct archive *archive, uint32_t file) {
  return archive->index + ARCHIVE_HEADER + (uint64_t)file * ENTRY;
}

static const uint8_t *path_of(const struct archive *archive, uint32_t file, size_t *length) {
  const uint8_t *at = entry(archive, file);
  *length = number(at + 20, 2);
  return archive->index + number(at + 16, 4);
}

/* Below, equal or above zero, as the first path is before, equal to or behind the second. */
static int compare(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length) {
  int difference = memcmp(a, b, a_length < b_length ? a_length : b_length);
  return difference ? difference : a_length < b_length ? -1 : a_length > b_length;
}

const char *archive_header(struct archive *archive, const void *start, uint64_t most) {
  const uint8_t *header = start;
  if (most < ARCHIVE_BLOCK || memcmp(header, "TVFILES1", 8) != 0)
    return "it is no archive of files";
  archive->index = NULL;
  archive->files = number(header + 8, 4);
  archive->index_bytes = number(header + 12, 4);
  archive->size = number(header + 16, 8);
  if (archive->size > most)
    return "the archive is longer than what it is on";
  if (archive->index_bytes % ARCHIVE_BLOCK || archive->size % ARCHIVE_BLOCK || archive->index_bytes > archive->size ||
      archive->index_bytes < ARCHIVE_HEADER + (uint64_t)archive->files * ENTRY)
    return "the archive's sizes contradict each other";
  return NULL;
}

static const char *check_entry(const struct archive *archive, uint32_t file) {
  const uint8_t *at = entry(archive, file);
  uint64_t offset = number(at, 8), length = number(at + 8, 8), path = number(at + 16, 4), path_length = number(at + 20, 2);
  uint64_t paths = ARCHIVE_HEADER + (uint64_t)archive->files * ENTRY;
  if (offset % ARCHIVE_BLOCK || offset < archive->index_bytes || offset > archive->size || length > archive->size - offset)
    return "a file of the archive lies outside of it";
  if (path_length == 0 || path < paths || path > archive->index_bytes || path_length > archive->index_bytes - path)
    return "a path of the archive lies outside of its index";
  return NULL;
}

const char *archive_open(struct archive *archive, const void *index) {
  static const uint8_t zeros[4];
  const uint8_t *bytes = index;
  uint32_t crc = crc32(0, bytes, CRC_AT);
  crc = crc32(crc, zeros, sizeof zeros);
  crc = crc32(crc, bytes + CRC_AT + 4, archive->index_bytes - CRC_AT - 4);
  if (crc != number(bytes + CRC_AT, 4))
    return "the archive's index is damaged";
  archive->index = index;
  for (uint32_t file = 0; file < archive->files; file++) {
    const char *wrong = check_entry(archive, file);
    if (wrong)
      return wrong;
    if (file == 0)
      continue;
    size_t before_length, length;
    const uint8_t *before = path_of(archive, file - 1, &before_length), *path = path_of(archive, file, &length);
    if (compare(before, before_length, path, length) >= 0)
      return "the archive's paths are not in order";
  }
  return NULL;
}

bool archive_find(const struct archive *archive, const char *path, size_t length, struct archive_file *file) {
  uint32_t low = 0, high = archive->files;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    size_t found_length;
    const uint8_t *found = path_of(archive, middle, &found_length);
    int order = compare((const uint8_t *)path, length, found, found_length);
    if (order == 0) {
      const uint8_t *at = entry(archive, middle);
      *file = (struct archive_file){number(at, 8), number(at + 8, 8), number(at + 24, 4)};
      return true;
    }
    if (order < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return false;
}
