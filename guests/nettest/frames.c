/*
 * Frames from one guest to another without TCP/IP: what netfront, backend and switch cost, and whether anything is lost.
 * role=receive counts them; role=send sends them: frames=N (10000), size=N (1514, all of a frame), gso=N (0: none; else the size
 * of a segment, for frames of up to 64 KiB), mac=XX:XX:XX:XX:XX:XX (the receiver's, else broadcast), source=XX:XX:XX:XX:XX:XX
 * (forged, else its own), from=A.B.C.D, to=A.B.C.D (the addresses in the frames). Each frame is a TCP segment over IPv4 with its
 * number and the pattern in it. At the end each prints
 *   nettest send|receive FRAMES frames BYTES bytes TICKS ticks IDLE idle
 * and the sender, behind it, what a receiver has told it
 *   nettest arrived FRAMES of FRAMES frames
 * for which it waits some seconds, unless it is told that frames go to a card (`unheard`).
 * role=watch receives for ever. A guest that is sent a frame for another one fails, in this role and in role=receive.
 * For benchmarks: the sender's first warm=N frames are sent before it begins to count, settle=MS after it has connected, when the
 * toolstack has done what it does for a new domain; spinner=ID is a domain that counts what
 * time nobody needs (IDLE; lib/devices/idle-time.h); a receiver with `unchecked` looks at the frames' numbers only.
 */
#include "nettest.h"

#include "../lib/devices/idle-time.h"

#define HEADERS 54 /* Ethernet, IPv4, TCP */
#define PORT 5001
#define SEED 0x6672616d
#define END 0xffffffffu
#define ANSWER 0x41
/* A receiver that hears nothing for so long gives up. */
#define PATIENCE (30 * SECOND)
/* A sender that hears nothing of its frames' arrival goes. */
#define ANSWER_PATIENCE (5 * SECOND)
#define LARGEST 65535

static uint8_t buffer[LARGEST];
/* Of the sender: how many frames the receiver has counted. */
static uint64_t arrived;
static bool answered;

static struct {
  uint64_t frames, bytes, start_tsc, end_tsc, start_idle, end_idle, heard_ns;
  uint32_t next;
  bool ended;
} count;

static void put16(uint8_t *at, uint16_t value) {
  at[0] = value >> 8;
  at[1] = value;
}

static void put32(uint8_t *at, uint32_t value) {
  put16(at, value >> 16);
  put16(at + 2, value);
}

static uint32_t get32(const uint8_t *at) { return (uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3]; }

static uint32_t address_option(const char *name, const char *otherwise) {
  ip4_addr_t address;
  const char *text = option_text(name);
  if (!net_parse_address(text ? text : otherwise, &address))
    guest_fail("%s=%s is no address", name, text);
  return lwip_ntohl(address.addr);
}

static uint32_t sum16(const uint8_t *at, unsigned length) {
  uint32_t sum = 0;
  for (unsigned i = 0; i + 1 < length; i += 2)
    sum += at[i] << 8 | at[i + 1];
  return sum;
}

