/*
 * Devices that are told through xenstore (Xen's public/io/xenbus.h and docs/misc/xenstore-paths): nodes below
 * device/TYPE/ID of this domain, and a folder of the backend's that they name.
 */
#ifndef GUEST_XENBUS_H
#define GUEST_XENBUS_H

#include <stdbool.h>
#include <stdint.h>

#include "../xen.h"

#include <xen/io/xenbus.h>

#define XENBUS_PATH 96

struct xenbus_device {
  char path[XENBUS_PATH];         /* device/vif/0 */
  char backend_path[XENBUS_PATH]; /* /local/domain/B/backend/vif/F/0 */
  domid_t backend;
};

/* Number of devices of a type ("vif", "vbd"); 0 where the domain has no store. Waits for the store's answer. */
unsigned xenbus_count(const char *type);
/* Finds the n-th of them, in the store's order, and its backend; guest_fail when its nodes are not as they must be. */
void xenbus_attach(const char *type, unsigned n, struct xenbus_device *device);
/* A number in the backend's folder, `otherwise` when it is not there or no number. */
uint64_t xenbus_backend_number(const struct xenbus_device *device, const char *name, uint64_t otherwise);
/* Text of a node of the device's own folder, or of the backend's; false when it is not there. */
bool xenbus_text(const struct xenbus_device *device, const char *name, char *text, uint32_t size);
bool xenbus_backend_text(const struct xenbus_device *device, const char *name, char *text, uint32_t size);
/* Writes nodes of the device's own folder; guest_fail when the store refuses. */
void xenbus_write(const struct xenbus_device *device, const char *name, const char *text);
void xenbus_write_number(const struct xenbus_device *device, const char *name, uint64_t number);
/* Says the frontend's state. */
void xenbus_switch(const struct xenbus_device *device, enum xenbus_state state);
/* The backend's state. */
enum xenbus_state xenbus_backend_state(const struct xenbus_device *device);
/*
 * Waits until the backend is in one of two states; guest_fail when it goes away, or does not get there in half a minute.
 */
void xenbus_await(const struct xenbus_device *device, enum xenbus_state first, enum xenbus_state second);

#endif
