/*
 * Between the files of the network test.
 */
#ifndef NETTEST_H
#define NETTEST_H

#include "../lib/data/pattern.h"
#include "../lib/net/net.h"

#include "lwip/tcp.h"
#include "lwip/udp.h"

#define PORT_ECHO 7
#define PORT_SINK 9
#define PORT_SOURCE 19

/* Opens the services. */
void servers_begin(void);
/* Runs the tests that the command line asks for against a peer; guest_fail when one does not hold. */
void clients_run(const char *peer);
/* Frames without TCP/IP between two guests: what the way from one to the other costs. */
void frames_send(void);
void frames_receive(void);
void frames_watch(void);

/* A listening connection, or guest_fail. */
struct tcp_pcb *listen_on(uint16_t port, tcp_accept_fn accept);

#endif
