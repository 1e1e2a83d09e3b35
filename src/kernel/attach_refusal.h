// Why a program is not attached, in words.
#pragma once

#include <cstdint>

#include <weir/kernel/program.h>

namespace weir::kernel {

// The error of an attempt to attach the program there, with a hint where it can be told: an interface that does not
// exist, a program of another type, no control group. `target` as Program::attach takes it.
Error explain_attach(Error error, const Program& program, std::uint32_t target, ebpf::AttachType where);
// The same for places that no attach type names.
Error explain_tc(Error error, const Program& program);
Error explain_socket(Error error, const Program& program);
Error explain_raw_tracepoint(Error error, const Program& program);

}  // namespace weir::kernel
