// Rdmabench measures xferd's RDMA side by side with ib_write_bw of perftest, on
// the same device of the lab, and prints a table of medians with ratios, the CPU
// time of both ends and how many completions a crossing into C brings. It boots
// the lab and runs itself there. Only the ratios say something: the processor is
// emulated. It asserts nothing.
package main
