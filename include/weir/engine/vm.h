// A virtual machine for typed instructions: what golang.org/x/net/bpf calls VM.
//
// make() assembles, checks and loads; a Vm is then an Engine and runs all that Linux runs, extensions, `neg` and raw
// instructions included, with Linux's meaning (shifts by X masked with 31, [x + k] wrapped to 32 bits).
// Movable; run() may be called from many threads at once.
#pragma once

#include <memory>
#include <span>
#include <utility>

#include <weir/base/error.h>
#include <weir/cbpf/typed.h>
#include <weir/engine/engine.h>
#include <weir/packet/packet.h>

namespace weir::engine {

class Vm {
 public:
  // Errors name the instruction (InstructionPlace): a field out of its range, or a rule of cbpf::check().
  static Result<Vm> make(std::span<const cbpf::typed::Instruction> instructions, const LoadOptions& options = {}) {
    WEIR_TRY(cbpf::Program program, cbpf::typed::assemble(instructions));
    WEIR_TRY(const cbpf::Checked checked, cbpf::check(std::move(program), {.target = cbpf::Target::kUser}));
    WEIR_TRY(std::unique_ptr<Engine> engine, load(checked, options));
    return Vm(std::move(engine));
  }

  // The verdict: how many bytes to keep, 0 for none.
  std::uint32_t run(const packet::Packet& packet) const { return engine_->run(packet); }
  std::uint32_t run(ByteSpan bytes) const { return engine_->run(packet::make_packet(bytes)); }
  const Engine& engine() const { return *engine_; }

 private:
  explicit Vm(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {}
  std::unique_ptr<Engine> engine_;
};

}  // namespace weir::engine