static uint16_t fold(uint32_t sum) {
  while (sum >> 16)
    sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

/* Everything but the frame's number. */
static void build(uint32_t size, const uint8_t *mac) {
  uint8_t *ip = buffer + 14, *tcp = ip + 20;
  const char *to = option_text("mac");
  memset(buffer, 0xff, 6);
  if (to && !netfront_parse_mac(to, buffer))
    guest_fail("mac=%s is no MAC address", to);
  memcpy(buffer + 6, mac, 6);
  const char *source = option_text("source");
  if (source && !netfront_parse_mac(source, buffer + 6))
    guest_fail("source=%s is no MAC address", source);
  put16(buffer + 12, 0x0800);
  ip[0] = 0x45;
  put16(ip + 2, size - 14);
  ip[6] = 0x40; /* not to be fragmented */
  ip[8] = 64;
  ip[9] = IP_PROTO_TCP;
  put32(ip + 12, address_option("from", "10.255.0.1"));
  put32(ip + 16, address_option("to", "10.255.0.2"));
  put16(ip + 10, ~fold(sum16(ip, 20)));
  put16(tcp, PORT);
  put16(tcp + 2, PORT);
  tcp[12] = 0x50;
  tcp[13] = 0x10;
  put16(tcp + 14, 0xffff);
  put16(tcp + 16, fold(sum16(ip + 12, 8) + IP_PROTO_TCP + (size - 34))); /* the pseudo header: the rest is blank */
  pattern_fill(SEED, 0, buffer + HEADERS, size - HEADERS);
}

static struct netfront *open_device(void (*receive)(void *, const struct netfront_frame *), bool large) {
  struct netfront_config config = {
      .rx_buffers = option_number("rx", NETFRONT_RING), .tx_buffers = option_number("tx", 128), .large = large, .receive = receive};
  struct netfront *device = netfront_open(0, &config);
  if (!device)
    guest_fail("the domain has no network device");
  if (option_present("spinner"))
    idle_time_open(option_number("spinner", 0));
  return device;
}

static void begin_count(void) {
  count.start_idle = idle_time();
  count.start_tsc = rdtsc();
}

static void end_count(void) {
  count.end_tsc = rdtsc();
  count.end_idle = idle_time();
}

static void report(const char *role) {
  print("nettest %s %lu frames %lu bytes %lu ticks %lu idle\n", role, count.frames, count.bytes, count.end_tsc - count.start_tsc,
        count.end_idle - count.start_idle);
}

/* A receiver's answer to the end of the frames. */
#define TYPE_OWN 0x88b5 /* local experiment */

/* To the sender: only what the receiver says of its frames matters. */
static void hear(void *context, const struct netfront_frame *frame) {
  const uint8_t *head = frame->parts[0].data;
  (void)context;
  if (frame->parts[0].length >= HEADERS && (head[12] << 8 | head[13]) == TYPE_OWN && head[14] == ANSWER) {
    arrived = get32(head + 38);
    answered = true;
  }
}

/* Sends what is in the buffer, waiting for room. */
static void send_one(struct netfront *device, uint32_t number, uint32_t size, uint16_t gso) {
  bool is_ip = buffer[12] == 0x08 && buffer[13] == 0; /* of another kind of frame nobody could fill in the checksum */
  struct netfront_frame frame = {.count = 1, .length = size, .blank = is_ip, .gso_size = size > 1514 ? gso : 0};
  frame.parts[0] = (struct netfront_part){buffer, size};
  put32(buffer + 38, number); /* where TCP has its sequence number */
  while (!netfront_send(device, &frame)) {
    netfront_flush(device);
    netfront_poll(device, NETFRONT_RING);
    if (device->broken)
      guest_fail("the network device is gone");
    if (netfront_may_sleep(device))
      event_idle(0);
  }
}

/* Waits until the backend has taken everything. */
static void drain(struct netfront *device) {
  netfront_flush(device);
  while (device->tx_free_count < device->config.tx_buffers && !device->broken) {
    device->tx_starved = true; /* wake at every frame that is taken */
    netfront_poll(device, NETFRONT_RING);
    if (device->tx_free_count < device->config.tx_buffers && netfront_may_sleep(device))
      event_idle(clock_ns() + MILLISECOND);
  }
}

void frames_send(void) {
  uint64_t frames = option_number("frames", 10000), warm = option_number("warm", 0);
  uint32_t size = option_number("size", 1514);
  uint16_t gso = option_number("gso", 0);
  if (size < HEADERS + 8 || size > LARGEST || (size > 1514 && gso == 0))
    guest_fail("size=%u: from %u to %u, and above 1514 only with gso=", size, HEADERS + 8, LARGEST);
  struct netfront *device = open_device(hear, gso != 0);
  while (!netfront_connected(device))
    event_idle(clock_ns() + MILLISECOND);
  if (size > 1514 && !device->large)
    guest_fail("the backend takes no frames of %u bytes", size);
  sleep_ns(option_number("settle", 0) * MILLISECOND);
  build(size, device->mac);
  for (uint64_t i = 0; i < warm + frames; i++) {
    if (i == warm)
      begin_count();
    send_one(device, i, size, gso);
    if (i % 32 == 31)
      netfront_flush(device);
  }
  drain(device);
  end_count();
  count.frames = frames;
  count.bytes = frames * size;
  /* The end is said several times: a frame may be lost. */
  build(HEADERS + 8, device->mac);
  for (unsigned i = 0; i < 3; i++) {
    send_one(device, END, HEADERS + 8, 0);
    netfront_flush(device);
    sleep_ns(20 * MILLISECOND);
    netfront_poll(device, NETFRONT_RING);
  }
  report("send");
  if (option_present("unheard"))
    return;
  /* Nobody need answer: a broadcast, or a guest that only watches. */
  for (uint64_t until = clock_ns() + ANSWER_PATIENCE; !answered && clock_ns() < until;)
    if (netfront_poll(device, NETFRONT_RING) == 0 && netfront_may_sleep(device))
      event_idle(until);
  print("nettest arrived %lu of %lu frames\n", arrived, warm + frames);
}

static bool unchecked;
static const uint8_t *own_mac;

/* Whether a frame is for others only. */
static void check_receiver(const uint8_t *head) {
  if (own_mac && !(head[0] & 1) && memcmp(head, own_mac, 6) != 0)
    guest_fail("a frame for %02x:%02x:%02x:%02x:%02x:%02x came", head[0], head[1], head[2], head[3], head[4], head[5]);
}

static void watch(void *context, const struct netfront_frame *frame) {
  (void)context;
  if (frame->parts[0].length >= 6)
    check_receiver(frame->parts[0].data);
}
static uint8_t sender[6];

static void receive(void *context, const struct netfront_frame *frame) {
  const uint8_t *head = frame->parts[0].data;
  watch(context, frame);
  if (frame->parts[0].length < HEADERS || head[12] != 0x08 || head[13] != 0 || (head[36] << 8 | head[37]) != PORT)
    return;
  uint32_t number = get32(head + 38);
  count.heard_ns = clock_ns();
  if (number == END) {
    memcpy(sender, head + 6, sizeof sender);
    count.ended = true;
    return;
  }
  if (count.frames == 0)
    begin_count();
  if (number < count.next)
    guest_fail("frame %u came after frame %u", number, count.next - 1);
  count.next = number + 1;
  count.frames++;
  count.bytes += frame->length;
  end_count();
  if (unchecked)
    return;
  uint64_t at = 0;
  for (unsigned i = 0; i < frame->count; i++) {
    unsigned skip = i == 0 ? HEADERS : 0;
    const uint8_t *bytes = (const uint8_t *)frame->parts[i].data + skip;
    unsigned length = frame->parts[i].length - skip;
    /* All of one frame in sixteen, the beginning of the others: the test is not to cost more than what it tests. */
    unsigned checked = number % 16 == 0 || length < 16 ? length : 16;
    if (pattern_match(SEED, at, bytes, checked) != checked)
      guest_fail("frame %u is wrong at byte %lu or behind it", number, HEADERS + at);
    at += length;
  }
}

void frames_receive(void) {
  unchecked = option_present("unchecked");
  struct netfront *device = open_device(receive, true);
  own_mac = device->mac;
  /* The switch learns where this guest is, the sender's operator what to give as mac=. */
  print("nettest: mac %02x:%02x:%02x:%02x:%02x:%02x\n", device->mac[0], device->mac[1], device->mac[2], device->mac[3],
        device->mac[4], device->mac[5]);
  while (!netfront_connected(device))
    event_idle(clock_ns() + MILLISECOND);
  build(HEADERS + 8, device->mac);
  memset(buffer, 0xff, 6);
  put16(buffer + 12, TYPE_OWN);
  send_one(device, 0, 60 + 8, 0);
  netfront_flush(device);
  print("nettest: receiving\n");
  count.heard_ns = clock_ns();
  while (!count.ended) {
    loop_obey();
    if (netfront_poll(device, 64) == 0 && netfront_may_sleep(device))
      event_idle(count.heard_ns + PATIENCE);
    if (clock_ns() > count.heard_ns + PATIENCE)
      guest_fail("nothing came for 30 seconds, after %lu frames", count.frames);
  }
  memcpy(buffer, sender, sizeof sender);
  buffer[14] = ANSWER;
  send_one(device, count.frames, 60 + 8, 0);
  drain(device);
  report("receive");
  if (option_present("all") && count.frames != count.next)
    guest_fail("%lu frames of %u were lost", count.next - count.frames, count.next);
}

void frames_watch(void) {
  struct netfront *device = open_device(watch, true);
  own_mac = device->mac;
  while (!netfront_connected(device))
    event_idle(clock_ns() + MILLISECOND);
  print("nettest: watching\n");
  while (true) {
    loop_obey();
    if (netfront_poll(device, 64) == 0 && netfront_may_sleep(device))
      event_idle(0);
  }
}
