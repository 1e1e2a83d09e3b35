// Runs of extended programs as tables. Exports trace_packet, trace_text and the texts of instructions.
//
// A row is made of the registers before a step and after it; what memory an instruction touches is told by its operands
// before it runs, so that a load into its own base register is shown right.
#include <weir/debug/extended_trace.h>

#include <array>

#include <fmt/format.h>

#include <weir/ebpf/text.h>

#include "debug/commands.h"

namespace weir::debug {
namespace {

constexpr std::size_t kColumn = 36;  // width of the instruction

struct Operand {
  std::uint64_t address = 0;
  std::uint32_t size = 0;
  bool write = false;
};
// What an instruction of the classes LDX, ST and STX is about to touch.
std::optional<Operand> operand_of(const ebpf::Instruction& it, std::span<const std::uint64_t, ebpf::kRegisters> regs) {
  constexpr std::uint32_t kSizes[] = {4, 2, 1, 8};
  const unsigned kind = it.code & 7u;
  if (kind < 1 || kind > 3) return std::nullopt;
  const bool loads = kind == 1 || (kind == 3 && it.code >> 5 == 6 && it.immediate == 0x100);  // load_acquire
  const unsigned base = loads ? it.src : it.dst;
  if (base >= ebpf::kRegisters) return std::nullopt;
  return Operand{regs[base] + static_cast<std::uint64_t>(std::int64_t{it.offset}), kSizes[it.code >> 3 & 3], !loads};
}

std::uint64_t word_at(const ExtendedSession& session, const Operand& operand) {
  const std::vector<std::uint8_t> bytes = session.read(operand.address, operand.size);
  if (bytes.size() < operand.size) return 0;
  switch (operand.size) {
    case 1: return bytes[0];
    case 2: return load<std::uint16_t>(bytes.data(), std::endian::native);
    case 4: return load<std::uint32_t>(bytes.data(), std::endian::native);
    default: return load<std::uint64_t>(bytes.data(), std::endian::native);
  }
}

bool is_conditional(const ebpf::Instruction& it) {
  const unsigned kind = it.code & 7u, operation = it.code >> 4;
  return (kind == 5 || kind == 6) && operation != 0 && operation != 8 && operation != 9;
}

std::string number_text(std::uint64_t value) {
  return value < 10 ? std::to_string(value) : fmt::format("0x{:x}", value);
}

ExtendedRow step_row(ExtendedSession& session) {
  const ebpf::Program& program = *session.outcome().program;
  ExtendedRow row{.instruction = session.instruction(), .depth = session.depth()};
  const ebpf::Instruction it = program.instructions[row.instruction];
  row.text = instruction_text(program, row.instruction);
  row.function = function_of(program, row.instruction);
  if (const ebpf::SourceLine* line = program.line_of(row.instruction)) row.line = *line;
  std::array<std::uint64_t, ebpf::kRegisters> before{};
  const auto registers = session.registers();
  std::copy(registers.begin(), registers.end(), before.begin());
  const std::optional<Operand> operand = operand_of(it, registers);
  if (operand) {
    row.memory = MemoryTouch{session.address_text(operand->address), operand->size, operand->write, 0, {}};
    if (!operand->write) row.memory->value = word_at(session, *operand);
    row.memory->value_place = session.address_text(row.memory->value);
  }
  session.step(1);
  if (session.has_ended() && session.outcome().fault != engine::Fault::kNone) return row;
  if (operand && operand->write) {
    row.memory->value = word_at(session, *operand);
    row.memory->value_place = session.has_ended() ? "" : session.address_text(row.memory->value);
  }
  const bool left = (it.code & 0xf7u) == 0x85u && it.src == ebpf::kPseudoCall;  // into a function: fp is its own
  for (std::uint8_t i = 0; i < 10 && !session.has_ended(); ++i)
    if (session.registers()[i] != before[i] && !left)
      row.changes.push_back({i, session.registers()[i], session.address_text(session.registers()[i])});
  if (is_conditional(it) && !session.has_ended()) row.taken = session.instruction() != row.instruction + 1;
  return row;
}

std::string effect_text(const ExtendedRow& row) {
  std::vector<std::string> parts;
  if (row.memory && !row.memory->place.empty())
    parts.push_back(
        fmt::format("{}[{}:{}] {}", row.memory->write ? "writes " : "", row.memory->place, row.memory->size,
                    row.memory->value_place.empty() ? number_text(row.memory->value) : row.memory->value_place));
  for (const RegisterChange& change : row.changes)
    parts.push_back(
        fmt::format("r{} = {}", change.number, change.place.empty() ? number_text(change.value) : change.place));
  if (row.taken) parts.emplace_back(*row.taken ? "yes" : "no");
  return fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace

std::string instruction_text(const ebpf::Program& program, std::uint32_t slot) {
  const auto& slots = program.instructions;
  const ebpf::Instruction next = slot + 1 < slots.size() ? slots[slot + 1] : ebpf::Instruction{};
  std::string text = ebpf::write_instruction(slots[slot], next);
  const ebpf::MapReference* reference = program.map_reference(slot);
  if (reference != nullptr && reference->map < program.maps.size())
    text = fmt::format("r{} = map[{}]{}", static_cast<unsigned>(slots[slot].dst), program.maps[reference->map].name,
                       slots[slot].src == ebpf::kPseudoMapValue ? fmt::format("[0]+{}", next.immediate) : "");
  return text;
}

std::string source_text(const ebpf::SourceLine& line) {
  return fmt::format("{}:{}{}{}", line.file, line.line, line.text.empty() ? "" : ": ", trim(line.text));
}

std::string function_of(const ebpf::Program& program, std::uint32_t slot) {
  std::string name;
  for (const ebpf::Function& function : program.functions)
    if (function.instruction <= slot) name = function.name;
  return name;
}

ExtendedTrace trace_packet(ExtendedSession& session, std::size_t most) {
  ExtendedTrace trace;
  while (!session.has_ended() && trace.rows.size() < most) trace.rows.push_back(step_row(session));
  trace.ended = session.has_ended();
  trace.outcome = session.outcome();
  trace.printed = session.printed();
  return trace;
}

std::string trace_text(const ExtendedTrace& trace) {
  std::string out = fmt::format("    pc  {:<{}}what it did\n", "instruction", kColumn);
  const ExtendedRow* last = nullptr;
  for (const ExtendedRow& row : trace.rows) {
    if (!row.function.empty() && (last == nullptr || last->function != row.function || last->depth != row.depth))
      out += row.function + ":\n";
    const bool same_line = last != nullptr && last->line && row.line && last->line->line == row.line->line &&
                           last->line->file == row.line->file;
    if (row.line && !same_line) out += "; " + source_text(*row.line) + "\n";
    std::string line = fmt::format("{:>6}  {:<{}}{}", row.instruction, row.text, kColumn, effect_text(row));
    if (row.text.size() >= kColumn) line = fmt::format("{:>6}  {}  {}", row.instruction, row.text, effect_text(row));
    while (line.back() == ' ') line.pop_back();
    out += line + "\n";
    last = &row;
  }
  return out;
}

}  // namespace weir::debug
