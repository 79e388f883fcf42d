/**
 * XEN_DOMCTL_get_domain_state: reports a domain that has changed, without walking over all. From Xen 4.20, where xenstored
 * uses it; 4.17 has no equivalent. A stable operation: xen_domctl's interface_version is 0.
 *
 * Source: Xen 4.20's public/domctl.h.
 */

export const XEN_DOMCTL_get_domain_state: u32 = 90;

export const XEN_DOMCTL_GETDOMSTATE_STATE_EXIST: u32 = 1; // there is such a domain
export const XEN_DOMCTL_GETDOMSTATE_STATE_SHUTDOWN: u32 = 2; // it has shut down
export const XEN_DOMCTL_GETDOMSTATE_STATE_DYING: u32 = 4; // it is being destroyed
export const XEN_DOMCTL_GETDOMSTATE_STATE_DEAD: u32 = 8; // of which all was given back that can be

/**
 * C: struct xen_domctl_get_domain_state. xen_domctl.domain is in and out: DOMID_INVALID asks for a domain that changed since
 * it was last reported.
 */
export namespace DomctlGetDomainState {
  export const state: u32 = 0; // u16, out: XEN_DOMCTL_GETDOMSTATE_STATE_*
  export const pad0: u32 = 2; // u16, in: 0
  export const pad1: u32 = 4; // u32, in: 0
  export const unique_id: u32 = 8; // u64, out: no other domain of this boot had it or will
  export const SIZE: u32 = 16;
}
