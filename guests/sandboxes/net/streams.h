/* TCP connections as numbered streams (streams.c). A number out of range, or of a free stream, changes nothing. */
#ifndef NET_STREAMS_H
#define NET_STREAMS_H

#include <stdbool.h>
#include <stdint.h>

/* Where things are: in the mailbox. */
void streams_init(void);
/* Operations of abi/net.ts. */
bool streams_listen(uint32_t port);
void streams_unlisten(uint32_t port);
void stream_consumed(uint32_t number, uint32_t bytes);
uint32_t stream_write(uint32_t number, uint32_t bytes);
void stream_close(uint32_t number);
void stream_abort(uint32_t number);
uint32_t stream_connect(uint32_t address, uint32_t port);
void stream_end(uint32_t number);
/*
 * In each poll: the room that streams have; connections that have been half open, or closing, for too long. Returns the fewest bytes that
 * a stream lacks of what is wanted of it; 0: none lacks any.
 */
uint32_t streams_look(void);

#endif
