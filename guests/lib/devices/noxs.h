/*
 * NoXS, the devices of LightVM: a page that lists the domain's devices, and a control page for each, shared with its backend.
 * Layouts are those of LightVM's Xen 4.8.1 (xen/include/public/io/noxs.h there); the asserts give the offsets.
 */
#ifndef GUEST_NOXS_H
#define GUEST_NOXS_H

#include <stdbool.h>

#include "../xen.h"

#include <xen/io/xenbus.h>

#define HYPERVISOR_devctl 41
#define DEVCTL_VERSION 1
#define DEVCTL_GET 1

enum device_type { DEVICE_NONE = 0, DEVICE_SYSCTL = 1, DEVICE_VIF = 2, DEVICE_VBD = 3 };

#define NOXS_DEVICES 32

struct noxs_entry {
  uint32_t type, id;
  uint16_t backend;
  uint32_t grant, port;
};

struct noxs_page {
  uint32_t version, count;
  struct noxs_entry entries[NOXS_DEVICES];
};

/* Argument of the hypercall; of its union only what `get` answers. */
struct devctl {
  uint32_t version, command;
  uint16_t domain;
  uint64_t page; /* guest-physical address of the device page */
  uint8_t rest[640];
};

enum noxs_watch { NOXS_WATCH_NONE = 0, NOXS_WATCH_REQUESTED = 1, NOXS_WATCH_UPDATED = 2 };

/* How each control page begins. States are XenbusState*; each side writes its own, and requests news of the other's. */
struct noxs_control {
  int32_t id, backend_state, frontend_state;
  uint32_t frontend_watch, backend_watch;
};

struct noxs_sysctl {
  struct noxs_control control;
  uint8_t features, request;
};
#define NOXS_SYSCTL_POWEROFF 1
#define NOXS_SYSCTL_REBOOT 2
#define NOXS_SYSCTL_SUSPEND 4
#define NOXS_SYSCTL_CRASH 8

struct noxs_vif {
  struct noxs_control control;
  int32_t vif;
  uint16_t backend_features;
  int32_t max_queues, queues;
  grant_ref_t tx_ring, rx_ring;
  evtchn_port_t tx_port, rx_port;
  uint32_t request_rx_copy;
  uint16_t frontend_features;
  grant_ref_t control_ring;
  evtchn_port_t control_port;
  uint8_t mac[6];
  uint32_t address; /* IPv4, network byte order; 0: none was configured */
  char bridge[16];
};
#define NOXS_VIF_BACKEND_SG (1u << 1)
#define NOXS_VIF_BACKEND_GSO_TCPV4 (1u << 2)
#define NOXS_VIF_BACKEND_NO_CSUM_OFFLOAD (1u << 6)
#define NOXS_VIF_FRONTEND_RX_NOTIFY (1u << 0)
#define NOXS_VIF_FRONTEND_SG (1u << 2)
#define NOXS_VIF_FRONTEND_GSO_TCPV4 (1u << 3)

struct noxs_vbd {
  struct noxs_control control;
  uint16_t max_indirect_segments;
  uint8_t backend_features;
  uint32_t major, minor, type, mode, info;
  uint64_t sectors, sector_size, physical_sector_size;
  int32_t discard, discard_granularity, discard_alignment, discard_secure;
  uint8_t frontend_features;
  char protocol[64];
  int32_t max_rings, max_ring_order, rings, ring_order;
  evtchn_port_t ring_port;
  grant_ref_t ring_refs[];
};
#define NOXS_VBD_PERSISTENT 1
#define NOXS_VBD_FLUSH 4
#define NOXS_VBD_DISCARD 8
#define NOXS_VBD_READ_ONLY 1
#define NOXS_VBD_READ_WRITE 2

/* A device of which this guest is the frontend. */
struct noxs_device {
  volatile void *page; /* its control page */
  domid_t backend;
  evtchn_port_t port; /* local end of the control page's event channel */
};

/* Number of devices of a type in the device page; 0 where there is none or no NoXS. */
unsigned noxs_count(enum device_type type);
/* Maps the control page of the n-th device of a type and binds its event channel; guest_fail when that is refused. */
void noxs_attach(enum device_type type, unsigned n, struct noxs_device *device);
/* Tells the backend that the frontend's part of the page is filled in. It answers at its own time. */
void noxs_connect(struct noxs_device *device);
/* XenbusState* of the backend. */
int noxs_backend_state(const struct noxs_device *device);
/* Answers a backend that closes the device, by the same state; whether it does. */
bool noxs_follow_close(struct noxs_device *device);
/* Forgets the device page: it is asked for again at the next use. */
void noxs_restore(void);

#endif
