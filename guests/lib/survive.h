/* For guests that attack their hypervisor: is everything still as it was? Each check fails the guest when it is not. */
#ifndef SURVIVE_H
#define SURVIVE_H

#include <stdint.h>

/* Keeps a copy of the guest's own code. */
void code_keep(void);
/* The guest's own code is as it was kept. */
void code_check(void);
/* The hypervisor answers, and its clock runs. */
void hypervisor_check(void);

/* Xen's time for this domain, as a hypercall tells it, in ns. */
uint64_t hypervisor_time(void);

/* One access to a port. kind: 0 to 2 read, 3 to 5 write 1, 2 or 4 bytes. */
void port_access(uint16_t port, uint32_t value, unsigned kind);

#endif
