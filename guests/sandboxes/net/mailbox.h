/* What the sandbox and domain 0 share: mirrors abi/net.ts, where everything is explained. */
#ifndef NET_MAILBOX_H
#define NET_MAILBOX_H

#include <stddef.h>
#include <stdint.h>

#define NET_STREAMS 64
#define NET_RECEIVE_BYTES 32768u
#define NET_STAGING_BYTES 16384u
#define NET_TX_BUFFERS 64
#define NET_RX_BUFFERS 128
#define NET_SHARED_PAGES (2 + NET_TX_BUFFERS + NET_RX_BUFFERS)

enum net_operation {
  NET_INIT,
  NET_OPEN,
  NET_CONFIGURE,
  NET_RECONNECT,
  NET_POLL,
  NET_LISTEN,
  NET_UNLISTEN,
  NET_CONSUMED,
  NET_WRITE,
  NET_CLOSE,
  NET_ABORT,
  NET_CONNECT,
  NET_END,
};

enum net_stream_state { STREAM_FREE, STREAM_OPEN, STREAM_CLOSED, STREAM_RESET, STREAM_CONNECTING, STREAM_REFUSED };

struct net_stream {
  uint32_t state, generation, address, port, produced, consumed, room, trusted, wanted;
};

struct net_mailbox {
  uint32_t shared, staging, received;
  uint32_t first_ref;
  uint8_t mac[8];
  uint64_t seed[8];
  uint32_t notify;
  uint32_t address, mask, gateway;
  uint64_t deadline;
  uint32_t changed[NET_STREAMS / 32];
  struct net_stream streams[NET_STREAMS];
};
_Static_assert(NET_SHARED_PAGES == 194, "abi/net.ts");
_Static_assert(offsetof(struct net_mailbox, notify) == 88, "abi/net.ts");
_Static_assert(offsetof(struct net_mailbox, deadline) == 104, "abi/net.ts");
_Static_assert(offsetof(struct net_mailbox, streams) == 120, "abi/net.ts");
_Static_assert(sizeof(struct net_mailbox) == 2424, "abi/net.ts");

extern struct net_mailbox mailbox;

#endif
