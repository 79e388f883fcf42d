/*
 * xen_version: every sub-operation a guest may use (Xen's public/version.h).
 */
#include "suite.h"

static void version_number(void) {
  long version = xen_version(XENVER_version, NULL);
  EXPECT(version >> 16, 4);
  EXPECT(version & 0xffff, 17);
  /* Xen ignores the argument. */
  EXPECT(xen_version(XENVER_version, UNMAPPED), version);
}

static bool terminated(const char *text, size_t size) {
  for (size_t i = 0; i < size; i++)
    if (text[i] == 0)
      return true;
  return false;
}

static void version_extraversion(void) {
  xen_extraversion_t extra;
  memset(extra, 0xff, sizeof extra);
  EXPECT(xen_version(XENVER_extraversion, extra), 0);
  CHECK(terminated(extra, sizeof extra));
  EXPECT(xen_version(XENVER_extraversion, UNMAPPED), -XEN_EFAULT);
}

static void version_compile_info(void) {
  static struct xen_compile_info info;
  memset(&info, 0xff, sizeof info);
  EXPECT(xen_version(XENVER_compile_info, &info), 0);
  CHECK(terminated(info.compiler, sizeof info.compiler));
  CHECK(terminated(info.compile_by, sizeof info.compile_by));
  CHECK(terminated(info.compile_domain, sizeof info.compile_domain));
  CHECK(terminated(info.compile_date, sizeof info.compile_date));
  EXPECT(xen_version(XENVER_compile_info, UNMAPPED), -XEN_EFAULT);
}

static bool contains(const char *text, const char *part) {
  for (; *text; text++)
    if (memcmp(text, part, text_length(part)) == 0)
      return true;
  return false;
}

static void version_capabilities(void) {
  static xen_capabilities_info_t capabilities;
  memset(capabilities, 0xff, sizeof capabilities);
  EXPECT(xen_version(XENVER_capabilities, capabilities), 0);
  CHECK(terminated(capabilities, sizeof capabilities));
  CHECK(contains(capabilities, "hvm-3.0-x86_64"));
  EXPECT(xen_version(XENVER_capabilities, UNMAPPED), -XEN_EFAULT);
}

static void version_changeset(void) {
  xen_changeset_info_t changeset;
  memset(changeset, 0xff, sizeof changeset);
  EXPECT(xen_version(XENVER_changeset, changeset), 0);
  CHECK(terminated(changeset, sizeof changeset));
  EXPECT(xen_version(XENVER_changeset, UNMAPPED), -XEN_EFAULT);
}

static void version_platform_parameters(void) {
  struct xen_platform_parameters parameters = {0};
  EXPECT(xen_version(XENVER_platform_parameters, &parameters), 0);
  EXPECT(xen_version(XENVER_platform_parameters, UNMAPPED), -XEN_EFAULT);
}

static bool feature(uint32_t map, unsigned bit) { return map >> bit & 1; }

static void version_features(void) {
  struct xen_feature_info info = {.submap_idx = 0};
  EXPECT(xen_version(XENVER_get_features, &info), 0);
  CHECK(feature(info.submap, XENFEAT_writable_page_tables));
  CHECK(feature(info.submap, XENFEAT_auto_translated_physmap));
  CHECK(feature(info.submap, XENFEAT_hvm_callback_vector));
  CHECK(feature(info.submap, XENFEAT_hvm_safe_pvclock));
  CHECK(feature(info.submap, XENFEAT_not_direct_mapped));
  CHECK(!feature(info.submap, XENFEAT_direct_mapped));
  CHECK(!feature(info.submap, XENFEAT_mmu_pt_update_preserve_ad));
  CHECK(!feature(info.submap, XENFEAT_hvm_pirqs));
}

static void version_features_errors(void) {
  struct xen_feature_info info = {.submap_idx = 1};
  EXPECT(xen_version(XENVER_get_features, &info), -XEN_EINVAL);
  EXPECT(xen_version(XENVER_get_features, UNMAPPED), -XEN_EFAULT);
}

static void version_not_control_domain(void) {
  struct xen_feature_info info = {.submap_idx = 0};
  EXPECT(xen_version(XENVER_get_features, &info), 0);
  CHECK(!feature(info.submap, XENFEAT_dom0));
}

static void version_pagesize(void) {
  EXPECT(xen_version(XENVER_pagesize, NULL), 4096);
  EXPECT(xen_version(XENVER_pagesize, UNMAPPED), -XEN_EINVAL);
}

static void version_guest_handle(void) {
  xen_domain_handle_t handle;
  EXPECT(xen_version(XENVER_guest_handle, handle), 0);
  EXPECT(xen_version(XENVER_guest_handle, UNMAPPED), -XEN_EFAULT);
}

static void version_commandline(void) {
  static xen_commandline_t line;
  memset(line, 0xff, sizeof line);
  EXPECT(xen_version(XENVER_commandline, line), 0);
  CHECK(terminated(line, sizeof line));
  EXPECT(xen_version(XENVER_commandline, UNMAPPED), -XEN_EFAULT);
}

static void version_unknown(void) {
  EXPECT(xen_version(UNKNOWN_COMMAND, NULL), -XEN_ENOSYS);
}

static void version_build_id_refused(void) { EXPECT(xen_version(XENVER_build_id, NULL), -XEN_EPERM); }

const struct test version_tests[] = {
    {"version-number", version_number},
    {"version-extraversion", version_extraversion},
    {"version-compile-info", version_compile_info},
    {"version-capabilities", version_capabilities},
    {"version-changeset", version_changeset},
    {"version-platform-parameters", version_platform_parameters},
    {"version-features", version_features},
    {"version-features-errors", version_features_errors},
    {"version-not-control-domain", version_not_control_domain},
    {"version-pagesize", version_pagesize},
    {"version-guest-handle", version_guest_handle},
    {"version-commandline", version_commandline},
    {"version-unknown", version_unknown},
    {"version-build-id-refused", version_build_id_refused},
    {NULL, NULL},
};
