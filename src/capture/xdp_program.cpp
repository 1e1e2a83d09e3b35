// A filter as a function, and a main function around it. Exports xdp_program.
//
// main:  gate closed, or filter(context) == 0: XDP_PASS. Else the time goes before the packet (xdp_adjust_meta), and
// the packet to the socket of its queue; without a socket there it passes.
#include "capture/xdp_program.h"

#include <cstddef>
#include <linux/bpf.h>

#include <weir/convert/convert.h>
#include <weir/ebpf/assembler.h>

namespace weir::capture {
namespace {

using ebpf::Condition;
using ebpf::Register;
using ebpf::Width;

constexpr std::int32_t kStamp = 8;

template <typename Number>
std::int16_t at(Number offset) {
  return static_cast<std::int16_t>(offset);
}

}  // namespace

Result<ebpf::Program> xdp_program(const cbpf::Checked& filter, std::uint32_t queues) {
  convert::Options how;
  how.context = convert::Context::kXdp;
  WEIR_TRY(const ebpf::Program function, convert::convert(filter, how));
  ebpf::Assembler a;
  a.map({.name = "gate",
         .type = ebpf::MapType::kArray,
         .key_size = 4,
         .value_size = 4,
         .max_entries = 1,
         .flags = BPF_F_MMAPABLE});
  a.map({.name = "sockets", .type = ebpf::MapType::kXskmap, .key_size = 4, .value_size = 4, .max_entries = queues});
  a.function("main").mov64_reg(Register::kR6, Register::kR1);
  a.load_map_value(Register::kR1, "gate", 0).mem_load(Width::kWord, Register::kR1, Register::kR1, 0);
  a.jump_imm(Condition::kEqual, Register::kR1, 0, "pass");
  a.mov64_reg(Register::kR1, Register::kR6).call_local("filter");
  a.mov32_reg(Register::kR0, Register::kR0).jump_imm(Condition::kEqual, Register::kR0, 0, "pass");
  // The time. Where the driver has put something of its own before the packet, the place is not next to the packet.
  a.mov64_reg(Register::kR1, Register::kR6).mov64_imm(Register::kR2, -kStamp).call(ebpf::Helper::kXdpAdjustMeta);
  a.jump_imm(Condition::kNotEqual, Register::kR0, 0, "redirect").call(ebpf::Helper::kKtimeGetNs);
  a.mem_load(Width::kWord, Register::kR2, Register::kR6, at(offsetof(xdp_md, data_meta)));
  a.mem_load(Width::kWord, Register::kR3, Register::kR6, at(offsetof(xdp_md, data)));
  a.mov64_reg(Register::kR1, Register::kR2).alu64_imm(ebpf::AluOperation::kAdd, Register::kR1, kStamp);
  a.jump_reg(Condition::kGreater, Register::kR1, Register::kR3, "redirect");
  a.mem_store_reg(Width::kDouble, Register::kR2, Register::kR0, 0);
  a.label("redirect").mem_load(Width::kWord, Register::kR2, Register::kR6, at(offsetof(xdp_md, rx_queue_index)));
  a.load_map(Register::kR1, "sockets").mov64_imm(Register::kR3, XDP_PASS).call(ebpf::Helper::kRedirectMap).exit();
  a.label("pass").mov64_imm(Register::kR0, XDP_PASS).exit();
  a.function("filter");
  for (const ebpf::Instruction& instruction : function.instructions) a.raw(instruction);
  WEIR_TRY(ebpf::Program program, a.assemble());
  program.name = "weir_capture";
  program.license = "Dual BSD/GPL";
  program.type = ebpf::ProgramType::kXdp;
  program.attach_type = ebpf::AttachType::kXdp;
  program.has_attach_type = true;
  return program;
}

}  // namespace weir::capture
