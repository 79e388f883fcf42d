/*
 * Event channels of the 2-level ABI. Ports bound with a handler are unmasked and delivered by the callback vector.
 */
#ifndef GUEST_EVENTS_H
#define GUEST_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "xen.h"

#define EVENT_PORTS 4096

typedef void (*event_handler)(evtchn_port_t port);

/* Maps shared info and asks for the callback vector; again in a domain that was restored, whose ports are all gone. */
void events_init(void);
/* The same for a shared info that is mapped already. */
void events_use(struct shared_info *info);
/* Sets a port's handler and unmasks it. */
void event_handle(evtchn_port_t port, event_handler handler);
/* Masks it and forgets its handler; the port stays open. */
void event_ignore(evtchn_port_t port);
/* How often a port's event was taken by the callback. */
uint64_t event_count(evtchn_port_t port);
bool event_pending(evtchn_port_t port);
bool event_masked(evtchn_port_t port);
void event_clear(evtchn_port_t port);
void event_mask(evtchn_port_t port);
/* Each returns the port or a negative errno. */
long event_bind_virq(unsigned virq, unsigned vcpu);
long event_bind_ipi(unsigned vcpu);
long event_alloc_unbound(domid_t domain, domid_t remote);
long event_bind_interdomain(domid_t remote, evtchn_port_t remote_port);
long event_send(evtchn_port_t port);
long event_unmask(evtchn_port_t port);
long event_close(evtchn_port_t port);
/*
 * Halts with interrupts on until the port's count of taken events exceeds `count` or the time is over; the timer that ends
 * the wait is the calling vCPU's single-shot timer, bound for the purpose. Interrupts are off again on return. True
 * when the event came.
 */
bool event_wait(evtchn_port_t port, uint64_t count, uint64_t timeout_ns);
/*
 * Halts with interrupts on until any event was taken or the deadline is over (0: no deadline); on return they are off. What was
 * already pending ends the halt at once. The single-shot timer is set only when it would come too late: an earlier deadline
 * that was given up costs an early return, not a hypercall.
 */
void event_idle(uint64_t deadline_ns);
/* The port of the calling vCPU's VIRQ_TIMER; bound at first use and kept. */
evtchn_port_t timer_port(void);
/* Halts for a time, by the single-shot timer. Interrupts are off on return. */
void sleep_ns(uint64_t duration_ns);

#endif
