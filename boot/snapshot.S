/* Domain 0's heap snapshot, build/snapshot.bin. */
  .section .snapshot, "a"
  .balign 4096
  .global snapshot
snapshot:
  .incbin "snapshot.bin"
