// A run as a table, and why it ended as it did. Exports trace_text, explain, why_text.
//
// explain() asks of each conditional jump that was executed, from the last to the first: had it gone the other way,
// would the packet have had another fate? It runs the program on from there to find out. The first for which the answer
// is yes decided.
#include <weir/debug/text.h>

#include <fmt/format.h>

#include <weir/cbpf/opcode_info.h>

namespace weir::debug {
namespace {

// Bounds the work of explain() for programs of very many tests.
inline constexpr std::uint64_t kMostSteps = 20'000'000;

// "jeq #0x800, l2, l5" without its label.
std::string bare(const cbpf::Program& program, std::uint32_t index) {
  const std::string text = instruction_text(program, index);
  return text.substr(text.find('\t') + 1);
}

const char* relation(cbpf::Opcode opcode) {
  switch (opcode) {
    case cbpf::Opcode::kJeqK:
    case cbpf::Opcode::kJeqX: return "==";
    case cbpf::Opcode::kJgtK:
    case cbpf::Opcode::kJgtX: return ">";
    case cbpf::Opcode::kJgeK:
    case cbpf::Opcode::kJgeX: return ">=";
    default: return "&";
  }
}

// "A (0x86dd) == 0x800".
std::string test_text(const cbpf::Program& program, const State& before) {
  const cbpf::Instruction& i = program[before.pc];
  const bool by_index = cbpf::find(i.code)->shape == cbpf::OperandShape::kBranchIndex;
  return fmt::format("A ({:#x}) {} {}", before.a, relation(i.opcode()),
                     by_index ? fmt::format("X ({:#x})", before.x) : fmt::format("{:#x}", i.k));
}

std::string load_text(const Executed& step, const std::vector<Field>& fields, const packet::Packet& packet) {
  const ByteRange& load = *step.effect.load;
  if (step.after.ending == Ending::kOutsidePacket)
    return fmt::format("[{}:{}] beyond the packet's {} bytes", load.offset, load.size, packet.length);
  const std::string names = names_of(fields, load);
  return fmt::format("[{}:{}]{}{}", load.offset, load.size, names.empty() ? "" : " ", names);
}

std::string effect_text(const cbpf::Program& program, const Executed& step, const std::vector<Field>& fields,
                        const packet::Packet& packet) {
  if (step.effect.load) return load_text(step, fields, packet);
  if (step.effect.extension) return "beside the packet";
  if (step.effect.taken)
    return fmt::format("{}: {} -> l{}", test_text(program, step.before), *step.effect.taken ? "yes" : "no",
                       step.after.pc);
  if (step.after.ending != Ending::kRunning) return verdict_text(step.after, packet);
  return "";
}

// The load that the tested value comes from, perhaps by way of arithmetic on A.
const Executed* source_of(const cbpf::Program& program, const std::vector<Executed>& run, std::size_t index) {
  for (std::size_t i = index; i-- > 0;) {
    const cbpf::OpcodeInfo& info = *cbpf::find(program[run[i].before.pc].code);
    if (info.writes.find('A') == std::string_view::npos) continue;
    if (run[i].effect.load) return &run[i];
    if (info.reads.find('A') == std::string_view::npos) return nullptr;
  }
  return nullptr;
}

// Of each instruction: whether some way from it ends with a verdict that is not 0 (or with one that is).
std::vector<bool> ways_to(const cbpf::Program& program, bool pass) {
  std::vector<bool> leads(program.size());
  for (std::size_t at = program.size(); at-- > 0;) {
    const cbpf::Instruction& i = program[at];
    switch (cbpf::find(i.code)->shape) {
      case cbpf::OperandShape::kJump: leads[at] = leads[at + 1 + i.k]; continue;
      case cbpf::OperandShape::kBranchConstant:
      case cbpf::OperandShape::kBranchIndex: leads[at] = leads[at + 1 + i.jt] || leads[at + 1 + i.jf]; continue;
      default: break;
    }
    if (i.opcode() == cbpf::Opcode::kRetK) leads[at] = (i.k != 0) == pass;
    else leads[at] = i.opcode() == cbpf::Opcode::kRetA || leads[at + 1];
  }
  return leads;
}

// The other side of a conditional jump that was executed.
std::uint32_t other_side(const cbpf::Program& program, const Executed& step) {
  const cbpf::Instruction& jump = program[step.before.pc];
  return step.before.pc + 1 + (*step.effect.taken ? jump.jf : jump.jt);
}

std::string fate(const State& end) { return end.verdict != 0 ? fmt::format("pass with {}", end.verdict) : "fail"; }

}  // namespace

std::string trace_text(const cbpf::Program& program, const std::vector<Executed>& run, const packet::Packet& packet,
                       packet::LinkType link_type, std::optional<std::size_t> current) {
  const std::vector<Field> fields = name_fields(packet, link_type);
  std::string out = fmt::format("  {:>5}  {:<28} {:<10} {:<10} {}\n", "pc", "instruction", "A", "X", "what it did");
  for (std::size_t i = 0; i < run.size(); ++i) {
    const Executed& step = run[i];
    std::string row =
        fmt::format("{} {:>5}  {:<28} {:<10} {:<10} {}", current == i ? ">" : " ", fmt::format("l{}", step.before.pc),
                    bare(program, step.before.pc), fmt::format("{:#x}", step.after.a),
                    fmt::format("{:#x}", step.after.x), effect_text(program, step, fields, packet));
    row.erase(row.find_last_not_of(' ') + 1);
    out += row + "\n";
  }
  return out;
}

Why explain(const cbpf::Checked& program, const packet::Packet& packet, const Surroundings& surroundings,
            const std::vector<Executed>& run) {
  Why why{run.back().after};
  std::uint64_t budget = kMostSteps;
  for (std::size_t i = run.size(); i-- > 0;) {
    const Executed& step = run[i];
    if (!step.effect.taken) continue;
    State other = step.before;
    other.pc = other_side(program.program(), step);
    for (; other.ending == Ending::kRunning && budget > 0; --budget)
      other = execute(program, packet, surroundings, other).state;
    if (budget == 0) break;
    if ((other.verdict != 0) != (why.end.verdict != 0)) {
      why.decided_by = i;
      why.otherwise = other;
      return why;
    }
  }
  const std::vector<bool> leads = ways_to(program.program(), why.end.verdict == 0);
  for (std::size_t i = run.size(); i-- > 0 && !why.sealed_by;)
    if (run[i].effect.taken && leads[other_side(program.program(), run[i])]) why.sealed_by = i;
  return why;
}

std::string why_text(const cbpf::Program& program, const std::vector<Executed>& run, const Why& why,
                     const packet::Packet& packet, packet::LinkType link_type) {
  const std::vector<Field> fields = name_fields(packet, link_type);
  std::string out = verdict_text(why.end, packet) + "\n";
  const Executed& last = run.back();
  if (why.end.ending == Ending::kOutsidePacket)
    out += fmt::format("  {} reads {}\n", instruction_text(program, last.before.pc), load_text(last, fields, packet));
  if (why.end.ending == Ending::kDivisionByZero)
    out += fmt::format("  {} divides by X, which is 0\n", instruction_text(program, last.before.pc));
  const std::optional<std::size_t> index = why.decided_by ? why.decided_by : why.sealed_by;
  if (!index) {
    if (why.end.ending != Ending::kReturned) return out;
    if (program[last.before.pc].opcode() != cbpf::Opcode::kRetA)
      return out + "  no test decides: every packet that comes so far ends so\n";
    out += fmt::format("  no test decides: the verdict is A ({:#x})\n", last.before.a);
    if (const Executed* source = source_of(program, run, run.size() - 1); source != nullptr)
      out += fmt::format("    read by {} from {}\n", instruction_text(program, source->before.pc),
                         load_text(*source, fields, packet));
    return out;
  }
  const Executed& test = run[*index];
  out += fmt::format("  decided by {}\n", instruction_text(program, test.before.pc));
  out += fmt::format("    {}: {}\n", test_text(program, test.before), *test.effect.taken ? "yes" : "no");
  if (const Executed* source = source_of(program, run, *index); source != nullptr)
    out += fmt::format("    read by {} from {}\n", instruction_text(program, source->before.pc),
                       load_text(*source, fields, packet));
  if (why.decided_by)
    out +=
        fmt::format("    {}, the packet would {}\n", *test.effect.taken ? "if not" : "if it did", fate(why.otherwise));
  else out += fmt::format("    from here no way leads to a {}\n", why.end.verdict != 0 ? "fail" : "pass");
  return out;
}

}  // namespace weir::debug
