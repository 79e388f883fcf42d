/*
 * NoXS, devices without a store, as LightVM has it: hypercall devctl, device page, control pages. The layouts are LightVM's; the
 * bits and their names are in abi/io/noxs.ts, which test/unit/abi.test.ts holds against this file.
 */
#ifndef GUEST_NOXS_H
#define GUEST_NOXS_H

#include <stdint.h>

#define __HYPERVISOR_devctl 41
#define XEN_DEVCTL_VERSION 1
#define XEN_DEVCTL_get 1
#define XEN_DEVCTL_dev_add 2
#define XEN_DEVCTL_dev_rem 3
#define XEN_DEVCTL_dev_enum 4

#define NOXS_DEV_COUNT_MAX 32

enum noxs_dev_type { noxs_dev_none, noxs_dev_sysctl, noxs_dev_vif, noxs_dev_vbd };

struct noxs_dev_key {
  uint32_t type;
  uint16_t be_id, fe_id;
  uint32_t devid;
};

struct noxs_dev_page_entry {
  uint32_t type, id;
  uint16_t be_id;
  struct {
    uint32_t grant, evtchn;
  } comm;
};

/* Read-only; entries 0 .. dev_count - 1 are in use. */
struct noxs_dev_page {
  uint32_t version, dev_count;
  struct noxs_dev_page_entry devs[NOXS_DEV_COUNT_MAX];
};

struct xen_devctl {
  uint32_t version, cmd;
  uint16_t domain;
  union {
    struct {
      uint64_t mfn; /* address of the device page */
    } get;
    struct {
      struct noxs_dev_page_entry dev;
    } dev_add;
    struct {
      struct noxs_dev_key dev;
    } dev_rem;
    struct {
      uint32_t dev_count;
      struct noxs_dev_page_entry devs[NOXS_DEV_COUNT_MAX];
    } dev_enum;
  } u;
};

enum noxs_watch_state { noxs_watch_none, noxs_watch_requested, noxs_watch_updated };

/* At the start of every control page; states are XenbusState*. */
struct noxs_ctrl_hdr {
  int32_t devid, be_state, fe_state;
  uint32_t fe_watch_state, be_watch_state;
};

struct noxs_sysctl_ctrl_page {
  struct noxs_ctrl_hdr hdr;
  uint8_t fe_feat, status;
};

struct noxs_vif_ctrl_page {
  struct noxs_ctrl_hdr hdr;
  int32_t vifid;
  uint16_t be_feat;
  int32_t multi_queue_max_queues, multi_queue_num_queues;
  uint32_t tx_ring_ref, rx_ring_ref, event_channel_tx, event_channel_rx;
  uint32_t request_rx_copy;
  uint16_t fe_feat;
  uint32_t ctrl_ring_ref, event_channel_ctrl;
  uint8_t mac[6];
  uint32_t ip; /* network order */
  char bridge[16];
};

enum noxs_vbd_type { noxs_vbd_type_none, noxs_vbd_type_phy, noxs_vbd_type_file };
enum noxs_vbd_mode { noxs_vbd_mode_none, noxs_vbd_mode_rdonly, noxs_vbd_mode_rdwr };

struct noxs_vbd_ctrl_page {
  struct noxs_ctrl_hdr hdr;
  struct {
    uint16_t max_indirect_segments;
    uint8_t flags;
  } be_feat;
  uint32_t major, minor, type, mode, info;
  uint64_t sectors, sector_size, sector_size_physical;
  int32_t discard_enable, discard_granularity, discard_alignment, discard_secure;
  uint8_t fe_feat;
  char protocol[64];
  int32_t max_rings, max_ring_page_order, num_rings, ring_page_order;
  uint32_t rings_start_addr[]; /* of each ring: its port, then its grants */
};

#endif
