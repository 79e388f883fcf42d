/*
 * What the operator asks of the domain: to power off, to reboot, to be suspended. Told by the NoXS sysctl device where the
 * domain has one, else by control/shutdown in xenstore.
 */
#ifndef GUEST_SYSCTL_H
#define GUEST_SYSCTL_H

#include <stdbool.h>

enum sysctl_request { SYSCTL_NONE, SYSCTL_POWEROFF, SYSCTL_REBOOT, SYSCTL_SUSPEND };

/* Begins to listen. False when the domain can be told in neither way. */
bool sysctl_open(void);
/*
 * Takes a request that has come since the last call. Cheap when there is none, with NoXS a load; an event ends the guest's
 * sleep when one comes.
 */
enum sysctl_request sysctl_take(void);
/*
 * Suspends the domain (SCHEDOP_shutdown). Returns true in the domain that was restored from it: the grant table, event
 * channels and console work again, and its devices must be connected again; false when the suspension was cancelled.
 */
bool guest_suspend(void);

#endif
