// The loop over packets on AArch64. Exports assemble_a64 and make_scalar_a64.
#include "engine/scalar_a64.h"

#include <cstddef>
#include <cstring>

#include <asmjit/arm/a64compiler.h>

#include "engine/a64_body.h"
#include "engine/machine_code.h"
#include "engine/plan_passes.h"

namespace weir::engine {
namespace {

namespace a64 = asmjit::a64;

void emit_function(a64::Compiler& c, A64Body& body) {
  asmjit::FuncNode* function =
      c.addFunc(asmjit::FuncSignatureT<std::uint64_t, const void*, void*>(asmjit::CallConvId::kCDecl));
  const a64::Gp columns = c.newUIntPtr();
  const a64::Gp verdicts = c.newUIntPtr();
  function->setArg(0, columns);
  function->setArg(1, verdicts);
  const auto column = [&](std::size_t offset) {
    const a64::Gp out = c.newUIntPtr();
    c.ldr(out, a64::ptr(columns, static_cast<std::int32_t>(offset)));
    return out;
  };
  const a64::Gp base = column(offsetof(packet::Columns, base));
  const a64::Gp offsets = column(offsetof(packet::Columns, offsets));
  const a64::Gp lengths = column(offsetof(packet::Columns, lengths));
  const a64::Gp wire_lengths = column(offsetof(packet::Columns, wire_lengths));
  const a64::Gp metadata = column(offsetof(packet::Columns, metadata));
  const a64::Gp count = column(offsetof(packet::Columns, count));
  const a64::Gp index = c.newUInt64();
  const asmjit::Label loop = c.newLabel();
  const asmjit::Label done = c.newLabel();
  A64Packet packet{c.newUIntPtr(), c.newUInt64(), c.newUInt32(), c.newUIntPtr(), c.newUInt32(), c.newLabel()};
  c.cmp(wire_lengths, 0);
  c.csel(wire_lengths, lengths, wire_lengths, a64::CondCode::kEQ);
  c.mov(index, 0);
  c.cbz(count, done);
  c.bind(loop);
  const a64::Gp offset = c.newUInt64();
  c.ldr(offset.w(), a64::ptr(offsets, index, a64::lsl(2)));
  c.ldr(packet.length.w(), a64::ptr(lengths, index, a64::lsl(2)));
  c.ldr(packet.wire_length, a64::ptr(wire_lengths, index, a64::lsl(2)));
  c.add(packet.data, base, offset);
  const asmjit::Label known = c.newLabel();
  c.mov(packet.metadata, 0);
  c.cbz(metadata, known);
  c.ldr(packet.metadata, a64::ptr(metadata, index, a64::lsl(3)));
  c.bind(known);
  body.emit(packet);
  c.bind(packet.next);
  c.str(packet.verdict, a64::ptr(verdicts, index, a64::lsl(2)));
  c.add(index, index, 1);
  c.cmp(index, count);
  c.b(a64::CondCode::kLO, loop);
  c.bind(done);
  c.ret(index);
  c.endFunc();
  body.embed_data();
}

}  // namespace

Result<std::vector<std::uint8_t>> assemble_a64(Plan plan) {
  const auto failed = [](const char* why) { return fail(Error{.code = ErrorCode::kUnsupported, .message = why}); };
  drop_implied_guards(plan, 0);
  find_sets(plan);
  if (!A64Body::takes(plan)) return failed("the program needs what AArch64 code does not do yet");
  std::vector<SetTable> tables;
  for (const std::vector<flow::Range>& set : plan.sets) tables.push_back(make_set_table(set));
  asmjit::CodeHolder holder;
  const asmjit::Environment environment(asmjit::Arch::kAArch64, asmjit::SubArch::kUnknown, asmjit::Vendor::kUnknown,
                                        asmjit::Platform::kLinux, asmjit::PlatformABI::kGNU);
  if (holder.init(environment) != asmjit::kErrorOk) return failed("machine code cannot be made here");
  a64::Compiler compiler(&holder);
  A64Body body(compiler, plan, tables);
  emit_function(compiler, body);
  if (compiler.finalize() != asmjit::kErrorOk) return failed("the program is too large for AArch64 code");
  holder.flatten();
  holder.resolveUnresolvedLinks();
  std::vector<std::uint8_t> code(holder.codeSize());
  holder.relocateToBase(0);
  if (holder.copyFlattenedData(code.data(), code.size()) != asmjit::kErrorOk)
    return failed("machine code cannot be placed");
  return code;
}

Result<std::unique_ptr<Engine>> make_scalar_a64(Plan plan) {
  WEIR_TRY(const std::vector<std::uint8_t> bytes, assemble_a64(std::move(plan)));
  MachineCode code;
  code.size = bytes.size();
  WEIR_TRY(code.memory, CodeMemory::allocate(bytes.size()));
  std::memcpy(code.memory.writable(), bytes.data(), bytes.size());
  WEIR_CHECK(code.memory.seal());
  code.filter = reinterpret_cast<FilterFunction>(reinterpret_cast<std::uintptr_t>(code.memory.start()));
  return make_machine_engine("scalar", std::move(code), nullptr);
}

}  // namespace weir::engine
