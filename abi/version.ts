/** Xen's version hypercall: xen/version.h. */

export const XENVER_version: u32 = 0;
export const XENVER_extraversion: u32 = 1;
export const XENVER_compile_info: u32 = 2;
export const XENVER_capabilities: u32 = 3;
export const XENVER_changeset: u32 = 4;
export const XENVER_platform_parameters: u32 = 5;
export const XENVER_get_features: u32 = 6;
export const XENVER_pagesize: u32 = 7;
export const XENVER_guest_handle: u32 = 8;
export const XENVER_commandline: u32 = 9;
export const XENVER_build_id: u32 = 10;

// Sizes of the string types that are not structures.
export const XEN_EXTRAVERSION_LEN: u32 = 16;
export const XEN_CAPABILITIES_INFO_LEN: u32 = 1024;
export const XEN_CHANGESET_INFO_LEN: u32 = 64;
export const XEN_COMMANDLINE_LEN: u32 = 1024; // C: sizeof(xen_commandline_t)

// C: struct xen_compile_info
export namespace CompileInfo {
  export const compiler: u32 = 0; // 64 bytes
  export const compile_by: u32 = 64; // 16 bytes
  export const compile_domain: u32 = 80; // 32 bytes
  export const compile_date: u32 = 112; // 32 bytes
  export const SIZE: u32 = 144;
}

// C: struct xen_platform_parameters
export namespace PlatformParameters {
  export const virt_start: u32 = 0; // u64
  export const SIZE: u32 = 8;
}

// C: struct xen_feature_info
export namespace FeatureInfo {
  export const submap_idx: u32 = 0; // u32 in
  export const submap: u32 = 4; // u32 out
  export const SIZE: u32 = 8;
}

// C: struct xen_build_id
export namespace BuildId {
  export const len: u32 = 0; // u32
  export const buf: u32 = 4;
  export const SIZE: u32 = 4;
}
