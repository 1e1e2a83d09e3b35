// The XDP program that hands packets to AF_XDP sockets.
#pragma once

#include <cstdint>

#include <weir/base/error.h>
#include <weir/cbpf/program.h>
#include <weir/ebpf/program.h>

namespace weir::capture {

// Its maps, in this order: "gate", an array of one 32-bit value (0: all packets pass to the host), and "sockets", an
// AF_XDP socket for each queue. Before each packet that it redirects it leaves the time, 8 bytes of CLOCK_MONOTONIC,
// where the driver has room for it.
Result<ebpf::Program> xdp_program(const cbpf::Checked& filter, std::uint32_t queues);

}  // namespace weir::capture
