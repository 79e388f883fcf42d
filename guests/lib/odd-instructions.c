#include "odd-instructions.h"

static const struct odd_instruction common[] = {
    {3, {0x0f, 0x01, 0xc2}},             /* vmlaunch */
    {3, {0x0f, 0x01, 0xc3}},             /* vmresume */
    {3, {0x0f, 0x01, 0xc4}},             /* vmxoff */
    {4, {0xf3, 0x0f, 0xc7, 0x37}},       /* vmxon (rdi) */
    {3, {0x0f, 0xc7, 0x37}},             /* vmptrld (rdi) */
    {4, {0x66, 0x0f, 0xc7, 0x37}},       /* vmclear (rdi) */
    {3, {0x0f, 0x78, 0xc1}},             /* vmread */
    {3, {0x0f, 0x79, 0xc1}},             /* vmwrite */
    {5, {0x66, 0x0f, 0x38, 0x80, 0x0f}}, /* invept */
    {5, {0x66, 0x0f, 0x38, 0x81, 0x0f}}, /* invvpid */
    {5, {0x66, 0x0f, 0x38, 0x82, 0x0f}}, /* invpcid */
    {3, {0x0f, 0x01, 0xd4}},             /* vmfunc */
    {3, {0x0f, 0x01, 0xd8}},             /* vmrun */
    {3, {0x0f, 0x01, 0xda}},             /* vmload */
    {3, {0x0f, 0x01, 0xdb}},             /* vmsave */
    {3, {0x0f, 0x01, 0xdc}},             /* stgi */
    {3, {0x0f, 0x01, 0xdd}},             /* clgi */
    {3, {0x0f, 0x01, 0xde}},             /* skinit */
    {3, {0x0f, 0x01, 0xdf}},             /* invlpga */
    {2, {0x0f, 0x37}},                   /* getsec */
    {2, {0x0f, 0xaa}},                   /* rsm */
    {2, {0x0f, 0x08}},                   /* invd */
    {2, {0x0f, 0x09}},                   /* wbinvd */
    {3, {0x0f, 0x01, 0xc8}},             /* monitor */
    {3, {0x0f, 0x01, 0xc9}},             /* mwait */
    {3, {0x0f, 0x01, 0xd1}},             /* xsetbv */
    {3, {0x0f, 0x01, 0xd0}},             /* xgetbv */
    {3, {0x0f, 0x01, 0xf9}},             /* rdtscp */
    {2, {0x0f, 0x33}},                   /* rdpmc */
    {3, {0x0f, 0x01, 0xcf}},             /* encls */
    {3, {0x0f, 0x01, 0xd7}},             /* enclu */
    {2, {0x0f, 0xff}},                   /* ud0 */
    {1, {0xcc}},                         /* int3 */
    {2, {0xcd, 0xff}},                   /* int 0xff */
    {3, {0xf0, 0x0f, 0xa2}},             /* lock cpuid */
    {4, {0xf3, 0x0f, 0x09, 0x90}},       /* wbnoinvd */
    {4, {0x66, 0x0f, 0xae, 0xf1}},       /* tpause */
    {3, {0x0f, 0x01, 0xfa}},             /* monitorx */
    {3, {0x0f, 0x01, 0xfd}},             /* rdpru */
    {3, {0x0f, 0x01, 0xfe}},             /* invlpgb */
};

const struct odd_instruction *odd_instruction_choose(uint64_t random, const struct odd_instruction *own, unsigned count) {
  unsigned commons = sizeof common / sizeof common[0];
  unsigned i = random % (commons + count);
  return i < commons ? &common[i] : &own[i - commons];
}
