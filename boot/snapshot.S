/* What the software-isolated domains start from: domain 0's heap snapshot, the I/O domain's memory. */
  .section .snapshot, "a"
  .balign 4096
  .global snapshot, io_image
snapshot:
  .incbin "snapshot.bin"
  .balign 4096
io_image:
  .incbin "io.bin"
