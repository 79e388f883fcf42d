/*
 * Between the files of the guest that runs TypeScript programs.
 */
#ifndef TYPESCRIPT_H
#define TYPESCRIPT_H

#include "../lib/devices/sysctl.h"
#include "../lib/engine/engine.h"
#include "../lib/net/net.h"

/* The program is to be called: something came. */
void program_wake(void);
/* Ends the domain, SHUTDOWN_poweroff or another reason, when what was sent has left. */
void program_end(unsigned reason) __attribute__((noreturn));

/* Looks for what the program waits for besides sockets: the address of the network. */
void network_work(void);
/* Waits until what was sent has left. */
void network_drain(void);
/* Operations of the network: see operations.c. */
int32_t network_open(uint32_t *words);
int32_t network_take_event(uint32_t *words);
int32_t network_listen(uint32_t *words);
int32_t network_connect(uint32_t *words);
int32_t network_write(uint32_t *words);
int32_t network_read(uint32_t *words);
int32_t network_shutdown(uint32_t *words);
int32_t network_close(uint32_t *words);
int32_t network_names(uint32_t *words);
int32_t network_datagrams(uint32_t *words);
int32_t network_send(uint32_t *words);
int32_t network_receive(uint32_t *words);

/* Names: names.c. */
int32_t names_lookup(uint32_t *words);
int32_t names_result(uint32_t *words);
/* Operations of the disk: disk.c. */
int32_t disk_open(uint32_t *words);
int32_t disk_read(uint32_t *words);
int32_t disk_write(uint32_t *words);
int32_t disk_flush(uint32_t *words);

#endif
