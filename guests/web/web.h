/*
 * Between the files of the web server: where its files are, and its connections.
 */
#ifndef WEB_H
#define WEB_H

#include "../lib/data/archive.h"
#include "../lib/devices/blkfront.h"
#include "../lib/net/net.h"
#include "http.h"

#include "lwip/tcp.h"

/* --- files.c: the archive, in memory or on a volume ---------------------------------------------------------------- */

extern struct archive files_archive;
/* The whole image when it is in memory; null when it is on a volume. */
extern const uint8_t *files_memory;

/* Finds the archive: the first boot module, else the first volume; guest_fail when there is none. */
void files_begin(void);

/* A piece of a file on its way from the volume to a connection. */
#define CHUNK_PAGES 8
#define CHUNK_BYTES (CHUNK_PAGES * 4096)

struct connection;

struct chunk {
  struct blk_page pages[CHUNK_PAGES]; /* one behind the other in memory */
  struct blk_request request;
  struct connection *owner; /* null: the connection is gone, the volume still writes into the pages */
  struct chunk *next;
  uint32_t skip, length; /* bytes of the file in it, behind `skip` that are not wanted */
  uint32_t written;      /* of these, passed to TCP */
  uint64_t end;          /* where it ends in all that the connection sends */
  bool ready;
};

/* Begins to read a piece of the image; null when there is no free chunk: files_chunk_free() will tell of one. */
struct chunk *files_read(struct connection *owner, uint64_t offset, uint32_t length);
/* Gives it back; at once, or when the volume has finished with it. */
void files_release(struct chunk *chunk);

/* --- connection.c -------------------------------------------------------------------------------------------------- */

/* Listens on port 80. */
void connections_begin(void);
/* A chunk was read; or it could not be. */
void connection_chunk_ready(struct connection *connection, struct chunk *chunk, bool good);
/* Chunks are free: who waits for one gets it, in turn. */
void connections_chunk_free(void);

#endif
